"""One word or number of the database is another than was written: a start, or the check, says so, and nothing that is
true is lost or called lost with it. Each of these was met by `make damage`."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.queue.abstract import _told
from daemon.queue.database import Database
from daemon.queue.opening import PAGE_SIZE
from daemon.queue.queue import find_punch, list_punches
from daemon.queue.records import DamagedRowError, from_json, list_trusts
from daemon.queue.salvage import marker, salvage
from daemon.queue.salvaged import Seen
from daemon.queue.verify import iso
from daemon.queue.wreck import Wreck
from tests.support.damage import COPY, DB, Facts, Judged, facts_of, judge, make
from tests.support.tampering import behind_its_back

#: The first byte of a page with a table's rows.
LEAF = 13
ALL_THERE = {"lost_total": 0, "altered_total": 0, "punches": 12}


@pytest.fixture
async def lived(tmp_path) -> tuple[Path, Facts]:
    """A directory with twelve punches, after a stop in order."""
    return tmp_path / "state", await make(tmp_path / "state", 12, cut=False)


def whole(judged: Judged) -> None:
    """It was salvaged, everything is as it was stored, and nothing was called lost."""
    assert ALL_THERE.items() <= judged.report.items(), judged
    assert (judged.missing, judged.altered, judged.added, judged.findings) == (set(), set(), set(), []), judged


@pytest.mark.parametrize("known", [True, False])
async def test_a_state_that_is_none_is_damage_at_the_start(lived, known):
    """Where a punch stands is in the copy: there it is believed. Where the copy knows no end of it, it is looked up."""
    folder, truth = lived
    punch = "p2" if known else "p1"
    behind_its_back(
        folder / DB,
        f"UPDATE deliveries SET state = 'delivEred' WHERE punch_seq = (SELECT seq FROM punches WHERE id = '{punch}')",
    )
    judged = await judge(folder, truth)
    assert "delivEred" in judged.report["why"] or punch in judged.report["why"]
    whole(judged)
    assert judged.unfinished.get(punch) == (None if known else "in_flight")


async def test_what_a_delivery_was_recorded_as_is_one_of_ours(lived):
    """The check finds another word, whoever reads the row notes the damage, and the copy's word counts after that."""
    folder, truth = lived
    behind_its_back(folder / DB, "UPDATE deliveries SET recorded_as = 'block_in' WHERE recorded_as = 'clock_in'")
    db = await Database.open(folder / DB, inline=True, copy=folder / COPY)
    assert "says 'block_in'" in (await db.check())[0]
    with pytest.raises(DamagedRowError):
        await db.read(list_punches)
    assert db.damaged.is_set()
    await db.close()
    assert marker(folder / DB).exists()
    judged = await judge(folder, truth)
    whole(judged)
    db = await Database.open(folder / DB, inline=True, copy=folder / COPY)
    assert (await db.read(lambda conn: find_punch(conn, "p2"))).recorded_as is not None
    await db.close()


@pytest.mark.parametrize("other", [b"p9", b"q3", b"p\xc1"])
async def test_a_changed_id_makes_no_other_punch(lived, other):
    """Into that of another punch, into nobody's, and into what is no text: the punch comes from the copy under its own
    id, the other one stays as it was, nothing is called lost, and nobody gets a punch to decide on."""
    folder, truth = lived
    content = (folder / DB).read_bytes()
    (at,) = [found.start() for found in re.finditer(rb"p3.{1,3}clock_", content, re.DOTALL)]  # not its index
    (folder / DB).write_bytes(content[:at] + other + content[at + 2 :])
    marker(folder / DB).write_text("asked for")
    whole(await judge(folder, truth))


async def test_an_altered_punch_whose_name_is_no_text_is_named_all_the_same(lived):
    """A start that finds it says so in words that can be written down."""
    folder, truth = lived
    behind_its_back(folder / DB, "UPDATE punches SET id = CAST(x'7031c1' AS TEXT) WHERE id = 'p1'")
    judged = await judge(folder, truth)
    assert "p1?" in judged.report["why"]
    whole(judged)


async def test_a_link_that_names_another_number_calls_nothing_lost(lived):
    """Its punch is there: what the link stood for is not missing."""
    folder, truth = lived
    behind_its_back(folder / DB, "UPDATE chain SET row_id = 1172 WHERE id = 5")
    marker(folder / DB).write_text("asked for")
    whole(await judge(folder, truth))


@pytest.mark.parametrize("column", ["salt", "digest", "hash"])
@pytest.mark.parametrize("into", ["NULL", "'text'"])
@pytest.mark.parametrize("link", [4, 13])
async def test_a_link_of_other_types(lived, column, into, link):
    """Damage changes also what kind of value one is: found, and salvaged around; the last link too."""
    folder, truth = lived
    behind_its_back(
        folder / DB,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(replace(sql, ') STRICT', ')'), 'hash   BLOB NOT NULL',"
        " 'hash   BLOB') WHERE name = 'chain'",
    )
    behind_its_back(folder / DB, f"UPDATE chain SET {column} = {into} WHERE id = {link}")
    judged = await judge(folder, truth)
    assert judged.findings or judged.salvaged
    if judged.findings:
        marker(folder / DB).write_text("asked for")
        judged = await judge(folder, truth)
    whole(judged)


@pytest.mark.parametrize(("was", "word", "name"), [
    ("request_id ", "request_ie ", "TABLE attempts"),
    ("stated_at ", "stated_et ", "TABLE taps"),
    ("new.raw_at", "new.raw_et", "TRIGGER taps_are_facts"),
    ("'unknown_badge'", "'unknown_bbdge'", "TRIGGER taps_unclaimed_are_kept"),
])  # fmt: skip
async def test_a_schema_that_says_something_else(lived, was, word, name):
    """SQLite believes every word of it, also one that weakens a guard or that no statement fits any more."""
    folder, truth = lived
    content = (folder / DB).read_bytes()
    at = content.index(was.encode(), content.index(f"CREATE {name}".encode()))
    (folder / DB).write_bytes(content[:at] + word.encode() + content[at + len(word) :])
    judged = await judge(folder, truth)
    kind, table = name.lower().split()
    assert f"the {kind} {table} is not as it was made" in judged.findings
    marker(folder / DB).write_text("asked for")
    whole(await judge(folder, truth))


async def test_a_statement_that_fits_the_schema_no_more_is_damage(lived):
    """It is noted where it is met, so that the next start salvages."""
    db = await Database.open(lived[0] / DB, inline=True, copy=lived[0] / COPY)
    for statement in ("SELECT reaper FROM taps", "INSERT INTO taps (reaper) VALUES (1)", "SELECT 1 FROM tabs"):
        db.damaged.clear()
        with pytest.raises(sqlite3.OperationalError):
            await db.read(lambda conn, statement=statement: conn.execute(statement).fetchall())
        assert db.damaged.is_set(), statement
    await db.close()


async def test_text_that_is_none_is_found(lived):
    """Where no digest covers it and SQLite's check does not look."""
    folder, truth = lived
    behind_its_back(folder / DB, "UPDATE attempts SET detail = CAST(x'c1c1' AS TEXT)")
    judged = await judge(folder, truth)
    assert "attempts holds text that is none" in judged.findings
    marker(folder / DB).write_text("asked for")
    whole(await judge(folder, truth))


@pytest.mark.parametrize("offset", [18, 19])
async def test_a_format_nobody_writes_is_damage_and_no_lack_of_rights(lived, offset):
    """SQLite says of it that the database may not be written, and nobody could mend that."""
    folder, truth = lived
    content = bytearray((folder / DB).read_bytes())
    content[offset] ^= 0x10
    (folder / DB).write_bytes(content)
    whole(await judge(folder, truth))


async def test_words_about_a_clock_that_are_none_are_damage(lived):
    """Like those of a punch."""
    folder, _ = lived
    behind_its_back(
        folder / DB,
        "INSERT INTO boots (boot_id, first_seen_at, first_boottime_s, trusted_offset_s, trusted_error_s,"
        " trusted_source, trusted_at) VALUES ('b9', 1, 1, 1, 1, 'mtp', 1)",
    )
    db = await Database.open(folder / DB, inline=True, copy=folder / COPY)
    with pytest.raises(DamagedRowError):
        await db.read(list_trusts)
    await db.close()


async def test_what_only_the_changed_row_tells_of_stays_told(lived):
    """Without a copy nothing vouches for a changed punch: a person sees it."""
    folder, _ = lived
    behind_its_back(folder / DB, "UPDATE punches SET id = 'q3' WHERE id = 'p3'")
    report = salvage(folder / DB, None, "asked for", Seen(2e9, known=True))
    assert (report.altered_total, report.altered[0][:2]) == (1, "q3")


@pytest.mark.timeout(60)
def test_a_page_with_more_rows_than_it_has_ends_no_reading(tmp_path):
    """Its rows' numbers may lead back to ones that were read before, again and again."""
    asyncio.run(make(tmp_path / "state", 200, cut=False))
    path = tmp_path / "state" / DB
    content = bytearray(path.read_bytes())
    pages = [at for at in range(0, len(content), PAGE_SIZE)
             if content[at] == LEAF and content[at : at + PAGE_SIZE].count(b"punchstored") > 3]  # fmt: skip
    for page in pages:
        for more in (16, 32, 64, 128):
            content[page + 4] ^= more  # the low byte of how many there are
            path.write_bytes(content)
            content[page + 4] ^= more
            with closing(Wreck(path)) as wreck:
                found = {row[0] for row in wreck.numbered("chain", "id", ("id", "why", "digest", "hash", "gone"))}
            assert len(found & set(range(1, 207))) > 180, "what lies in other pages is read"


async def test_a_delivery_that_names_another_number_calls_nothing_lost(lived):
    """Its punch is there, in just that place of that person's lane."""
    folder, truth = lived
    behind_its_back(
        folder / DB, "PRAGMA foreign_keys = OFF", "UPDATE deliveries SET punch_seq = 2195 WHERE punch_seq = 7"
    )
    marker(folder / DB).write_text("asked for")
    whole(await judge(folder, truth))


async def test_a_delivery_whose_punch_is_nowhere_tells_of_a_loss(lived):
    """Neither record has the punch, nor a link of it: a delivery goes only with its punch."""
    folder, _ = lived
    behind_its_back(folder / DB, "DELETE FROM chain WHERE row_id = 7", "DELETE FROM punches WHERE seq = 7")
    report = salvage(folder / DB, None, "asked for", Seen(2e9, known=True))
    assert (report.lost_total, report.lost) == (1, ["number 7"])


async def test_an_id_that_became_another_punchs_overwrites_nothing(lived):
    """Without the copy its punch is lost, and named; the other one stays as it was stored."""
    folder, truth = lived
    content = (folder / DB).read_bytes()
    (at,) = [found.start() for found in re.finditer(rb"p3.{1,3}clock_", content, re.DOTALL)]
    (folder / DB).write_bytes(content[:at] + b"p9" + content[at + 2 :])
    report = salvage(folder / DB, None, "asked for", Seen(2e9, known=True))
    assert (report.lost, report.altered) == (["number 3"], [])
    with closing(sqlite3.connect(folder / DB)) as conn:
        found = facts_of(conn)
    assert found == {one: facts for one, facts in truth.items() if one != "p3"}


def test_a_line_of_the_journal_that_damage_made_tells_nothing():
    """Where a page was damaged there may be rows of nothing."""
    with closing(sqlite3.connect(":memory:")) as conn:
        assert list(_told(conn, 1.0, None, None, "{}")) == []  # type: ignore[arg-type]
        assert list(_told(conn, 1.0, "employee.added", None, None)) == []  # type: ignore[arg-type]
    assert from_json(None) == {"unreadable": "None"}  # type: ignore[arg-type]
    assert iso("at nine") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["id = 4301", "row_id = 99"])
async def test_the_last_link_is_looked_at_before_anything_follows_it(lived, what):
    """Or the copy would be told of links that never were, and a salvage would call lost what they stood for."""
    folder, truth = lived
    behind_its_back(folder / DB, f"UPDATE chain SET {what} WHERE id = (SELECT max(id) FROM chain)")
    judged = await judge(folder, truth)
    assert judged.report["copy_lines_unreadable"] == 0
    whole(judged)
