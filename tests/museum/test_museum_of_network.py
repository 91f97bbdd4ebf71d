"""What others did when the network or the service was away, slow, or not itself."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trustme

from daemon.delivery.gate import HALT_RETRY_S
from sandbox.faults import Kind
from tests.support.between import Between
from tests.support.door import Control, door
from tests.support.museum import HOUR, told_in_town
from tests.support.punchd_process import PATIENCE_S
from tests.support.town import Town

MANY = tuple(f"P{number:03d}" for number in range(100))


@told_in_town()
async def test_being_offline_is_nobodys_decision(town: Town) -> None:
    """pretixscan-android #139, #49, PR #28: offline mode has to be switched on by hand, and the staff reads "Unable to
    resolve host".

    The network goes and comes three times; people are shown the same as ever, and nobody does anything.
    """
    kiosk = await town.kiosk()
    for hour in ("08", "10", "12"):
        await town.until(f"Mon {hour}:00")
        kiosk.offline()
        assert await kiosk.tap("Anna", f"Mon {hour}:10") == "clocked_in"
        await town.until(f"Mon {hour}:30")
        assert kiosk.delivery.status().state == "offline"
        kiosk.wire.up = True  # and nobody tells it
        assert await kiosk.tap("Anna", f"Mon {int(hour) + 1:02d}:00") == "clocked_out"
    await asyncio.sleep(HOUR)
    assert town.sheet() == [f"Anna Mon {h:02d}:10:00 - Mon {h + 1:02d}:00:00" for h in (8, 10, 12)]
    assert kiosk.delivery.status().state == "online"


@told_in_town()
async def test_after_an_outage_nobody_types(town: Town) -> None:
    """hrms #5273; esp-rfid #362: after an outage people type missing punches in one by one, and wish that what was
    buffered came by itself.

    Two days without a network: the third morning all shifts stand there, to the second, within an hour of its return,
    and nothing waits for a person.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    for day in ("Mon", "Tue"):
        for clock in ("08:00", "16:00"):
            for minute, name in enumerate(town.names):
                await kiosk.tap(name, f"{day} {clock[:2]}:{minute:02d}:17")
    await town.until("Wed 07:00")
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == [
        f"{name} {day} 08:{minute:02d}:17 - {day} 16:{minute:02d}:17"
        for minute, name in enumerate(town.names)
        for day in ("Mon", "Tue")
    ]
    assert await kiosk.stuck() == []


@told_in_town(names=MANY)
async def test_a_long_queue_is_sent_as_soon_as_there_is_a_line(town: Town) -> None:
    """ras: sending begins a minute after the boot, pauses two seconds a punch, and after a failed round sleeps four
    seconds for every punch that waits, also when the network is back at once.

    Two hundred punches wait: the first leaves within two seconds of the line's return, all are there within four
    minutes; and a freshly booted kiosk sends its first punch within two seconds.
    """
    kiosk = await town.kiosk(connecteam={"requests_per_minute": 600})
    kiosk.offline()
    for hour in ("08", "09"):
        for number, name in enumerate(MANY):
            await kiosk.tap(name, f"Mon {hour}:{number // 60:02d}:{number % 60:02d}")
    await town.until("Mon 10:00")
    kiosk.online()
    await asyncio.sleep(2)
    assert town.asked("clock-in") >= 1
    await asyncio.sleep(240)
    assert len([line for line in town.sheet() if not line.endswith("open")]) == 100
    await kiosk.crash()
    kiosk.clock.reboot(synchronised=True)
    await kiosk.start()
    await kiosk.tap("P000", "Mon 12:00")
    await asyncio.sleep(2)
    assert town.sheet("P000")[-1] == "P000 Mon 12:00:00 - open"


@told_in_town()
async def test_one_silence_is_half_a_minute_and_not_41_hours(town: Town) -> None:
    """ras: requests may take 150,000 seconds, so that one hung connection stops all sending for 41 hours.

    A request that is never answered: the next person's punch stands there within two minutes, and the first one's soon
    after.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    town.sandbox.faults.set(kind=Kind.HANG, processed=False, method="POST", count=1)
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:00:01")
    await asyncio.sleep(120)
    assert town.sheet("Bob") == ["Bob Mon 08:00:01 - open"]
    assert town.sheet("Anna") == ["Anna Mon 08:00:00 - open"]


class Dripping(httpx.AsyncByteStream):
    """A body of which a byte comes every few seconds, for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(5)
            yield b" "


class Impostor:
    """A real TLS server on loopback, on a thread of its own; `heard` is what anybody told it inside TLS."""

    def __init__(self, authority: trustme.CA) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._tls)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listening.getsockname()[1]}"
        self.heard, self.called, self.told = b"", 0, threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self._listening.accept()
                self.called += 1
                with suppress(OSError), self._tls.wrap_socket(caller, server_side=True) as inside:
                    while more := inside.recv(65536):
                        self.heard += more
                        self.told.set()
                        inside.sendall(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")

    def close(self) -> None:
        """Hear no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def test_a_certificate_that_nobody_vouches_for_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ras: it posts with verify=False, so that whoever stands in the way reads the key and every punch, and answers.

    A real TLS server whose certificate nobody vouches for: no byte is told to it, the operator reads that it is the
    certificate, and the punch waits; once its authority is trusted, and nothing else has changed, it is spoken to.
    """
    authority = trustme.CA()
    impostor = Impostor(authority)
    kiosk = door(tmp_path / "kiosk", impostor.url)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        with Control(kiosk) as control:
            control.post("employees", user_id="7", name="Ada", badge="04A2B3C4")
            assert control.tap("04A2B3C4")["result"] == "accepted"
            status = control.until(lambda told: told["state"] == "offline")
            assert "certificate verify failed" in status["detail"].lower()
            assert status["queue"]["pending"] + status["queue"]["held"] == 1
            kept = control.get("punches")
            assert [(punch["user_id"], punch["state"] in ("pending", "held")) for punch in kept] == [("7", True)]
        assert punchd.stopped() == 0
    assert impostor.called > 0
    assert impostor.heard == b""
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    with kiosk.running() as punchd:
        assert impostor.told.wait(PATIENCE_S)
        punchd.heard("READY=1")
        assert punchd.stopped() == 0
    impostor.close()
    assert b" HTTP/1.1\r\n" in impostor.heard


@told_in_town()
async def test_a_drip_of_bytes_is_no_answer_either(town: Town) -> None:
    """biometric-attendance-sync-tool: its requests have no time-out at all.

    An answer of which a byte comes every five seconds, so that no single wait is long: it is given up, and everybody's
    punches arrive.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    left = [1]

    def meet(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and left:
            left.pop()
            return httpx.Response(200, stream=Dripping(), request=request)
        return None

    Between(kiosk, meet)
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:00:01")
    await asyncio.sleep(180)
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:00:01 - open"]


@told_in_town()
async def test_a_failure_is_known_by_its_kind_and_not_by_its_words(town: Town) -> None:
    """pi-time: whether a failure is the network's is decided by words in the error's text; all others go to a heap that
    nobody sends again.

    Failures of every kind, in words of other systems and languages: each time it is offline and tries again, and no
    punch ends anywhere but on the timesheet.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    failures: list[Exception] = [
        httpx.ConnectError("Der Rechnername kann nicht aufgelöst werden"),
        httpx.ConnectError("[Errno -2] Name or service not known"),
        httpx.ConnectTimeout(""),
        httpx.PoolTimeout("?"),
        httpx.ReadError("verbinding verbroken door andere kant"),
        httpx.RemoteProtocolError("illegal chunk header"),
        httpx.WriteError(""),
        httpx.DecodingError("x"),
        OSError(errno.ENETUNREACH, "Le réseau n'est pas accessible"),
        OSError(errno.EHOSTDOWN, "host"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ConnectionResetError(104, "forbindelsen blev nulstillet"),
    ]

    def meet(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and failures:
            raise failures.pop()
        return None

    Between(kiosk, meet)
    await kiosk.tap("Anna", "Mon 08:00")
    await asyncio.sleep(3 * HOUR)
    assert failures == []
    await kiosk.tap("Bob")
    await asyncio.sleep(HOUR)
    assert town.sheet("Anna") == ["Anna Mon 08:00:00 - open"]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_a_refused_key_is_asked_about_seldom_and_told_clearly(town: Town) -> None:
    """Cloudlog #2198; powersync-js #1033; biometric-attendance-sync-tool #90: an expired key is tried for ever, and all
    that anybody sees is that nothing is synchronised.

    A weekend with a revoked key: an alarm says what is refused and what to do, the service is asked four times an hour
    and not more, and with the new key everything arrives.
    """
    kiosk = await town.kiosk()
    await town.until("Fri 18:00")
    town.sandbox.company.access.revoke_all()
    await kiosk.tap("Anna", "Fri 22:00")
    await kiosk.tap("Anna", "Sat 06:00")
    await kiosk.tap("Bob", "Sat 08:00")
    await kiosk.tap("Bob", "Sat 16:00")
    before = town.sandbox.log.arrived
    await town.until("Sun 16:00")
    assert town.sandbox.log.arrived - before <= 24 * HOUR / HALT_RETRY_S + 1
    alarms = {alarm.code: alarm.text for alarm in kiosk.built.kiosk.alarms.standing()}
    assert "key" in alarms["halted"].lower()
    assert kiosk.delivery.status().state == "halted"
    town.sandbox.company.access.keys["a-new-key"] = None
    town.key_file.write_text("a-new-key")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Fri 22:00:00 - Sat 06:00:00", "Bob Sat 08:00:00 - Sat 16:00:00"]
    assert kiosk.built.kiosk.alarms.standing() == []
    assert await kiosk.stuck() == []


@told_in_town()
async def test_a_punch_stands_there_seconds_after_the_tap(town: Town) -> None:
    """biometric-attendance-sync-tool: punches are fetched every hour.

    Ten taps at odd moments: each stands on the timesheet three seconds later.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in", "out": "clock_out"})
    for number in range(5):
        for minute, reader in ((7, "in"), (41, "out")):
            when = f"Mon {8 + number:02d}:{minute:02d}:{number * 11:02d}"
            await kiosk.tap("Anna", when, reader=reader)
            await asyncio.sleep(3)
            assert when in town.sheet()[-1]
