"""Trees to break: a copy of the sources a worker may write to, and a mutant in it for as long as it is tried."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from tests.mutants.mutant import Mutant, mutated

ROOT: Final = Path(__file__).resolve().parents[2]
#: Neither sources nor wanted in a copy.
_LEFT_OUT: Final = (".git", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "dist", "build")


def copy(folder: Path) -> Path:
    """A copy of the sources under a new folder, with the same .venv."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT, "*.db-wal", "*.db-shm"))
    environment = ROOT / ".venv"
    if environment.exists():
        (tree / ".venv").symlink_to(environment.resolve())
    return tree


@contextmanager
def broken(tree: Path, mutant: Mutant) -> Iterator[None]:
    """The mutant applied to the tree, and taken back at the end. Raises Drifted."""
    path = tree / mutant.file
    whole = path.read_text(encoding="utf-8")
    try:
        _write(path, mutated(mutant, whole))
        yield
    finally:
        _write(path, whole)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    # Compiled files are told apart by second and size alone: one of a mutant must not stand for the next.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)
