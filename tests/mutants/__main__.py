"""Try the mutants: `python -m tests.mutants [IDS…] [--fast] [--weeks 20] [--jobs 2] [--write PAGE] [--json FILE]`.

First everything is asked of the code as it is: its tests must be green, else nothing below means anything; a simulated
week that breaks a promise without any mutant is told, and in it that promise says nothing of mutants. Exit code 1 when
a mutant was caught by nothing, or its proofs do not even load; 2 when the code itself is red.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.mutants import report, trees
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.proving import end_all, prove
from tests.mutants.simulating import Simulator, week
from tests.mutants.trial import Trial, try_one

#: All proofs of all mutants take about this long on a small machine, once, unbroken.
CONTROL_MAX_S = 1800.0


def main(words: Sequence[str]) -> int:
    """Try what is asked for; the exit code."""
    asked = _arguments(words)
    chosen = _chosen(asked.ids)
    weeks = None if asked.fast else Simulator(range(asked.seed, asked.seed + asked.weeks))
    with tempfile.TemporaryDirectory(prefix="punchd-mutants-") as folder:
        copies = [trees.copy(Path(folder) / str(number)) for number in range(asked.jobs)]
        why = _control(chosen, copies, weeks)
        if why is not None:
            print(f"The code as it is does not pass, so nothing can be said of mutants: {why}", file=sys.stderr)
            return 2
        trials = _try_all(chosen, copies, weeks, wider=not asked.fast)
    print(f"\n{report.summary(trials)}")
    if asked.json is not None:
        asked.json.write_text(report.as_json(trials) + "\n", encoding="utf-8")
    if asked.write is not None:
        report.write_chapter(asked.write, trials)
    return 0 if all(trial.caught or trial.mutant.equivalent for trial in trials) else 1


def _control(chosen: Sequence[Mutant], copies: Sequence[Path], weeks: Simulator | None) -> str | None:
    """Why the code itself is not green; None where it is. `weeks` learns what is broken without mutants."""
    proofs = list(dict.fromkeys(proof for mutant in chosen for proof in mutant.proofs))
    proof = prove(proofs, copies[0], CONTROL_MAX_S)
    if not proof.green:
        return f"{proof.red_by or 'the proofs do not load'}: {proof.words}"
    print(f"control: {len(proofs)} proofs are green ({proof.took_s:.0f} s)", flush=True)
    if weeks is None:
        return None
    seeds = list(weeks.own)
    with ThreadPoolExecutor(len(copies)) as pool:
        trees = [copies[number % len(copies)] for number in range(len(seeds))]
        for seed, (lived, _) in zip(seeds, pool.map(week, trees, seeds), strict=True):
            if lived is None or "ran" in lived.broken:
                del weeks.own[seed]
            else:
                weeks.own[seed] = frozenset(lived.broken)
            for _, words in lived.broken.values() if lived else [(0.0, "it never ends")]:
                print(f"control: seed {seed} breaks a promise without any mutant: {words}", flush=True)
    peaceful = sum(not own for own in weeks.own.values())
    print(f"control: {peaceful} of {len(seeds)} simulated weeks pass in peace", flush=True)
    return None if weeks.own else "no simulated week comes to its end"


def _try_all(chosen: Sequence[Mutant], copies: Sequence[Path], weeks: Simulator | None, *, wider: bool) -> list[Trial]:
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for tree in copies:
        free.put(tree)

    def one(mutant: Mutant) -> Trial:
        tree = free.get()
        try:
            trial = try_one(mutant, tree, weeks, wider=wider)
        finally:
            free.put(tree)
        print(report.line(trial), flush=True)
        return trial

    with ThreadPoolExecutor(len(copies)) as pool:
        try:
            return list(pool.map(one, chosen))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _chosen(ids: Sequence[str]) -> list[Mutant]:
    """Mutants by id, or by a whole table; all where nothing is named."""
    known = {mutant.id for mutant in MUTANTS} | {mutant.table for mutant in MUTANTS}
    unknown = [name for name in ids if name not in known]
    if unknown:
        sys.exit(f"There is no mutant or table {unknown[0]!r}. Tables: {', '.join({m.table: 0 for m in MUTANTS})}")
    return [mutant for mutant in MUTANTS if not ids or mutant.id in ids or mutant.table in ids]


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Try deliberate breakages.")
    parser.add_argument("ids", nargs="*", help="mutants, or a table of them; all where none is named")
    parser.add_argument("--fast", action="store_true", help="only each mutant's own tests, no simulated weeks")
    parser.add_argument("--weeks", type=int, default=20, metavar="N", help="simulated weeks a mutant (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many at a time (default 2)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page of Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that is known as one JSON document")
    return parser.parse_args(words)


def _stop(number: int, frame: FrameType | None) -> None:
    end_all()
    sys.exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    sys.exit(main(sys.argv[1:]))
