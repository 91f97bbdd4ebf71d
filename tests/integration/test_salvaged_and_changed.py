"""What a salvage forgot was delivered, and the service or a manager has given another time since."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from daemon.model import PunchState
from daemon.queue.salvage import Seen, salvage
from tests.simulation.virtual import run_virtual
from tests.support.delivery_bench import ANNA, Bench


@pytest.mark.parametrize("moved_s", [0, 60, 14 * 60])
def test_a_forgotten_delivery_is_not_made_again_beside_the_changed_one(tmp_path, moved_s):
    """No second shift: as it was tapped it is known again, with another start a person looks at it."""

    async def main(loop):
        bench = Bench(loop, tmp_path)
        await bench.start()
        begun = await bench.punch(ANNA, "clock_in", ago_s=7200)
        await bench.punch(ANNA, "clock_out", ago_s=60)
        await asyncio.sleep(120)
        assert await bench.all_delivered()
        await bench.crash()
        (shift,) = bench.sandbox.company.shifts.values()
        shift.start = replace(shift.start, at=shift.start.at + moved_s)
        path = tmp_path / "punchd.db"
        with closing(sqlite3.connect(path)) as conn:
            for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
                conn.execute(f"DROP TRIGGER {name}")
            conn.execute("DELETE FROM deliveries")
            conn.execute("DELETE FROM attempts")
            conn.commit()
        await asyncio.sleep(600)
        salvage(path, None, "for this test", Seen(bench.clock.true_now, known=True))
        before = bench.sheet()
        await bench.start()
        await asyncio.sleep(3600)
        assert bench.sheet() == before
        state, reason = await bench.state(begun)
        await bench.crash()
        assert (state, reason) == (
            (PunchState.DELIVERED, None) if not moved_s else (PunchState.REVIEW, "outcome_unclear")
        )

    run_virtual(main)
