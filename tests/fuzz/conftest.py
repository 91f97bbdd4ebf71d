"""Says how much was tried."""

from __future__ import annotations

import pytest

from tests.support.fuzzing import LONG, TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of a long run, by target."""
    if not (LONG and TRIED):
        return
    terminalreporter.section("hostile inputs")
    for target, count in sorted(TRIED.items()):
        terminalreporter.write_line(f"{target:<40} {count:>8,}")
    terminalreporter.write_line(f"{'in all':<40} {TRIED.total():>8,}")
