"""Every benchmark runs and prints its figures. What the figures say is not judged here: this machine may be busy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pcscd import SOCKET_VARIABLE, missing

ROOT = Path(__file__).resolve().parents[2]
#: One figure of each that only that benchmark prints.
FIGURES = {
    "taps": r"tap to durable / the same SQL in bare sqlite3, p99 +\d",
    "badge": r"our own part: UID to feedback handed to the driver, p99 +\d",
    "flush": r"flush rate / bare httpx loop +\d",
    "growth": r"planner's next step, 1,000 stored / none stored +\d",
    "memory": r"resident memory / bare imports of its libraries +\d",
    "wake-ups": r"idle wake-ups, all threads, watchdog on +\d",
    "life": r"syncs over a punch's whole life +\d",
    "command": r"punchctl status / importing its own libraries +\d",
}


@pytest.mark.parametrize("name", FIGURES)
def test_prints_its_figures(name: str, request: pytest.FixtureRequest) -> None:
    """`python -m benchmarks --quick NAME` ends in order and prints the figure, and the machine it was taken on."""
    if name == "badge" and (lacking := missing()) is not None:
        pytest.skip(lacking)
    if name == "life":
        request.getfixturevalue("may_trace")
    # Its pcscd is its own: this run's must not be disturbed.
    environment = {key: value for key, value in os.environ.items() if key != SOCKET_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", name],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(FIGURES[name], done.stdout), done.stdout
    assert re.search(r"^CPU .+ cores", done.stdout, re.MULTILINE), done.stdout
