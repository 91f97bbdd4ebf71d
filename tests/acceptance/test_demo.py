"""`punchd demo` as somebody at a fresh checkout meets it: what it prints, what it exits with, what it leaves behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sandbox import demo, sample, stage
from sandbox.handle import Sandbox
from sandbox.screen import WIDTH, Screen

PATIENCE_S = 120.0
"""Only ever waited for when something is broken."""
REPEAT_S = 2
"""Where nobody reads along, people stay for less long: most of a demo is waiting until a tap is no repeat."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo puts its files. Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="demo") as name:
        yield Path(name)


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "daemon.cli", "demo"],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def until(process: subprocess.Popen[str], words: str) -> str:
    """Read its output up to the line with these words."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return read
    raise AssertionError(f"{words!r} was never said:\n{read}")


def ours(folder: Path) -> dict[int, str]:
    """Processes whose command line names the folder: the demo's punchd."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace") if entry.name.isdigit() else ""
        except OSError:
            continue
        if str(folder) in command:
            found[int(entry.name)] = command
    return found


def nothing_left(folder: Path) -> bool:
    return not ours(folder) and not list(folder.iterdir())


def test_the_demo_agrees_and_cleans_up(folder):
    """Exit 0; both ways to lose a request are shown; plain text of at most 80 columns in a pipe; nothing stays."""
    with start(folder) as process:
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "They agree: 14 punches" in said
    assert "Connecteam was asked to clock Chidi Okafor in 2 times: " in said
    assert "Connecteam was asked to clock Emre Yılmaz in once: " in said
    assert "7\n" in said.split("answer is lost")[1].split("cable is back")[0], "the queue grew"
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= WIDTH
    assert nothing_left(folder)


async def test_the_demo_sees_what_differs(folder, monkeypatch):
    """A time moved by one second, a shift added, a person whom the service refuses: exit 1, and each is named."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(stage, "REPEAT_S", REPEAT_S)
    monkeypatch.setattr(demo, "_STAY_S", REPEAT_S + 0.2)
    out = io.StringIO()

    def populate(sandbox: Sandbox) -> None:
        sample.populate(sandbox)
        sandbox.manager.unassign(9170360)

    monkeypatch.setattr(stage, "populate", populate)

    def meddle(sandbox: Sandbox) -> None:
        rows = {row.user_id: row for row in sandbox.timesheet()}
        sandbox.manager.edit_shift(rows["9170359"].id, start=rows["9170359"].start - 1)
        sandbox.manager.add_shift(9170361, rows["9170361"].start - 7200, rows["9170361"].start - 3600)

    screen = Screen(out, {}, ZoneInfo("Europe/Amsterdam"))
    code = await demo.play(screen, meddle=meddle, beat_s=0)
    assert "For Dewi Lestari a person must decide (not_assigned)" in out.getvalue()
    told = " ".join(out.getvalue().split("They differ:")[1].split())
    assert code == 1
    assert "Chidi Okafor: came at " in told
    assert "Dewi Lestari: the timesheet has nothing of what was tapped at " in told
    assert "Emre Yılmaz: the timesheet has a shift from " in told
    assert "that nobody tapped" in told
    assert "Anna" not in told
    assert nothing_left(folder)


@pytest.mark.parametrize(
    ("number", "when"),
    [(signal.SIGINT, "Nothing here leaves"), (signal.SIGINT, "answer is lost"), (signal.SIGTERM, "welcome")],
    ids=["ctrl-c at the start", "ctrl-c while the cable is cut", "sigterm"],
)
def test_a_signal_leaves_nothing_behind(folder, number, when):
    """Whenever it comes, also twice: the exit code of that signal, no process, no file, no traceback."""
    with start(folder) as process:
        until(process, when)
        process.send_signal(number)
        process.send_signal(number)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert nothing_left(folder)


def test_a_punchd_that_dies_fails_the_demo(folder):
    """Killed in the middle: exit 1 with words and the end of its log, and nothing stays."""
    with start(folder) as process:
        until(process, "2. The cable is pulled")
        (pid,) = ours(folder)
        os.kill(pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    assert "The demo could not go on" in said
    assert "service.started" in said
    assert "Traceback" not in said
    assert nothing_left(folder)


def test_a_reader_that_goes_away_ends_the_demo(folder):
    """`punchd demo | head` ends without a traceback, and nothing stays."""
    with start(folder) as process:
        until(process, "1. The network is fine")
        assert process.stdout is not None
        process.stdout.close()
        process.wait(PATIENCE_S)
    assert process.returncode == 128 + signal.SIGPIPE
    assert nothing_left(folder)
