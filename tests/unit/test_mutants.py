"""The catalogue of mutants fits the code as it is, and has one for every rule: `make mutants` then tries them."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Drifted, Mutant, mutated, read
from tests.mutants.rows import ROWS, SPLIT
from tests.unit.delivery.test_tables import TABLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_every_mutant_still_applies(mutant: Mutant) -> None:
    """Its `before` stands in its file exactly once, and the file with its `after` is still Python, and another."""
    source = read(mutant, ROOT)
    broken = mutated(mutant, source)
    assert ast.dump(ast.parse(broken, mutant.file)) != ast.dump(ast.parse(source, mutant.file))


def test_what_has_moved_on_is_told() -> None:
    """A `before` that stands nowhere, or twice, is an error that names the mutant."""
    known = MUTANTS[0]
    for source in ("", 2 * known.before):
        with pytest.raises(Drifted, match=known.id):
            mutated(known, source)


def test_every_rule_has_a_mutant() -> None:
    """No row of the rules is without a breakage, and no mutant breaks a row that is not there."""
    broken = {(mutant.table, mutant.row) for mutant in MUTANTS}
    rows = {(table, row) for table, names in ROWS.items() for row in names}
    assert rows - broken == set()
    assert broken - rows == set()


def test_the_rows_are_those_of_the_tables() -> None:
    """A row that is added to the rules' own tables is added here, or this says so."""
    named = {(table, row) for table, rows in TABLES.items() for row in rows}
    assert {place for place in named if place not in SPLIT and place[1] not in ROWS[place[0]]} == set()
    assert set(SPLIT.values()) <= ROWS.keys()


def test_ids_are_unique_and_proofs_are_there() -> None:
    """Each mutant has a name of its own, words of its own, and at least one proof whose file and test exist."""
    assert [name for name, count in Counter(mutant.id for mutant in MUTANTS).items() if count > 1] == []
    assert [text for text, count in Counter(mutant.breaks for mutant in MUTANTS).items() if count > 1] == []
    missing = [proof for mutant in MUTANTS for proof in mutant.proofs if not _exists(proof)]
    assert missing == []
    assert [mutant.id for mutant in MUTANTS if not mutant.proofs] == []


def _exists(proof: str) -> bool:
    file, _, test = proof.partition("::")
    if not (ROOT / file).exists():
        return False
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return not test or test.split("[")[0] in names
