"""A kiosk of a story that ended by itself says why, before anything asks what is left of it and wonders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from daemon.supervisor import FatalError
from drivers.reader import EvidenceSource, Tap
from drivers.simulated import SimulatedReader
from tests.support.town import Kiosk, Town, in_town


class Struck(BaseException):
    """What ends a test after its time is no Exception either, and strikes in whatever runs at that moment."""


class StruckReader(SimulatedReader):
    """A reader in which it strikes, a second after it was opened."""

    def __init__(self, name: str, evidence: EvidenceSource, blow: BaseException) -> None:
        super().__init__(name, evidence)
        self._blow = blow

    async def taps(self) -> AsyncIterator[Tap]:  # type: ignore[override]
        """None."""
        raise self._blow
        yield


ASKED: dict[str, Callable[[Kiosk], Awaitable[object]]] = {
    "punches": Kiosk.punches,
    "stuck": Kiosk.stuck,
    "tap": lambda kiosk: kiosk.tap_badge("04A1B2C3D40101"),
    "crash": Kiosk.crash,
    "stop": Kiosk.stop,
}


@pytest.mark.parametrize("blow", [Struck(), FatalError()], ids=lambda blow: type(blow).__name__)
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_kiosk_that_ended_by_itself_says_why(
    tmp_path: Path, ask: Callable[[Kiosk], Awaitable[object]], blow: BaseException
) -> None:
    """Whatever is asked of it first; and the story fails with that."""

    async def story(town: Town) -> None:
        kiosk = Kiosk(town, "front-door", reader_of=lambda name, evidence: StruckReader(name, evidence, blow))
        await kiosk.start()
        await town.until("Mon 02:00")
        await ask(kiosk)
        raise AssertionError("it did not say why")

    with pytest.raises(BaseException) as told:
        in_town(tmp_path, story)
    assert type(blow).__name__ in repr(told.value)
