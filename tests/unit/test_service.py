"""The order of things: what starts, what stops when, and who may fail without the others."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from daemon.alarms import Alarms
from daemon.errors import ConfigError
from daemon.events import Events
from daemon.notify import Notifier
from daemon.service import DELIVERY_GRACE_S, Orders, Parts, Service
from daemon.supervisor import FatalError
from tests.simulation.virtual import run_virtual


class Recorder:
    """Parts that write down what happens to them, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.delivering = asyncio.Event()
        self.orders = Orders()
        self.alarms, self.events = Alarms(lambda: 0.0), Events(lambda: 0.0)

    def parts(self, **replaced) -> Parts:
        values = {
            "database": Closing(self.seen, "database"),
            "timesheet": Closing(self.seen, "timesheet"),
            "delivery": Delivering(self.seen, self.delivering),
            "sockets": Sockets(self.seen),
            "readers": Waiting(self.seen, "readers"),
            "close_intake": lambda: self.seen.append("intake closed"),
            "watches": (("clock", Waiting(self.seen, "clock").run),),
            "alarms": self.alarms,
            "events": self.events,
        }
        return Parts(**{**values, **replaced})

    def service(self, notifier: Notifier | None = None, **replaced) -> Service:
        return Service(self.parts(**replaced), self.orders, notifier=notifier or Notifier(None), rng=random.Random(1))


class Waiting:
    def __init__(self, seen: list[str], name: str) -> None:
        self.seen, self.name = seen, name

    async def run(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.5)  # what is in progress takes its time
            self.seen.append(f"{self.name} ended")


class Closing:
    def __init__(self, seen: list[str], name: str) -> None:
        self.seen, self.name = seen, name

    async def close(self) -> None:
        self.seen.append(f"{self.name} closed")

    aclose = close


class Sockets:
    def __init__(self, seen: list[str], trouble: Exception | None = None) -> None:
        self.seen, self.trouble = seen, trouble

    async def start(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.seen.append("sockets stopped")


class Delivering:
    """Delivery with a request out: it ends by itself when `answered` comes, or is cancelled."""

    def __init__(self, seen: list[str], answered: asyncio.Event) -> None:
        self.seen, self.answered, self.stopping = seen, answered, asyncio.Event()

    async def run(self) -> None:
        try:
            await self.stopping.wait()
            await self.answered.wait()
            self.seen.append("delivery settled")
        except asyncio.CancelledError:
            self.seen.append("delivery cancelled")
            raise

    async def stop(self, grace_s: float) -> None:
        self.stopping.set()


async def until_stopped(recorder: Recorder, service: Service) -> None:
    running = asyncio.create_task(service.run())
    await service.started.wait()
    await asyncio.sleep(1)
    recorder.orders.stop.set()
    await running


def test_the_stop_order():
    """Readers, intake, sockets, delivery with its answer, watches, timesheet, database: nothing before its time."""

    async def main(loop):
        recorder = Recorder()
        loop.call_later(3, recorder.delivering.set)
        await until_stopped(recorder, recorder.service())
        return recorder.seen

    assert run_virtual(main) == [
        "readers ended",
        "intake closed",
        "sockets stopped",
        "delivery settled",
        "clock ended",
        "timesheet closed",
        "database closed",
    ]


def test_a_request_without_an_answer_gets_a_short_grace():
    """A hanging request is given up after the grace, and the database is still closed in order."""

    async def main(loop):
        recorder = Recorder()
        await until_stopped(recorder, recorder.service())
        return recorder.seen, loop.time()

    seen, passed = run_virtual(main)
    assert seen[3] == "delivery cancelled"
    assert seen[-1] == "database closed"
    assert passed == pytest.approx(1 + 0.5 + DELIVERY_GRACE_S + 0.5)


def test_orders_to_stop_that_come_again_change_nothing():
    """A second and third order during the stop leave its order as it is."""

    async def main(loop):
        recorder = Recorder()
        for after in (1.2, 2, 4):
            loop.call_later(after, recorder.orders.stop.set)
        await until_stopped(recorder, recorder.service())
        return recorder.seen

    assert run_virtual(main)[-3:] == ["clock ended", "timesheet closed", "database closed"]


def test_a_fatal_error_stops_everything_in_order_and_is_raised():
    """A programmer's error in the intake ends the service, which systemd starts again; all else stops in order."""

    class Failing(Waiting):
        async def run(self) -> None:
            await asyncio.sleep(1)
            self.seen.append("readers failed")
            raise FatalError("cannot go on")

    async def main(loop):
        recorder = Recorder()
        recorder.delivering.set()
        with pytest.raises(FatalError):
            await recorder.service(readers=Failing(recorder.seen, "readers")).run()
        return recorder.seen

    assert run_virtual(main) == [
        "readers failed",
        "intake closed",
        "sockets stopped",
        "delivery settled",
        "clock ended",
        "timesheet closed",
        "database closed",
    ]


@pytest.mark.parametrize("part", ["delivery", "readers"])
def test_a_part_that_fails_is_started_again_alone(part):
    """Any other error of one part is an alarm and a restart of that part; the others never notice."""

    class Stumbling(Delivering):
        starts = 0

        async def run(self) -> None:
            Stumbling.starts += 1
            if Stumbling.starts <= 3:
                raise ValueError("stumbled")
            await super().run()

    async def main(loop):
        recorder = Recorder()
        recorder.delivering.set()
        service = recorder.service(**{part: Stumbling(recorder.seen, recorder.delivering)})
        running = asyncio.create_task(service.run())
        await service.started.wait()
        await asyncio.sleep(30)
        assert [alarm.code for alarm in recorder.alarms.standing()] == [f"{part}_failing"]
        assert recorder.seen == []
        recorder.orders.stop.set()
        await running
        return Stumbling.starts

    assert run_virtual(main) == 4


def test_sockets_that_cannot_be_opened_end_the_start():
    """The reason comes through as it is, and nothing stays open."""

    async def main(loop):
        recorder = Recorder()
        with pytest.raises(ConfigError):
            await recorder.service(sockets=Sockets(recorder.seen, ConfigError("cannot bind"))).run()
        return recorder.seen

    assert run_virtual(main) == ["timesheet closed", "database closed"]


def test_a_failed_close_does_not_keep_the_database_open():
    """Each step of the stop is taken, also after one that failed."""

    class Broken(Closing):
        async def aclose(self) -> None:
            raise RuntimeError("broken")

    async def main(loop):
        recorder = Recorder()
        recorder.delivering.set()
        with pytest.raises(RuntimeError):
            await until_stopped(recorder, recorder.service(timesheet=Broken(recorder.seen, "timesheet")))
        return recorder.seen

    assert run_virtual(main)[-1] == "database closed"


async def test_systemd_hears_ready_and_stopping(tmp_path: Path):
    """READY=1 comes when taps are taken, STOPPING=1 at once when the stop begins, each once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        recorder = Recorder()
        recorder.delivering.set()
        service = recorder.service(Notifier(str(tmp_path / "notify")))
        running = asyncio.create_task(service.run())
        await service.started.wait()
        assert sock.recv(4096).startswith(b"READY=1\n")
        recorder.orders.stop.set()
        await running
        assert sock.recv(4096).startswith(b"STOPPING=1\n")
        with pytest.raises(BlockingIOError):
            sock.recv(4096)
