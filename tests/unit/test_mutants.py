"""The catalogue of mutants fits the code as it is, and has one for every rule: `make mutants` then tries them."""

from __future__ import annotations

import ast
import contextlib
import os
import select
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import report
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Drifted, Mutant, mutated, read
from tests.mutants.proving import Proof, run
from tests.mutants.report import totals, verdict
from tests.mutants.rows import ROWS, SPLIT
from tests.mutants.trial import Trial, Weeks, try_one
from tests.unit.delivery.test_tables import TABLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_every_mutant_still_applies(mutant: Mutant) -> None:
    """Its `before` stands in its file exactly once, and the file with its `after` is still Python, and another."""
    source = read(mutant, ROOT)
    broken = mutated(mutant, source)
    assert ast.dump(ast.parse(broken, mutant.file)) != ast.dump(ast.parse(source, mutant.file))


def test_no_mutant_fails_for_a_name_that_is_not_there(tmp_path: Path) -> None:
    """What is noticed shall be the broken rule: names that a breakage uses are known in its file."""
    for mutant in MUTANTS:
        (tmp_path / f"{mutant.id}.py").write_text(mutated(mutant, read(mutant, ROOT)), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--quiet", "--select", "F821", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


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
    return (ROOT / file).exists() and (not test or test in _defined(file))


@cache
def _defined(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found)


# --- the runner, on a product of one line

TINY = Mutant(
    "tiny",
    "a table",
    "a row",
    "It lets everybody in.",
    "product.py",
    "return 1",
    "return 0",
    ("test_it.py::test_guard",),
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A tree with one guard and one test of it."""
    (tmp_path / "product.py").write_text("def guard():\n    return 1\n")
    (tmp_path / "test_it.py").write_text("from product import guard\n\n\ndef test_guard():\n    assert guard()\n")
    return tmp_path


@pytest.mark.parametrize(
    ("mutant", "expected"),
    [
        (TINY, "caught"),
        (replace(TINY, after="return 2"), "NOT CAUGHT"),
        (replace(TINY, after="return ("), "VOID"),
        (replace(TINY, proofs=(), equivalent="both are true"), "equivalent"),
    ],
    ids=["noticed", "not noticed", "does not load", "known to be no breakage"],
)
def test_a_trial_says_who_noticed_and_leaves_the_tree_as_it_was(tiny: Path, mutant: Mutant, expected: str) -> None:
    """Only a test that ran and failed has noticed; what does not even load proves nothing."""
    whole = (tiny / "product.py").read_text()
    trial = try_one(mutant, tiny, None, wider=False)
    assert verdict(trial) == expected
    assert totals([trial])["not caught"] == (expected in ("NOT CAUGHT", "VOID"))
    assert (tiny / "product.py").read_text() == whole


def test_simulated_weeks_notice_as_well(tiny: Path) -> None:
    """A week that breaks a promise is enough; where none can see it they are not asked."""
    harmless = replace(TINY, proofs=())
    trial = try_one(harmless, tiny, lambda tree: Weeks(3.5, 0.0, "seed 1: lost", 1.0), wider=False)
    assert (verdict(trial), totals([trial])["by simulated weeks alone"]) == ("caught", 1)

    def never(tree: Path) -> Weeks:
        raise AssertionError("asked")

    assert verdict(try_one(replace(harmless, unseen="no clock there"), tiny, never, wider=False)) == "NOT CAUGHT"


def test_what_never_ends_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """A mutant may hang, and so may what it has started: both are gone afterwards."""
    child = "import os, signal\npid = os.fork()\nif pid: open('pid', 'w').write(str(pid))\nwhile True: signal.pause()\n"
    ended = run(["-S", "-c", child], tmp_path, 2.0)
    assert ended.code is None
    with contextlib.suppress(ProcessLookupError):  # gone already
        grandchild = os.pidfd_open(int((tmp_path / "pid").read_text()))
        try:
            assert select.select([grandchild], [], [], 60)[0], "it lives on"
        finally:
            os.close(grandchild)


def test_a_run_of_some_changes_their_lines_only(tmp_path: Path) -> None:
    """What an earlier run found of the others stands; so does what the weeks said, where they were not asked again."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nBefore.\n\n<!-- mutants -->\n<!-- /mutants -->\n\nAfter.\n", encoding="utf-8")
    first, second, *_ = MUTANTS
    red = Proof(green=False, red_by="tests/x.py::test_that_notices", words="no", took_s=1.0)
    report.write_chapter(page, [Trial(first, (red,), Weeks(3.5, 9.4, "one effect", 1.0))])
    lines = page.read_text(encoding="utf-8").splitlines()
    assert f"| {first.breaks} | {first.row} | test_that_notices | day 3.5 |" in lines
    assert f"| {second.breaks} | {second.row} | {report.NOT_TRIED} | – |" in lines
    assert f"In all: {len(MUTANTS)} mutants, 1 by both, {len(MUTANTS) - 1} not tried yet, 0 not caught." in lines
    report.write_chapter(page, [Trial(first, (red,), None), Trial(second, (replace(red, green=True),), None)])
    lines = page.read_text(encoding="utf-8").splitlines()
    assert f"| {first.breaks} | {first.row} | test_that_notices | day 3.5 |" in lines
    assert f"| {second.breaks} | {second.row} | NOT CAUGHT | – |" in lines
    assert f"In all: {len(MUTANTS)} mutants, 1 by both, {len(MUTANTS) - 2} not tried yet, 1 not caught." in lines
    assert (lines[:3], lines[-1]) == (["# Page", "", "Before."], "After.")


def test_every_mutant_has_a_line_of_its_own() -> None:
    """They are told apart on the page by what they break."""
    assert len({mutant.breaks for mutant in MUTANTS}) == len(MUTANTS)
    assert not [mutant.id for mutant in MUTANTS if "|" in mutant.breaks + mutant.row + (mutant.unseen or "")]
