"""The disk turns on us: the service starts or says why not, and no punch is lost or altered unseen.

`make damage` tries every offset (DAMAGE=all); `make test` a spread of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.support.damage import COPY, DB, WAL, Facts, Judged, flip, judge, make

ALL = os.environ.get("DAMAGE") == "all"
#: How many of the possible places the short profile tries.
SPREAD = 12
PUNCHES = 200


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> tuple[Path, Facts]:
    """A directory after a stop in order."""
    folder = tmp_path_factory.mktemp("lived") / "state"
    return folder, asyncio.run(make(folder, PUNCHES, cut=False))


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> tuple[Path, Facts]:
    """A directory after a power cut, with a log."""
    folder = tmp_path_factory.mktemp("cut") / "state"
    truth = asyncio.run(make(folder, PUNCHES, cut=True))
    assert (folder / WAL).stat().st_size > 100_000
    return folder, truth


def places(size: int, step: int = 1, salt: int = 0) -> list[int]:
    """Where to damage: every place, or a spread with the first and the last of them."""
    found = list(range(0, size, step))
    if ALL or len(found) <= SPREAD:
        return found
    return sorted({*found[:3], *found[-2:], *random.Random(size + salt).sample(found, SPREAD - 5)})


def fresh(tmp_path: Path, made: Path) -> Path:
    folder = tmp_path / "state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    return folder


def good(judged: Judged, where: object) -> None:
    """With a whole copy nothing is lost: it is all there, or the finding says that something is wrong."""
    assert not judged.missing, (where, judged)
    assert not judged.altered, (where, judged)


async def test_undamaged_it_just_starts(tmp_path, lived, cut):
    """The control: no salvage, all of it there."""
    for made, truth in (lived, cut):
        judged = await judge(fresh(tmp_path, made), truth)
        assert judged == Judged(unfinished=judged.unfinished)
        assert len(truth) == PUNCHES


async def test_a_flipped_byte_anywhere_in_the_database(tmp_path, lived):
    """It starts with everything, or finds the damage in its check, or refuses with a reason: never a punch less."""
    made, truth = lived
    salvaged = 0
    for offset in places((made / DB).stat().st_size):
        folder = fresh(tmp_path, made)
        flip(folder / DB, offset)
        judged = await judge(folder, truth)
        salvaged += judged.salvaged
        good(judged, offset)
        assert not judged.refused or offset in range(56, 72), (
            offset,
            judged.refused,
        )  # numbers that name other versions
        if judged.findings:  # found by the check, not at the start: the next start salvages by itself
            (folder / "punchd.damaged").write_text(judged.findings[0])
            again = await judge(folder, truth)
            assert again.salvaged, offset
            assert not again.findings, (offset, again.findings)
            good(again, offset)
    assert salvaged


async def test_a_flipped_byte_anywhere_in_the_log(tmp_path, cut):
    """SQLite takes a damaged frame for the end of the log and says nothing: the copy says it."""
    made, truth = cut
    for offset in places((made / WAL).stat().st_size, salt=1):
        folder = fresh(tmp_path, made)
        flip(folder / WAL, offset)
        judged = await judge(folder, truth)
        assert not judged.refused, (offset, judged.refused)
        good(judged, offset)


async def test_a_flipped_byte_anywhere_in_the_copy(tmp_path, lived):
    """The database has everything; the copy is mended or set aside, and says so."""
    made, truth = lived
    for offset in places((made / COPY).stat().st_size, salt=2):
        folder = fresh(tmp_path, made)
        flip(folder / COPY, offset)
        judged = await judge(folder, truth)
        assert not judged.refused, (offset, judged.refused)
        assert not judged.findings, (offset, judged.findings)
        good(judged, offset)


async def test_cut_off_at_every_page(tmp_path, lived):
    """A database that ends too early, down to nothing."""
    made, truth = lived
    for size in places((made / DB).stat().st_size, 1024):
        folder = fresh(tmp_path, made)
        os.truncate(folder / DB, size)
        judged = await judge(folder, truth)
        assert judged.salvaged, (size, judged)
        assert not judged.findings, (size, judged.findings)
        good(judged, size)


@pytest.mark.parametrize("what", ["log deleted", "garbage", "gone", "all gone but the copy", "zeros", "torn in half"])
async def test_what_is_replaced_or_gone(tmp_path, cut, what):
    """Everything acknowledged comes back from what is left, and nothing of it is sent blindly."""
    made, truth = cut
    folder = fresh(tmp_path, made)
    size = (folder / DB).stat().st_size
    if what in ("log deleted", "all gone but the copy"):
        (folder / WAL).unlink()
    if what in ("gone", "all gone but the copy"):
        (folder / DB).unlink()
    if what in ("garbage", "zeros"):
        (folder / DB).write_bytes(random.Random(1).randbytes(size) if what == "garbage" else bytes(size))
    if what == "torn in half":
        os.truncate(folder / DB, size // 2)
    judged = await judge(folder, truth)
    assert judged.salvaged
    assert not judged.findings
    good(judged, what)
    assert set(judged.unfinished.values()) <= {"in_flight", "review", "held"}
    assert judged.report["lost_total"] == 0
    assert judged.report["nameless"] == []


async def test_a_copy_torn_at_every_byte_of_its_last_lines(tmp_path, lived):
    """Torn by a power cut it is continued; and when the database is gone as well, all but the torn lines comes back."""
    made, truth = lived
    whole = (made / COPY).read_bytes()
    last = len(b"".join(whole.splitlines(keepends=True)[-3:]))
    for less in places(last, salt=3):
        folder = fresh(tmp_path, made)
        os.truncate(folder / COPY, len(whole) - less)
        judged = await judge(folder, truth)
        assert (judged.refused, judged.salvaged, judged.findings) == ("", False, []), less
        good(judged, less)
        (folder / DB).unlink()
        good(await judge(folder, truth), less)  # it had been brought up to date
        folder = fresh(tmp_path, made)
        os.truncate(folder / COPY, len(whole) - less)
        (folder / DB).unlink()
        judged = await judge(folder, truth)
        assert judged.salvaged
        assert len(judged.missing) <= 3
        if judged.missing and whole[-less - 1] != ord("\n"):
            assert judged.report["copy_lines_unreadable"] == 1, less


async def test_both_damaged_at_once(tmp_path, lived):
    """What neither of them can vouch for is named, and nothing else is missing."""
    made, truth = lived
    for seed in range(300 if ALL else 15):
        chance = random.Random(seed)
        folder = fresh(tmp_path, made)
        for name, blows in ((DB, 6), (COPY, 12)):
            size = (folder / name).stat().st_size
            for _ in range(blows):
                at = chance.randrange(100, size)
                with (folder / name).open("r+b") as file:
                    file.seek(at)
                    file.write(chance.randbytes(min(chance.choice([1, 300, 2000]), size - at)))
        (folder / "punchd.damaged").write_text("for this test")
        judged = await judge(folder, truth)
        assert judged.salvaged, seed
        assert not judged.findings, (seed, judged.findings)
        told = judged.report["lost_total"] + judged.report["altered_total"]  # one whose name is damaged is altered
        untold = judged.missing
        if judged.report["copy_end_unreadable"] and judged.report["database_unreadable"]:
            # Of what came last nothing may be left: that is said, in words.
            last = max(int(one[1:]) for one in truth.keys() - judged.missing)
            untold = {one for one in judged.missing if int(one[1:]) < last}
        assert len(untold) + len(judged.altered) <= told, (seed, judged)
