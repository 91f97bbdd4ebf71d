"""Simulated weeks as a proof, where this checkout has them."""

from __future__ import annotations

from tests.mutants.trial import Simulator


def simulator() -> Simulator | None:
    """Simulated weeks; None where there are none."""
    return None
