"""Whatever is written to the sockets (real Unix sockets, the real database): nothing fails, nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from structlog.testing import capture_logs

from tests.fuzz.requests import Sent, requests, torn
from tests.support.fuzzing import LONG, fuzzed, standing
from tests.support.kiosk import Stage, open_kiosk

#: How long an answer is waited for; reached only when something is broken.
PATIENCE_S = 60.0
#: What waits for a person, or never ends, is heard for so long and then hung up on.
MOMENT_S = 0.2
#: So many things are said again so many times, during which the process may grow by this much (arenas), and not by all.
SAID_MAX, ROUNDS, GROWTH_MAX_KB = (300, 12, 4096) if LONG else (30, 5, 4096)


@asynccontextmanager
async def peopled() -> AsyncIterator[Stage]:
    """A kiosk with somebody in it, who has punched."""
    async with open_kiosk() as stage:
        await stage.kiosk.directory.add("7", "Ada", badge="04A2B3C4", by="test")
        await stage.readers.tap("front", "04A2B3C4", None)
        yield stage


async def say(path: Path, sent: Sent) -> bytes:
    """Write it, and hear what comes until it ends, or for a moment; then hang up."""
    reader, writer = await asyncio.open_unix_connection(os.fspath(path))
    heard = b""
    try:
        for piece in sent.pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        if not sent.whole:
            writer.write_eof()
        async with asyncio.timeout(MOMENT_S if waits(sent) else PATIENCE_S):
            while len(heard) < 65536 and (more := await reader.read(65536)):
                heard += more
    except (ConnectionError, TimeoutError):
        pass  # it had heard enough, or somebody is waited for
    finally:
        writer.transport.abort()
    return heard


def waits(sent: Sent) -> bool:
    """Whether it may wait for somebody's badge, or for what happens next."""
    return b"enroll" in sent.data or b"events" in sent.data


def judged(sent: Sent, heard: bytes) -> None:
    """No failure of ours; a refusal is a problem document with its remedy; a complete request gets an answer."""
    head, _, body = heard.partition(b"\r\n\r\n")
    first = head.split(b"\r\n")[0].split(b" ")
    if not heard:
        assert not sent.whole or waits(sent), sent.data[:200]
        return
    assert first[0] in (b"HTTP/1.1", b"HTTP/1.0"), heard[:80]
    status = int(first[1])
    assert status < 500, (sent.data[:200], heard[:400])
    if status >= 400 and not sent.data.startswith(b"HEAD"):
        document, _ = json.JSONDecoder().raw_decode(body.decode())  # another answer may follow
        assert document["status"] == status
        assert document["detail"]
        assert document["remedy"]


async def alive(stage: Stage) -> None:
    """The next caller is served, and nobody's punch is gone."""
    for path in (stage.status, stage.control):
        asked = Sent((b"GET /v1/punches HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",), whole=True)
        answer = await say(path, asked)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        assert b'"user_id": "7"' in answer


def count_open() -> int:
    """Descriptors of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def all_again(stage: Stage, said: list[Sent]) -> int:
    """Say everything again to both; what the process then has in memory. (What makes the inputs keeps them, too.)"""
    for sent in said:
        for path in (stage.status, stage.control):
            await say(path, sent)
    return memory_kb()


def memory_kb() -> int:
    """What this process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def both_sockets(target: str, strategy, *, short: int, long: int) -> None:
    """Say so many things to both sockets in turn; what was opened is closed in the end, and memory is not used up."""
    with standing(peopled()) as (stage, run):
        run(alive(stage))
        tried, opened, said = 0, count_open(), list[Sent]()

        @fuzzed(target, short=short, long=long, grows=True, sent=strategy)
        def each(sent: Sent) -> None:
            nonlocal tried
            tried += 1
            if not waits(sent) and len(said) < SAID_MAX:
                said.append(sent)
            path = stage.control if tried % 2 else stage.status
            before = b"" if tried % 2 else run(say(stage.status, PEOPLE))
            with capture_logs() as logs:
                heard = run(say(path, sent))
                judged(sent, heard)
                run(alive(stage))
            assert [line for line in logs if line["log_level"] in ("error", "critical")] == []
            if not tried % 2:
                reads = sent.data.startswith((b"GET ", b"HEAD "))
                assert reads or not sent.whole or not heard.startswith(b"HTTP/1.1 2"), "status.sock only reads"
                assert run(say(stage.status, PEOPLE)).partition(b"[")[2] == before.partition(b"[")[2]

        each()
        run(asyncio.sleep(0.1))
        assert [len(server.connections) for server in stage.servers] == [0, 0]
        assert count_open() <= opened + 2
        used = [run(all_again(stage, said)) for _ in range(ROUNDS)]
        assert used[-1] - used[1] < GROWTH_MAX_KB, used
        assert run(stage.kiosk.database.check()) == []


#: What a reader of status.sock may not have changed.
PEOPLE = Sent((b"GET /v1/employees HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",), whole=True)


def test_complete_requests_are_answered() -> None:
    """Any method, path, query and body: 2xx or 4xx with a remedy, on both sockets; status.sock changes nothing."""
    both_sockets("sockets: complete requests", requests(), short=100, long=5_000)


def test_torn_requests_and_noise_are_survived() -> None:
    """Malformed, oversized, doubled, cut off, or no HTTP at all: 4xx or a closed connection, and the next is served."""
    both_sockets("sockets: torn requests and noise", torn(), short=60, long=4_000)
