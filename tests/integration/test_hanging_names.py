"""Look-ups that hang, and requests given up: nothing waits for them, and none counts as undone that may be done."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from daemon.resolving import HANGING_MAX, Names, ResolvingLoop
from daemon.timesheets.connecteam.client import Answer, Client, Request
from daemon.timesheets.timesheet import NotSent
from tests.support.delivery_bench import ANNA, Bench, on_bench
from tests.support.scripted_server import Connection, ScriptedServer, http

HOST = "time.example"
FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]


class Server:
    """A name server that answers only while it is `up`; questions of before hang until `end`."""

    def __init__(self) -> None:
        self.up, self.asked = False, 0
        self.end = threading.Event()

    def look_up(self, *_: object) -> list[tuple[object, ...]]:
        self.asked += 1
        if self.up:
            return FOUND
        self.end.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@contextmanager
def hanging() -> Iterator[tuple[asyncio.Runner, Server]]:
    server = Server()
    with asyncio.Runner(loop_factory=lambda: ResolvingLoop(Names(server.look_up))) as runner:
        try:
            yield runner, server
        finally:
            server.end.set()


def test_look_ups_that_hang_take_nothing_from_others_and_end_with_the_process() -> None:
    """However many hang, the thread pool is free; what comes on top fails at once, or waits for the same name's."""
    with hanging() as (runner, server):

        async def story() -> None:
            loop = asyncio.get_running_loop()
            waiting = [asyncio.ensure_future(loop.getaddrinfo(HOST, port)) for port in range(HANGING_MAX)]
            await asyncio.sleep(0)
            with pytest.raises(socket.gaierror, match="Too many"):
                await loop.getaddrinfo("other.example", 1)
            joined = asyncio.ensure_future(loop.getaddrinfo(HOST, 0))
            await asyncio.sleep(0)
            assert server.asked == HANGING_MAX
            assert await asyncio.to_thread(lambda: 7) == 7
            server.end.set()
            answers = await asyncio.gather(*waiting, joined, return_exceptions=True)
            assert {type(answer) for answer in answers} == {socket.gaierror}
            server.up = True
            assert await loop.getaddrinfo(HOST, 1) == FOUND  # those that ended made room

        runner.run(story())


def test_a_look_up_begun_after_the_link_came_back_answers_those_that_hang() -> None:
    """The first answer to a name serves whoever waits for it."""
    with hanging() as (runner, server):

        async def story() -> None:
            loop = asyncio.get_running_loop()
            early = asyncio.ensure_future(loop.getaddrinfo(HOST, 1))
            while not server.asked:  # noqa: ASYNC110
                await asyncio.sleep(0)
            server.up = True
            assert await loop.getaddrinfo(HOST, 1) == FOUND
            assert await early == FOUND

        runner.run(story())


def test_a_request_that_hangs_in_its_look_up_is_given_up_as_not_sent() -> None:
    """No byte of it left, whatever it would have changed."""
    with hanging() as (runner, server):

        async def story() -> None:
            client = Client(f"https://{HOST}", timeout_s=3600)
            sending = asyncio.ensure_future(client.send(Request("POST", "/", json={}), {}))
            while not server.asked:  # noqa: ASYNC110
                await asyncio.sleep(0)
            client.abandon()
            answer = await sending
            assert isinstance(answer, NotSent)
            assert "the network changed" in answer.why
            await client.aclose()

        runner.run(story())


async def test_what_may_have_changed_something_is_waited_for() -> None:
    """A POST that was written keeps its answer; a GET is given up, and nobody is told that it did not happen."""
    may_answer = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await may_answer.wait()
        await connection.answer(http(b"{}"))

    async with ScriptedServer(slow) as server:
        client = Client(server.url, timeout_s=3600)
        posting = asyncio.ensure_future(client.send(Request("POST", "/", json={}), {}))
        while not server.asked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.abandon()
        await asyncio.sleep(0)
        may_answer.set()
        answer = await posting
        assert isinstance(answer, Answer)
        assert answer.status == 200
        may_answer.clear()
        reading = asyncio.ensure_future(client.send(Request("GET", "/"), {}))
        while len(server.asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.abandon()
        answer = await reading
        assert isinstance(answer, Answer)
        assert answer.fault is not None
        client.abandon()  # nothing is out: nothing happens
        may_answer.set()
        await client.aclose()


class Way(httpx.AsyncBaseTransport):
    """The way to the service: while it is down, connecting hangs for a quarter of a minute."""

    def __init__(self, beyond: httpx.AsyncBaseTransport) -> None:
        self.beyond, self.down = beyond, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            await request.extensions["trace"]("connection.connect_tcp.started", {})
            await asyncio.sleep(15)
            raise httpx.ConnectTimeout("", request=request)
        return await self.beyond.handle_async_request(request)


@pytest.mark.parametrize("later_s", [0.5, 7, 30, 400])
def test_the_end_of_an_outage_is_noticed_within_a_second_of_a_link_change(tmp_path: Path, later_s: float) -> None:
    """Also while an attempt of the outage still hangs on the old way."""

    async def story(bench: Bench) -> None:
        client = bench.timesheet._client._http
        way = Way(client._transport)
        client._transport = way
        way.down = True
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(later_s)
        way.down = False
        back_at = bench.clock.true_now
        bench.delivery.network_changed()
        await asyncio.sleep(3)
        arrived = [entry.at for entry in bench.sandbox.log.entries]
        assert arrived
        assert arrived[0] - back_at <= 1.0

    on_bench(tmp_path, story)
