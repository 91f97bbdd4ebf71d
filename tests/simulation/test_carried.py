"""The witness of the wire catches each history that breaks a rule of order, and lets an orderly one pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.carried import Carried, faults

NOW = 1_795_392_000


def write(at: float, what: str, second: int, *, person: str = "7", clear: bool = True, sent: bool = True) -> Carried:
    """A clock-in or clock-out that took a second."""
    wanted = ((person, what, NOW + second),)
    return Carried("front", NOW + at, "POST", f"/x/{what}", wanted, NOW + at + 1, sent, clear, 200)


def look(at: float, *, clear: bool = True) -> Carried:
    """A list of shifts that took a second."""
    return Carried("front", NOW + at, "GET", "/x/time-activities", (), NOW + at + 1, True, clear, 200)


LOST = write(10, "clock-in", 0, clear=False)
AGAIN = write(60, "clock-in", 0)
ORDERLY = [LOST, look(16), look(45), AGAIN, write(70, "clock-out", 65), write(80, "clock-in", 66, person="8")]


def test_an_orderly_history_breaks_nothing() -> None:
    """A lost answer, two looks, the same again; then the clock-out; another person in between."""
    assert faults(ORDERLY, ()) == []
    assert faults([replace(LOST, sent=False), write(12, "clock-in", 0)], ()) == []  # it never left
    late = [write(10, "clock-out", 5), write(20, "clock-in", 0)]
    assert faults(late, {("7", NOW)}) == []  # the clock-in had waited for a person


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        ([replace(LOST, ended=NOW + 17.0), *ORDERLY[1:]], "two at once"),
        ([replace(LOST, ended=None), *ORDERLY[1:]], "two at once"),
        ([write(20, "clock-in", 21)], "outside the window"),
        ([write(12 * 3600, "clock-in", 0)], "outside the window"),
        ([LOST, AGAIN], "not settled"),
        ([LOST, look(12), AGAIN], "not settled"),
        ([LOST, look(16, clear=False), AGAIN], "not settled"),
        ([LOST, write(14, "clock-out", 12)], "not settled"),
        ([LOST, look(16), write(20, "clock-in", 0)], "sent again too soon"),
        ([write(10, "clock-out", 5), write(20, "clock-in", 0)], "overtaken"),
    ],
)
def test_each_broken_rule_is_told(history: list[Carried], fault: str) -> None:
    """By its name, with the requests that broke it."""
    assert any(line.startswith(fault) for line in faults(history, ()))
