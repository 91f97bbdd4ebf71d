"""One answer is written down in the transaction that journals the next request: one sync a punch, no promise less."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import httpx
import pytest

from daemon.queue import deliveries
from sandbox.transport import SandboxTransport
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

OPEN = "SELECT punch_seq FROM attempts WHERE ended_at IS NULL"
STORED = "SELECT count(*) FROM deliveries WHERE state = 'delivered'"


async def shifts(bench: Bench) -> list[str]:
    """A clock-in of each, then a clock-out of each, stored while nothing can leave."""
    await bench.delivery.pause(by="test")
    ins = [await bench.punch(person, "clock_in", ago_s=600 - n) for n, person in enumerate((ANNA, BOB, CARL))]
    outs = [await bench.punch(person, "clock_out", ago_s=300 - n) for n, person in enumerate((ANNA, BOB, CARL))]
    return [*ins, *outs]


def transactions(bench: Bench) -> list[object]:
    """Grows by one with each transaction from now on."""
    write, written = bench.db.write, list[object]()

    async def noted(fn):
        written.append(fn)
        return await write(fn)

    bench.db.write = noted  # type: ignore[method-assign]
    return written


def test_a_flush_costs_one_transaction_a_punch(tmp_path: Path) -> None:
    """Six punches of three people: six times journal, the last five with the answer before, and one answer alone."""

    async def story(bench: Bench) -> None:
        await shifts(bench)
        written = transactions(bench)
        await bench.delivery.resume(by="test")
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert len(written) == 1 + 6 + 1, "the resuming, a transaction a punch, and the last answer"

    on_bench(tmp_path, story)


def test_what_needs_no_request_is_settled_many_at_a_time(tmp_path: Path) -> None:
    """Thirty clock-ins in a row, all expired, need a person: found so in a few transactions and not one by one."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(1)  # started, and at rest
        wake, bench.delivery.wake = bench.delivery.wake, lambda user_id=None: None  # type: ignore[method-assign]
        ids = [await bench.punch(ANNA, "clock_in", ago_s=(70 - n) * 3600) for n in range(30)]
        written = transactions(bench)
        wake()
        await asyncio.sleep(5)
        assert {await bench.state(punch_id) for punch_id in ids} == {("review", "missing_clock_out")}
        assert len(written) <= 5, "three at first, then eight at a time"

    on_bench(tmp_path, story)


def test_when_a_request_leaves_it_alone_is_open_in_the_journal(tmp_path: Path, monkeypatch) -> None:
    """Journalled before it leaves, and every answer before it is stored: seen in the file as the request goes by."""
    seen: list[tuple[int, int]] = []
    through = SandboxTransport.handle_async_request

    async def look(self: SandboxTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            with contextlib.closing(sqlite3.connect(tmp_path / "punchd.db")) as other:
                seen.append((len(other.execute(OPEN).fetchall()), other.execute(STORED).fetchone()[0]))
        return await through(self, request)

    monkeypatch.setattr(SandboxTransport, "handle_async_request", look)

    async def story(bench: Bench) -> None:
        await shifts(bench)
        await bench.delivery.resume(by="test")
        await asyncio.sleep(60)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)
    assert seen == [(1, before) for before in range(6)]


@pytest.mark.parametrize("broken", ["begin_attempt", "end_attempt"])
def test_a_fault_in_the_shared_transaction_is_one_persons(tmp_path: Path, monkeypatch, broken: str) -> None:
    """Journalling Bob, or settling Bob, fails: his punch alone goes to review, and everybody else's is delivered."""
    real, bobs = getattr(deliveries, broken), list[object]()

    def fails(conn, first, *rest, **named):
        # begin_attempt(conn, kind, step, punch_ids, ...) or end_attempt(conn, attempt_id, ...)
        punch_ids = rest[1] if broken == "begin_attempt" else ()
        if set(punch_ids) & set(bobs) or (broken == "end_attempt" and _punch_of(conn, first) in bobs):
            raise AssertionError("a fault of ours")
        return real(conn, first, *rest, **named)

    monkeypatch.setattr(deliveries, broken, fails)

    async def story(bench: Bench) -> None:
        await bench.delivery.pause(by="test")
        anna, bob, carl = [
            await bench.punch(person, "clock_in", ago_s=600 - n) for n, person in enumerate((ANNA, BOB, CARL))
        ]
        bobs.append(bob)
        await bench.delivery.resume(by="test")
        await asyncio.sleep(60)
        assert (await bench.state(anna), await bench.state(carl)) == (("delivered", None), ("delivered", None))
        assert await bench.state(bob) == ("review", "internal_error")
        sent = 2 if broken == "begin_attempt" else 3
        assert bench.requests("clock-").count("POST clock-in") == sent, "nobody was sent twice"

    on_bench(tmp_path, story)


def _punch_of(conn: sqlite3.Connection, attempt_id: int) -> str:
    (punch_id,) = conn.execute(
        "SELECT p.id FROM attempts a JOIN punches p ON p.seq = a.punch_seq WHERE a.id = ?", (attempt_id,)
    ).fetchone()
    return str(punch_id)


def test_an_answer_that_comes_while_the_service_stops_is_written_down(tmp_path: Path, monkeypatch) -> None:
    """Asked to stop while a request is out: its answer is stored, and no other request leaves."""
    through = SandboxTransport.handle_async_request

    async def story(bench: Bench) -> None:
        async def stop_meanwhile(self: SandboxTransport, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                await bench.delivery.stop(5.0)
            return await through(self, request)

        monkeypatch.setattr(SandboxTransport, "handle_async_request", stop_meanwhile)
        first, *others = await shifts(bench)
        await bench.delivery.resume(by="test")
        await asyncio.sleep(60)
        assert await bench.state(first) == ("delivered", None)
        assert {await bench.state(punch) for punch in others} == {("pending", None)}

    on_bench(tmp_path, story)
