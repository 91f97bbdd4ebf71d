"""From a badge on an NFC reader to its feedback there, through a real pcscd, against a bare script there."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Scale, quantile
from benchmarks.rigs import Door, Statement, hire, open_door, replay
from benchmarks.rigs import badge as badge_of
from benchmarks.taps import recorded
from daemon.alarms import Alarms
from daemon.config import ReaderConfig
from daemon.events import Events
from daemon.intake.readers import Readers
from daemon.queue.opening import open_file
from drivers import apdu
from drivers.pcsc import PcscReader
from drivers.reader import Evidence, EvidenceSource, Feedback, Tap
from tests.support.pcscd import SOCKET_VARIABLE, PrivatePcscd, missing
from tests.support.virtual_card import GET_UID, OK, VirtualCard

#: Longer than pcscd takes to notice that a card is there, or gone: it looks every 0.4 s.
PATIENCE_S = 30.0
WARM_UP = 2
LIGHTS = (b"\xff\x00\x40",)
#: The two slots of one virtual reader, which pcscd numbers.
READER, OURS, BARE = "ACR122", "ACR122 00 00", "ACR122 00 01"


class TimedCard:
    """A card that notes when it was powered, asked for its UID, and lit."""

    def __init__(self, uid: str) -> None:
        self._uid = bytes.fromhex(uid)
        self.asked_at = self.lit_at = 0.0
        self.lit = threading.Event()
        self.card = VirtualCard(self._answer)

    def _answer(self, command: bytes) -> bytes:
        if command == GET_UID:
            self.asked_at = time.perf_counter()
            return self._uid + OK
        if command.startswith(LIGHTS):
            self.lit_at = time.perf_counter()
            self.lit.set()
        return OK

    def present(self, port: int) -> float:
        """Lie on the reader until lit; when pcscd had seen the card. Blocks."""
        with self.card.on(port):
            seen_at = time.perf_counter()
            assert self.lit.wait(PATIENCE_S), "no feedback came"
        return seen_at


async def badge_to_feedback(scale: Scale) -> list[Figure]:
    """Presentation by presentation in turn, from pcscd's first word with the card to the light."""
    if (lacking := missing()) is not None:
        print(f"  {lacking}: not measured")
        return []
    with tempfile.TemporaryDirectory(prefix="punchd-pcscd-") as name:
        folder = Path(name)
        pcscd = PrivatePcscd(folder, [READER])
        # libpcsclite reads this once a process, so it must stay.
        if (fixed := os.environ.get(SOCKET_VARIABLE)) is not None:
            pcscd.socket_path = Path(fixed)
        os.environ.update({SOCKET_VARIABLE: str(pcscd.socket_path)})
        pcscd.start()
        try:
            return await _measured(scale, folder, pcscd)
        finally:
            pcscd.stop()


async def _measured(scale: Scale, folder: Path, pcscd: PrivatePcscd) -> list[Figure]:
    count = WARM_UP + scale.cards
    transactions = await recorded(folder, count)
    whole, own, since_event, bare_whole = [], [], [], []
    seen: list[float] = []
    handed: list[float] = []
    async with _our_reader(folder, seen, handed), _bare_reader(folder, transactions):
        for number in range(count):
            card = TimedCard(badge_of(number % 50))
            noticed = await asyncio.to_thread(card.present, pcscd.ports[0])
            other = TimedCard(badge_of(number % 50))
            other_noticed = await asyncio.to_thread(other.present, pcscd.ports[1])
            await asyncio.sleep(0.5)  # pcscd notices that it is gone
            if number >= WARM_UP:
                whole.append((card.lit_at - noticed) * 1000)
                since_event.append((card.lit_at - max(at for at in seen if at < card.lit_at)) * 1000)
                # From the card's answer until the driver is told to show it: of PC/SC only the letting go of the card.
                own.append((handed[-1] - card.asked_at) * 1000)
                bare_whole.append((other.lit_at - other_noticed) * 1000)
    shares = [quantile(whole, share) / quantile(bare_whole, share) for share in (0.5, 0.99)]
    p99 = {"own": quantile(own, 0.99), "whole": quantile(whole, 0.99), "bare": quantile(bare_whole, 0.99)}
    return [
        Figure("our own part: UID to feedback handed to the driver, p99", [p99["own"]], 10.0, unit="ms"),
        Figure("  each: intake, commit with its sync", own, unit="ms", note=f"{len(own)} presentations"),
        Figure("pcscd's event to feedback: connect, read, ours, connect, show", since_event, unit="ms"),
        Figure("pcscd powers the card to feedback, p99", [p99["whole"]], 10.0, unit="ms", note="pcscd included"),
        Figure("  a bare script with the same PC/SC calls and SQL, p99", [p99["bare"]], unit="ms"),
        Figure("badge to feedback / bare script, p50", shares[:1]),
        Figure("badge to feedback / bare script, p99", shares[1:]),
    ]


class _Noting(PcscReader):
    """The driver, and when feedback was handed to it."""

    def __init__(self, name: str, evidence: EvidenceSource, match: str, handed: list[float]) -> None:
        super().__init__(name, evidence, match)
        self._handed = handed

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """Note, and show."""
        self._handed.append(time.perf_counter())
        await super().feedback(tap, feedback)


@asynccontextmanager
async def _our_reader(folder: Path, seen: list[float], handed: list[float]) -> AsyncIterator[None]:
    """Driver, readers and intake, as the service has them."""
    door: Door = await open_door(folder / "punchd.db")

    def evidence() -> Evidence:
        seen.append(time.perf_counter())
        door.clock.skipped_s += 120.0
        return door.clock.now()

    events = Events(door.timekeeper.now)
    readers = Readers(
        [ReaderConfig("front", "pcsc", match=OURS)],
        door.intake,
        make_reader=lambda config: _Noting(config.name, evidence, config.match, handed),
        alarms=Alarms(door.timekeeper.now),
        events=events,
        now=door.timekeeper.now,
        rng=random.Random(7),
    )
    async with events.watch() as news:
        running = asyncio.create_task(readers.run())
        while (await news.get()).name != "reader.opened":
            pass
        yield
        running.cancel()
        await asyncio.wait([running])
    await door.database.close()


@asynccontextmanager
async def _bare_reader(folder: Path, transactions: Sequence[Sequence[Statement]]) -> AsyncIterator[None]:
    """The least a script could do, in a thread."""
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=_script, args=(folder, transactions, stop, ready), daemon=True)
    thread.start()
    await asyncio.to_thread(ready.wait, PATIENCE_S)
    yield
    stop.set()
    await asyncio.to_thread(thread.join, PATIENCE_S)


def _script(folder: Path, transactions: Sequence[Sequence[Statement]], stop: Any, ready: Any) -> None:
    from smartcard import scard

    conn, _ = open_file(folder / "bare.db")
    with closing(conn):
        conn.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
        conn.execute("BEGIN")
        hire(conn)
        conn.execute("COMMIT")
        _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        _, names = scard.SCardListReaders(context, [])
        states = [(name, scard.SCARD_STATE_UNAWARE) for name in names if BARE in name]
        _, rows = scard.SCardGetStatusChange(context, 0, states)
        ready.set()
        waiting = iter(transactions)
        while not stop.is_set():
            states = [(name, event & ~scard.SCARD_STATE_CHANGED) for name, event, _ in rows]
            result, rows = scard.SCardGetStatusChange(context, 500, states)
            for (_, before), (name, event, _) in zip(states, rows, strict=True):
                if result == 0 and event & scard.SCARD_STATE_PRESENT and before & scard.SCARD_STATE_EMPTY:
                    _serve(scard, context, name, conn, next(waiting))
        scard.SCardReleaseContext(context)


def _serve(scard: Any, context: Any, name: str, conn: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    _, card, protocol = scard.SCardConnect(context, name, scard.SCARD_SHARE_SHARED, protocols)
    scard.SCardTransmit(card, protocol, list(apdu.GET_UID))
    replay(conn, statements)
    scard.SCardTransmit(card, protocol, list(apdu.show(Feedback.CLOCKED_IN)))
    scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
