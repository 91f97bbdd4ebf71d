"""The controls that let punchd run without its syncs say so where they would not: a name has moved, or is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.queue import copying, database, opening, starting
from tests.support.weakened import DisarmedError, weaken


@pytest.fixture(autouse=True)
def _strong_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is replaced here is as it was afterwards."""
    monkeypatch.setattr(starting, "open_file", starting.open_file)
    monkeypatch.setattr(copying.Copy, "_sync", copying.Copy._sync)


def test_a_start_is_weakened():
    """Its connection says so, and its second copy syncs nothing: weaken looks at both, and is content."""
    weaken()
    assert starting.open_file is not opening.open_file


def test_a_name_that_has_moved_is_told(monkeypatch):
    """The module that starts a database got its opening from elsewhere."""
    monkeypatch.setattr(starting, "open_file", lambda path: opening.open_file(path))
    with pytest.raises(DisarmedError, match=r"starting\.open_file is not what it was"):
        weaken()


def test_a_name_that_nobody_uses_is_told(monkeypatch):
    """The name is there, and a service opens its database by another one."""

    def another(path: Path, copy: copying.Copy, seen: object) -> object:
        found = opening.open_file(path)
        copy.start(found[0])
        return found

    monkeypatch.setattr(database, "open_or_salvage", another)
    with pytest.raises(DisarmedError, match=r"a start does not use .*starting\.open_file:"):
        weaken()


def test_a_sync_that_goes_by_another_name_is_told(monkeypatch):
    """The second copy keeps its old method and syncs with another one."""
    monkeypatch.setattr(copying.Copy, "start", lambda copy, conn: None)
    monkeypatch.setattr(copying.Copy, "stop", lambda copy, conn: None)
    with pytest.raises(DisarmedError, match=r"a start does not use Copy\._sync:"):
        weaken()


def test_what_makes_it_strong_again_is_told(monkeypatch):
    """A later setting of the same connection would undo it."""
    opened = starting.open_or_salvage

    def strengthened(*given: object) -> object:
        conn, unclean = opened(*given)
        conn.execute("PRAGMA synchronous = FULL")
        return conn, unclean

    monkeypatch.setattr(database, "open_or_salvage", strengthened)
    with pytest.raises(DisarmedError, match="synchronous = 2"):
        weaken()
