"""What every test run shares: whatever could not run here is named at the end, with its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.pcscd import SOCKET_VARIABLE, missing

# One commit, one verdict: what a run tries does not change by itself. HYPOTHESIS_PROFILE=default looks for more, and
# `make fuzz` and `make simulate` are there for that.
settings.register_profile("same each time", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same each time"))


@pytest.fixture(scope="session")
def pcscd_home() -> Iterator[Path]:
    """Where this run's own pcscd lives; libpcsclite of this process and its children looks for it there.

    One place a process, because libpcsclite reads the variable once; short, because a socket's path must be.
    """
    why_not = missing()
    if why_not is not None:
        pytest.skip(why_not)
    pytest.importorskip("smartcard", reason="pyscard is not installed (make test installs it)")
    before = os.environ.get(SOCKET_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="punchd-pcscd-") as directory:
        os.environ[SOCKET_VARIABLE] = str(Path(directory) / "pcscd.comm")
        yield Path(directory)
        if before is None:
            del os.environ[SOCKET_VARIABLE]
        else:
            os.environ[SOCKET_VARIABLE] = before


@pytest.fixture(scope="session")
def may_trace() -> None:
    """This machine has strace and lets it watch processes; whoever needs that is named as not run otherwise."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (apt-get install strace)")
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine allows no tracing: {tried.stderr.strip()}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What campaigns tried; and each part that did not run is named, also where everything else is quiet."""
    for report in terminalreporter.stats.get("passed", []):
        for figures in (value for name, value in report.user_properties if name == "tried"):
            terminalreporter.section(report.nodeid.rpartition("::")[2])
            terminalreporter.write_line(figures.strip())
    left_out = [
        (report.nodeid, _reason(report))
        for outcome in ("skipped", "xfailed")
        for report in terminalreporter.stats.get(outcome, [])
        if isinstance(report, pytest.TestReport | pytest.CollectReport)
    ]
    if not left_out:
        return
    terminalreporter.section("did not run on this machine")
    for nodeid, reason in left_out:
        terminalreporter.write_line(f"{nodeid}: {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return getattr(report, "wasxfail", "") or str(report.longrepr)
