"""A start that takes long: systemd is asked for time, again and again, and in time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from daemon import app
from daemon.errors import StorageError
from daemon.notify import Notifier
from daemon.queue.database import Database
from daemon.service import Orders
from tests.simulation.virtual import run_virtual


class Listening(Notifier):
    """systemd, which ends a start that is not extended in time."""

    def __init__(self, start_limit_s: float) -> None:
        super().__init__(None)
        self.limit_s = start_limit_s
        self.said: list[str] = []

    def status(self, text: str) -> None:
        self.said.append(text)

    def extend(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        assert now < self.limit_s, "systemd has ended it already"
        self.limit_s = max(self.limit_s, now + seconds)


def test_a_long_migration_is_waited_for(monkeypatch, tmp_path):
    """Opening the database takes an hour: systemd hears of it every ten seconds, and the end is still the truth."""

    async def slow(*_: object, **__: object) -> Database:
        await asyncio.sleep(3600)
        raise StorageError("cannot open")

    monkeypatch.setattr(Database, "open", slow)
    config = SimpleNamespace(database=tmp_path / "punchd.db", second_copy=tmp_path / "punchd.copy")

    async def main(loop) -> Listening:
        systemd = Listening(start_limit_s=15)
        with pytest.raises(StorageError):
            await app.build(config, app.Surroundings(notifier=systemd, outside=False), Orders())
        assert loop.time() < systemd.limit_s
        return systemd

    assert set(run_virtual(main).said) == {"opening the database"}
