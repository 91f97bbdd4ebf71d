"""`python -m tests.simulation.weeks run --weeks 300 --seed 1`, `replay FILE` for one script exactly, and `reach`.

One week a seed, counted on from the first. Exit 0 when every promise held, 1 otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.simulation.weeks.coverage import Coverage, Reach, summary, table
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.one import Week, judge, one_week, seldom_collected
from tests.simulation.weeks.run import run
from tests.simulation.weeks.script import Script
from tests.simulation.weeks.shrink import shrink

#: Failing weeks that are made shorter and told in full; of more only the seeds.
TOLD_MAX = 3
#: So many weeks from the first seed on must reach all that reach.toml wants. Fewer are a look at something else, and of
#: as many others one in three misses what happens once in a hundred weeks.
WHOLE, FIRST = 300, 1
#: Weeks until a process has loaded what it needs, and what it may hold more in the end: a week makes millions.
SETTLED, OBJECTS_MORE, FILES_MORE = 5, 10_000, 2
#: How the simulator is called where it is told how.
_PYTHON = ".venv/bin/python -m tests.simulation.weeks"
#: Broken promises told of one week.
LINES_MAX = 8


def weeks(first: int, count: int, jobs: int, people: int | None = None) -> Iterator[Week]:
    """So many weeks, as they are done."""
    seeds, live = range(first, first + count), partial(one_week, people=people)
    if jobs == 1 or count == 1:
        seldom_collected()
        yield from map(live, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, seldom_collected, maxtasksperchild=50) as pool:
        yield from pool.imap_unordered(live, seeds)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.weeks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    many = commands.add_parser("run", help="so many weeks, one a seed")
    many.add_argument("--weeks", type=int, default=300)
    many.add_argument("--seed", type=int, default=1)
    many.add_argument("--people", type=int, help="how many the company has; drawn for each week otherwise")
    many.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    many.add_argument("--shrink-s", type=float, default=120.0, help="how long to look for a shorter script; 0: not")
    many.add_argument("--keep", type=Path, default=Path("build/simulation"), help="where scripts of failing weeks go")
    again = commands.add_parser("replay", help="one script, exactly as it was")
    again.add_argument("file", type=Path)
    again.add_argument("--history", type=Path, help="write down everything that happened")
    commands.add_parser("reach", help="what weeks can reach, as docs/reliability.md has it")
    wanted = parser.parse_args()
    if wanted.command == "reach":
        print(table(Reach.load()))
        return 0
    if wanted.command == "replay":
        return _replay(wanted.file, wanted.history)
    return _run(wanted)


def _run(wanted: argparse.Namespace) -> int:
    began, done, kiosks, failed, taps, requests, cpu_s = time.monotonic(), 0, 0, list[Week](), 0, 0, 0.0
    reached, held = Coverage(), dict[int, list[Week]]()
    for week in weeks(wanted.seed, wanted.weeks, wanted.jobs, wanted.people):
        kiosks += week.kiosks
        done, taps, requests, cpu_s = done + 1, taps + week.taps, requests + week.requests, cpu_s + week.cpu_s
        reached.add(Coverage.load(week.reached))
        held.setdefault(week.process, []).append(week)
        if week.broken:
            failed.append(week)
            print(f"\rseed {week.seed}: {week.broken[0][1]}", flush=True)
        if sys.stdout.isatty():
            print(f"\r{done} of {wanted.weeks} weeks, {taps} taps, {requests} requests", end="", flush=True)
    took_s = time.monotonic() - began
    print(
        f"\r{done} weeks from seed {wanted.seed} ({kiosks} kiosk-weeks): {taps} taps, {requests} requests, "
        f"{len(failed)} broke a promise; {took_s:.0f} s, {cpu_s / max(1, done):.2f} s of processor a week"
    )
    grown = _grown(held)
    failed.sort(key=lambda week: week.seed)
    for week in failed[:TOLD_MAX]:
        _tell(week, wanted.keep, wanted.shrink_s, wanted.people)
    if failed[TOLD_MAX:]:
        print(f"also broken: {' '.join(str(week.seed) for week in failed[TOLD_MAX:])}")
    unreached = _tell_reached(reached, wanted.keep, whole=wanted.weeks >= WHOLE and wanted.seed == FIRST)
    return 1 if failed or unreached or grown else 0


def _grown(held: dict[int, list[Week]]) -> bool:
    """Say which process holds more after each of its last weeks than after any of its first few."""
    grown = False
    for process, lived in held.items():
        for what, more_max in (("objects", OBJECTS_MORE), ("files", FILES_MORE)):
            early = max(int(getattr(week, what)) for week in lived[:SETTLED])
            late = min(int(getattr(week, what)) for week in lived[-SETTLED:])
            if late > early + more_max:
                grown = True
                print(f"process {process} held {early} {what} after its first weeks and {late} in the end: a leak")
    return grown


def _tell_reached(reached: Coverage, keep: Path, *, whole: bool) -> bool:
    """Say what the weeks reached, and write the whole table; whether a whole run left out what it must reach."""
    reach = Reach.load()
    keep.mkdir(parents=True, exist_ok=True)
    (keep / "reached.md").write_text(table(reach, reached))
    (keep / "reached.json").write_text(reached.dump())
    print(f"\n{summary(reach, reached)}\nwhole table: {keep / 'reached.md'}")
    for name in reach.unlisted(reached):
        print(f"reached, and in no list (tests/simulation/weeks/reach.toml): {name}")
    missing, refuted = reach.missing(reached) if whole else [], reach.refuted(reached)
    for name in missing:
        print(f"never reached: {name}")
    for name in refuted:
        print(f"reached, and said to be impossible: {name}")
    return bool(missing or refuted)


def _tell(week: Week, keep: Path, shrink_s: float, people: int | None) -> None:
    """Say what one week broke, with the shortest script that still does, and how to live through it again."""
    print(f"\nseed {week.seed} breaks what is promised:")
    for _, text in week.broken[:LINES_MAX]:
        print(f"  {text}")
    if week.broken[LINES_MAX:]:
        print(f"  and {len(week.broken) - LINES_MAX} more")
    rule, script = week.broken[0][0], draw_script(week.seed, people)
    shorter = shrink(script, lambda one: any(name == rule for name, _ in judge(one)), shrink_s)
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"seed-{week.seed}.jsonl"
    path.write_text(shorter.dump())
    print(f'"{rule}" still breaks with {len(shorter.events)} of {len(script.events)} events:')
    for event in shorter.events[:40]:
        print(f"  {_clock(event.at)} {event.what} {dict(event.data)}")
    whole = f"make simulate SEED={week.seed} WEEKS=1"
    if people is not None:
        whole = f"{_PYTHON} run --weeks 1 --seed {week.seed} --people {people}"
    print(f"again, whole:   {whole}")
    print(f"again, shorter: {_PYTHON} replay {path}", flush=True)


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
