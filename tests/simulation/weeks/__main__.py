"""`python -m tests.simulation.weeks run --weeks 300 --seed 1`, and `replay FILE` for one script exactly.

One week a seed, counted on from the first. Exit 0 when every promise held, 1 otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.weeks.checker import check
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.run import run
from tests.simulation.weeks.script import Script
from tests.simulation.weeks.shrink import shrink

#: Failing weeks that are made shorter and told in full; of more only the seeds.
TOLD_MAX = 3
#: Broken promises told of one week.
LINES_MAX = 8


@dataclass(frozen=True, slots=True)
class Week:
    """What came of one week: which promises were broken (rule and words), and what it cost."""

    seed: int
    broken: tuple[tuple[str, str], ...]
    taps: int
    requests: int
    cpu_s: float


def judge(script: Script) -> list[tuple[str, str]]:
    """Live through a script and name what it broke: rule and words. A run that cannot be ended is broken as well."""
    return _live(script)[0]


def _live(script: Script) -> tuple[list[tuple[str, str]], int, int]:
    try:
        history = run(script)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the other weeks go on
        return [("ran", f"{type(error).__name__}: {error}")], 0, 0
    kinds = [type(line).__name__ for line in history.lines]
    broken = [(violation.rule, str(violation)) for violation in check(history)]
    return broken, kinds.count("Presented"), kinds.count("Asked")


def one_week(seed: int) -> Week:
    """The week of a seed, judged."""
    began = time.process_time()
    broken, taps, requests = _live(draw_script(seed))
    return Week(seed, tuple(broken), taps, requests, time.process_time() - began)


def weeks(first: int, count: int, jobs: int) -> Iterator[Week]:
    """So many weeks, as they are done."""
    seeds = range(first, first + count)
    if jobs == 1 or count == 1:
        yield from map(one_week, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(one_week, seeds)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.weeks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    many = commands.add_parser("run", help="so many weeks, one a seed")
    many.add_argument("--weeks", type=int, default=300)
    many.add_argument("--seed", type=int, default=1)
    many.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    many.add_argument("--shrink-s", type=float, default=120.0, help="how long to look for a shorter script; 0: not")
    many.add_argument("--keep", type=Path, default=Path("build/simulation"), help="where scripts of failing weeks go")
    again = commands.add_parser("replay", help="one script, exactly as it was")
    again.add_argument("file", type=Path)
    again.add_argument("--history", type=Path, help="write down everything that happened")
    wanted = parser.parse_args()
    if wanted.command == "replay":
        return _replay(wanted.file, wanted.history)
    return _run(wanted)


def _run(wanted: argparse.Namespace) -> int:
    began, done, failed, taps, requests, cpu_s = time.monotonic(), 0, list[Week](), 0, 0, 0.0
    for week in weeks(wanted.seed, wanted.weeks, wanted.jobs):
        done, taps, requests, cpu_s = done + 1, taps + week.taps, requests + week.requests, cpu_s + week.cpu_s
        if week.broken:
            failed.append(week)
            print(f"\rseed {week.seed}: {week.broken[0][1]}", flush=True)
        if sys.stdout.isatty():
            print(f"\r{done} of {wanted.weeks} weeks, {taps} taps, {requests} requests", end="", flush=True)
    took_s = time.monotonic() - began
    print(
        f"\r{done} kiosk-weeks from seed {wanted.seed}: {taps} taps, {requests} requests, {len(failed)} broke a "
        f"promise; {took_s:.0f} s, {cpu_s / max(1, done):.2f} s of processor a week"
    )
    failed.sort(key=lambda week: week.seed)
    for week in failed[:TOLD_MAX]:
        _tell(week, wanted.keep, wanted.shrink_s)
    if failed[TOLD_MAX:]:
        print(f"also broken: {' '.join(str(week.seed) for week in failed[TOLD_MAX:])}")
    return 1 if failed else 0


def _tell(week: Week, keep: Path, shrink_s: float) -> None:
    """Say what one week broke, with the shortest script that still does, and how to live through it again."""
    print(f"\nseed {week.seed} breaks what is promised:")
    for _, text in week.broken[:LINES_MAX]:
        print(f"  {text}")
    if week.broken[LINES_MAX:]:
        print(f"  and {len(week.broken) - LINES_MAX} more")
    rule, script = week.broken[0][0], draw_script(week.seed)
    shorter = shrink(script, lambda one: any(name == rule for name, _ in judge(one)), shrink_s)
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"seed-{week.seed}.jsonl"
    path.write_text(shorter.dump())
    print(f'"{rule}" still breaks with {len(shorter.events)} of {len(script.events)} events:')
    for event in shorter.events[:40]:
        print(f"  {_clock(event.at)} {event.what} {dict(event.data)}")
    print(f"again, whole:   make simulate SEED={week.seed} WEEKS=1")
    print(f"again, shorter: python -m tests.simulation.weeks replay {path}", flush=True)


def _clock(at: float) -> str:
    day, second = divmod(at, 86400)
    return f"day {int(day) + 1} {int(second // 3600):02d}:{int(second % 3600 // 60):02d}:{second % 60:06.3f}"


def _replay(file: Path, history: Path | None) -> int:
    script = Script.load(file.read_text())
    if history is not None:
        history.write_text(run(script).dump())
    broken = judge(script)
    for _, text in broken:
        print(text)
    print(f"{len(script.events)} events, {len(broken)} broken promises")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
