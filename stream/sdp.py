"""What we accept, refuse and answer, in SDP (RFC 8866, RFC 8829, RFC 9725). Text in, values out.

An offer is reduced to one video codec (H264 packetization-mode 1 if offered, else VP8) and Opus before
the WebRTC stack sees it, so the answer is the same whatever else was offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stream.errors import SdpError
from stream.sdp_text import DIRECTIONS, Media, lines, split
from stream.trickle import usable

_PROFILE = "42e01f"
_REFUSED_VIDEO = {"H265": "HEVC", "AV1": "AV1", "VP9": "VP9"}
_PUBLISHERS = (
    (re.compile(r"^o=mozilla"), "Firefox"),
    (re.compile(r"^s=FFmpegPublishSession"), "FFmpeg"),
    (re.compile(r"^o=rtc "), "libdatachannel (OBS)"),
    (re.compile(r"^o=- \d+ 2 IN IP4 127\.0\.0\.1"), "Chromium or WebKit"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered.

    Attributes:
        codec: ``"H264"`` or ``"VP8"``.
        video_mid: `mid` of the video section.
        audio_mid: `mid` of the audio section with Opus, or None.
        sdp: the offer reduced to these codecs, for the WebRTC stack.
        profile: profile-level-id as offered, to be put back into the answer (H264 only).
        publisher: what sent it, in words, or ``""`` when it cannot be told.
        ufrags: ICE user fragments of the offer: a trickle fragment must name one of them.
        mids: every `mid` in order.
    """

    codec: str
    video_mid: str
    audio_mid: str | None
    sdp: str
    profile: str | None
    publisher: str
    ufrags: frozenset[str]
    mids: tuple[str, ...]


def read_publisher_offer(text: str) -> Offer:
    """Check a WHIP offer.

    Raises:
        SdpError: with what was got, what is expected and how to fix it.
    """
    return _read(text, role="publisher", codecs=("H264", "VP8"))


def read_viewer_offer(text: str, codec: str) -> Offer:
    """Check a WHEP offer for a stream published in `codec`.

    Raises:
        SdpError: as above; 406 when the viewer does not offer `codec`.
    """
    return _read(text, role="viewer", codecs=(codec,))


def finish_answer(
    answer: str,
    offer: Offer,
    *,
    start_kbps: int | None = None,
    max_kbps: int | None = None,
    public_ip: str | None = None,
) -> str:
    """Post-process the WebRTC stack's answer.

    Adds `rtcp-mux-only` (RFC 8858; RFC 9725 section 4.4.2 asks for it), the start bitrate that lets
    Chromium send full resolution at once, the offered H264 profile, and a candidate for `public_ip`
    beside each IPv4 host candidate.
    """
    out: list[str] = []
    kind = ""
    for line in lines(answer):
        if line.startswith("m="):
            kind = line[2:].split(" ")[0]
        if kind == "video" and line.startswith("a=fmtp:") and "profile-level-id" in line and offer.profile:
            line = re.sub(r"profile-level-id=[0-9a-fA-F]{6}", f"profile-level-id={offer.profile}", line)
        if public_ip is not None and line.startswith("a=candidate:"):
            public = _public_candidate(line, public_ip)
            if public is not None:
                out.append(public)
        out.append(line)
        if line == "a=rtcp-mux":
            out.append("a=rtcp-mux-only")
    if start_kbps is not None:
        out = _with_bitrates(out, offer.codec, start_kbps, max_kbps)
    return "\r\n".join(out) + "\r\n"


def _with_bitrates(lines: list[str], codec: str, start_kbps: int, max_kbps: int | None) -> list[str]:
    extra = f"x-google-start-bitrate={start_kbps}"
    if max_kbps is not None:
        extra += f";x-google-max-bitrate={max_kbps}"
    payload = next((m[1] for line in lines if (m := re.match(rf"a=rtpmap:(\d+) {codec}/90000", line))), None)
    if payload is None:
        return lines
    prefix = f"a=fmtp:{payload} "
    if any(line.startswith(prefix) for line in lines):
        return [f"{line};{extra}" if line.startswith(prefix) else line for line in lines]
    at = next(i for i, line in enumerate(lines) if line.startswith(f"a=rtpmap:{payload} "))
    return [*lines[: at + 1], prefix + extra, *lines[at + 1 :]]


def _public_candidate(line: str, public_ip: str) -> str | None:
    parts = line.split(" ")
    if len(parts) < 8 or parts[7] != "host" or ":" in parts[4] or parts[4] == public_ip:
        return None
    parts[0] = parts[0] + "p"  # another foundation: another base address
    parts[4] = public_ip
    return " ".join(parts)


def _read(text: str, *, role: str, codecs: tuple[str, ...]) -> Offer:
    session, media = split(text)
    video = _one(media, "video", role)
    audio = [m for m in media if m.kind == "audio"]
    if len(audio) > 1:
        raise SdpError(
            f"SDP: got {len(audio)} audio sections, expected one at most; publish one MediaStream",
            code="sdp-audio",
        )
    others = [m.kind for m in media if m.kind not in ("video", "audio")]
    if others:
        raise SdpError(
            f"SDP: got a section of kind {others[0][:20]!r}, expected video and audio only; "
            "do not create a data channel on this connection",
            code="sdp-media",
        )
    default = next((d for d in DIRECTIONS if f"a={d}" in session), "sendrecv")
    _check_direction(video.direction(default), role)
    _check_transport(session, media)
    codec, payload, profile = _pick_video(video, codecs, role)
    _reduce(video, payload, _PROFILE if profile else None)
    has_opus = bool(audio) and _reduce_audio(audio[0])
    mids = tuple((m.values("mid") or [str(i)])[0] for i, m in enumerate(media))
    ufrags = {line[12:] for m in media for line in [*session, *m.lines] if line.startswith("a=ice-ufrag:")}
    return Offer(
        codec=codec,
        video_mid=mids[media.index(video)],
        audio_mid=mids[media.index(audio[0])] if has_opus else None,
        sdp=_compose(session, media, mids),
        profile=profile,
        publisher=next((name for test, name in _PUBLISHERS if any(test.match(x) for x in session)), ""),
        ufrags=frozenset(ufrags),
        mids=mids,
    )


def _one(media: list[Media], kind: str, role: str) -> Media:
    found = [m for m in media if m.kind == kind]
    if not found:
        raise SdpError(
            f"SDP: got no video section, expected one; add a video track (or a video transceiver) before "
            f"creating the offer of a {role}",
            code="sdp-no-video",
        )
    if len(found) > 1:
        raise SdpError(
            f"SDP: got {len(found)} video sections, expected one; {role}s use a single video track",
            code="sdp-multiple-video",
            http_status=422,
        )
    return found[0]


def _check_direction(direction: str, role: str) -> None:
    wanted = ("sendonly", "sendrecv") if role == "publisher" else ("recvonly", "sendrecv")
    if direction in wanted:
        return
    other = "WHEP endpoint (/whep/...)" if role == "publisher" else "WHIP endpoint (/whip/...)"
    fix = (
        "set the transceiver's direction"
        if direction == "inactive"
        else f"is this offer meant for the {other}?"
    )
    raise SdpError(
        f"SDP: got a {direction} video section, expected {wanted[0]}; {fix}",
        code="sdp-direction",
        http_status=422,
    )


def _check_transport(session: list[str], media: list[Media]) -> None:
    for m in media:
        lines = [*session, *m.lines]
        for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
            if not any(line.startswith(f"a={name}:") for line in lines):
                raise SdpError(
                    f"SDP: got a {m.kind} section without a={name}, expected a WebRTC offer; "
                    "plain RTP, without ICE and DTLS, cannot be received here",
                    code=f"sdp-no-{name}",
                )
        if not any(line.startswith("a=setup:") for line in lines):
            m.lines.append("a=setup:actpass")


def _pick_video(video: Media, wanted: tuple[str, ...], role: str) -> tuple[str, str, str | None]:
    offered = video.codecs()
    for codec in wanted:
        best: tuple[int, str, str | None] | None = None
        for payload, (name, parameters) in offered.items():
            if name.upper() != codec or (
                codec == "H264" and parameters.get("packetization-mode", "0") != "1"
            ):
                continue
            profile = parameters.get("profile-level-id", _PROFILE).lower() if codec == "H264" else None
            rank = 0 if profile is None or profile.startswith(("42e0", "42c0")) else 1
            rank = 2 if profile is not None and not profile.startswith("42") else rank
            if best is None or rank < best[0]:
                best = (rank, payload, profile)
        if best is not None:
            return codec, best[1], best[2]
    names = sorted({n for n, _ in offered.values()} - {"rtx", "red", "ulpfec", "flexfec-03"}) or [
        "nothing known"
    ]
    got = ", ".join(_REFUSED_VIDEO.get(n.upper(), n)[:20] for n in names[:8])
    if role == "viewer":
        raise SdpError(
            f"SDP: got {got}, expected {wanted[0]}: the stream is published in it and never re-encoded",
            code="sdp-codec",
            http_status=406,
        )
    raise SdpError(
        f"SDP: got video codecs {got}, expected H264 (packetization-mode 1) or VP8; choose H264 "
        "in the publisher's settings (in OBS: x264 or a hardware H264 encoder)",
        code="sdp-codec",
        http_status=422,
    )


def _reduce(media: Media, payload: str, profile: str | None) -> None:
    """Keep one payload type and its retransmission; H264's profile is set to the one the stack knows."""
    keep = [payload]
    keep += [p for p, (name, f) in media.codecs().items() if name == "rtx" and f.get("apt") == payload]
    media.head[3:] = keep
    out = []
    for line in media.lines:
        match = re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\S+)", line)
        if match and match[1] != "*" and match[1] not in keep:
            continue
        if profile and line.startswith(f"a=fmtp:{payload} "):
            line = re.sub(r"profile-level-id=[0-9a-fA-F]{6}", f"profile-level-id={profile}", line)
        out.append(line)
    media.lines = out


def _reduce_audio(audio: Media) -> bool:
    for payload, (name, _) in audio.codecs().items():
        if name.lower() == "opus":
            _reduce(audio, payload, None)
            return True
    names = ", ".join(sorted({name[:20] for name, _ in audio.codecs().values()})) or "nothing known"
    raise SdpError(
        f"SDP: got audio codecs {names}, expected Opus; choose Opus or leave the audio out",
        code="sdp-audio-codec",
        http_status=422,
    )


def _compose(session: list[str], media: list[Media], mids: tuple[str, ...]) -> str:
    """The reduced offer. Host names (mDNS), TCP and end-of-candidates are left out: the peer reaches us."""
    out = list(session)
    for m, mid in zip(media, mids, strict=True):
        out.append("m=" + " ".join(m.head))
        if not m.values("mid"):
            out.append(f"a=mid:{mid}")
        out += [line for line in m.lines if not _useless(line)]
    return "\r\n".join(out) + "\r\n"


def _useless(line: str) -> bool:
    if line == "a=end-of-candidates":
        return True
    return line.startswith("a=candidate:") and not usable(line[12:])
