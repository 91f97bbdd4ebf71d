"""What a daemon holds is found wherever it hangs, and the simulation's own things are not its."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.delivery import planner
from daemon.delivery.gate import Gate
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from tests.simulation.weeks.checker import check
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.holding import held_kb
from tests.simulation.weeks.run import run

HOARD = b"x" * 2_000_000


@dataclass
class _Ours:
    """A thing of the simulation."""

    kept: list[bytes] = field(default_factory=lambda: [HOARD])


class _Service(dict[str, Any]):
    """Something of the daemon's, by its module."""


_Service.__module__, _Ours.__module__ = "daemon.somewhere", "tests.somewhere"


def test_what_hangs_on_a_service_is_counted_once_and_what_is_ours_is_not():
    """In a dict, a closure, an attribute of a module; not behind the transport of a simulated week."""
    empty = held_kb(_Service())
    assert held_kb(_Service(kept=[HOARD, HOARD])) - empty in range(1_900, 2_100)
    assert held_kb(_Service(wire=_Ours())) - empty < 10


@pytest.mark.parametrize("holder", [planner, Gate])
def test_what_hangs_on_a_module_or_a_class_is_counted(holder: object, monkeypatch: pytest.MonkeyPatch):
    """Neither has an instance to hang on."""
    empty = held_kb(_Service())
    monkeypatch.setattr(holder, "_kept", [HOARD], raising=False)
    assert held_kb(_Service()) - empty in range(1_900, 2_100)


def test_a_daemon_that_keeps_something_of_each_request_is_told(monkeypatch: pytest.MonkeyPatch):
    """Thirty kilobytes a request."""
    carry_out: Callable[..., Any] = ConnecteamTimesheet.carry_out

    async def hoarding(self: Any, step: Any) -> Any:
        vars(self).setdefault("_kept", []).append(bytes(30_000))
        return await carry_out(self, step)

    monkeypatch.setattr(ConnecteamTimesheet, "carry_out", hoarding)
    broken = [str(violation) for violation in check(run(draw_script(3, 6)))]
    assert any("a daemon holds" in words for words in broken), broken
