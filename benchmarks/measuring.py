"""Ratios against baselines of the same run: how they are taken, judged and printed, and on what machine."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `rounds` ratios a figure, each over so many taps, presentations, starts or seconds."""

    rounds: int
    taps: int
    cards: int
    flushed: int
    stored: tuple[int, ...]
    starts: int
    idle_s: float


FULL = Scale(rounds=7, taps=300, cards=110, flushed=200, stored=(0, 10_000, 200_000), starts=7, idle_s=20.0)
#: Shows that each figure can be taken; the figures themselves mean little.
QUICK = Scale(rounds=1, taps=10, cards=2, flushed=8, stored=(0, 1_000), starts=1, idle_s=1.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of `values`, its spread, and the aim it is held against (none: it only explains).

    `unit` is empty for a ratio. `aim` is a ceiling, or a floor with `at_least`.
    """

    name: str
    values: Sequence[float]
    aim: float | None = None
    at_least: bool = False
    unit: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return self.median >= self.aim if self.at_least else self.median <= self.aim

    def line(self) -> str:
        """One line of text."""
        unit = f" {self.unit}" if self.unit else ""
        shown = f"{self.median:.2f}{unit} ({min(self.values):.2f}–{max(self.values):.2f}, n={len(self.values)})"
        aimed = ""
        if self.aim is not None:
            aimed = f"aim {'>=' if self.at_least else '<='} {self.aim:g}{unit}: {'met' if self.met else 'MISSED'}"
        return f"  {self.name:<62} {shown:<36} {aimed}{'  ' if aimed and self.note else ''}{self.note}".rstrip()


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine(folder: Path) -> list[str]:
    """What the figures were taken on; `folder` is where the databases were."""
    told = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in told if line.startswith(("model name", "Model"))), "unknown"
    )
    return [
        f"CPU {model}, {len(os.sched_getaffinity(0))} cores; load {', '.join(f'{one:.1f}' for one in os.getloadavg())}",
        f"Linux {platform.release()} {platform.machine()}; databases on {_file_system(folder)}",
        f"Python {platform.python_version()} ({sys.executable}), SQLite {sqlite3.sqlite_version}",
    ]


def _file_system(folder: Path) -> str:
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, its_kind, *_ = line.split()
        if str(folder.resolve()).startswith(place.rstrip("/") + "/") and len(place) > len(best):
            best, kind = place, its_kind
    return f"{kind} ({best or '/'})"
