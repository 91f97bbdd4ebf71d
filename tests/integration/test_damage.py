"""The disk turns on us: the service starts or says why not, and no punch is lost or altered unseen.

`make damage` tries every offset (DAMAGE=all); `make test` a spread of them. How each is judged: tests/support/sweep.py.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from daemon.queue.opening import PAGE_SIZE
from tests.support.damage import COPY, DB, KEPT, WAL, Facts, Judged, flip, judge, make, tapped_at
from tests.support.sweep import Lines, Log, Sweep, masks, remembered

ALL = os.environ.get("DAMAGE") == "all"
#: How many of the possible places the short profile tries.
SPREAD = 12
PUNCHES = 200
#: So many more were kept taps until their badge had an owner.
CLAIMED = 4


SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A place in memory where there is one: what is tried here waits for no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="damage", dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Nobody reads what ten thousand salvages say."""

    def drop(*_: object) -> str:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture
def tell(capsys) -> Callable[[str], None]:
    """Says how far it has come, where all places are tried."""

    def say(words: str) -> None:
        with capsys.disabled():
            print(words, flush=True)

    return say if ALL else lambda _: None


@pytest.fixture(scope="module")
def lived(room) -> tuple[Path, Facts]:
    """A directory after a stop in order."""
    return room / "lived", asyncio.run(make(room / "lived", PUNCHES, cut=False))


@pytest.fixture(scope="module")
def cut(room) -> tuple[Path, Facts]:
    """A directory after a power cut, with a log that holds what the database does not: no checkpoint came after it."""
    truth = asyncio.run(make(room / "cut", PUNCHES - 2, cut=True))
    assert (room / "cut" / WAL).stat().st_size > 100_000
    return room / "cut", truth


def places(size: int, step: int = 1, salt: int = 0) -> list[int]:
    """Where to damage: every place, or a spread with the first and the last of them."""
    found = list(range(0, size, step))
    if ALL or len(found) <= SPREAD:
        return found
    return sorted({*found[:3], *found[-2:], *random.Random(size + salt).sample(found, SPREAD - 5)})


def fresh(room: Path, made: Path) -> Path:
    folder = room / "state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    return folder


def good(judged: Judged, where: object) -> None:
    """With a whole copy nothing is lost: it is all there, or the finding says that something is wrong."""
    assert not judged.missing, (where, judged)
    assert not judged.altered, (where, judged)


async def test_undamaged_it_just_starts(room, lived, cut):
    """The control: no salvage, all of it there."""
    for made, truth in (lived, cut):
        judged = await judge(fresh(room, made), truth)
        assert judged == Judged(unfinished=judged.unfinished)
        kept = sum(name.startswith(KEPT) for name in truth)
        assert (len(truth) - kept, kept) in ((PUNCHES + CLAIMED, 6), (PUNCHES - 2 + CLAIMED, 6))


async def test_a_flipped_byte_anywhere_in_the_database(room, lived, tell):
    """It starts with everything, or finds the damage at the start or in its check, or refuses with a reason: never a
    punch less, changed, or more, and never a word of a loss that was none."""
    sweep = Sweep(room / "swept", *lived, tell)
    size = (lived[0] / DB).stat().st_size
    by = masks(SEED, size)
    with remembered():
        offsets = places(size)
        random.Random(SEED).shuffle(offsets)  # what is wrong in many places shows early
        for offset in offsets:
            content = sweep.flipped(DB, offset, by[offset])
            await sweep.place(DB, offset, content, offset // PAGE_SIZE, whole=not ALL)
    tell(f"  {DB}: {sweep.tried}")
    assert not sweep.tried.wrong, sweep.tried
    assert sweep.tried.salvaged
    # Only a schema's number can become that of a version yet to come.
    assert sweep.tried.refused <= {62, 63}, sweep.tried.refused


async def test_a_flipped_byte_anywhere_in_the_log(room, cut, tell):
    """SQLite takes a damaged frame for the end of the log and says nothing: the copy says it. Of each place SQLite is
    asked how many frames count; two places of each frame are judged whole."""
    sweep = Sweep(room / "swept", *cut, tell)
    log = Log(fresh(room, cut[0]))
    assert log.used > 100
    by, chance = masks(SEED, len(log.content)), random.Random(SEED)
    with remembered():
        for offset in places(len(log.content), salt=1):
            assert log.flipped(offset, by[offset]) == log.expected(offset), offset
            if offset % 100_000 == 0:
                tell(f"  {WAL} at {offset} of {len(log.content)}")
        for frame in places(log.used + 1, salt=2):
            start = log.HEADER + (frame - 1) * log.FRAME if frame else 0
            for offset in (start + chance.randrange(24), start + 24 + chance.randrange(8 if not frame else PAGE_SIZE)):
                content = sweep.flipped(WAL, offset, by[offset])
                await sweep.place(WAL, offset, content, frame, whole=True)
    tell(f"  {WAL}: all of {len(log.content)} places; {sweep.tried}")
    assert not sweep.tried.wrong, sweep.tried
    assert sweep.tried.looked.keys() == {"salvaged at the start"}


async def test_a_flipped_byte_anywhere_in_the_copy(room, lived, tell):
    """The database has everything; the copy is mended or set aside, and says so. Of each place is looked at which lines
    can still be read; each line is judged whole with each answer there was."""
    sweep = Sweep(room / "swept", *lived, tell)
    lines = Lines((lived[0] / COPY).read_bytes())
    by, seen = masks(SEED, len(lines.content)), set()
    with remembered():
        for offset in places(len(lines.content), salt=2):
            line, read = lines.flipped(offset, by[offset])
            assert "new" not in read, offset
            if (line, read) not in seen:
                seen.add((line, read))
                outcome = await sweep.place(COPY, offset, sweep.flipped(COPY, offset, by[offset]), line, whole=True)
                assert outcome == "all there", offset
    tell(f"  {COPY}: all of {len(lines.content)} places; {sweep.tried}")
    assert not sweep.tried.wrong, sweep.tried


async def test_a_flipped_byte_anywhere_in_a_kept_tap(room, lived):
    """It is found, and comes back from the copy as it was stored; without a copy it is left out and named, or it is
    there unaltered: damage makes no other tap of it, and so no punch of another time or person."""
    made, truth = lived
    content = (made / DB).read_bytes()
    at = content.index(b"front0499")
    for offset in range(at - 16, at + 60, 1 if ALL else 7):
        for copied in (True, False):
            folder = fresh(room, made)
            flip(folder / DB, offset, 8)
            (folder / "punchd.damaged").write_text("for this test")
            if not copied:
                (folder / COPY).unlink()
            judged = await judge(folder, truth)
            told = judged.report["altered_total"] + judged.report["lost_total"]
            assert not judged.findings, (offset, judged)
            assert not judged.altered, (offset, judged)
            assert not judged.added, (offset, judged)
            assert len(judged.missing) <= (0 if copied else told), (offset, judged)
            assert not (copied and told), (offset, judged)


async def test_cut_off_at_every_page(room, lived):
    """A database that ends too early, down to nothing."""
    made, truth = lived
    for size in places((made / DB).stat().st_size, PAGE_SIZE):
        folder = fresh(room, made)
        os.truncate(folder / DB, size)
        judged = await judge(folder, truth)
        assert judged.salvaged, (size, judged)
        assert not judged.findings, (size, judged.findings)
        good(judged, size)


@pytest.mark.parametrize("what", ["log deleted", "garbage", "gone", "all gone but the copy", "zeros", "torn in half"])
async def test_what_is_replaced_or_gone(room, cut, what):
    """Everything acknowledged comes back from what is left, and nothing of it is sent blindly."""
    made, truth = cut
    folder = fresh(room, made)
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


async def test_a_copy_torn_at_every_byte_of_its_last_lines(room, lived):
    """Torn by a power cut it is continued; and when the database is gone as well, all but the torn lines comes back."""
    made, truth = lived
    whole = (made / COPY).read_bytes()
    last = len(b"".join(whole.splitlines(keepends=True)[-3:]))
    for less in places(last, salt=3):
        folder = fresh(room, made)
        os.truncate(folder / COPY, len(whole) - less)
        judged = await judge(folder, truth)
        assert (judged.refused, judged.salvaged, judged.findings) == ("", False, []), less
        good(judged, less)
        (folder / DB).unlink()
        good(await judge(folder, truth), less)  # it had been brought up to date
        folder = fresh(room, made)
        os.truncate(folder / COPY, len(whole) - less)
        (folder / DB).unlink()
        judged = await judge(folder, truth)
        assert judged.salvaged
        assert len(judged.missing) <= 3
        # A line that lacks but its end is whole.
        if judged.missing and ord("\n") not in (whole[-less - 1], whole[-less]):
            assert judged.report["copy_lines_unreadable"] == 1, less


async def test_both_damaged_at_once(room, lived):
    """What neither of them can vouch for is named, and nothing else is missing."""
    made, truth = lived
    for seed in range(300 if ALL else 15):
        chance = random.Random(seed)
        folder = fresh(room, made)
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
            last = max(tapped_at(truth[one]) for one in truth.keys() - judged.missing)
            untold = {one for one in judged.missing if tapped_at(truth[one]) < last}
        assert len(untold) + len(judged.altered) <= told, (seed, judged)
