"""The directory follows the service's list of people, on a real database; what was decided here stands."""

from __future__ import annotations

import pytest

from daemon.intake import staff
from daemon.intake.staff import Listed, StaffReport
from daemon.model import Direction
from tests.support.intake_kit import ANN, BOB, Kit

ANN_LISTED, BOB_LISTED = Listed("7", "Ann"), Listed("8", "Bob")


async def sync(kit: Kit, *listed: Listed) -> StaffReport:
    return await kit.directory.sync(listed, by="uid:0")


async def known(kit: Kit) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {one.user_id: (one.name, one.badges) for one in await kit.directory.employees()}


async def actions(kit: Kit) -> list[tuple[str, str]]:
    return await kit.rows("SELECT by, action FROM journal ORDER BY id")


def codes(report: StaffReport) -> list[tuple[str, str]]:
    return [(conflict.user_id, conflict.code) for conflict in report.conflicts]


async def test_people_are_added_renamed_and_given_their_badges(kit):
    """Jobs stay, badges are added in canonical form and none is taken away; every change is journalled."""
    report = await sync(kit, Listed("7", "Ann Smith"), Listed("8", "Bob", badge="04:bb:00:03"), Listed("9", "Eve"))
    assert report.counts() == {
        "added": 1, "changed": 1, "unchanged": 1, "removed": 0, "badges": 1, "punches": 0, "conflicts": 0,
    }  # fmt: skip
    assert await known(kit) == {"7": ("Ann Smith", (ANN,)), "8": ("Bob", (BOB, "04BB0003")), "9": ("Eve", ())}
    assert {one.user_id: one.job_id for one in await kit.directory.employees()}["8"] == "bob-job"
    told = [action for by, action in await actions(kit) if by == "uid:0"]
    assert told[-4:] == ["employee.renamed", "badge.assigned", "employee.added", "employees.synced"]


async def test_the_same_list_again_changes_nothing(kit):
    """A sync may run every day."""
    listed = (Listed("7", "Ann", badge=ANN), BOB_LISTED, Listed("9", "Eve", badge="04EE"), Listed("10", "Joe", True))
    await sync(kit, *listed)
    before = await known(kit)
    report = await sync(kit, *listed)
    assert (report.unchanged, sum(report.counts().values())) == (3, 3)
    assert await known(kit) == before


async def test_archived_people_are_removed_and_come_back(kit):
    """Their badges are free at once, also for somebody else of the same list; the punches they made still go."""
    punch = await kit.punch(ANN)
    report = await sync(kit, Listed("9", "Eve", badge=ANN), Listed("7", "Ann", True), BOB_LISTED)
    assert (report.removed, report.added, report.conflicts) == (1, 1, [])
    assert await known(kit) == {"8": ("Bob", (BOB,)), "9": ("Eve", (ANN,))}
    assert (await kit.find(punch)).state == "pending"
    report = await sync(kit, Listed("9", "Eve"), Listed("7", "Ann", badge="04AA0009"), BOB_LISTED)
    assert (report.added, (await known(kit))["7"]) == (1, ("Ann", ("04AA0009",)))


async def test_somebody_who_comes_back_may_have_the_same_badge_again(kit):
    """It was freed because they left, not because somebody took it away."""
    await sync(kit, Listed("7", "Ann", True), BOB_LISTED)
    report = await sync(kit, Listed("7", "Ann", badge=ANN), BOB_LISTED)
    assert (codes(report), (await known(kit))["7"]) == ([], ("Ann", (ANN,)))


async def test_who_was_removed_here_stays_removed(kit):
    """Also when the list had removed them once before; a person's decision is told, not overturned."""
    await sync(kit, Listed("7", "Ann", True), BOB_LISTED)
    kit.clock.advance(60)
    await kit.directory.add("7", "Ann", by="uid:1000")
    await kit.directory.remove("7", by="uid:1000")
    await kit.directory.remove("8", by="uid:1000")
    report = await sync(kit, Listed("7", "Ann", badge=ANN), BOB_LISTED)
    assert codes(report) == [("7", "removed_here"), ("8", "removed_here")]
    assert await known(kit) == {}


async def test_whom_the_list_does_not_have_is_told_and_left_alone(kit):
    """An id mistyped in a CSV shows here; half a list must not empty the directory."""
    report = await sync(kit, ANN_LISTED)
    assert [employee.user_id for employee in report.unknown] == ["8"]
    assert set(await known(kit)) == {"7", "8"}


@pytest.mark.parametrize(
    ("badge", "code"),
    [(BOB, "badge_taken"), ("04CC", "badge_blocked"), ("04FF", "badge_freed"), ("x" * 65, "badge_invalid")],
)
async def test_a_badge_that_was_decided_here_is_not_overturned(kit, badge, code):
    """Somebody else's, blocked, freed by hand, or none at all: told with its reason, and everything stays."""
    await kit.directory.block("04CC", by="uid:1000")
    await kit.directory.assign("04FF", "7", by="uid:1000")
    await kit.directory.release("04FF", by="uid:1000")
    before = await known(kit), await kit.directory.badges()
    report = await sync(kit, Listed("7", "Ann", badge=badge), BOB_LISTED)
    assert codes(report) == [("7", code)]
    assert (await known(kit), await kit.directory.badges()) == before


async def test_a_badge_that_two_people_have_goes_to_neither(kit):
    """Whose it is cannot be known; who had it here keeps it."""
    both = [Listed("9", "Eve", badge="04ee"), Listed("10", "Joe", badge="04:EE")]
    report = await sync(kit, ANN_LISTED, BOB_LISTED, *both)
    assert codes(report) == [("9", "badge_shared"), ("10", "badge_shared")]
    await kit.directory.assign("04EE", "10", by="uid:0")
    report = await sync(kit, ANN_LISTED, BOB_LISTED, *both)
    assert codes(report) == [("9", "badge_shared")]
    assert (await known(kit))["10"] == ("Joe", ("04EE",))


async def test_an_emptied_field_takes_no_badge_away(kit):
    """What was enrolled here stays; only a person takes it away."""
    await sync(kit, Listed("7", "Ann", badge=""), Listed("8", "Bob", badge=None))
    assert {user_id: badges for user_id, (_, badges) in (await known(kit)).items()} == {"7": (ANN,), "8": (BOB,)}


async def test_kept_taps_become_punches(kit):
    """Somebody new who tapped before the sync has punched, and delivery hears of it."""
    await kit.tap("04EE")
    report = await sync(kit, ANN_LISTED, BOB_LISTED, Listed("9", "Eve", badge="04EE"))
    assert (report.badges, report.punches) == (1, 1)
    assert [(punch.user_id, punch.direction) for punch in kit.told] == [("9", Direction.CLOCK_IN)]


async def test_people_without_a_usable_name_or_id_are_told(kit):
    """The others go on; a long name is cut, not refused."""
    report = await sync(kit, ANN_LISTED, BOB_LISTED, Listed("9", ""), Listed("1 0", "Joe"), Listed("11", "x" * 500))
    assert codes(report) == [("9", "unusable"), ("1 0", "unusable")]
    assert len((await known(kit))["11"][0]) == 200


async def test_a_large_company_is_taken_in_pieces(kit, monkeypatch):
    """A tap waits for one piece at most; those who left are in the first ones."""
    monkeypatch.setattr(staff, "PIECE", 3)
    crowd = [Listed(str(100 + n), f"N{n}", archived=n == 9) for n in range(10)]
    assert [len(piece) for piece in staff.pieces(crowd)] == [3, 3, 3, 1]
    assert staff.pieces(crowd)[0][0].archived
    assert (await sync(kit, *crowd)).added == 9
