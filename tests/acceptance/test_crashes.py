"""Short profiles of the campaigns of tests/crashes (docs/reliability.md): kills, power cuts, disks that fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crashes.disk import why_not

SEED = 7
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(0)
def test_kills_at_random_moments_lose_double_and_misdate_nothing(tell):
    """People tap while punchd is killed under taps, requests, starts, stops, imports; their notebooks agree."""
    assert campaign(tell, "kills", "--kills", "10", "--seed", str(SEED)) == 0


@pytest.mark.timeout(0)
@pytest.mark.usefixtures("may_trace")
def test_an_io_error_at_a_write_or_a_sync_loses_nothing(tell):
    """Whichever call fails: refused honestly, taken later, delivered once."""
    assert campaign(tell, "errors", "--of-each", "1", "--side-by-side", "8") == 0


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "words", [("powercuts", "--cuts", "4"), ("faults", "--rounds", "2")], ids=lambda words: words[0]
)
def test_disks_that_lose_power_or_fail_lose_nothing_that_was_answered(words, tell):
    """On an ext4 of its own; without syncs the same looks would see taps gone."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    assert campaign(tell, *words, "--seed", str(SEED)) == 0


def campaign(tell: Callable[[str], None], name: str, *options: str) -> int:
    """Run one in a process of its own: a client whose server is killed leaves its socket to the collector."""
    command = [sys.executable, "-m", f"tests.crashes.{name}", *options]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    tell(run.stdout)
    return run.returncode
