"""Small decisions about feedback to a sender: how often to ask for a keyframe, how fast it may send."""

from __future__ import annotations


class KeyframeRequests:
    """Rate limit for keyframe requests: the first goes out at once, others wait and melt into one.

    Args:
        interval_ns: least time between two requests on the wire.
    """

    def __init__(self, interval_ns: int = 500_000_000) -> None:
        self._interval_ns = interval_ns
        self._sent_ns: int | None = None
        self._wanted = False

    def ask(self) -> None:
        """Somebody needs a keyframe."""
        self._wanted = True

    def satisfied(self) -> None:
        """A keyframe arrived."""
        self._wanted = False

    def due(self, now_ns: int) -> bool:
        """Whether to send a request now. True at most once per interval, and only while one is wanted."""
        if not self._wanted or (self._sent_ns is not None and now_ns - self._sent_ns < self._interval_ns):
            return False
        self._wanted = False
        self._sent_ns = now_ns
        return True


class LossGuard:
    """Bitrate a sender is allowed, from the packet loss observed here.

    The loss-based half of Google congestion control (draft-ietf-rmcat-gcc-02 section 6): above 10 % loss
    the rate falls by half the loss, below 2 % it rises by 5 % a step, between it holds. For senders
    without `abs-send-time`, where the delay-based estimate of the receiver does not exist.

    Args:
        start_kbps: rate allowed at first.
        max_kbps: ceiling.
        min_kbps: floor.
    """

    def __init__(self, *, start_kbps: int, max_kbps: int, min_kbps: int = 150) -> None:
        self.kbps = float(start_kbps)
        self._max_kbps = max_kbps
        self._min_kbps = min_kbps
        self._expected = 0
        self._lost = 0

    def update(self, expected: int, lost: int) -> int:
        """Take the totals since the start of the session; returns the allowed rate in kbit/s.

        Args:
            expected: packets that should have arrived so far.
            lost: packets missing so far (may fall when retransmissions arrive).
        """
        new = expected - self._expected
        missing = max(lost - self._lost, 0)
        self._expected, self._lost = expected, lost
        if new > 0:
            fraction = missing / new
            if fraction > 0.10:
                self.kbps *= 1 - 0.5 * fraction
            elif fraction < 0.02:
                self.kbps *= 1.05
            self.kbps = min(max(self.kbps, self._min_kbps), self._max_kbps)
        return int(self.kbps)
