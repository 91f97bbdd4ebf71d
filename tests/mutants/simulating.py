"""Simulated weeks as a proof: how many days pass under a mutant until the checker of a history speaks."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.proving import run
from tests.mutants.trial import Weeks

#: One week takes some ten seconds of a processor, which `living` counts; this is for one that waits.
WEEK_MAX_S: Final = 1800.0


@dataclass(frozen=True)
class Week:
    """What became of one week: its length, and by rule the day of the first broken promise with the checker's words."""

    days: float
    broken: Mapping[str, tuple[float, str]]


class Simulator:
    """The weeks of some seeds, one after the other until a promise is broken.

    `own` are the rules that the code breaks without any mutant, by seed: they say nothing of one.
    """

    def __init__(self, seeds: Iterable[int]) -> None:
        self.own: dict[int, frozenset[str]] = dict.fromkeys(seeds, frozenset())

    def __call__(self, tree: Path) -> Weeks:
        """Live through them in this tree."""
        days, took_s = 0.0, 0.0
        for seed, own in self.own.items():
            lived, cost_s = week(tree, seed)
            took_s += cost_s
            if lived is None:
                return Weeks(None, days, f"seed {seed}: hung", took_s, hung=True)
            news = sorted(place for rule, place in lived.broken.items() if rule not in own)
            if news:
                return Weeks(round(days + news[0][0], 1), days, f"seed {seed}: {news[0][1]}", took_s)
            days += lived.days
        return Weeks(None, round(days, 1), "", took_s)


def week(tree: Path, seed: int) -> tuple[Week | None, float]:
    """One week, None where it never ends; and how long it took."""
    ended = run(["-m", "tests.mutants.living", str(seed)], tree, WEEK_MAX_S)
    if ended.code in (None, -signal.SIGXCPU):
        return None, ended.took_s
    lines = ended.output.strip().splitlines()
    try:
        told = json.loads(lines[-1])
    except (IndexError, ValueError):
        # It did not even come to its end: an import that fails, an exit from within.
        return Week(0.0, {"ran": (0.0, ended.output.strip()[-300:])}), ended.took_s
    return Week(told["days"], {rule: (day, words) for rule, (day, words) in told["broken"].items()}), ended.took_s
