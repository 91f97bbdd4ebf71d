"""Which requests a fault meets, what a second person can do meanwhile, and that all of it repeats."""

from __future__ import annotations

import random

import pytest

from sandbox.faults import Faults, Kind, users_in
from sandbox.http import Request
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, HOUR, NOON, Kit, shift_of


def punch(user: int = ANNA, call: str = "clock-in") -> Request:
    return Request.of("POST", f"{BASE}/{call}", document={"userId": user})


@pytest.fixture
def faults() -> Faults:
    return Faults(random.Random(3))


def met(faults: Faults, *requests: Request) -> list[str]:
    return [str(faults.take(request).kind) for request in requests]


def test_a_fault_meets_only_its_path_method_and_person(faults: Faults) -> None:
    """Path is a glob; the person is found in query and body, deep inside a batch too."""
    faults.set(kind="drop", path="*/clock-out", method="POST", user_id=ANNA)
    assert met(faults, punch(), punch(BRAM, "clock-out"), punch(ANNA, "clock-out")) == ["none", "none", "drop"]
    batch = Request.of("POST", f"{BASE}/time-activities?userIds=5", document={"timeActivities": [{"userId": 6}]})
    assert users_in(batch) == {"5", "6"}
    assert users_in(Request.of("POST", "/", body=b"no json")) == set()


def test_skip_and_count(faults: Faults) -> None:
    """After `skip` matching requests, at most `count` of them; others do not count."""
    faults.set(kind="drop", path="*/clock-in", skip=1, count=2)
    order = [punch(), punch(BRAM, "clock-out"), punch(), punch(), punch()]
    assert met(faults, *order) == ["none", "none", "drop", "drop", "none"]


def test_the_first_fault_that_matches_wins_and_can_be_cleared(faults: Faults) -> None:
    """In the order they were set; a spent one lets the next have its turn."""
    first = faults.set(kind="drop", count=1)
    second = faults.set(kind="hang")
    assert met(faults, punch(), punch()) == ["drop", "hang"]
    faults.clear(second.id)
    assert [fault.id for fault in faults.standing()] == [first.id]
    faults.clear()
    assert met(faults, punch()) == ["none"]


def test_chance_is_seeded() -> None:
    """Equal seeds meet equal faults; about the stated share is met."""

    def run(seed: int) -> list[str]:
        faults = Faults(random.Random(seed))
        faults.set(kind="reset", probability=0.3)
        return met(faults, *[punch()] * 1000)

    assert run(1) == run(1) != run(2)
    assert 230 < run(1).count("reset") < 370


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_says_whether_the_request_is_carried_out(faults: Faults, kind: Kind) -> None:
    """Answers made of the true one are; all else is not; both can be said otherwise."""
    usual = faults.set(kind=kind).is_processed
    assert usual is (kind in {Kind.NONE, Kind.EMPTY, Kind.TRUNCATED, Kind.TORN, Kind.OVERSIZED})
    assert faults.set(kind=kind, processed=not usual).is_processed is not usual


def test_an_unknown_kind_or_field_is_an_error(faults: Faults) -> None:
    """A misspelled fault must not silently be none."""
    with pytest.raises(ValueError, match="dorp"):
        faults.set(kind="dorp")
    with pytest.raises(TypeError):
        faults.set(kin="drop")
    assert faults.standing() == []


# --- a second person


def test_a_managers_edits_show_as_theirs() -> None:
    """Facts 1.5: source `admin`; added, edited, closed and deleted shifts look the way the API shows them."""
    kit = Kit()
    added = kit.manager.add_shift(ANNA, NOON - 3 * HOUR, NOON - 2 * HOUR, note="typed in")
    listed = kit.only_listed_shift()
    assert (listed["start"]["source"]["type"], listed["managerNote"]) == ("admin", "typed in")
    kit.manager.edit_shift(added.id, end=NOON - HOUR)
    assert kit.only_listed_shift()["end"] == {
        "timestamp": NOON - HOUR,
        "timezone": "Europe/Amsterdam",
        "source": {"type": "admin"},
    }
    kit.manager.delete_shift(added.id)
    assert kit.listed() == []
    opened = shift_of(kit.clock_in(NOON - 60))
    kit.manager.close_shift(ANNA)
    [row] = kit.sandbox.timesheet()
    assert (row.id, row.source, row.end, row.end_source) == (opened["id"], "api", NOON, "admin")


def test_a_phone_opens_and_closes_shifts() -> None:
    """Facts 1.5: source `mobile`; the kiosk can close what a phone opened, and the reverse."""
    kit = Kit()
    opened = kit.manager.phone_clock_in(ANNA, NOON - HOUR)
    assert shift_of(kit.clock_out(NOON))["id"] == opened.id
    kit.clock_in(NOON, user=BRAM)
    kit.manager.phone_clock_out(BRAM, NOON + 60)
    assert [(row.source, row.end_source) for row in kit.sandbox.timesheet()] == [("mobile", "api"), ("api", "mobile")]


def test_what_is_not_there_cannot_be_edited() -> None:
    """KeyError, so that a test's own mistake is loud."""
    kit = Kit()
    with pytest.raises(KeyError, match="no open shift"):
        kit.manager.close_shift(ANNA)
    with pytest.raises(KeyError, match="not on a break"):
        kit.manager.phone_break_end(ANNA)
    with pytest.raises(KeyError):
        kit.manager.delete_shift("x")
    with pytest.raises(KeyError):
        kit.manager.unassign(1)
