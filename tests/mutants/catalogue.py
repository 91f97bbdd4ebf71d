"""All mutants, table by table; their files are beside this one."""

from __future__ import annotations

from typing import Final

from tests.mutants import (
    catalogue_answers,
    catalogue_clock,
    catalogue_intake,
    catalogue_lanes,
    catalogue_next,
    catalogue_outside,
    catalogue_promises,
    catalogue_review,
    catalogue_stored,
)
from tests.mutants.mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    *catalogue_lanes.MUTANTS,
    *catalogue_next.MUTANTS,
    *catalogue_clock.MUTANTS,
    *catalogue_answers.MUTANTS,
    *catalogue_review.MUTANTS,
    *catalogue_intake.MUTANTS,
    *catalogue_promises.MUTANTS,
    *catalogue_stored.MUTANTS,
    *catalogue_outside.MUTANTS,
)
