"""Employees and badges: merged, given, blocked, freed; all or nothing; journalled with who did it."""

from __future__ import annotations

import asyncio

import pytest

from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.intake import directory
from daemon.model import BadgeState, Direction, TapResult
from tests.support.intake_kit import ANN, BOB

HEADER = "user_id,name,badge,job_id\n"


async def actions(kit) -> list[tuple]:
    """What the journal says since the kit's own two employees."""
    return (await kit.rows("SELECT by, action FROM journal ORDER BY id"))[4:]


async def test_import_merges_and_removes_nobody(kit):
    """Added, changed and unchanged are counted; badges add up; who is not in the file stays."""
    text = HEADER + f"7,Ann Smith,04AA0009,\n9,Eve,04EE,job-9\n9,Eve,04EF,\n8,Bob,{BOB},bob-job\n"
    report = await kit.directory.import_csv(text.encode(), by="uid:1000")
    assert (report.added, report.changed, report.unchanged, report.badges, report.punches) == (1, 1, 1, 3, 0)
    found = {employee.user_id: employee for employee in await kit.directory.employees()}
    assert found["7"].name == "Ann Smith"
    assert set(found["7"].badges) == {ANN, "04AA0009"}
    assert (found["9"].badges, found["9"].job_id) == (("04EE", "04EF"), "job-9")
    assert await actions(kit) == [("uid:1000", "badge.assigned")] * 3 + [("uid:1000", "employees.imported")]
    await kit.directory.import_csv((HEADER + "7,Ann Smith,,\n").encode(), by="uid:1000")
    assert len(await kit.directory.employees()) == 3


async def test_an_empty_job_changes_no_job(kit):
    """Import merges: what is left out stays."""
    report = await kit.directory.import_csv((HEADER + "8,Bob,,\n").encode(), by="uid:0")
    assert (report.unchanged, (await kit.directory.employees())[1].job_id) == (1, "bob-job")


async def test_import_is_all_or_nothing(kit):
    """Badges that are somebody else's or blocked are told with their lines, all of them, and no row is taken."""
    await kit.directory.block("04DD", by="uid:0")
    before = await kit.directory.employees(), await kit.directory.badges(), await actions(kit)
    text = HEADER + f"9,Eve,04EE,\n9,Eve,{BOB},\n10,Joe,04DD,\n"
    with pytest.raises(InvalidInputError) as caught:
        await kit.directory.import_csv(text.encode(), by="uid:0")
    _, *problems = caught.value.message.split("\n")
    assert [problem.split(":")[0] for problem in problems] == ["line 3", "line 4"]
    assert (await kit.directory.employees(), await kit.directory.badges(), await actions(kit)) == before


async def test_import_brings_removed_people_back(kit):
    """Somebody who comes back is added again, with the badge of the file only."""
    await kit.directory.remove("7", by="uid:0")
    report = await kit.directory.import_csv((HEADER + "7,Ann,04AA0009,\n").encode(), by="uid:0")
    assert report.added == 1
    assert (await kit.directory.employees())[0].badges == ("04AA0009",)


async def test_import_turns_kept_taps_into_punches(kit):
    """People who tapped before they were known have punched."""
    await kit.tap("04EE")
    padding = "\n" * directory.LARGE_BYTES  # large files are parsed beside the loop
    report = await kit.directory.import_csv((HEADER + "9,Eve,04EE,\n" + padding).encode(), by="uid:0")
    assert report.punches == 1
    assert [(punch.user_id, punch.direction) for punch in kit.told] == [("9", Direction.CLOCK_IN)]


async def test_add_and_its_refusals(kit):
    """Adding gives a badge at once; somebody known, a taken badge, or odd ids are refused and change nothing."""
    eve = await kit.directory.add(" 9 ", "Eve", badge="04:ee", job_id=" ", by="uid:0")
    assert (eve.user_id, eve.badges, eve.job_id) == ("9", ("04EE",), None)
    for error, code, arguments in (
        (RefusedError, "already_exists", {"user_id": "9", "name": "Eve"}),
        (RefusedError, "badge_taken", {"user_id": "10", "name": "Joe", "badge": BOB}),
        (InvalidInputError, "invalid_input", {"user_id": "", "name": "Joe"}),
        (InvalidInputError, "invalid_input", {"user_id": "10", "name": "\ud800"}),
        (InvalidInputError, "invalid_input", {"user_id": "10", "name": "Joe", "badge": "x" * 65}),
    ):
        with pytest.raises(error) as caught:
            await kit.directory.add(**arguments, by="uid:0")
        assert caught.value.code == code
    assert len(await kit.directory.employees()) == 3


async def test_who_is_not_there_cannot_be_named(kit):
    """Removing, assigning to, or enrolling for nobody is NotFoundError, also when they were removed."""
    await kit.directory.remove("7", by="uid:0")
    for user_id in ("7", "99"):
        with pytest.raises(NotFoundError):
            await kit.directory.remove(user_id, by="uid:0")
        with pytest.raises(NotFoundError):
            await kit.directory.assign("04EE", user_id, by="uid:0")
        with pytest.raises(NotFoundError):
            await kit.directory.enroll(user_id, timeout_s=1, by="uid:0")
    with pytest.raises(NotFoundError):
        await kit.directory.release("04EE", by="uid:0")


async def test_a_badge_has_one_owner_until_it_is_freed(kit):
    """Assigning somebody else's or a blocked badge is refused with a code; freed, it may be given."""
    with pytest.raises(RefusedError) as taken:
        await kit.directory.assign(BOB, "7", by="uid:0")
    await kit.directory.block(BOB, by="uid:0")
    with pytest.raises(RefusedError) as blocked:
        await kit.directory.assign(BOB, "8", by="uid:0")
    assert (taken.value.code, blocked.value.code) == ("badge_taken", "badge_blocked")
    await kit.directory.release(BOB, by="uid:1000")
    assert (await kit.directory.assign(BOB, "7", by="uid:0")).badge.name == "Ann"
    assert [action for _, action in await actions(kit)] == ["badge.blocked", "badge.released", "badge.assigned"]


async def test_blocking_frees_nothing_and_needs_no_owner(kit):
    """A blocked badge keeps its last owner's name; an unknown one can be blocked too."""
    assert (await kit.directory.block(ANN, by="uid:0")).user_id == "7"
    assert (await kit.directory.block("04EE", by="uid:0")).user_id is None
    assert [badge.badge for badge in await kit.directory.badges() if badge.state is BadgeState.BLOCKED] == [ANN, "04EE"]
    assert await kit.rows("SELECT count(*) FROM badges WHERE released_at IS NOT NULL") == [(0,)]


async def test_a_bad_disk_is_a_refusal(kit, monkeypatch):
    """What an operator asks for and the disk cannot keep is refused, not a crash."""

    async def full(fn):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kit.database, "write", full)
    with pytest.raises(RefusedError) as caught:
        await kit.directory.block(ANN, by="uid:0")
    assert caught.value.code == "cannot_store"


# --- enrolment


async def enrolling(kit, user_id: str = "7", timeout_s: float = 60) -> asyncio.Task:
    """An enrolment that waits."""
    async with kit.events.watch() as watch:
        task = asyncio.create_task(kit.directory.enroll(user_id, timeout_s=timeout_s, by="uid:1000"))
        while (await watch.get()).name != "badge.awaited":
            pass
        return task


async def test_the_next_tap_is_enrolled_and_no_punch(kit):
    """The badge goes to the person, the tap says so, and the one after it is a punch."""
    task = await enrolling(kit)
    answer = await kit.tap("04EE", "out")
    assert (answer.result, answer.reason, answer.punch, answer.enrolled) == (
        TapResult.ACCEPTED,
        "badge_enrolled",
        None,
        True,
    )
    badge = await task
    assert (badge.badge, badge.user_id, badge.state) == ("04EE", "7", BadgeState.ASSIGNED)
    assert await kit.punches() == []
    assert (await actions(kit))[-1] == ("uid:1000", "badge.assigned")
    assert (await kit.punch("04EE")).user_id == "7"


async def test_somebody_elses_badge_fails_the_enrolment_and_counts(kit):
    """Bob comes to work while a badge is awaited for Ann: his tap is his punch, and the operator is told."""
    task = await enrolling(kit)
    answer = await kit.tap(BOB)
    assert answer.punch is not None
    assert (answer.punch.user_id, answer.enrolled) == ("8", False)
    with pytest.raises(RefusedError, match="belongs to 8"):
        await task
    assert (await kit.tap("04EE")).result is TapResult.UNKNOWN_BADGE


@pytest.mark.parametrize(
    ("badge", "reader", "code"), [("04EE", "front", "badge_blocked"), ("08EE0001", "nfc", "unstable_badge")]
)
async def test_a_badge_that_cannot_be_used_fails_the_enrolment(kit, badge, reader, code):
    """The person sees a refusal, the operator the reason."""
    await kit.directory.block("04EE", by="uid:0")
    task = await enrolling(kit)
    assert (await kit.tap(badge, reader)).reason == code
    with pytest.raises(RefusedError) as caught:
        await task
    assert caught.value.code == code


async def test_their_own_badge_enrols_again(kit):
    """A badge the person has already changes nothing and is no punch."""
    task = await enrolling(kit)
    assert (await kit.tap(ANN)).enrolled
    assert (await task).badge == ANN
    assert await kit.punches() == []


async def test_no_tap_in_time(kit):
    """An enrolment ends by itself; the next tap is like any other."""
    with pytest.raises(RefusedError) as caught:
        await kit.directory.enroll("7", timeout_s=0.001, by="uid:0")
    assert caught.value.code == "enrolment_timed_out"
    assert (await kit.tap("04EE")).result is TapResult.UNKNOWN_BADGE


async def test_one_enrolment_at_a_time_and_a_cancelled_one_is_gone(kit):
    """A second wish is refused; whoever gives up (a closed connection) leaves no wish behind."""
    task = await enrolling(kit)
    with pytest.raises(RefusedError) as caught:
        await kit.directory.enroll("8", timeout_s=1, by="uid:0")
    assert caught.value.code == "enrolment_waiting"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await kit.tap("04EE")).result is TapResult.UNKNOWN_BADGE


async def test_two_taps_at_once_enrol_one_badge(kit):
    """Exactly one tap fulfils the wish."""
    task = await enrolling(kit)
    answers = await asyncio.gather(kit.tap("04EE"), kit.tap("04EF"))
    assert [answer.enrolled for answer in answers] == [True, False]
    assert (await task).badge == "04EE"


async def test_a_bad_disk_fails_the_enrolment(kit, monkeypatch):
    """Neither the person nor the operator is left waiting."""
    task = await enrolling(kit)

    async def full(fn):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(kit.database, "write", full)
        assert (await kit.tap("04EE")).reason == "cannot_store"
    with pytest.raises(RefusedError) as caught:
        await task
    assert caught.value.code == "cannot_store"


async def test_a_tap_cut_off_ends_the_enrolment(kit):
    """When the tap that had the wish is cancelled, the operator is told to look."""
    task = await enrolling(kit)
    tap = asyncio.create_task(kit.tap("04EE"))
    await asyncio.sleep(0)
    tap.cancel()
    with pytest.raises(RefusedError, match="interrupted"):
        await task


async def test_enrolling_turns_kept_taps_into_punches(kit):
    """Enrolling is assigning: taps that were kept for the badge count."""
    await kit.tap("04EE")
    kit.clock.advance(3600)
    task = await enrolling(kit)
    await kit.tap("04EE")
    await task
    assert [(punch.user_id, punch.direction) for punch in await kit.punches()] == [("7", Direction.CLOCK_IN)]
