"""The real server with a sampling profiler of our own in a thread of its process.

``python -m benchmarks.sampler FILE serve --config ...`` serves as ``vitrine serve`` does. The signal SIGUSR1
begins a measurement; when the server ends, FILE holds what was seen since: stacks, one string each, and the
processor time spent in them.

Some two hundred times a second the stacks of all threads are read, and what each computed since the last
look by its own processor clock. A stack that ends in a call which waits (`WAITS`) is left out: its thread's
time is shared among the other stacks it was seen with, in proportion to what they computed. A thread that
computes in C, the interpreter's lock released or not, weighs as much as it burns; the line of Python that
called into C ends the stack. (Calls that give up the lock or the processor are seen more often than others:
measure on a quiet machine.)
The interpreter switches threads a hundred times as often as usual while it is measured: otherwise the sampler
would get its turn only when the others begin to wait. Threads that never run Python are not seen.
"""

from __future__ import annotations

import json
import linecache
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from opcode import opname
from pathlib import Path
from types import CodeType, FrameType

RATE_HZ = 197  # no multiple of a frame rate
SWITCH_S = 50e-6
NATIVE = "[C] "
"""Begins the last entry of a stack that ended in C."""
WAITS = ("poll(", ".acquire(", ".wait(", "select(", ".recv", "sleep(", ".get(", "epoll")
"""What the line of a call that waits contains."""
UNSEEN = "(too short to be seen)"
_PACKAGES = ("site-packages", "lib-dynload")


@dataclass(slots=True)
class Seen:
    """What a measurement saw.

    Attributes:
        credit: processor nanoseconds up to a look that found the stack ``thread;outermost;...;innermost``,
            without those that waited.
        threads: processor nanoseconds by thread.
        looks: how often was looked.
        wall_ns: from the first look to the last.
    """

    credit: Counter[str] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    wall_ns: int = 0

    def stacks(self) -> dict[str, int]:
        """Processor nanoseconds by stack."""
        total: Counter[str] = Counter()
        for stack, count in self.credit.items():
            total[stack.split(";")[0]] += count
        found = {}
        for stack, count in self.credit.items():
            name = stack.split(";")[0]
            found[stack] = round(self.threads[name] * count / total[name])
        unseen = {f"{name};{UNSEEN}": ns for name, ns in self.threads.items() if ns and not total[name]}
        return {**found, **unseen}

    def to_json(self) -> str:
        """One object: ``stacks`` (ns), ``looks``, ``wall_ns``."""
        return json.dumps({"stacks": self.stacks(), "looks": self.looks, "wall_ns": self.wall_ns})


class Sampler(threading.Thread):
    """Looks at all threads of this process from `begin` to `end`.

    Args:
        rate_hz: looks a second.
    """

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        super().__init__(name="sampler", daemon=True)
        self.seen = Seen()
        self._every_s = 1.0 / rate_hz
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._clocks: dict[int, int] = {}

    def begin(self) -> None:
        """Start to measure. May be called from a signal's handler."""
        self._begun.set()

    def end(self) -> Seen:
        """Stop, and return what was seen."""
        self._ended.set()
        self._begun.set()
        self.join(5)
        return self.seen

    def run(self) -> None:
        """The thread."""
        self._begun.wait()
        sys.setswitchinterval(SWITCH_S)
        began_ns = time.monotonic_ns()
        while not self._ended.wait(self._every_s):
            self.look()
            self.seen.wall_ns = time.monotonic_ns() - began_ns

    def look(self) -> None:
        """Credit every thread's stack with what the thread computed since the last look."""
        names = {thread.ident: _plain(thread.name) for thread in threading.enumerate()}
        frames = sys._current_frames()
        own = threading.get_ident()
        for ident, frame in frames.items():
            name = names.get(ident)
            if ident == own or name is None:
                continue
            now_ns = _computed_ns(ident)
            if now_ns is None:
                continue
            used_ns = now_ns - self._clocks.get(ident, now_ns)
            self._clocks[ident] = now_ns
            if used_ns <= 0:  # less than before: another thread under the same number
                continue
            self.seen.threads[name] += used_ns
            entries = stack(frame)
            if not waits(entries):
                self.seen.credit[";".join((name, *entries))] += used_ns
        self.seen.looks += 1


def stack(frame: FrameType | None) -> list[str]:
    """Entries from the outermost function to `frame`'s, and the line that called into C where it did."""
    entries: list[str] = []
    if frame is not None and _calls(frame.f_code, frame.f_lasti):
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        entries.append(NATIVE + line.replace(";", ",")[:80])
    while frame is not None:
        entries.append(f"{place(frame.f_code.co_filename)}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return trimmed(entries[::-1])


def trimmed(entries: list[str]) -> list[str]:
    """Without what is outermost everywhere: the command line, the event loop's frames, the thread's."""
    for index in range(len(entries) - 1, -1, -1):
        if entries[index].startswith(("asyncio/base_events:BaseEventLoop._run_once", "threading:Thread.")):
            return entries[index + 1 :]
    return entries


def waits(entries: list[str]) -> bool:
    """The stack ends in a call that waits."""
    return bool(entries) and entries[-1].startswith(NATIVE) and any(word in entries[-1] for word in WAITS)


def place(file: str) -> str:
    """A source file as a module, not where it is installed: ``inference/runtime``, ``asyncio/events``."""
    parts = list(Path(file).with_suffix("").parts)
    for mark in (*_PACKAGES, f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        if mark in parts:
            return "/".join(parts[len(parts) - parts[::-1].index(mark) :])
    return "/".join(parts[-2:])


def _calls(code: CodeType, offset: int) -> bool:
    """The instruction at `offset` is a call: of C, since a call of Python would be another frame."""
    return 0 <= offset < len(code.co_code) and "CALL" in opname[code.co_code[offset]]


def _plain(name: str) -> str:
    """A thread's name without the number of its pool."""
    return name.split(" (")[0].rstrip("0123456789").rstrip("-_") or name


def _computed_ns(ident: int) -> int | None:
    """Processor time of a thread; None where it has ended or the system does not tell."""
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(ident))
    except (OSError, AttributeError, OverflowError):
        return None


def main() -> None:
    from vitrine.cli import main as serve

    target = Path(sys.argv.pop(1))
    sampler = Sampler()
    sampler.start()
    signal.signal(signal.SIGUSR1, lambda *_: sampler.begin())
    try:
        serve()
    finally:
        target.write_text(sampler.end().to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
