"""What is done to one mutant, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.proving import Proof, prove
from tests.mutants.trees import broken

#: Asked only of a mutant that none of its own proofs noticed, the cheap rooms first.
WIDER: Final[tuple[tuple[str, ...], ...]] = (
    ("tests/unit/delivery", "tests/unit/queue", "tests/unit/intake"),
    ("tests/integration/delivery", "tests/integration/intake"),
    ("tests/unit", "tests/contract/test_timesheets.py", "tests/contract/test_timesheets_people.py"),
    ("tests/simulation",),
)


@dataclass(frozen=True)
class Weeks:
    """What simulated weeks made of it: the day on which the checker spoke, None where all days passed in peace."""

    day: float | None
    days: float
    words: str
    took_s: float
    hung: bool = False


Simulate = Callable[[Path], Weeks]


@dataclass(frozen=True)
class Trial:
    """One mutant, tried. `direct` are its own proofs as far as they were asked, `wider` what was asked besides."""

    mutant: Mutant
    direct: tuple[Proof, ...]
    weeks: Weeks | None
    wider: tuple[Proof, ...] = ()

    @property
    def caught_directly(self) -> Proof | None:
        """The test that noticed, a wider one included."""
        return next((proof for proof in (*self.direct, *self.wider) if not proof.green and not proof.void), None)

    @property
    def caught_by_weeks(self) -> bool:
        """Whether a simulated week noticed."""
        return self.weeks is not None and (self.weeks.day is not None or self.weeks.hung)

    @property
    def caught(self) -> bool:
        """Whether anything noticed."""
        return self.caught_directly is not None or self.caught_by_weeks

    @property
    def hung(self) -> bool:
        """Whether what noticed did so by never ending."""
        caught = self.caught_directly
        return (caught is not None and caught.hung) or (self.weeks is not None and self.weeks.hung)

    @property
    def void(self) -> Proof | None:
        """A proof that did not even load: the mutant, or its proof, is a bad one."""
        return next((proof for proof in (*self.direct, *self.wider) if proof.void), None)


def try_one(mutant: Mutant, tree: Path, simulate: Simulate | None, *, wider: bool = True) -> Trial:
    """Apply it and ask its own proofs in their order, simulated weeks where they can see it, and where all are silent
    all other tests.
    """
    with broken(tree, mutant):
        direct = _until_red([(proof,) for proof in mutant.proofs], tree)
        weeks = simulate(tree) if simulate is not None and not mutant.unseen else None
        trial = Trial(mutant, direct, weeks)
        if trial.caught or not wider or mutant.equivalent:
            return trial
        return Trial(mutant, direct, weeks, _until_red(WIDER, tree))


def _until_red(sets: Sequence[Sequence[str]], tree: Path) -> tuple[Proof, ...]:
    asked: list[Proof] = []
    for tests in sets:
        asked.append(prove(tests, tree))
        if not asked[-1].green:
            break
    return tuple(asked)
