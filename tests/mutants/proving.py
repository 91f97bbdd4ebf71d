"""Runs one proof in one tree: a process of its own, bounded in time, of which nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: A single test that takes longer than this hangs; the slowest sound one takes half.
TEST_MAX_S: Final = 60
#: Several tests together.
PROOF_MAX_S: Final = 240.0

#: Hypothesis's own profile for machines: the same examples every time, and no deadline for slow ones.
_PYTEST: Final = ("-x", "-q", "--tb=no", "-rfE", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile=ci")
_RED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*?\])?(?: - (.*))?$", re.MULTILINE)
#: pytest's own exit codes.
_GREEN, _TESTS_RED = 0, 1

#: What runs now, so that whoever ends the runner ends it all.
_running: set[subprocess.Popen[str]] = set()
_over = threading.Event()


class Over(Exception):
    """The runner is being ended: nothing is begun any more."""


@dataclass(frozen=True)
class Proof:
    """How it came out. `red_by` names the first test that failed; `words` are its first words, or what went wrong."""

    green: bool
    red_by: str | None
    words: str
    took_s: float
    hung: bool = False
    #: Nothing was proven: the tests do not even load, or are not there.
    void: bool = False


@dataclass(frozen=True)
class Ended:
    """A process that is gone. `code` is None where it was ended for taking too long."""

    code: int | None
    output: str
    took_s: float


def run(command: Sequence[str], tree: Path, limit_s: float) -> Ended:
    """Run a Python command in a tree, whose sources it then uses; it and all it started are gone afterwards.

    Raises Over.
    """
    if _over.is_set():
        raise Over
    around = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=tree,
        env=around,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    code: int | None = None
    _running.add(process)
    try:
        output, _ = process.communicate(timeout=limit_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        output = f"ended after {limit_s:g} s"
    finally:
        _end(process)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        _running.discard(process)
    if _over.is_set():
        raise Over  # it was ended, and proves nothing
    return Ended(code, output, time.monotonic() - began)


def prove(tests: Sequence[str], tree: Path, limit_s: float = PROOF_MAX_S) -> Proof:
    """Run these tests until the first goes red."""
    ended = run(["-m", "pytest", *_PYTEST, "-o", f"timeout={TEST_MAX_S}", *tests], tree, limit_s)
    if ended.code is None:
        return Proof(False, " ".join(tests), "hung", ended.took_s, hung=True)
    found = _RED.search(ended.output)
    words = (found[2] or "") if found else ended.output.strip()[-300:]
    if ended.code == _GREEN:
        return Proof(True, None, "", ended.took_s)
    if ended.code == _TESTS_RED and found:
        return Proof(False, found[1], words, ended.took_s, hung="Timeout" in words)
    return Proof(False, found[1] if found else None, words, ended.took_s, void=True)


def end_all() -> None:
    """End every proof that runs, with all that it started, and let none begin."""
    _over.set()
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End what is left of a process and of all it started; its session is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
