"""Export: through the daemon, and from the database of one that is down."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import pty
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from daemon.control.payroll import COLUMNS
from daemon.queue.database import Database
from daemon.queue.export import PAGE, Reading, open_read_only
from tests.integration.test_cli import PUNCHCTL, Ended, punchctl
from tests.support.kiosk import Stage, open_kiosk
from tests.support.many_punches import fill, insert

FIRST = 1_000_000_000


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """Twelve hundred punches; every third is pending, every third of the others in review."""
    async with open_kiosk() as stage:
        await stage.kiosk.database.write(lambda conn: insert(conn, 1200, state_of))
        yield stage


def state_of(number: int) -> str:
    return "pending" if number % 3 == 0 else "review" if number % 3 == 1 else "delivered"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def ids(text: str) -> list[str]:
    return [row["punch_id"] for row in rows(text)]


async def test_curl_gets_a_csv(stage: Stage) -> None:
    """The media type of CSV with a header, on the socket that only reads, with a name to save it under."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-D", "-", "--unix-socket", os.fspath(stage.status),
        "http://punchd/v1/export?since=2001-09-09T01:46:40Z&until=1000000003&undelivered=true",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    head, _, body = out.decode().partition("\r\n\r\n")
    assert "Content-Type: text/csv; charset=utf-8; header=present" in head
    assert 'filename="punches.csv"' in head
    assert body.splitlines()[0] == ",".join(COLUMNS)
    assert ids(body) == ["P0000000", "P0000001"]


@pytest.mark.parametrize(
    "query", ["undelivered=yes", "since=5&until=5", "since=noon", "state=pending", "since=2026-03-01T08:00:00"]
)
async def test_what_cannot_be_asked_is_422(stage: Stage, query: str) -> None:
    """Refused as a problem document before a line of CSV was sent."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-w", "%{http_code}", "--unix-socket", os.fspath(stage.status),
        f"http://punchd/v1/export?{query}", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.endswith(b"422")
    assert b"invalid_input" in out


async def test_all_punches_in_order_none_twice(stage: Stage) -> None:
    """Several pages; since counts, until does not; the zone is the kiosk's."""
    whole = await punchctl("export", socket_path=stage.status)
    assert (whole.code, whole.err) == (0, "")
    assert ids(whole.out) == [f"P{number:07}" for number in range(1200)]
    assert rows(whole.out)[0]["occurred_at_local"] == "2001-09-09T03:46:40+02:00"
    part = await punchctl("export", "--since", str(FIRST + 5), "--until", str(FIRST + 8), socket_path=stage.status)
    assert ids(part.out) == ["P0000005", "P0000006", "P0000007"]
    assert "04A2B3C4" not in whole.out


async def test_undelivered_is_what_nobody_has_yet(stage: Stage) -> None:
    """Pending and in review, over several pages; what is delivered or discarded is not among them."""
    found = await punchctl("export", "--undelivered", socket_path=stage.status)
    assert ids(found.out) == [f"P{number:07}" for number in range(1200) if number % 3 != 2]


async def test_what_is_delivered_during_the_export_is_left_out(stage: Stage) -> None:
    """Between two pages the daemon goes on; a page that is delivered whole does not end the export."""
    reading = Reading(None, None, undelivered=True, size=10)
    first = await stage.kiosk.database.read(reading.page)
    later = {f"P{number:07}" for number in range(15, 45) if number % 3 != 2}

    def deliver(conn: sqlite3.Connection) -> None:
        for punch_id in later:
            conn.execute(
                "UPDATE deliveries SET state = 'delivered' WHERE punch_seq = (SELECT seq FROM punches WHERE id = ?)",
                (punch_id,),
            )

    await stage.kiosk.database.write(deliver)
    found = [punch.id for punch in first]
    while page := await stage.kiosk.database.read(reading.page):
        found += [punch.id for punch in page]
    expected = {f"P{number:07}" for number in range(1200) if number % 3 != 2} - later
    assert found == sorted(expected)


async def test_as_json_and_into_a_file(stage: Stage, tmp_path: Path) -> None:
    """--json is one array of the same cells, of the types they have in a punch; --output makes a file for its owner."""
    out = tmp_path / "march.csv"
    window = ("--since", str(FIRST), "--until", str(FIRST + 700))
    text = (await punchctl("export", *window, socket_path=stage.status)).out
    typed = [
        {**{k: v or None for k, v in row.items()}, "time_error_s": float(row["time_error_s"])} for row in rows(text)
    ]
    assert (await punchctl("export", *window, "--json", socket_path=stage.status)).json == typed
    empty = await punchctl("export", "--since", "5", "--until", "6", "--json", socket_path=stage.status)
    assert empty.json == []
    ended = await punchctl("export", *window, "--output", str(out), "--json", socket_path=stage.status)
    assert ended.json == {"file": str(out), "punches": 700}
    assert ended.err == ""
    assert out.read_bytes().decode() == text
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["march.csv"]


async def test_an_export_that_breaks_off_leaves_no_file(stage: Stage, tmp_path: Path) -> None:
    """The daemon's disk dies in the middle: exit 69, and an older file of that name is as it was."""
    out = tmp_path / "march.csv"
    out.write_text("the last one")
    read, pages = stage.kiosk.database.read, 0

    async def dying(fn):  # type: ignore[no-untyped-def]
        nonlocal pages
        pages += 1
        if pages > 1:
            raise sqlite3.OperationalError("disk I/O error")
        return await read(fn)

    stage.kiosk.database.read = dying  # type: ignore[method-assign]
    ended = await punchctl("export", "--output", str(out), socket_path=stage.status)
    assert ended.code == 69
    assert "Traceback" not in ended.err
    assert out.read_text() == "the last one"


async def test_a_place_that_cannot_be_written_is_1(stage: Stage, tmp_path: Path) -> None:
    """A missing directory, or a full stick (/dev/full), with a remedy."""
    for place in (tmp_path / "missing" / "x.csv", Path("/proc/x.csv")):
        ended = await punchctl("export", "--output", str(place), "--json", socket_path=stage.status)
        assert (ended.code, ended.json["code"]) == (1, "cannot_write")
        assert str(place) in ended.err


@pytest.mark.parametrize(
    "arguments",
    [("--since", "9", "--until", "9"), ("--timezone", "Europe/Amsterdam"),
     ("--database", "x", "--timezone", "Mars/Olympus"), ("--since", "2026-03-01T08:00:00")],
)  # fmt: skip
async def test_misuse_is_2(stage: Stage, arguments: tuple[str, ...]) -> None:
    """Said before anything is asked or opened."""
    assert (await punchctl("export", *arguments, socket_path=stage.status)).code == 2


async def test_progress_is_for_terminals_alone(stage: Stage, tmp_path: Path) -> None:
    """Standard error counts on a pseudo-terminal, and stays empty in a pipe."""
    theirs, ours = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, "export", "--output", str(tmp_path / "x.csv"), stderr=ours, stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PUNCHD_SOCKET": str(stage.status)},
    )  # fmt: skip
    await process.wait()
    os.close(ours)
    assert b"1200 punches" in await asyncio.to_thread(os.read, theirs, 65536)
    os.close(theirs)


# --- without the daemon


async def rescue(path: Path, *more: str, prefix: tuple[str, ...] = ()) -> Ended:
    command = (*prefix, *PUNCHCTL, "export", "--database", str(path), "--timezone", "Europe/Amsterdam", *more)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PUNCHD_SOCKET": "/x"},
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_a_stopped_daemons_database_is_read_and_left_as_it_was(tmp_path: Path) -> None:
    """The same lines as through the daemon; not a byte nor a file of the directory changed."""
    path = tmp_path / "punchd.db"
    fill(path, 1200, state_of)
    before = path.read_bytes()
    ended = await rescue(path)
    assert (ended.code, ended.err) == (0, "")
    assert ids(ended.out) == [f"P{number:07}" for number in range(1200)]
    assert ids((await rescue(path, "--undelivered")).out) == [f"P{n:07}" for n in range(1200) if n % 3 != 2]
    assert (path.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (before, ["punchd.db"])


async def test_a_running_daemons_database_is_read_too(stage: Stage) -> None:
    """With its newest punches still in the log."""
    assert (stage.kiosk.database.path.with_name("punchd.sqlite-wal")).stat().st_size > 0
    ended = await rescue(stage.kiosk.database.path)
    assert (ended.code, len(ids(ended.out))) == (0, 1200)


@pytest.mark.parametrize("gone_read_only", [False, True], ids=["writable", "read-only card"])
async def test_what_only_the_log_holds_comes_too(tmp_path: Path, gone_read_only: bool) -> None:
    """A power cut leaves punches in the -wal alone; they are not lost, also where nothing can be written any more."""
    crashed = tmp_path / "state"
    crashed.mkdir()
    async with open_kiosk() as stage:
        await stage.kiosk.database.write(lambda conn: insert(conn, 20, state_of))
        for one in ("", "-wal"):  # as a power cut finds them: no shared memory
            source = stage.kiosk.database.path.with_name(f"punchd.sqlite{one}")
            (crashed / f"punchd.db{one}").write_bytes(source.read_bytes())
    prefix: tuple[str, ...] = ()
    if gone_read_only:
        crashed.chmod(0o555)
        if os.geteuid() == 0:
            for one in (crashed, *crashed.iterdir()):
                os.chown(one, 65534, 65534)
                one.chmod(one.stat().st_mode | 0o444)
            prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown")
    ended = await rescue(crashed / "punchd.db", prefix=prefix)
    assert (ended.code, len(ids(ended.out))) == (0, 20), ended.err
    if gone_read_only:
        assert sorted(one.name for one in crashed.iterdir()) == ["punchd.db", "punchd.db-wal"]
        crashed.chmod(0o755)


async def test_what_is_no_database_of_ours_is_1(tmp_path: Path) -> None:
    """Missing, another program's, or no database: named with a remedy, without a traceback."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as conn:
        conn.execute("CREATE TABLE t (x)")
    text = tmp_path / "text.db"
    text.write_text("hello")
    for path in (tmp_path / "missing.db", other, text, tmp_path):
        ended = await rescue(path, "--json")
        assert ended.code == 1
        assert str(path) in ended.err
        assert "Traceback" not in ended.err


async def test_a_damaged_database_gives_what_it_can(tmp_path: Path) -> None:
    """Exit 1 with the way on; what was read before the damage has been written."""
    path = tmp_path / "punchd.db"
    fill(path, 20_000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(os.urandom(path.stat().st_size // 3))
    ended = await rescue(path, "--output", str(tmp_path / "out.csv"))
    assert ended.code == 1
    assert ".recover" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out.csv").exists()
    assert (tmp_path / "out.csv.part").exists()


async def test_memory_does_not_grow_with_the_punches(tmp_path: Path) -> None:
    """Sixty thousand punches take no more than some pages of them above a hundred."""
    peaks = []
    for count in (100, 60_000):
        path = tmp_path / f"{count}.db"
        await asyncio.to_thread(fill, path, count, state_of)
        script = (
            "import resource, sys; from daemon.control.cli import main;"
            " code = main(sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr);"
            " sys.exit(code)"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, "export", "--database", str(path), "--output", str(tmp_path / "out.csv"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, err = await process.communicate()
        assert process.returncode == 0, err
        peaks.append(int(err))
    assert peaks[1] - peaks[0] < 16 * 1024, peaks  # KiB; held whole they would take some 80 MB


async def test_taps_are_taken_while_an_export_is_read(tmp_path: Path) -> None:
    """No hop on the database is longer than a page, so that a tap's commit waits for one page at most."""
    path = tmp_path / "punchd.db"
    fill(path, 3 * PAGE)
    database = await Database.open(path)
    try:
        reading = Reading(None, None, undelivered=False)
        pages = []
        while page := await database.read(reading.page):
            pages.append(len(page))
        assert pages == [PAGE] * 3
    finally:
        await database.close()


def test_reading_only_refuses_to_write(tmp_path: Path) -> None:
    """Whatever a caller tries."""
    path = tmp_path / "punchd.db"
    fill(path, 1)
    with pytest.raises(Exception, match="readonly"), open_read_only(path) as conn:
        conn.execute("DELETE FROM deliveries")
