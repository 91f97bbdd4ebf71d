"""What the people before a clock, and those who answer for it, had to live with elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from daemon.control import cli
from daemon.delivery.courier import Courier
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from tests.support.door import QUICK, Control, door
from tests.support.museum import HOUR, told_in_town
from tests.support.nursery import Newborn, Nursery
from tests.support.punchd_process import Kiosk
from tests.support.sandbox_process import SandboxAdmin, sandbox_thread
from tests.support.town import Town

BADGE = "04A2B3C4D5E680"


@told_in_town(names=tuple(f"P{number:02d}" for number in range(12)))
async def test_the_clock_is_up_whatever_else_is_down(town: Town) -> None:
    """atd-data-tech #22010, #24089, #26864; kimai #1051; zeiterfassung #494, #98: a clock that is down is an emergency,
    because people cannot begin to work; and a tap that takes one to three seconds is too slow.

    No network, a hung service, a refused key, a spent budget, a service that answers nonsense, a paused delivery: each
    tap is answered in the moment it is made, and all of them arrive in the end.
    """
    kiosk = await town.kiosk()
    faults = town.sandbox.faults

    async def quick(name: str, when: str) -> None:
        assert await kiosk.tap(name, when) == "clocked_in"
        assert town.now - town.unix(when) - 0.5 < 0.01

    names = iter(town.names)
    kiosk.offline()
    await quick(next(names), "Mon 08:00")
    kiosk.online()
    for minute, kind in enumerate((Kind.HANG, Kind.THROTTLE, Kind.EMPTY, Kind.PORTAL, Kind.STATUS), 10):
        fault = faults.set(kind=kind, processed=False)
        await quick(next(names), f"Mon 08:{minute}:00")
        await quick(next(names), f"Mon 08:{minute}:02")
        await asyncio.sleep(20)
        faults.clear(fault.id)
    await kiosk.delivery.pause("test")
    await quick(next(names), "Mon 08:30")
    await kiosk.delivery.resume("test")
    await asyncio.sleep(2 * HOUR)
    assert len(town.sheet()) == 12
    assert await kiosk.stuck() == []


@told_in_town()
async def test_no_failure_behind_it_closes_the_door(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """biometric-attendance-sync-tool: the terminal is switched off while it is read, and after an error nobody switches
    it on again.

    Every sending fails with an error that nobody foresaw: people tap as ever and see green, each punch waits for a
    person, and once the fault is mended one command sends them all.
    """

    async def fails(self, lane, send):
        raise RuntimeError("nobody foresaw this")

    kiosk = await town.kiosk()
    with monkeypatch.context() as broken:
        broken.setattr(Courier, "send", fails)
        for minute, name in enumerate(town.names):
            assert await kiosk.tap(name, f"Mon 08:0{minute}") == "clocked_in"
        await asyncio.sleep(600)
        assert {line.split(": ")[1] for line in await kiosk.stuck()} == {"review internal_error"}
    assert await kiosk.tap("Anna", "Mon 12:00") == "clocked_out"
    waiting = [punch.id for punch in await kiosk.punches() if punch.state.value == "review"]
    await kiosk.delivery.retry(waiting, by="test")
    await asyncio.sleep(HOUR)
    assert town.sheet() == [
        "Anna Mon 08:00:00 - Mon 12:00:00",
        "Bob Mon 08:01:00 - open",
        "Carl Mon 08:02:00 - open",
    ]


# --- a running punchd, as an operator and a neighbour on the network meet it


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Kiosk, Newborn, Control, SandboxAdmin]]:
    """A punchd that delivers to a sandbox, and knows Anna."""
    sandbox, nursery = Sandbox(), Nursery()
    sandbox.company.add_user("7", "Anna")
    with tempfile.TemporaryDirectory(prefix="ops") as name, sandbox_thread(sandbox) as server:
        kiosk = door(Path(name) / "kiosk", server.url, more=QUICK)
        punchd = nursery.start(kiosk.config, Path(name) / "log")
        admin = SandboxAdmin(server.admin_url)
        with Control(kiosk) as control:
            control.post("employees", user_id="7", name="Anna", badge=BADGE)
            yield kiosk, punchd, control, admin
        assert punchd.stopped() == 0
        admin.close()
    nursery.close()


def test_carrying_punches_off_takes_nothing_away(running: tuple[Kiosk, Newborn, Control, SandboxAdmin]) -> None:
    """biometric-attendance-sync-tool: with `clear_from_device_on_fetch` the terminal is emptied after a dump that was
    never synchronised.

    A punch is exported twice before it is sent, and both times it is in the file; afterwards it is sent all the same.
    """
    kiosk, _, control, admin = running
    control.post("sync/pause")
    punch = control.tap(BADGE)["punch"]["id"]
    command = [
        "--socket",
        str(kiosk.runtime / "control.sock"),
        "export",
        "--undelivered",
        "--since",
        "1970-01-01T00:00:00Z",
    ]
    for _ in range(2):
        done = CliRunner().invoke(cli.root, command)
        assert done.exit_code == 0, done.output
        assert punch in done.output
    control.post("sync/resume")
    control.settled()
    assert [row["user_id"] for row in admin.timesheet()] == ["7"]


def test_nothing_listens_on_the_network_and_badges_stay_inside(
    running: tuple[Kiosk, Newborn, Control, SandboxAdmin],
) -> None:
    """ras: it publishes taps on tcp://*, so that everybody on the network can listen to card numbers, and what it reads
    there are pickles.

    punchd listens on no network port at all; who may only look sees masked badges, in JSON; what acts is refused there.
    """
    kiosk, punchd, _, _ = running
    links = [str(link.readlink()) for link in Path(f"/proc/{punchd.pid}/fd").iterdir()]
    inodes = {found[1] for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}
    assert inodes
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path(f"/proc/{punchd.pid}/net/{protocol}")
        rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
        open_to_others = [row[1] for row in rows if row[9] in inodes and row[3] in ("0A", "07")]
        assert open_to_others == []
    transport = httpx.HTTPTransport(uds=str(kiosk.runtime / "status.sock"))
    with httpx.Client(transport=transport, base_url="http://punchd") as looking:
        for path in ("status", "punches", "badges", "employees", "present", "readers"):
            answer = looking.get(f"/v1/{path}")
            assert answer.status_code == 200
            json.loads(answer.text)
            assert BADGE not in answer.text, path
        assert looking.post("/v1/taps", json={"badge": BADGE, "reader": "front"}).status_code == 403
