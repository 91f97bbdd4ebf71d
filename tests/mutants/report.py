"""What the trials came to: for a terminal, for docs/reliability.md, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.mutants.rows import ROWS
from tests.mutants.trial import Trial

_BEGIN, _END = "<!-- mutants -->", "<!-- /mutants -->"
_INTRODUCTION: Final = """\
Each line is a guard taken away on purpose, or a rule turned round, and who noticed: the first of its own tests that
went red, and the simulated day on which the weeks' judge spoke. Where no week was asked there is a dash; where none can
notice, the reason. `make mutants` tries them all again and tells; with `--write docs/reliability.md` it writes this."""


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


def markdown(trials: Sequence[Trial]) -> str:
    """The chapter for docs/reliability.md."""
    asked = [trial.weeks for trial in trials if trial.weeks is not None]
    weeks = (
        f"{len(asked)} of them were lived with for up to {max((w.days for w in asked), default=0):g} simulated days."
    )
    parts = ["## Mutants", "", _INTRODUCTION, "", f"In all: {summary(trials)}. {weeks}"]
    for table in ROWS:
        here = [trial for trial in trials if trial.mutant.table == table]
        if not here:
            continue
        parts += ["", f"### Mutants of: {table}", "", "| breakage | rule | test that noticed | simulated day |"]
        parts += ["| --- | --- | --- | --- |", *(_row(trial) for trial in here)]
    return "\n".join(parts) + "\n"


def write_chapter(page: Path, trials: Sequence[Trial]) -> None:
    """Put the chapter where the page's marks are, else at its end."""
    text = page.read_text(encoding="utf-8") if page.exists() else "# Reliability\n"
    chapter = f"{_BEGIN}\n{markdown(trials)}{_END}"
    if _BEGIN in text and _END in text:
        before, _, rest = text.partition(_BEGIN)
        text = before + chapter + rest.partition(_END)[2]
    else:
        text = text.rstrip("\n") + "\n\n" + chapter + "\n"
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


def _row(trial: Trial) -> str:
    mutant = trial.mutant
    name = _test(trial).rpartition("::")[2]
    return f"| {mutant.breaks} | {mutant.row} | {name or verdict(trial)} | {_weeks(trial) or mutant.unseen or '–'} |"


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
