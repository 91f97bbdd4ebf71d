"""A history is written and read back."""

from __future__ import annotations

from tests.simulation.weeks.history import (
    Asked,
    Begun,
    Ending,
    History,
    KioskEnd,
    Network,
    Shift,
    Shown,
)


def test_a_history_is_read_back_as_it_was_written():
    """Every kind of nesting survives, and what is not determined by a seed is left out."""
    end = KioskEnd(
        kiosk="front",
        lives=2,
        settings={"readers": {"front": "toggle"}},
        status={"state": "online"},
        punches=({"id": "p1", "history": {"attempts": [], "journal": []}},),
        unknown=(),
        alarms=({"code": "offline"},),
        told=(("offline", 5.0),),
        log=("one", "zwei ✓"),
        findings=(),
    )
    shift = Shift(
        id="s",
        user_id="101",
        start=5,
        end=None,
        source="api",
        end_source=None,
        note=None,
        auto_ended=False,
        job_id=None,
    )
    plan = {"name": "expert", "per_minute": 100, "per_day": 10000}
    asked = Asked(
        at=3.5, number=1, kiosk="front", method="GET", path="/me", query=(("a", "b"),), body="", processed_at=None,
        status=None, headers={}, answer="", fault="drop", got="RemoteProtocolError",
    )  # fmt: skip
    begun = Begun(
        at=1.0, seed=7, people={"101": "Anna"}, settings={}, plan=plan, behaviour={}, kinds=("faults",),
        timezone="Europe/Amsterdam",
    )  # fmt: skip
    ending = Ending(at=9.0, calm_at=8.0, timesheet=(shift,), kiosks=(end,), per_minute=100, per_day=10000)
    history = History((begun, Network(at=2.0, what="set", fault={"id": 1}), asked, Shown(at=4.0, tap=1, feedback=None),
                       ending))  # fmt: skip
    assert History.load(history.dump().splitlines()) == history
    assert "descriptors" not in history.dump()
    assert "held_kb" not in history.dump()
