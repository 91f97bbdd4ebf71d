"""What every test run shares: whatever could not run here is named at the end, with its reason."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nothing is skipped silently: each part that did not run is named, also where everything else is quiet."""
    left_out = [
        (report.nodeid, _reason(report))
        for outcome in ("skipped", "xfailed", "deselected")
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
