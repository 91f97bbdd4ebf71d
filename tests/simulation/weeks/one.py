"""One week lived, judged and counted: what a process of its own does for each seed."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass

from tests.simulation.weeks.checker import check
from tests.simulation.weeks.coverage import Coverage, of_history, watching
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.run import run
from tests.simulation.weeks.script import Script


@dataclass(frozen=True, slots=True)
class Week:
    """What came of one week: which promises were broken (rule and words), and what it cost."""

    seed: int
    kiosks: int
    broken: tuple[tuple[str, str], ...]
    taps: int
    requests: int
    cpu_s: float
    process: int
    objects: int  # what the process still holds after the week
    files: int  # and has open
    reached: str  # a Coverage, as JSON


def judge(script: Script) -> list[tuple[str, str]]:
    """Live through a script and name what it broke: rule and words. A run that cannot be ended is broken as well."""
    return _live(script)[0]


def _live(script: Script) -> tuple[list[tuple[str, str]], int, int, Coverage]:
    reached = Coverage()
    try:
        with watching(reached):
            history = run(script)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the other weeks go on
        return [("ran", f"{type(error).__name__}: {error}")], 0, 0, reached
    kinds = [type(line).__name__ for line in history.lines]
    broken = [(violation.rule, str(violation)) for violation in check(history)]
    reached.add(of_history(history))
    return broken, kinds.count("Presented"), kinds.count("Asked"), reached


def one_week(seed: int, people: int | None = None) -> Week:
    """The week of a seed, judged; of so many people where that is said."""
    began = time.process_time()
    script = draw_script(seed, people)
    broken, taps, requests, reached = _live(script)
    return Week(
        seed,
        len(script.kiosks),
        tuple(broken),
        taps,
        requests,
        time.process_time() - began,
        os.getpid(),
        _objects(),
        _files(),
        reached.dump(),
    )


def _objects() -> int:
    """How many objects are left once everything of the week is let go.

    Not the process's memory: the C library keeps what the fullest week needed.
    """
    gc.collect()
    return len(gc.get_objects())


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


def seldom_collected() -> None:
    """All of a week is kept to its end: to look through it for garbage each 700 objects is a tenth of the cost.

    The modules are there for good, and a week's objects in their hundreds of thousands are let go at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
