"""`python -m tests.crashes.errors [--of-each 3] [--every]`: an error at any write and any sync of a day at the door.

strace lets one system call of the database's thread fail, or three in a row, with EIO or ENOSPC; the disk works again
after it. A day has some 450 such calls, most of them the same thing done again (the next page of a commit, the next
commit of the same shape): without --every one of each kind is tried. Whoever is refused taps again. In the end the
timesheet must say what was tapped, nobody may have been shown a success that is not stored, and what is stored is
looked at once more after a start without errors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crashes.day import CHANGES, Step, all_steps, at_the_door, distinct, on_files, spread, watched
from tests.crashes.notebook import Noted, of_punches
from tests.crashes.settling import all_punches
from tests.support.door import disagreements
from tests.support.nursery import Nursery

#: How a call fails, and how many in a row.
_Ways = tuple[tuple[str, int], ...]
FAILURES: _Ways = (("EIO", 1), ("EIO", 3), ("ENOSPC", 1), ("ENOSPC", 3))
#: A day waits more than it computes.
SIDE_BY_SIDE = 3
PROGRESS_EVERY = 10


def sweep(
    of_each: int | None, folder: Path, *, every: bool = False, side_by_side: int = SIDE_BY_SIDE
) -> tuple[list[str], Counter[str]]:
    """Days for each step (each kind of step for None); what is wrong, in words, and what was tried."""
    nursery = Nursery()
    try:
        steps = [step for step in all_steps(folder, nursery, CHANGES, files_only=True) if step.thread != 0]
    finally:
        nursery.close()
    tried = steps if every else distinct(steps)
    tried = tried if of_each is None else spread(tried, dict.fromkeys(CHANGES, of_each))
    # In a short run one fails once, the next three times in a row, and so on.
    ways = [FAILURES] if of_each is None else [FAILURES[0::2], FAILURES[1::2]]
    days = [(step, ways[number % len(ways)]) for number, step in enumerate(tried)]
    how = ", ".join(f"{error} x {count}" for error, count in FAILURES)
    by = "each" if of_each is None else "in turn"
    print(f"{len(tried)} of {len(steps)} calls fail ({len(distinct(steps))} are distinct), {by} by {how}", flush=True)
    with ThreadPoolExecutor(side_by_side) as pool:
        parts = [pool.submit(_days, days[n::side_by_side], folder) for n in range(side_by_side)]
        results = [part.result() for part in parts]
    wrong = [line for lines, _ in results for line in lines]
    return wrong, sum((counted for _, counted in results), Counter())


def _days(steps: Sequence[tuple[Step, _Ways]], folder: Path) -> tuple[list[str], Counter[str]]:
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    nursery = Nursery()
    try:
        for number, (step, ways) in enumerate(steps, 1):
            for error, count in ways:
                wrong += _one_day(step, error, count, folder, nursery, counted)
            if number % PROGRESS_EVERY == 0:
                print(f"  {number} of {len(steps)} calls of this part, {len(wrong)} days wrong", flush=True)
    finally:
        nursery.close()
    return wrong, counted


def _one_day(step: Step, error: str, count: int, folder: Path, nursery: Nursery, counted: Counter[str]) -> list[str]:
    """A day in which these calls fail; what is wrong with it."""
    inject = f"inject={step.call}:error={error}:when={step.n}..{step.n + count - 1}"
    with tempfile.TemporaryDirectory(dir=folder) as name, at_the_door(Path(name), nursery) as (here, sandbox):
        trace = Path(name) / "trace"
        with watched(
            here.punchd, step.thread, "-o", str(trace), "-e", f"trace={step.call}", "-e", inject, *on_files(here.kiosk)
        ):
            here.whole_day()
        failed = trace.read_text(errors="replace").count("(INJECTED)")
        counted["days"] += 1
        counted[f"{step.call}s that failed"] += failed
        counted["taps refused and taken later"] += here.refused
        again = nursery.start(here.kiosk.config, Path(name) / "log")
        try:
            stored = of_punches([Noted(tap, None) for tap in here.taps], all_punches(here.kiosk))
        finally:
            again.killed()
        log = (Path(name) / "log").read_text()
    wrong = [*disagreements(here.taps, sandbox.timesheet()), *stored.words]
    counted["calls not reached: that day was shorter"] += not failed
    wrong += ["it ended by itself"] if here.interrupted else []
    return [f"{step}, {error}, {count} in a row: {words}\n{log[-3000:]}" for words in wrong]


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every day ended right."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes.errors", description=__doc__)
    parser.add_argument("--of-each", type=int, help="so many of each system call, each in half the ways")
    parser.add_argument("--every", action="store_true", help="every single call, some 1800 days: hours")
    parser.add_argument("--side-by-side", type=int, default=SIDE_BY_SIDE, help="days at once")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="errors") as name:
        wrong, counted = sweep(options.of_each, Path(name), every=options.every, side_by_side=options.side_by_side)
    print(*(f"  {count:5}  {what}" for what, count in counted.most_common()), sep="\n")
    print("every day ended right" if not wrong else "\n  ".join(["WRONG", *wrong[:10]]))
    if not any(what.endswith("s that failed") and count for what, count in counted.items()):
        print("nothing failed: this run proves nothing")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
