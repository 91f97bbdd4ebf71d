"""Employees, badges, settings, boots and the journal on the database."""

from __future__ import annotations

import pytest

from daemon.clock import Doubt, Trust, TrustSource
from daemon.model import Badge, BadgeState, Employee
from daemon.queue import people, records
from drivers.reader import Evidence
from tests.support.rows import T0


def test_employees_come_by_name_with_their_badges(rows, conn):
    """Names sort as people read them; badges in the order they were given; removed ones only when asked for."""
    people.put_employee(conn, "8", "bob", "job", 3600)
    people.put_employee(conn, "9", "Al", None)
    people.assign_badge(conn, "04B2", "8", T0)
    people.assign_badge(conn, "04A1", "8", T0 + 1)
    people.remove_employee(conn, "9", T0)
    bob = Employee("8", "bob", "job", 3600, ("04B2", "04A1"))
    gone = Employee("9", "Al", removed_at=T0)
    assert people.list_employees(conn) == [Employee("7", "Ann"), bob]
    assert people.list_employees(conn, removed=True) == [gone, Employee("7", "Ann"), bob]
    assert people.find_employee(conn, "8") == bob
    assert people.find_employee(conn, "9") == gone
    assert people.find_employee(conn, "x") is None


def test_putting_an_employee_again_changes_and_brings_back(conn):
    """Name and job are replaced, the own longest shift is kept where none is given, a removed one is back."""
    people.put_employee(conn, "7", "Ann", "job", 3600)
    people.remove_employee(conn, "7", T0)
    people.put_employee(conn, "7", "Anna", None)
    assert people.find_employee(conn, "7") == Employee("7", "Anna", None, 3600)


def test_removing_an_employee_frees_the_badges(rows, conn):
    """Every badge is released at that moment, and the first removal is the one that counts."""
    people.assign_badge(conn, "04A1", "7", T0)
    people.remove_employee(conn, "7", T0 + 5)
    people.remove_employee(conn, "7", T0 + 9)
    assert people.badge_owner(conn, "04A1") == (None, None)
    assert people.released_at(conn, "04A1") == T0 + 5
    assert people.find_employee(conn, "7").removed_at == T0 + 5


def test_a_badge_on_its_way(rows, conn):
    """Unknown, assigned, blocked, released, assigned to another: the owner and the last release at each step."""
    people.put_employee(conn, "8", "Bob", None)
    assert people.badge_owner(conn, "04A1") == (None, None)
    assert people.released_at(conn, "04A1") is None
    people.assign_badge(conn, "04A1", "7", T0)
    people.assign_badge(conn, "04A1", "7", T0 + 1)
    badge, owner = people.badge_owner(conn, "04A1")
    assert (badge, owner.badges) == (Badge("04A1", BadgeState.ASSIGNED, "7", "Ann", T0), ("04A1",))
    people.block_badge(conn, "04A1", T0 + 2)
    people.block_badge(conn, "04A1", T0 + 3)
    badge, owner = people.badge_owner(conn, "04A1")
    assert (badge, owner.badges) == (Badge("04A1", BadgeState.BLOCKED, "7", "Ann", T0 + 2), ())
    assert people.list_badges(conn) == [badge]
    assert people.release_badge(conn, "04A1", T0 + 4)
    assert not people.release_badge(conn, "04A1", T0 + 5)
    assert (people.list_badges(conn), people.released_at(conn, "04A1")) == ([], T0 + 4)
    people.assign_badge(conn, "04A1", "8", T0 + 6)
    assert people.released_at(conn, "04A1") == T0 + 4
    assert people.badge_owner(conn, "04A1")[1].user_id == "8"


def test_taking_a_badge_from_somebody_is_a_release(rows, conn):
    """Taps from before a badge changed hands are not the new owner's."""
    people.put_employee(conn, "8", "Bob", None)
    people.assign_badge(conn, "04A1", "7", T0)
    people.assign_badge(conn, "04A1", "8", T0 + 5)
    assert people.released_at(conn, "04A1") == T0 + 5


def test_a_badge_nobody_ever_had_can_be_blocked(conn):
    """A blocked unknown badge has no owner; releasing it frees it."""
    people.block_badge(conn, "04A1", T0)
    assert people.badge_owner(conn, "04A1") == (Badge("04A1", BadgeState.BLOCKED, None, None, T0), None)
    assert not people.release_badge(conn, "0499", T0)
    assert people.release_badge(conn, "04A1", T0)


def test_settings(conn):
    """Put, replace, remove; putting the same again writes nothing."""
    records.put_setting(conn, "a", "1")
    records.put_setting(conn, "a", "2")
    changes = conn.total_changes
    records.put_setting(conn, "a", "2")
    assert (records.get_setting(conn, "a"), conn.total_changes) == ("2", changes)
    records.put_setting(conn, "a", None)
    records.put_setting(conn, "a", None)
    assert records.get_setting(conn, "a") is None


@pytest.mark.parametrize("text", ['{"off_s": 60.0, "si', "", "\udcff", "[]", "17"])
def test_a_document_that_damage_made_unreadable_says_so(text):
    """It is handed on as what is left of it, and raises nothing."""
    assert records.from_json(text) == {"unreadable": text}
    assert records.from_json('{"a":1}') == {"a": 1}


def test_a_doubt_that_cannot_be_read_is_a_doubt(conn):
    """Nothing is sent on a clock that may have been disputed, and the start goes on."""
    records.put_doubt(conn, "b1", Doubt(61.0, T0))
    assert records.doubt_of(conn, "b2") is None
    records.put_setting(conn, "clock.doubt", '{"boot_id":"b1","off')
    assert records.doubt_of(conn, "b1") is not None


@pytest.mark.parametrize("noted", [True, False])
def test_trust_of_a_boot(conn, noted):
    """A boot's trust comes back whole, is replaced by a later one, and costs nothing while it stays."""
    if noted:
        records.note_boot(conn, Evidence(T0, 1000.0, "b1", False))
        records.note_boot(conn, Evidence(T0 + 99, 1099.0, "b1", False))
        assert conn.execute("SELECT first_seen_at FROM boots").fetchall() == [(T0,)]
    assert records.list_trusts(conn) == []
    for trust in (
        Trust("b1", T0 - 1000, 9.5, TrustSource.SERVER, T0),
        Trust("b1", T0 - 1001, 0.5, TrustSource.KERNEL, T0),
    ):
        records.put_trust(conn, trust)
        changes = conn.total_changes
        records.put_trust(conn, trust)
        assert (records.list_trusts(conn), conn.total_changes) == ([trust], changes)


def test_the_journal_keeps_any_text(conn):
    """Data is one JSON document, whatever the words of a server or a person are."""
    records.journal(conn, T0, "uid:0", "badge.assigned", data={"why": 'Ünï\u2028 "x"', "n": None})
    records.journal(conn, T0, "automatic", "sync.paused")
    rows = conn.execute("SELECT at, by, action, punch_id, data FROM journal").fetchall()
    assert rows == [
        (T0, "uid:0", "badge.assigned", None, '{"n":null,"why":"Ünï\u2028 \\"x\\""}'),
        (T0, "automatic", "sync.paused", None, "{}"),
    ]
