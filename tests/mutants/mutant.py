"""One deliberate breakage: what it breaks, where, and which proofs shall notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Drifted(Exception):
    """The code has moved on: a mutant's `before` no longer stands in its file exactly once."""


@dataclass(frozen=True)
class Mutant:
    """A guard taken away, or a rule turned round.

    `breaks` says in words what the product then does wrong; `row` is the rule's name in rows.py, `table` the table it
    stands in. `before` stands exactly once in `file` (a path from the root). `proofs` are test ids of pytest, the
    cheapest first; each alone should go red. `unseen` says why no simulated week can notice it, "" where one can.
    `equivalent` says why nothing at all can: then being caught by nothing is no hole.
    """

    id: str
    table: str
    row: str
    breaks: str
    file: str
    before: str
    after: str
    proofs: tuple[str, ...]
    unseen: str = ""
    equivalent: str = ""


def mutated(mutant: Mutant, source: str) -> str:
    """The source of the mutant's file with the breakage in it. Raises Drifted."""
    found = source.count(mutant.before)
    if found != 1:
        raise Drifted(f"{mutant.id}: `before` stands {found} times in {mutant.file}, not once:\n{mutant.before}")
    return source.replace(mutant.before, mutant.after)


def read(mutant: Mutant, root: Path) -> str:
    """The mutant's file as it is in a tree."""
    return (root / mutant.file).read_text(encoding="utf-8")
