"""One stream's frames through detector, tracker, embedder, index and matcher.

The heavy work runs on the device's thread; tracker and matcher run on the event loop, which owns their
state and spends well under a millisecond a frame on them. Embedding is a job of lower priority that follows
a detection: its votes show in later results and never delay one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

import numpy as np

from inference.batches import Ticket
from inference.deadline import Cancelled, RunHandle
from inference.detection import Detected, DetectorSettings, LoadedDetector, Shot, load_detector
from inference.device import DeviceWorker
from inference.embedder import OnnxEmbedder
from inference.enrolment import Enrolment
from inference.errors import RuntimeStuck, UnknownObject
from inference.flow import flow_size
from inference.index import IndexHolder
from inference.looking import Ask, Search, Seen, look_at
from inference.matcher import Matcher, MatcherSettings
from inference.recovery import Recovery
from inference.tracker import Tracker, TrackerSettings
from inference.types import Box, FrameResult, MatchState, Outcome, Plan, Rung, Track
from inference.views import Look, in_sight
from stream.clock import Clock, MonotonicClock
from stream.types import Frame, StreamId

__all__ = ["DetectorSettings", "LoadedDetector", "StreamWorker", "WorkerSettings", "load_detector"]

log = logging.getLogger(__name__)

EMBED_PRIORITY = 1
CHECK_FRAMES = 15
"""Once in so many frames the codec's motion is compared with what the picture shows."""
BARE_FRAMES = 10
"""Frames without codec motion after which a stream is taken to have none; a key frame has none either."""
RENEW_NS = 120_000_000_000
"""Loading the models anew may take so long."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One stream's settings.

    Attributes:
        tracker: thresholds and life cycle; None takes them from the models' own scales.
        matcher: pace and thresholds; an embedder's own calibration replaces the thresholds.
        candidates: products each crop is compared with.
        embed_ms: an embedding job is stopped after this.
    """

    tracker: TrackerSettings | None = None
    matcher: MatcherSettings = field(default_factory=MatcherSettings)
    candidates: int = 5
    embed_ms: float = 250.0


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of the crops asked for, and how long each took."""

    seen: list[Seen]
    took_ns: int


class StreamWorker:
    """Turns one stream's frames into results. Event loop only.

    Attributes:
        stream: whose.
        tracker: for queries at display time.
        matcher: the product claims; `Matcher.restrict` takes the show's list.
        enrolment: a product that is being shown to be learned; None most of the time.
    """

    def __init__(
        self,
        stream: StreamId,
        *,
        device: DeviceWorker,
        detector: LoadedDetector,
        embedder: OnnxEmbedder | None = None,
        index: IndexHolder | None = None,
        settings: WorkerSettings = WorkerSettings(),
        recovery: Recovery | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stream = stream
        self.tracker = Tracker(settings.tracker or _thresholds(detector, embedder))
        own = settings.matcher if embedder is None else settings.matcher.calibrated(embedder.calibration)
        self.matcher = Matcher(own)
        self.enrolment: Enrolment | None = None
        self._device = device
        self._detector = detector
        self._embedder = embedder
        self._index = index
        self._settings = settings
        self._recovery = recovery or Recovery(())
        self._clock = clock or MonotonicClock()
        self._embedding: asyncio.Future[_Looked | Cancelled] | None = None
        self._extra_ns: dict[str, int] = {}
        self._seen_pts_ns = -1
        self._bare_frames = BARE_FRAMES
        self._frames = 0
        self._complained_ns: int | None = None

    async def process(self, frame: Frame, plan: Plan) -> FrameResult:
        """Detect in `frame` as planned and track; returns when the tracks are known.

        A late, failed or cancelled detection is a result too: then the tracks are predicted.

        Raises:
            RuntimeStuck: the device is lost; restart the process.
        """
        if not plan.detect or plan.rung is None:
            return self.coast(frame)
        rung, clock, asked_ns = plan.rung, self._clock, self._clock.now_ns()
        self._watch(frame)

        ticket = self._ticket(frame, rung, plan)

        def job(handle: RunHandle) -> tuple[int, Detected]:
            started_ns = clock.now_ns()
            if ticket is not None:
                return started_ns, ticket(handle)
            return started_ns, self._detector.detect(frame, rung, handle, clock, plan.region)

        try:
            answer = await self._device.run(job, plan.deadline_ns)
        except RuntimeStuck:
            raise
        except Exception as error:
            self._complain(error)
            if self._recovery.failed(str(error)):
                self._renew()
            tracks = self.tracker.query(frame.pts_ns)
            return self._result(frame, Outcome.FAILED, tracks, {"detect": clock.now_ns() - asked_ns})
        finally:
            if ticket is not None:
                ticket.withdraw()
        if isinstance(answer, Cancelled):
            if answer.stuck and self._recovery.stuck():
                self._renew()
            stage = "detect" if answer.started else "queue"
            tracks = self.tracker.query(frame.pts_ns)
            return self._result(frame, Outcome.CANCELLED, tracks, {stage: clock.now_ns() - asked_ns})
        self._recovery.worked()
        started_ns, detected = answer
        began_ns = clock.now_ns()
        tracks = self.tracker.step(detected.detections, None, frame.pts_ns, region=detected.region)
        self.matcher.forget_all_but(self.tracker.known())
        stages = {"queue": started_ns - asked_ns, **detected.stages_ns, "track": clock.now_ns() - began_ns}
        stages["resume"] = max(0, began_ns - started_ns - sum(detected.stages_ns.values()))
        self._embed_some(frame, tracks, plan.embed_limit)
        return self._result(frame, Outcome.DETECTED, tracks, stages)

    def coast(self, frame: Frame) -> FrameResult:
        """Predict the tracks at `frame`, from how the picture moved. Cheap."""
        began_ns = self._clock.now_ns()
        self._watch(frame)
        tracks = self.tracker.query(frame.pts_ns)
        return self._result(frame, Outcome.COASTED, tracks, {"track": self._clock.now_ns() - began_ns})

    def region(self, frame: Frame) -> Box | None:
        """The part of `frame` that holds all there is to see; None where all of it needs a look."""
        self._watch(frame)
        return self.tracker.region(frame.pts_ns)

    def teach(self, track_id: int, product_id: str, right: bool) -> list[Look]:
        """The host says that a track is a product, or that it is not. Heard at once.

        Returns:
            The best views of the track, with vectors: what the host's word is to be remembered by.

        Raises:
            UnknownObject: the track is gone, or was not looked at yet.
        """
        looks = self.matcher.looks(track_id)
        if not looks:
            raise UnknownObject(
                f"object {track_id}: got none of that number that was looked at, expected one that is in the "
                "picture; it may have left it, show it again"
            )
        if right:
            self.matcher.confirm(track_id, product_id)
        else:
            self.matcher.veto(track_id, product_id)
        return looks

    @property
    def embedding(self) -> bool:
        """Crops are being embedded; their votes are still to come."""
        return self._embedding is not None

    def close(self) -> None:
        """Stop what is under way; the worker must not be used again."""
        if self._embedding is not None:
            self._embedding.cancel()

    # ---- details -------------------------------------------------------------------------------------------

    def _ticket(self, frame: Frame, rung: Rung, plan: Plan) -> Ticket[Shot, Detected] | None:
        """A place in a run shared with other streams, where that pays."""
        if plan.region is not None or rung.model or not self._detector.batches:
            return None
        batches = self._detector.batches.get(self._detector.size_for(frame, rung))
        return None if batches is None else batches.ticket(Shot(frame, self._clock))

    def _watch(self, frame: Frame) -> None:
        """Show the tracker how the picture moved, once per frame and in order.

        Where the codec does not tell (VP8, VP9, AV1), a small luma picture does; where it does, two in a row
        check every now and then what it tells.
        """
        if frame.pts_ns <= self._seen_pts_ns:
            return
        self._seen_pts_ns = frame.pts_ns
        pixels, luma = frame.pixels, None
        motion = pixels.motion_vectors()
        self._bare_frames = self._bare_frames + 1 if motion is None else 0
        self._frames += 1
        checks = self._frames % CHECK_FRAMES < 2 or self.tracker.vectors_lie
        if (self._bare_frames > BARE_FRAMES or checks) and self.tracker.known():
            luma = pixels.scaled(*flow_size(pixels.width, pixels.height), "gray")
        self.tracker.observe(motion, frame.pts_ns, size=(pixels.width, pixels.height), luma=luma)

    def _result(
        self, frame: Frame, outcome: Outcome, tracks: tuple[Track, ...], stages: dict[str, int]
    ) -> FrameResult:
        began_ns = self._clock.now_ns()
        matched = tuple(replace(track, match=self.matcher.match(track.id)) for track in tracks)
        extra, self._extra_ns = self._extra_ns, {}
        stages["receive"] = frame.decoded_ns - frame.arrived_ns
        stages["match"] = self._clock.now_ns() - began_ns + extra.pop("match", 0)
        stages.update(extra)
        return FrameResult(frame.stream, frame.time, frame.pts_ns, frame.arrived_ns, outcome, matched, stages)

    def _renew(self) -> None:
        """Load the models anew on the device's thread, before anything else runs there."""
        deadline_ns = self._clock.now_ns() + RENEW_NS
        done = self._device.submit(lambda handle: self._recovery.renew(), deadline_ns, priority=-1)
        done.add_done_callback(self._renewed)

    def _renewed(self, done: asyncio.Future[None | Cancelled]) -> None:
        self._recovery.renewed()
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("models cannot be renewed", extra={"error": str(error)})

    def _embed_some(self, frame: Frame, tracks: tuple[Track, ...], limit: int) -> None:
        """Start embedding the crops that are worth it, unless the last ones are still under way."""
        if self._embedder is None or self._embedding is not None or (limit < 1 and self.enrolment is None):
            return
        wanted = set(self.matcher.wanted(tracks, frame.pts_ns, limit))
        shown = None if self.enrolment is None else self.enrolment.wanted(tracks, frame.pts_ns)
        least = {track_id: self.matcher.least_sharp(track_id) for track_id in wanted}
        if self.enrolment is not None and shown is not None:
            least[shown] = min(least.get(shown, np.inf), self.enrolment.least_sharp())
        asks = [
            Ask(track.id, track.box, in_sight(track, tracks), least[track.id])
            for track in tracks
            if track.id in least
        ]
        if not asks:
            return
        embedder, clock = self._embedder, self._clock
        search = Search(self._index, self._settings.candidates, self.matcher.allowed)

        def job(handle: RunHandle) -> _Looked:
            began_ns = clock.now_ns()
            seen = look_at(frame, asks, embedder, search, handle)
            return _Looked(seen, (clock.now_ns() - began_ns) // len(asks))

        deadline_ns = clock.now_ns() + int(self._settings.embed_ms * 1e6)
        self._embedding = self._device.submit(job, deadline_ns, priority=EMBED_PRIORITY)
        self._embedding.add_done_callback(lambda done: self._vote(done, frame.pts_ns, shown))

    def _vote(self, done: asyncio.Future[_Looked | Cancelled], pts_ns: int, shown: int | None) -> None:
        """Back on the event loop: the embeddings vote, and may revive lost tracks.

        The look at `shown` is also one at the product that is being enrolled.
        """
        self._embedding = None
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self._complain(error)
            return
        looked = done.result()
        if isinstance(looked, Cancelled):
            return
        began_ns = self._clock.now_ns()
        for seen in looked.seen:
            if self.enrolment is not None and seen.track_id == shown:
                self.enrolment.add(seen.look)
            if seen.look.vector is None:
                self.matcher.blurred(seen.track_id)
                continue
            now_id = self.tracker.attach_embedding(seen.track_id, seen.look.vector)
            if now_id != seen.track_id:
                self.matcher.rename(seen.track_id, now_id)
            self.matcher.vote(now_id, seen.candidates, pts_ns, seen.look, seen.apart)
            match, own_id = self.matcher.match(now_id), now_id
            if match.state is MatchState.EXACT:
                own_id = self.tracker.attach_product(now_id, match.product_id)
                if own_id != now_id:
                    self.matcher.rename(now_id, own_id)
            if self.enrolment is not None:
                self.enrolment.followed(seen.track_id, own_id)
        self._extra_ns = {"embed": looked.took_ns, "match": self._clock.now_ns() - began_ns}

    def _complain(self, error: BaseException) -> None:
        """Log a failure, at most once a second."""
        now_ns = self._clock.now_ns()
        if self._complained_ns is None or now_ns - self._complained_ns >= 1_000_000_000:
            self._complained_ns = now_ns
            log.error("inference failed", extra={"stream": self.stream, "error": str(error)})


def _thresholds(detector: LoadedDetector, embedder: OnnxEmbedder | None) -> TrackerSettings:
    """Scores on the detector's scale, looks on the embedder's: only an exact match revives a lost track."""
    settings = TrackerSettings.at_working_point(detector.working_point)
    if embedder is None:
        return settings
    own = embedder.calibration
    return replace(
        settings,
        same_look=max(settings.same_look, own.exact),
        look_margin=max(settings.look_margin, own.margin),
    )
