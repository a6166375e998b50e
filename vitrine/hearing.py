"""What was taught or imported elsewhere: on other nodes, and by `vitrine catalog` beside a running server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from overlay.bus.journal import Journal
from overlay.catalog.lessons import LessonStore
from overlay.catalog.words import Word, decode_word, encode_word
from overlay.errors import BusError, CatalogError
from stream.errors import EngineError

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
_AWAY_S: Final = 5.0


class Hearing:
    """Tells the other nodes what was taught here, and hears what was taught elsewhere. Event loop only.

    What a host says on this node is written down before it is told, and told again until the journal has it;
    `overlay.catalog.lessons` sees to it that nothing is heard twice.

    Args:
        lessons: what is remembered here; `vitrine catalog enroll` writes into the same file.
        journal: shared by the nodes; None where there is only one.
        heard: called when there is something new.
    """

    def __init__(
        self, lessons: LessonStore, journal: Journal | None, heard: Callable[[], Awaitable[None]]
    ) -> None:
        self._lessons, self._journal, self._heard = lessons, journal, heard
        self._version = lessons.version()

    async def run(self) -> None:
        """Until cancelled. What goes wrong is logged once and tried again."""
        wrong = ""
        while True:
            await asyncio.sleep(_AWAY_S if wrong else LOOK_S)
            try:
                await self.look()
                wrong = ""
            except (BusError, CatalogError) as error:
                if str(error) != wrong:
                    log.warning("lessons are not shared for now", extra={"reason": str(error)})
                wrong = str(error)

    async def look(self) -> None:
        """Look once.

        Raises:
            BusError: the journal is unreachable; what was written into the file is heard all the same.
            CatalogError: the file cannot be used.
        """
        version = await asyncio.to_thread(self._lessons.version)
        if version != self._version:
            self._version = version
            await self._heard()
        if self._journal is not None:
            await self._tell(self._journal)
            if await self._hear(self._journal):
                await self._heard()

    async def _tell(self, journal: Journal) -> None:
        while words := await asyncio.to_thread(self._lessons.untold):
            for word in words:
                if word.views or word.kind is None:
                    await journal.append(encode_word(word))
                await asyncio.to_thread(self._lessons.told, word.id)

    async def _hear(self, journal: Journal) -> int:
        """Returns how many words were new."""
        new = 0
        while True:
            page = await journal.read(*await asyncio.to_thread(self._lessons.place))
            if not page.entries:
                return new
            words = [word for _, entry in page.entries if (word := _word(entry)) is not None]
            new += await asyncio.to_thread(self._lessons.hear, words, page.log, page.entries[-1][0])


def _word(entry: bytes) -> Word | None:
    """None for what cannot be read: a newer node may say things that this one does not know."""
    try:
        return decode_word(entry)
    except CatalogError as error:
        log.warning("a lesson of another node is skipped", extra={"reason": str(error)})
        return None


class Settled:
    """Whether a file that others write has changed, and they seem to be done. Pure.

    Args:
        version: of the file now; anything that changes with it.
        quiet: looks in a row without a change that make it settled.
    """

    def __init__(self, version: int, quiet: int = 2) -> None:
        self._version, self._quiet = version, quiet
        self._left = 0

    def look(self, version: int) -> bool:
        """True once after changes that are over."""
        if version != self._version:
            self._version, self._left = version, self._quiet
            return False
        self._left -= 1
        return self._left == 0


async def watch_file(version: Callable[[], int], changed: Callable[[], Awaitable[None]]) -> None:
    """Call `changed` whenever others have changed a file and left it alone for a moment. Until cancelled.

    Args:
        version: of the file; may block.
        changed: takes it over. What goes wrong is logged, and tried again after the next change.
    """
    settled = Settled(await asyncio.to_thread(version))
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if settled.look(await asyncio.to_thread(version)):
                await changed()
        except EngineError as error:
            log.warning("a change on disk is not taken over", extra={"reason": str(error)})
