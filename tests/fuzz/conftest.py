"""Says how much was tried, and fails a long run that tried too little."""

from __future__ import annotations

import pytest

from tests.support.fuzzing import LONG, TRIED, too_few


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Counted is what ran, not what was asked for."""
    if LONG and session.exitstatus == pytest.ExitCode.OK and too_few(TRIED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of a long run, by target."""
    if not LONG:
        return
    terminalreporter.section("hostile inputs")
    for target, count in sorted(TRIED.items()):
        terminalreporter.write_line(f"{target:<40} {count:>8,}")
    terminalreporter.write_line(f"{'in all':<40} {TRIED.total():>8,}")
    if missing := too_few(TRIED):
        terminalreporter.write_line(f"FAILED: {missing}", red=True)
