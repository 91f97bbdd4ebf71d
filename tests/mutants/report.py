"""What the trials came to: for a terminal, for docs/reliability.md, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.rows import ROWS
from tests.mutants.trial import Trial

_BEGIN, _END = "<!-- mutants -->", "<!-- /mutants -->"
_INTRODUCTION: Final = """\
Each line is a guard taken away on purpose, or a rule turned round, and who noticed: the first of its own tests that
went red, and the simulated day on which the weeks' judge spoke. Where no week was asked there is a dash; where none can
notice, the reason. `make mutants` tries them all again and tells; with `--write docs/reliability.md` it writes this, of
the mutants that were tried."""

NOT_TRIED: Final = "not tried yet"


def verdict(trial: Trial) -> str:
    """One word for how it came out."""
    if trial.caught:
        return "hung" if trial.hung else "caught"
    if trial.void is not None:
        return "VOID"
    return "equivalent" if trial.mutant.equivalent else "NOT CAUGHT"


def line(trial: Trial) -> str:
    """One trial for a terminal."""
    return f"{verdict(trial):<11}{trial.mutant.id:<42} {_test(trial):<70} {_weeks(trial)}".rstrip()


def totals(trials: Sequence[Trial]) -> dict[str, int]:
    """How many there are, by who noticed."""
    return {
        "mutants": len(trials),
        "by both": sum(t.caught_directly is not None and t.caught_by_weeks for t in trials),
        "by tests alone": sum(t.caught_directly is not None and not t.caught_by_weeks for t in trials),
        "by simulated weeks alone": sum(t.caught_directly is None and t.caught_by_weeks for t in trials),
        "hung": sum(t.caught and t.hung for t in trials),
        "equivalent": sum(not t.caught and bool(t.mutant.equivalent) for t in trials),
        "not caught": sum(not t.caught and not t.mutant.equivalent for t in trials),
        "not yet seen by the weeks": sum(
            t.weeks is not None and not t.caught_by_weeks and not t.mutant.unseen and not t.mutant.equivalent
            for t in trials
        ),
    }


def summary(trials: Sequence[Trial]) -> str:
    """The totals in a line, and those that nothing noticed by name."""
    words = ", ".join(f"{number} {name}" for name, number in totals(trials).items() if number or name == "not caught")
    missed = [t.mutant.id for t in trials if not t.caught and not t.mutant.equivalent]
    return words + (f"\nNOT CAUGHT: {', '.join(missed)}" if missed else "")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the chapter: what is broken, against which rule, which test noticed, and what the weeks said."""

    breaks: str
    rule: str
    test: str
    weeks: str

    def __str__(self) -> str:
        return f"| {self.breaks} | {self.rule} | {self.test} | {self.weeks} |"


def markdown(trials: Sequence[Trial], text: str = "") -> str:
    """The chapter for docs/reliability.md; a mutant that was not tried keeps the line that `text` has of it."""
    tried = {trial.mutant.id: trial for trial in trials}
    known = {row.breaks: row for row in _rows_of(text)}
    rows = {mutant.id: _row(mutant, tried.get(mutant.id), known.get(mutant.breaks)) for mutant in MUTANTS}
    parts = ["## Mutants", "", _INTRODUCTION, "", f"In all: {_counted(list(rows.values()))}."]
    for table in ROWS:
        here = [rows[mutant.id] for mutant in MUTANTS if mutant.table == table]
        if not here:
            continue
        parts += ["", f"### Mutants of: {table}", "", "| breakage | rule | test that noticed | simulated day |"]
        parts += ["| --- | --- | --- | --- |", *(str(row) for row in here)]
    return "\n".join(parts) + "\n"


def write_chapter(page: Path, trials: Sequence[Trial]) -> None:
    """Put the chapter where the page's marks are, else at its end."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Reliability\n"
    before, _, rest = text.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    chapter = f"{_BEGIN}\n{markdown(trials, old)}{_END}"
    text = before + chapter + after if _BEGIN in text and _END in text else f"{text.rstrip()}\n\n{chapter}\n"
    page.write_text(text, encoding="utf-8")


def as_json(trials: Sequence[Trial]) -> str:
    """One document: totals, and each trial."""
    return json.dumps({"totals": totals(trials), "mutants": [_plain(t) for t in trials]}, indent=1, ensure_ascii=False)


def _plain(trial: Trial) -> dict[str, Any]:
    caught, mutant = trial.caught_directly, trial.mutant
    return {
        "id": mutant.id,
        "table": mutant.table,
        "row": mutant.row,
        "breaks": mutant.breaks,
        "file": mutant.file,
        "verdict": verdict(trial),
        "test": caught.red_by if caught else None,
        "test_words": caught.words if caught else None,
        "test_s": round(caught.took_s, 1) if caught else None,
        "day": trial.weeks.day if trial.weeks else None,
        "days": trial.weeks.days if trial.weeks else None,
        "weeks_words": trial.weeks.words if trial.weeks else None,
        "weeks_s": round(trial.weeks.took_s, 1) if trial.weeks else None,
        "unseen": mutant.unseen,
        "equivalent": mutant.equivalent,
        "void": trial.void.words if trial.void else None,
    }


def _row(mutant: Mutant, trial: Trial | None, known: Row | None) -> Row:
    if trial is None:
        return replace(known, rule=mutant.row) if known else Row(mutant.breaks, mutant.row, NOT_TRIED, "–")
    weeks = _weeks(trial) or mutant.unseen or (known.weeks if known else "–")
    return Row(mutant.breaks, mutant.row, _test(trial).rpartition("::")[2] or verdict(trial), weeks)


def _rows_of(text: str) -> list[Row]:
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [Row(*four) for four in cells if len(four) == 4]


def _counted(rows: Sequence[Row]) -> str:
    """How many there are, by who noticed."""
    by_test = {row for row in rows if row.test.startswith("test_")}
    by_weeks = {row for row in rows if row.weeks.startswith(("day ", "hung"))}
    numbers = {
        "by both": len(by_test & by_weeks),
        "by tests alone": len(by_test - by_weeks),
        "by simulated weeks alone": len(by_weeks - by_test),
        "not tried yet": sum(row.test == NOT_TRIED for row in rows),
        "lived with for all the days of a run and not seen there": sum(row.weeks.startswith("not in") for row in rows),
    }
    told = [f"{number} {name}" for name, number in numbers.items() if number]
    uncaught = sum(row not in by_test | by_weeks and row.test != NOT_TRIED for row in rows)
    return f"{len(rows)} mutants, {', '.join(told)}, {uncaught} not caught"


def _test(trial: Trial) -> str:
    caught = trial.caught_directly
    if caught is None:
        return f"({trial.void.words[:60]})" if trial.void is not None else ""
    return f"{caught.red_by}{' (hung)' if caught.hung else ''}".removeprefix("tests/")


def _weeks(trial: Trial) -> str:
    weeks = trial.weeks
    if weeks is None:
        return ""
    if weeks.hung:
        return "hung"
    if weeks.day is not None:
        return f"day {weeks.day:g}"
    return f"not in {weeks.days:g}"
