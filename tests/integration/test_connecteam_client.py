"""One request over real connections: what is known of it afterwards, whatever happens on the way."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import logging
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import trustme

from daemon import __version__
from daemon.config import ConnecteamConfig
from daemon.timesheets.connecteam.client import Answer, Client, Request
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.timesheet import (
    CertificateTime,
    CloseShift,
    Done,
    EndShift,
    LookUp,
    NotSent,
    OpenShift,
    Probe,
    Proven,
    RecordShift,
    Reply,
    Step,
    Uncertain,
)
from tests.support.scripted_server import Connection, Script, ScriptedServer, always, http

KEY = "ck_live_0123/456789abcdef=="
ME = b'{"requestId": "r1", "data": {"companyName": "Bakery", "companyId": 7}}'
ANNA = "9170357"
IN = 1795158060
STEPS: tuple[Step, ...] = (
    OpenShift(ANNA, IN),
    EndShift(ANNA, IN + 60, "s1"),
    RecordShift(ANNA, IN, IN + 60, "REF"),
    CloseShift(ANNA, "s1", IN + 60, "REF"),
    LookUp((ANNA,), IN, IN + 60),
    Probe(),
)
CLOCK_IN = json.dumps(
    {"data": {"shift": {"id": "s1", "userId": int(ANNA), "start": {"timestamp": IN, "timezone": "UTC"}}}}
).encode()


@asynccontextmanager
async def timesheet(
    tmp_path: Path, url: str, *, timeout_s: float = 5, **parts: Any
) -> AsyncIterator[ConnecteamTimesheet]:
    file = tmp_path / "key"
    file.write_text(KEY)
    config = ConnecteamConfig(time_clock_id=12345, base_url=url, api_key_file=file, timeout_s=timeout_s)
    made = ConnecteamTimesheet(config, kiosk="front-door", zone=ZoneInfo("Europe/Amsterdam"), **parts)
    try:
        yield made
    finally:
        await made.aclose()


async def carry_out(tmp_path: Path, script: Script, step: Step, **parts: Any) -> tuple[Reply, ScriptedServer]:
    async with ScriptedServer(script) as server, timesheet(tmp_path, server.url, **parts) as made:
        return await made.carry_out(step), server


# --- what goes out --------------------------------------------------------------------------------


async def test_a_request_is_plain_and_carries_the_key(tmp_path: Path) -> None:
    """HTTP/1.1, a plain User-Agent, the key, JSON; nothing else of ours."""
    reply, server = await carry_out(tmp_path, always(http(CLOCK_IN)), OpenShift(ANNA, IN))
    assert isinstance(reply.outcome, Done)
    (asked,) = server.asked
    assert asked.line == "POST /time-clock/v1/time-clocks/12345/clock-in HTTP/1.1"
    assert json.loads(asked.body) == {"userId": int(ANNA), "timestamp": IN}
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["user-agent"] == f"punchd/{__version__}"
    assert set(asked.headers) == {
        "host", "user-agent", "accept", "accept-encoding", "connection", "x-api-key", "content-type", "content-length",
    }  # fmt: skip


async def test_lists_repeat_their_keys(tmp_path: Path) -> None:
    """`userIds=1&userIds=2`, as the service wants it."""
    _, server = await carry_out(tmp_path, always(http(b"{}")), LookUp(("2", "1"), IN, IN))
    assert "userIds=1&userIds=2" in server.asked[0].line


async def test_requests_in_a_row_share_one_connection(tmp_path: Path) -> None:
    """A flush needs no new handshake for each punch."""
    async with ScriptedServer(always(http(ME))) as server, timesheet(tmp_path, server.url) as made:
        for _ in range(5):
            assert (await made.carry_out(Probe())).outcome == Proven("Bakery")
        assert len(server.connections) == 1


async def test_many_at_once_share_the_one_connection(tmp_path: Path) -> None:
    """Whoever calls, the service sees one connection; those who come later wait for it."""
    async with ScriptedServer(always(http(ME))) as server, timesheet(tmp_path, server.url) as made:
        replies = await asyncio.gather(*(made.carry_out(Probe()) for _ in range(12)))
        assert all(isinstance(reply.outcome, Proven) for reply in replies)
        assert len(server.connections) == 1


async def test_waiting_for_the_connection_ends_without_sending(tmp_path: Path) -> None:
    """While one request hangs, others give up: not sent is said exactly of those that never arrived."""

    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.closed()

    async with ScriptedServer(silent) as server, timesheet(tmp_path, server.url, timeout_s=0.3) as made:
        replies = await asyncio.gather(*(made.carry_out(OpenShift(ANNA, IN)) for _ in range(3)))
        assert len(server.asked) == sum(isinstance(reply.outcome, Uncertain) for reply in replies)


async def test_a_redirect_is_not_followed_with_the_key(tmp_path: Path) -> None:
    """Neither elsewhere nor on the same host; the outcome is open."""
    async with ScriptedServer(always(http(CLOCK_IN))) as elsewhere:
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            for target in (f"{elsewhere.url}/clock-in", "/login", "http://[broken"):
                reply, server = await carry_out(
                    tmp_path, always(http(b"", status, location=target)), OpenShift(ANNA, IN)
                )
                assert isinstance(reply.outcome, Uncertain)
                assert len(server.asked) == 1
        assert elsewhere.connections == []


async def test_cookies_are_not_kept(tmp_path: Path) -> None:
    """No request depends on an earlier answer."""
    async with (
        ScriptedServer(always(http(ME, set_cookie="session=1; Path=/"))) as server,
        timesheet(tmp_path, server.url) as made,
    ):
        await made.carry_out(Probe())
        await made.carry_out(Probe())
        assert all("cookie" not in asked.headers for asked in server.asked)


async def test_the_environment_neither_redirects_nor_replaces_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy variables and a .netrc are not asked."""
    (tmp_path / ".netrc").write_text("machine localhost login someone password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reply, server = await carry_out(tmp_path, always(http(ME)), Probe())
    assert isinstance(reply.outcome, Proven)
    assert "authorization" not in server.asked[0].headers


async def test_an_impossible_person_is_refused_without_a_request(tmp_path: Path) -> None:
    """An id that is no number would be a 422 for sure; a shared look-up goes on for the others."""
    async with (
        ScriptedServer(always(http(b'{"data": {"timeActivitiesByUsers": []}}'))) as server,
        timesheet(tmp_path, server.url) as made,
    ):
        for step in (OpenShift("anna", IN), RecordShift("", IN, IN + 1, "R")):
            reply = await made.carry_out(step)
            assert getattr(reply.outcome, "reason", None) == "invalid_request"
            assert reply.status is None
        assert (await made.carry_out(LookUp(("anna",), IN, IN))).status is None
        assert server.connections == []
        assert (await made.carry_out(LookUp(("anna", ANNA), IN, IN))).status == 200


# --- answers that break off -----------------------------------------------------------------------


def after_request(raw: bytes, *, reset: bool = False) -> Script:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.answer(raw)
        if reset:
            connection.reset()

    return script


BROKEN: dict[str, Script] = {
    "closed without an answer": after_request(b""),
    "reset without an answer": after_request(b"", reset=True),
    "cut in the status line": after_request(b"HTTP/1.1 2"),
    "cut in the headers": after_request(b"HTTP/1.1 200 OK\r\ncontent-len"),
    "cut in the body": after_request(http(CLOCK_IN)[:-10]),
    "cut in a chunk": after_request(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n" + CLOCK_IN[:20]),
    "reset in the body": after_request(http(CLOCK_IN)[:-10], reset=True),
    "cut, and nobody said how long": after_request(b"HTTP/1.0 200 OK\r\n\r\n" + CLOCK_IN[:-10]),
    "not HTTP": after_request(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "endless headers": after_request(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000 + b"\r\n\r\n"),
    "a wrong length": after_request(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n" + CLOCK_IN),
    "an unknown encoding": after_request(http(CLOCK_IN, content_encoding="br")),
    "damaged gzip": after_request(http(b"\x1f\x8b nothing", content_encoding="gzip")),
    "cut gzip": after_request(http(gzip.compress(CLOCK_IN)[:-9], content_encoding="gzip")),
    "too large": after_request(http(CLOCK_IN + b" " * 256 * 1024)),
    "too large, chunked": after_request(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n" * 1
        + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 5
    ),
    "a gzip bomb": after_request(http(gzip.compress(CLOCK_IN + b" " * 50_000_000), content_encoding="gzip")),
    "switched protocols": after_request(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
async def test_an_answer_that_breaks_off_leaves_the_outcome_open(tmp_path: Path, name: str, step: Step) -> None:
    """The request was sent once, may have been carried out, and is not sent again; a look-up found nothing out."""
    reply, server = await carry_out(tmp_path, BROKEN[name], step)
    assert isinstance(reply.outcome, Uncertain), reply
    assert len(server.asked) == 1


async def test_silence_ends_by_the_time_limit(tmp_path: Path) -> None:
    """No answer: open, after timeout_s."""

    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.closed()

    reply, server = await carry_out(tmp_path, silent, OpenShift(ANNA, IN), timeout_s=0.3)
    assert isinstance(reply.outcome, Uncertain)
    assert len(server.asked) == 1


async def test_a_drip_of_bytes_ends_by_the_overall_limit(tmp_path: Path) -> None:
    """Each byte comes in time, the answer never does; the status that came is kept."""

    async def drip(connection: Connection) -> None:
        await connection.request()
        await connection.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await connection.answer(b" ")
            await asyncio.sleep(0.01)  # the drip itself, not a wait for something

    reply, _ = await carry_out(tmp_path, drip, OpenShift(ANNA, IN), timeout_s=1)
    assert isinstance(reply.outcome, Uncertain)
    assert "no whole answer within 2 s" in reply.outcome.why
    assert reply.status == 200


async def test_a_large_list_is_read_where_a_large_punch_answer_is_not(tmp_path: Path) -> None:
    """Lists may have 4 MiB, packed or not; everything else 256 KiB."""
    filler = [{"userId": 5, "shifts": [], "note": "x" * 1000}] * 1000
    large = json.dumps({"data": {"timeActivitiesByUsers": filler}}).encode()
    for raw in (http(large), http(gzip.compress(large), content_encoding="gzip")):
        reply, _ = await carry_out(tmp_path, always(raw), LookUp((ANNA,), IN, IN))
        assert type(reply.outcome).__name__ == "Found"
    huge = json.dumps({"data": {"timeActivitiesByUsers": filler * 5}}).encode()
    reply, _ = await carry_out(tmp_path, always(http(huge)), LookUp((ANNA,), IN, IN))
    assert isinstance(reply.outcome, Uncertain)


async def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """50 MB in 50 kB: neither the time nor the memory of a small kiosk."""
    bomb = http(gzip.compress(b" " * 50_000_000), content_encoding="gzip")
    async with ScriptedServer(always(bomb)) as server, timesheet(tmp_path, server.url) as made:
        tracemalloc.start()
        try:
            outcome = (await made.carry_out(OpenShift(ANNA, IN))).outcome
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(outcome, Uncertain)
    assert "more than 262144 bytes" in outcome.why
    assert peak < 5_000_000


async def test_an_interim_answer_is_not_the_answer(tmp_path: Path) -> None:
    """103 and 100 are passed over."""
    raw = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + b"HTTP/1.1 100 Continue\r\n\r\n" + http(CLOCK_IN)
    reply, _ = await carry_out(tmp_path, always(raw), OpenShift(ANNA, IN))
    assert isinstance(reply.outcome, Done)


async def test_a_kept_connection_closed_while_idle_is_noticed_before_sending(tmp_path: Path) -> None:
    """The server lost patience: the next request goes over a new connection, once."""

    async def one(connection: Connection) -> None:
        await connection.request()
        await connection.answer(http(ME))

    async with ScriptedServer(one) as server, timesheet(tmp_path, server.url) as made:
        for number in range(1, 4):
            assert isinstance((await made.carry_out(Probe())).outcome, Proven)
            await server.until_ended(number)
        assert len(server.asked) == 3


async def test_a_kept_connection_that_closes_on_our_request_leaves_it_open(tmp_path: Path) -> None:
    """The race with an idle server's close: never sent again by itself."""

    async def one_and_a_half(connection: Connection) -> None:
        await connection.request()
        await connection.answer(http(ME))
        await connection.request()

    async with ScriptedServer(one_and_a_half) as server, timesheet(tmp_path, server.url) as made:
        await made.carry_out(Probe())
        reply = await made.carry_out(OpenShift(ANNA, IN))
        assert isinstance(reply.outcome, Uncertain)
        assert len(server.asked) == 2


async def test_being_cancelled_is_passed_on_and_frees_the_connection(tmp_path: Path) -> None:
    """A stop does not wait for the service; afterwards everything works."""
    first = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        if not first.is_set():
            first.set()
            await connection.closed()
        await connection.answer(http(ME))

    async with ScriptedServer(script) as server, timesheet(tmp_path, server.url) as made:
        task = asyncio.create_task(made.carry_out(Probe()))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance((await made.carry_out(Probe())).outcome, Proven)


# --- requests that never left ---------------------------------------------------------------------


async def test_a_refused_connection_is_not_sent(tmp_path: Path) -> None:
    """Nobody listens: surely nothing happened."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with timesheet(tmp_path, f"http://127.0.0.1:{bound.getsockname()[1]}") as made:
            for step in STEPS:
                assert isinstance((await made.carry_out(step)).outcome, NotSent)


async def test_a_name_without_an_address_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS fails: surely nothing happened."""

    def no_address(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    async with timesheet(tmp_path, "https://api.connecteam.com") as made:
        outcome = (await made.carry_out(OpenShift(ANNA, IN))).outcome
        assert isinstance(outcome, NotSent)
        assert "name resolution" in outcome.why
        assert "api.connecteam.com" in outcome.why


# --- TLS ------------------------------------------------------------------------------------------

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority that the client trusts, and certificates for localhost."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.trusting = ssl.create_default_context()
        self.ca.configure_trust(self.trusting)

    def server(self, name: str = "localhost", *, first: int = -1, last: int = 1) -> ssl.SSLContext:
        """A server's context; validity in days from now."""
        now = datetime.datetime.now(datetime.UTC)
        issued = self.ca.issue_cert(name, not_before=now + first * DAY, not_after=now + last * DAY)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def over_tls(tmp_path: Path, authority: Authority, context: ssl.SSLContext) -> tuple[Reply, ScriptedServer]:
    date = "Sat, 21 Nov 2026 02:00:00 GMT"
    async with (
        ScriptedServer(always(http(ME, date=date)), context) as server,
        timesheet(tmp_path, server.url, tls=authority.trusting) as made,
    ):
        return await made.carry_out(Probe()), server


async def test_verified_tls_works_and_its_date_is_believed(tmp_path: Path, authority: Authority) -> None:
    """The way it is on the kiosk."""
    reply, _ = await over_tls(tmp_path, authority, authority.server())
    assert reply.outcome == Proven("Bakery")
    assert reply.server_date == 1795226400.0


@pytest.mark.parametrize(("first", "last"), [(1, 3), (-3, -1)], ids=["not yet valid", "expired"])
async def test_a_certificate_out_of_its_time_may_mean_our_clock(
    tmp_path: Path, authority: Authority, first: int, last: int
) -> None:
    """Told apart from other TLS failures, because a kiosk without a clock chip meets it at boot."""
    reply, server = await over_tls(tmp_path, authority, authority.server(first=first, last=last))
    assert isinstance(reply.outcome, CertificateTime)
    assert server.asked == []
    assert reply.server_date is None


async def test_a_certificate_of_somebody_else_is_not_sent(tmp_path: Path, authority: Authority) -> None:
    """Another host's, or another authority's: the key does not go there."""
    for context in (authority.server("portal.invalid"), Authority().server()):
        reply, server = await over_tls(tmp_path, authority, context)
        assert isinstance(reply.outcome, NotSent)
        assert "ertificate" in reply.outcome.why
        assert server.asked == []


async def test_the_systems_authorities_are_asked_by_default(tmp_path: Path, authority: Authority) -> None:
    """Without an argument a private authority is not trusted: verification is on."""
    async with (
        ScriptedServer(always(http(ME)), authority.server()) as server,
        timesheet(tmp_path, server.url) as made,
    ):
        assert isinstance((await made.carry_out(Probe())).outcome, NotSent)
        assert server.asked == []


@pytest.mark.parametrize("how", ["plain", "closes", "resets", "hangs"])
async def test_a_failed_handshake_is_not_sent(tmp_path: Path, authority: Authority, how: str) -> None:
    """Plain HTTP behind the port, a close, a reset or silence during the handshake: the request never left."""

    async def script(connection: Connection) -> None:
        await connection.reader.read(10)
        if how == "plain":
            await connection.answer(http(b"<h1>speak TLS</h1>", "400 Bad Request"))
        if how == "resets":
            connection.reset()
        if how == "hangs":
            await connection.closed()

    async with ScriptedServer(script) as server:
        url = server.url.replace("http:", "https:")
        async with timesheet(tmp_path, url, tls=authority.trusting, timeout_s=0.3) as made:
            assert isinstance((await made.carry_out(OpenShift(ANNA, IN))).outcome, NotSent)


# --- through a proxy ------------------------------------------------------------------------------


async def test_through_a_proxy_the_key_travels_inside_tls(tmp_path: Path, authority: Authority) -> None:
    """The proxy sees a host and a port; what it carries it cannot read."""
    seen = bytearray()

    async def proxy(connection: Connection) -> None:
        asked = await connection.request()
        host, port = asked.line.split()[1].split(":")
        upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        await connection.answer(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                seen.extend(data)
                writer.write(data)
                await writer.drain()
            writer.close()

        try:
            await asyncio.gather(pump(connection.reader, upstream), pump(upstream_reader, connection.writer))
        finally:
            upstream.transport.abort()

    async with (
        ScriptedServer(always(http(ME)), authority.server()) as service,
        ScriptedServer(proxy) as between,
        timesheet(tmp_path, service.url, tls=authority.trusting, proxy=between.url) as made,
    ):
        assert isinstance((await made.carry_out(Probe())).outcome, Proven)
        assert service.asked[0].headers["x-api-key"] == KEY
        assert KEY.encode() not in bytes(seen)
        assert all("x-api-key" not in asked.headers for asked in between.asked)


PROXIES: dict[str, Script] = {
    "asks who we are": after_request(http(b"who?", "407 Proxy Authentication Required")),
    "cannot reach it": after_request(http(b"<h1>502</h1>", "502 Bad Gateway")),
    "closes": after_request(b""),
    "resets": after_request(b"", reset=True),
    "is no proxy": after_request(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
}


@pytest.mark.parametrize("name", [*PROXIES, "hangs"])
async def test_a_proxy_that_does_not_connect_means_not_sent(tmp_path: Path, authority: Authority, name: str) -> None:
    """Whatever the proxy did with CONNECT: our request was not yet on its way."""

    async def hangs(connection: Connection) -> None:
        await connection.request()
        await connection.closed()

    async with (
        ScriptedServer(PROXIES.get(name, hangs)) as between,
        timesheet(tmp_path, "https://localhost:1", tls=authority.trusting, proxy=between.url, timeout_s=0.2) as made,
    ):
        assert isinstance((await made.carry_out(OpenShift(ANNA, IN))).outcome, NotSent)


# --- every lower error ----------------------------------------------------------------------------


class Raising(httpx.AsyncBaseTransport):
    """A network that fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self._error


def _tree(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def _instance(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx.HTTPStatusError):
        request = httpx.Request("GET", "https://localhost")
        return kind("x", request=request, response=httpx.Response(500, request=request))
    try:
        return kind("as the layer below puts it")
    except TypeError:
        return kind()


SURELY_NOT = {
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
}  # fmt: skip
LOWER = [
    kind
    for top in (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
    for kind in _tree(top)
    if kind.__module__.split(".")[0] in ("httpx", "builtins", "socket", "ssl")
]


@pytest.mark.parametrize("kind", LOWER, ids=lambda kind: kind.__name__)
async def test_every_lower_error_becomes_an_outcome(tmp_path: Path, kind: type[Exception]) -> None:
    """The whole tree of httpx, and of the system below it: not sent only where that is certain; nothing is raised."""
    assert len(LOWER) > 25
    async with timesheet(tmp_path, "https://localhost", transport=Raising(_instance(kind))) as made:
        outcome = (await made.carry_out(OpenShift(ANNA, IN))).outcome
    assert isinstance(outcome, NotSent if kind in SURELY_NOT else Uncertain)


async def test_a_body_that_fails_below_is_told_with_its_status(tmp_path: Path) -> None:
    """The status came, the body did not."""

    class Torn(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            raise ssl.SSLError("bad record mac")

    class Half(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Torn(), headers={"date": "Sat, 21 Nov 2026 02:00:00 GMT"})

    async with timesheet(tmp_path, "https://localhost", transport=Half()) as made:
        reply = await made.carry_out(OpenShift(ANNA, IN))
    assert isinstance(reply.outcome, Uncertain)
    assert (reply.status, reply.server_date) == (200, 1795226400.0)


# --- what comes back with it ----------------------------------------------------------------------


async def test_a_reply_carries_date_budget_id_and_the_first_of_the_body(tmp_path: Path) -> None:
    """For the clock gate, the pacer, the journal and the person who reviews."""
    body = json.dumps({"error": "no", "request_id": "r-17", "more": "é" * 5000}, ensure_ascii=False).encode()
    raw = http(
        body, "400 Bad Request", date="Sat, 21 Nov 2026 02:00:00 GMT", x_ratelimit_minute_remaining="7"
    )  # fmt: skip
    reply, _ = await carry_out(tmp_path, always(raw), OpenShift(ANNA, IN))
    assert (reply.status, reply.server_date, reply.request_id) == (400, 1795226400.0, "r-17")
    assert reply.budget is not None
    assert reply.budget.minute_remaining == 7
    assert reply.body is not None
    assert len(reply.body) == 2000
    assert reply.body.startswith('{"error": "no"')


# --- secrets --------------------------------------------------------------------------------------


def _echo(status: str, **headers: str) -> Script:
    """A server that shows the request's headers in its answer, in body and headers, as debugging pages do."""

    async def script(connection: Connection) -> None:
        asked = await connection.request()
        shown = json.dumps({"error": asked.headers, "detail": asked.headers["x-api-key"]})
        body = shown.replace("/", "\\/").encode() + shown.encode()
        document = json.dumps({"error": asked.headers, "detail": asked.headers["x-api-key"]}).encode()
        raw = document if "json" in headers.get("content_type", "") else body
        await connection.answer(http(raw, status, x_echo=asked.headers["x-api-key"], **headers))

    return script


LEAKS: dict[str, Script] = {
    "refused as json": _echo("400 Bad Request", content_type="application/json"),
    "key refused": _echo("401 Unauthorized", content_type="application/json"),
    "not there": _echo("404 Not Found", content_type="application/json"),
    "a proxy's page": _echo("502 Bad Gateway"),
    "unproven": _echo("200 OK", content_type="application/json"),
    "throttled": _echo("429 Slow Down"),
    **BROKEN,
}


@pytest.mark.parametrize("name", LEAKS)
async def test_the_key_is_shown_nowhere(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in replies, reprs, or any log at its lowest level, whatever the server shows of our request."""
    caplog.set_level(logging.DEBUG)
    file_shown = str(tmp_path / "key")
    async with ScriptedServer(LEAKS[name]) as server, timesheet(tmp_path, server.url) as made:
        for step in STEPS:
            reply = await made.carry_out(step)
            shown = repr(reply) + repr(made) + repr(vars(made)) + file_shown
            told = shown + caplog.text + "".join(map(str, capfd.readouterr()))
            assert server.asked, "nothing was asked"
            for secret in (KEY, KEY.replace("/", "\\/"), KEY.replace("/", "\\\\/"), KEY[:12], KEY[-12:]):
                assert secret not in told


@pytest.mark.parametrize("kind", LOWER, ids=lambda kind: kind.__name__)
async def test_an_error_from_below_that_shows_the_key_is_masked(tmp_path: Path, kind: type[Exception]) -> None:
    """Some layers put the header they dislike into their message."""
    try:
        error = kind(f"illegal header {KEY}")
    except TypeError:
        return  # carries no message of its own
    async with timesheet(tmp_path, "https://localhost", transport=Raising(error)) as made:
        assert KEY not in repr(await made.carry_out(OpenShift(ANNA, IN)))


async def test_a_client_alone_tells_what_it_knows() -> None:
    """The client below the timesheet: an answer with status, headers in lower case, and the body."""
    async with ScriptedServer(always(http(b"hello", "201 Created", X_Thing="1"))) as server:
        client = Client(server.url, timeout_s=5)
        answer = await client.send(Request("GET", "/me"), {})
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, answer.headers["x-thing"], answer.fault) == (201, b"hello", "1", None)
        await client.aclose()
