"""Whatever is imported as a list of employees: all rows or none, every problem with its line, and nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.errors import InvalidInputError, RefusedError
from daemon.intake import roster
from drivers.badge import canonical
from tests.fuzz.lists import FILES
from tests.support.fuzzing import fuzzed, standing
from tests.support.intake_kit import Kit, open_kit


@fuzzed("lists: one file", short=200, long=25_000, data=FILES)
def test_a_file_is_people_or_problems_with_their_lines(data: bytes) -> None:
    """Accepted: ids, names and badges are what may be stored. Refused: what was not done, where, and at most so many
    lines."""
    people, refused = parsed(data)
    if refused:
        first, *problems = refused.split("\n")
        assert first == "cannot import the employees; nothing was changed:"
        assert 1 <= len(problems) <= roster.PROBLEMS_MAX + 2
        assert re.match(r"line \d+: |the file has |the header must be ", problems[0])
        refused.encode()
    assert len({person.user_id for person in people}) == len(people)
    for person in people:
        assert roster.id_problem("user_id", person.user_id) is None
        assert roster.name_problem(person.name) is None
        assert all(canonical(badge) == badge for badge in person.badges)
        assert b"\n" not in person.name.encode()
    owned = [badge for person in people for badge in person.badges]
    assert len(owned) == len(set(owned))


def parsed(data: bytes) -> tuple[list[roster.Person], str]:
    """The people of a file, or why it is refused."""
    try:
        return roster.parse(data), ""
    except InvalidInputError as error:
        return [], error.message


def test_imports_one_after_another_change_all_or_nothing(tmp_path: Path) -> None:
    """Through the real database: after a refusal it is as before, after a success the list stands in it; who was there
    stays there."""
    with standing(open_kit(tmp_path / "punchd.db", inline=True)) as (kit, run):
        # What is imported stays, and is meant to: the people are kept in memory.
        @fuzzed("lists: imported", short=40, long=3_000, grows=True, data=FILES)
        def each(data: bytes) -> None:
            run(imported(kit, data))

        each()


async def imported(kit: Kit, data: bytes) -> None:
    """Import one file and look at what came of it."""
    before = await people_of(kit)
    try:
        await kit.directory.import_csv(data, by="test")
    except RefusedError as error:
        refused = error.message
    else:
        refused = ""
    after = await people_of(kit)
    if refused:
        assert after == before
        assert refused.startswith("cannot ")
        return
    assert set(before) <= set(after)
    for person in roster.parse(data):
        name, badges = after[person.user_id]
        assert name == person.name
        assert set(person.badges) <= badges


async def people_of(kit: Kit) -> dict[str, tuple[str, frozenset[str]]]:
    """Everybody the kiosk knows, with their badges."""
    return {one.user_id: (one.name, frozenset(one.badges)) for one in await kit.directory.employees()}
