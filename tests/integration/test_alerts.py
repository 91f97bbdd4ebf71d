"""Alarms leave the box: over real HTTP to a receiver that checks the signature, and through real programs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from daemon.alarms import Alarms
from daemon.alerts.alerts import SETTING, Alerts
from daemon.alerts.book import Message
from daemon.alerts.channel import Channel, Sent, body_of
from daemon.alerts.command import Command
from daemon.alerts.deciding import START_GRACE_S, Rules
from daemon.alerts.webhook import SIGNATURE, Webhook
from daemon.clock import Timekeeper
from daemon.queue.database import Database
from daemon.queue.records import get_setting
from daemon.supervisor import Backoff
from tests.simulation.virtual import VirtualClock, run_virtual
from tests.support.fake_clock import START, FakeClock

SECRET = "a shared secret of some length"


class Receiver:
    """A webhook's other end on loopback. `answers` are given first, then 204; what it took is in `got`, in order."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.got: asyncio.Queue[dict] = asyncio.Queue()
        self.tries = 0
        self.elsewhere = "http://127.0.0.1:9/"
        self.url = ""
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0) -> None:
        self._runner = web.ServerRunner(web.Server(self._take, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook?to=me"

    async def stop(self) -> int:
        port = self._runner.addresses[0][1]
        await self._runner.cleanup()
        return port

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.tries += 1
        right = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/json"
        if not hmac.compare_digest(request.headers[SIGNATURE], right):
            return web.Response(status=401)
        answer = self.answers.pop(0) if self.answers else 204
        if answer == "hang up":
            request.transport.abort()
            return web.Response()
        if answer in (204, "take and hang up"):
            self.got.put_nowait(json.loads(body))
        if answer == "take and hang up":
            request.transport.abort()
            return web.Response()
        return web.Response(status=answer, headers={"Location": self.elsewhere} if answer == 302 else {})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def database(tmp_path) -> AsyncIterator[Database]:
    db = await Database.open(tmp_path / "punchd.db")
    yield db
    await db.close()


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


class Box:
    """Alarms, and what tells them."""

    def __init__(self, database: Database, channels: dict[str, Channel], clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        timekeeper = Timekeeper(self.clock)
        self.alarms = Alarms(timekeeper.now)
        self.alerts = Alerts(
            channels,
            Rules(0, None),
            kiosk="front-door",
            database=database,
            timekeeper=timekeeper,
            alarms=self.alarms,
            rng=random.Random(),  # a restart must not give the same ids again
            pauses=Backoff(first_s=0.001, max_s=0.01),
        )
        self.alarms.on_change = self.alerts.heard

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.alerts.run())
        try:
            yield
        finally:
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError), outcome


async def emptied(database: Database) -> None:
    """Wait until something was told and nothing waits any more, in the book on disk."""
    await kept(database, lambda book: not book["waiting"])


async def kept(database: Database, fits: Callable[[dict], bool]) -> None:
    """Wait until the book on disk is like that."""
    while True:
        text = await database.read(lambda conn: get_setting(conn, SETTING))
        if text is not None and fits(json.loads(text)):
            return


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something outside this process that sets no event."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_raised_and_over_arrive_signed(database, receiver, secret):
    """Each once, whole, with the same `since`, ids of their own, and a signature that fits."""
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "Nothing can be delivered: the key “x” is wrong.")
        raised = await receiver.got.get()
        box.clock.advance(60)
        box.alarms.clear("halted")
        over = await receiver.got.get()
        await emptied(database)
    assert raised == {
        "id": raised["id"],
        "code": "halted",
        "raised": True,
        "since": "2026-11-21T08:00:00Z",
        "kiosk": "front-door",
        "text": "Nothing can be delivered: the key “x” is wrong.",
    }
    assert (over["raised"], over["since"], over["code"]) == (False, raised["since"], "halted")
    assert over["id"] != raised["id"]
    assert receiver.tries == 2


async def test_it_is_tried_again_until_it_gets_through(database, receiver, secret):
    """500, a hang-up, a redirect (not followed), 429, then a receiver that is away: in the end it is there, once."""
    receiver.answers = [500, "hang up", 302, 429]
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        assert (await receiver.got.get())["code"] == "halted"
        assert receiver.tries == 5
        port = await receiver.stop()
        unsent = asyncio.Event()
        tell = box.alarms.on_change

        def heard(alarm, raised):
            tell(alarm, raised)
            if raised and alarm.code == "alerts_unsent:url":
                unsent.set()

        box.alarms.on_change = heard
        box.alarms.set("queue_old", "y")
        await unsent.wait()  # refused connections, three in a row
        assert "alerts_unsent:url" in {alarm.code for alarm in box.alarms.standing()}
        await receiver.start(port)
        assert (await receiver.got.get())["code"] == "queue_old"
        await emptied(database)
        assert {alarm.code for alarm in box.alarms.standing()} == {"halted", "queue_old"}
    assert receiver.got.empty()


async def test_a_lost_answer_brings_the_same_message_with_the_same_id(database, receiver, secret):
    """Twice is possible where once cannot be known; the id says so."""
    receiver.answers = ["take and hang up"]
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        first, second = await receiver.got.get(), await receiver.got.get()
        await emptied(database)
    assert first == second


async def test_a_restart_loses_nothing_and_repeats_nothing(tmp_path, secret):
    """Raised while nobody listens, stopped, started again: it arrives once; still so after the start: not again."""
    away = Receiver()
    await away.start()
    port = await away.stop()
    clock = FakeClock()
    database = await Database.open(tmp_path / "punchd.db")
    box = Box(database, {"url": Webhook(away.url, secret)}, clock)
    async with box.running():
        box.alarms.set("halted", "x")
        box.alarms.set("review_waiting", "y")
        await kept(database, lambda book: len(book["told"]) == 2)
    await database.close()

    clock.reboot(off_s=3600, wall=clock.wall + 3600, synchronised=True)
    await away.start(port)
    database = await Database.open(tmp_path / "punchd.db")
    box = Box(database, {"url": Webhook(away.url, secret)}, clock)
    async with box.running():
        assert [(await away.got.get())["code"] for _ in range(2)] == ["halted", "review_waiting"]
        box.alarms.set("halted", "x")  # as delivery does after its first request
        clock.advance(START_GRACE_S)
        box.alarms.set("queue_old", "z")  # wakes it: review_waiting is over now
        later = [await away.got.get() for _ in range(2)]
        await emptied(database)
    assert {(one["code"], one["raised"]) for one in later} == {("review_waiting", False), ("queue_old", True)}
    assert later[0]["since"] or later[1]["since"]
    assert away.got.empty()
    await away.stop()
    await database.close()


async def test_a_refused_message_does_not_hold_up_the_next(database, receiver, secret):
    """400 for one: the other gets through, and the first comes again after it."""
    receiver.answers = [400]
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    box.alarms.set("halted", "x")
    box.alarms.set("queue_old", "y")
    async with box.running():
        assert [(await receiver.got.get())["code"] for _ in range(2)] == ["queue_old", "halted"]


async def test_neither_a_redirect_nor_a_proxy_leads_it_elsewhere(database, receiver, secret, monkeypatch):
    """Only the address of the configuration hears what is wrong, whatever it answers and the environment says."""
    other = Receiver()
    await other.start()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
    receiver.answers, receiver.elsewhere = [302], other.url
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running(), asyncio.timeout(60):
        box.alarms.set("halted", "no key")
        assert (await receiver.got.get())["code"] == "halted"
    await other.stop()
    assert (receiver.tries, other.tries) == (2, 0)


MESSAGE = Message("1", "url", "halted", True, START, "x", START)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, "done"),
        *((later, "failed") for later in (302, 408, 425, 429, 500, 503)),
        (400, "refused"),
        (410, "refused"),
    ],
)
async def test_what_a_receiver_says(receiver, secret, status, outcome):
    """Taken; not now: the same message comes next; not this one: the others go before it."""
    receiver.answers = [status]
    assert (await Webhook(receiver.url, secret).send(MESSAGE, body_of(MESSAGE, "k"))).value == outcome


async def test_an_answer_that_never_ends_is_no_answer(secret):
    """Each byte of it comes in time: the whole has a limit of its own."""
    told, over = asyncio.Event(), asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        while not told.is_set():
            writer.write(b"x")
            await asyncio.sleep(0.001)
        writer.transport.abort()
        over.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert await Webhook(url, secret, timeout_s=0.2).send(MESSAGE, body_of(MESSAGE, "k")) is Sent.FAILED
        told.set()
        await over.wait()
        await asyncio.sleep(0)  # the transport lets go of its socket in the next turn


async def test_a_secret_that_cannot_be_read_sends_nothing_and_stops_nothing(database, receiver, secret):
    """Nothing leaves unsigned; once the file is there again, the message gets through."""
    secret.rename(secret.with_suffix(".away"))
    assert await Webhook(receiver.url, secret).send(MESSAGE, body_of(MESSAGE, "k")) is Sent.FAILED
    assert receiver.tries == 0
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        await until(lambda: "alerts_unsent:url" in {alarm.code for alarm in box.alarms.standing()})
        secret.with_suffix(".away").rename(secret)
        assert (await receiver.got.get())["code"] == "halted"
    assert receiver.tries == 1


async def test_the_book_forgets_what_is_long_over(database, receiver, secret):
    """Alarms that were told and are over for longer than the gap fill no book."""
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running(), asyncio.timeout(60):
        box.alarms.set("halted", "x")
        await receiver.got.get()
        box.clock.advance(Rules(0, None).gap_s + 1)
        box.alarms.clear("halted")
        await receiver.got.get()
        box.clock.advance(Rules(0, None).gap_s + 1)
        box.alarms.set("queue_old", "y")
        await kept(database, lambda book: list(book["told"]) == ["queue_old"])


async def test_a_new_secret_needs_no_restart(database, receiver, secret):
    """With a wrong one the receiver refuses; once the file is right, the next try is."""
    secret.write_text("old")
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        await until(lambda: receiver.tries >= 2)
        secret.write_text(SECRET)
        assert (await receiver.got.get())["code"] == "halted"


async def test_what_the_disk_cannot_keep_is_told_all_the_same(database, receiver, secret, monkeypatch):
    """The alarm that taps cannot be stored must not wait for a disk that stores nothing."""

    async def full(fn):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database, "write", full)
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("cannot_store", "x")
        assert (await receiver.got.get())["code"] == "cannot_store"
        box.alarms.clear("cannot_store")
        assert (await receiver.got.get())["raised"] is False


async def test_a_book_nobody_can_read_is_begun_anew(database, receiver, secret):
    """Telling twice is better than not at all."""
    await database.write(lambda conn: conn.execute("INSERT INTO settings VALUES (?, '{')", (SETTING,)))
    box = Box(database, {"url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        assert (await receiver.got.get())["code"] == "halted"


async def test_https_is_verified(database, tmp_path, secret):
    """A receiver that nobody vouches for gets nothing; the one with a known authority does."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver._take, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
    client = ssl.create_default_context()
    stranger = Webhook(url, secret, tls=client)
    message = Message("1", "url", "halted", True, START, "x", START)
    assert await stranger.send(message, body_of(message, "k")) is Sent.FAILED
    assert receiver.tries == 0
    authority.configure_trust(client)
    assert await Webhook(url, secret, tls=client).send(message, body_of(message, "k")) is Sent.DONE
    await runner.cleanup()


# --- programs

PROGRAM = """
import json, os, sys
message = json.load(sys.stdin)
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([message["code"], message["raised"], sorted(os.environ), sys.argv[2]]) + "\\n")
"""


async def test_a_program_gets_the_message_without_a_shell(database, tmp_path, monkeypatch):
    """On standard input, each once, arguments to the letter, and nothing of punchd's own surroundings."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/punchd")
    out = tmp_path / "out"
    box = Box(database, {"command": Command([sys.executable, "-I", "-c", PROGRAM, str(out), "$HOME; a  b"])})
    async with box.running():
        box.alarms.set("halted", "x")
        await emptied(database)
        box.alarms.clear("halted")
        await until(lambda: len(out.read_text().splitlines()) == 2)
        await emptied(database)
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(code, raised) for code, raised, _, _ in told] == [("halted", True), ("halted", False)]
    assert all("CREDENTIALS_DIRECTORY" not in names and argument == "$HOME; a  b" for _, _, names, argument in told)


@pytest.mark.parametrize(
    ("argv", "outcome"),
    [
        (["/bin/true"], "done"),  # it need not read
        (["/bin/false"], "refused"),
        (["/bin/sh", "-c", "head -c 1000000 /dev/zero >&2; exit 3"], "refused"),
        (["/nowhere/program"], "failed"),
        (["/bin/sh", "-c", "kill -9 $$"], "refused"),
    ],
)
async def test_what_comes_of_a_program(argv, outcome):
    """Its exit code decides; it may say much, or not exist, and nobody waits for it."""
    message = Message("1", "command", "halted", True, START, "x", START)
    assert (await Command(argv).send(message, b"{}" * 10_000)).value == outcome


def is_gone(stat: Path) -> bool:
    """Whether a process has ended (whoever inherited it may not have noticed yet)."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_program_that_does_not_end_is_stopped_with_all_it_started(tmp_path):
    """After its time nothing of it is left, not even what it put in the background."""
    message = Message("1", "command", "halted", True, START, "x", START)
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; wait"
    command = Command(["/bin/sh", "-c", script], timeout_s=0.5)
    assert (await command.send(message, b"{}")).value == "refused"
    for pid in pids.read_text().split():
        await until(lambda stat=Path(f"/proc/{pid}/stat"): is_gone(stat))


async def test_a_program_that_hangs_does_not_hold_up_the_other_way(database, receiver, secret):
    """Each way out goes by itself."""
    box = Box(database, {"command": Command(["/bin/sleep", "1000"]), "url": Webhook(receiver.url, secret)})
    async with box.running():
        box.alarms.set("halted", "x")
        assert (await receiver.got.get())["code"] == "halted"


def test_a_receiver_that_is_away_is_tried_with_growing_pauses(tmp_path):
    """A day long it is asked every few minutes, never without a pause; once it is back the message gets through."""
    tries: list[float] = []

    async def main(loop):
        class Away:
            async def send(self, _message: Message, _body: bytes) -> Sent:
                tries.append(loop.time())
                assert len(tries) < 2000, "without a pause"
                return Sent.FAILED if loop.time() < 24 * 3600 else Sent.DONE

        keeper = Timekeeper(VirtualClock(loop))
        alarms = Alarms(keeper.now)
        async with AsyncExitStack() as undo:
            database = await Database.open(tmp_path / "punchd.db", inline=True)
            undo.push_async_callback(database.close)
            alerts = Alerts(
                {"url": Away()}, Rules(0, None), kiosk="front-door", database=database, timekeeper=keeper,
                alarms=alarms, rng=random.Random(1),
            )  # fmt: skip
            alarms.on_change = alerts.heard
            telling = asyncio.ensure_future(alerts.run())
            alarms.set("halted", "no key")
            await asyncio.sleep(25 * 3600)
            telling.cancel()
            await asyncio.wait([telling])

    run_virtual(main)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert 2.5 <= pauses[0] <= 5
    assert all(150 <= pause <= 300 for pause in pauses[6:])
    assert 24 * 3600 <= tries[-1] <= 24 * 3600 + 300
