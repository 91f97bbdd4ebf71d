"""How each event of a script is carried out. A method is an event's `what`; its arguments are the event's data.

None of them fails where an event makes no sense (any more): then nothing happens, and nothing is noted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from daemon.config import Config
from daemon.control.problems import ProblemError
from daemon.errors import PunchdError
from drivers.reader import Feedback, ReaderUnavailable
from sandbox.connecteam.access import SANDBOX_KEY
from tests.simulation.weeks.box import Box
from tests.simulation.weeks.facts import WENT_OFF
from tests.simulation.weeks.history import (
    Assigned,
    ClockStepped,
    ClockSynchronised,
    Decided,
    Disk,
    Network,
    Ordered,
    Plugged,
    Presented,
    Reconfigured,
    Shown,
)
from tests.simulation.weeks.stage import Stage

#: Nobody stands before a dark reader for longer.
LOOKS_S = 20.0
#: Nor waits longer for the answer to a command.
PATIENCE_S = 120.0


#: A punch in review for one of these goes with no other decision than its time.
TIME_FIRST = ("time_disputed", "clock_ahead")
#: After so long somebody tries again.
AGAIN_S = 120.0


class Acts:
    """Everything that may happen to the kiosks, and before their readers."""

    def __init__(self, stage: Stage, boxes: dict[str, Box]) -> None:
        self._stage, self._boxes = stage, boxes
        self._configs: dict[str, Config] = {}
        #: Kiosks without power.
        self._dark: set[str] = set()

    # --- people before a reader

    async def tap(self, person: str, badge: str, kiosk: str, reader: str, again: list[float]) -> None:
        """Hold a badge before a reader; who sees nothing or a refusal tries again."""
        for pause_s in (*again, None):
            shown = await self._present(person, badge, self._boxes[kiosk], reader)
            if pause_s is None or shown not in (None, Feedback.REFUSED):
                return
            await asyncio.sleep(pause_s)

    async def _present(self, person: str, badge: str, box: Box, reader: str) -> Feedback | None:
        stage = self._stage
        stage.taps += 1
        tap, shown, watched = stage.taps, None, box.readers.get(reader)
        seen = box.clock.now() if box.life is not None and watched is not None and watched.listens else None
        way = box.config["readers"].get(reader, "toggle")
        stage.note(
            Presented(
                at=stage.now, tap=tap, kiosk=box.name, reader=reader, direction=way, badge=badge, person=person,
                wall_at=seen.wall_s if seen else None, boot_id=seen.boot_id if seen else None,
                boottime_s=seen.boottime_s if seen else None,
            )
        )  # fmt: skip
        if seen is not None and watched is not None:
            try:
                async with asyncio.timeout(LOOKS_S):
                    shown = await watched.tap(badge)
            except (ReaderUnavailable, TimeoutError):
                shown = None
        stage.note(Shown(at=stage.now, tap=tap, feedback=shown.value if shown else None))
        return shown

    async def unplug(self, kiosk: str, reader: str) -> None:
        """Pull a reader's cable."""
        box = self._boxes[kiosk]
        box.unplugged.add(reader)
        self._stage.note(Plugged(at=self._stage.now, kiosk=kiosk, reader=reader, plugged=False))
        box.readers[reader].unplug()

    async def replug(self, kiosk: str, reader: str) -> None:
        """Put it back."""
        box = self._boxes[kiosk]
        box.unplugged.discard(reader)
        self._stage.note(Plugged(at=self._stage.now, kiosk=kiosk, reader=reader, plugged=True))
        box.readers[reader].replug()

    # --- a kiosk's life

    async def crash(self, kiosk: str, rounds: int, back_s: float, operations: int | None = None) -> None:
        """The process dies, and systemd starts it again."""
        box = self._boxes[kiosk]
        async with box.changing:
            if box.life is not None:
                await box.crash(rounds, operations)
                await asyncio.sleep(back_s)
                await box.start()

    async def power(
        self, kiosk: str, rounds: int, off_s: float, ntp_s: float | None, tear: int, operations: int | None = None
    ) -> None:
        """The power goes, for so long; NTP answers so long after the start, once there is a network."""
        box = self._boxes[kiosk]
        async with box.changing:
            if box.life is None:
                return
            await box.lose_power(rounds, operations, tear, off_s)
            went_off = self._stage.now
            self._dark.add(kiosk)
            await asyncio.sleep(off_s)
            self._dark.discard(kiosk)
            behind_s = 0.0 if box.setting.keeps_time else self._stage.now - went_off
            box.clock.reboot(behind_s=behind_s)
            await box.start()
        boot = box.clock.boot
        if ntp_s is None:
            return
        await asyncio.sleep(ntp_s)
        while not box.up and box.clock.boot == boot and not self._stage.calm:  # noqa: ASYNC110 - as NTP does
            await asyncio.sleep(30)
        if box.clock.boot == boot:
            await self.synchronise(kiosk)

    async def restart(self, kiosk: str, off_s: float) -> None:
        """Stop it in order, and start it again."""
        box = self._boxes[kiosk]
        async with box.changing:
            if box.life is not None:
                await box.stop()
                await asyncio.sleep(off_s)
                await box.start()

    async def configure(self, kiosk: str, settings: dict[str, Any], how: str) -> None:
        """Other settings, by SIGHUP or by a restart."""
        box = self._boxes[kiosk]
        async with box.changing:
            for section, keys in settings.items():
                box.config[section].update(keys)
            if how == "restart" and box.life is not None:
                await box.stop()
                await box.start()
            config = box.load()
            # What a reload causes comes after it in the history.
            self._stage.note(Reconfigured(at=self._stage.now, kiosk=kiosk, how=how, settings=settings_of(config)))
            if how == "reload" and box.life is not None:
                box.life.orders.reload.set()
                await asyncio.sleep(0.01)

    # --- clocks, disks, networks

    async def step(self, kiosk: str, by_s: float, vouched: bool) -> None:
        """The wall clock is set; `vouched`: the kernel holds it for synchronised. Not while the machine is off."""
        if kiosk in self._dark:
            return
        clock = self._boxes[kiosk].clock
        clock.step(by_s)
        clock.synchronised = vouched
        self._stage.note(
            ClockStepped(at=self._stage.now, kiosk=kiosk, by_s=by_s, ahead_s=clock.ahead_s, vouched=vouched)
        )

    async def synchronise(self, kiosk: str) -> None:
        """NTP sets it right."""
        clock = self._boxes[kiosk].clock
        if kiosk in self._dark:
            return
        if clock.synchronised and clock.ahead_s == 0:
            return
        by_s = -clock.ahead_s
        clock.synchronise()
        self._stage.note(ClockSynchronised(at=self._stage.now, kiosk=kiosk, by_s=by_s))

    async def disk(self, kiosk: str, full: bool) -> None:
        """Its disk is full, or has room again."""
        self._boxes[kiosk].disk.full = full
        self._stage.note(Disk(at=self._stage.now, kiosk=kiosk, full=full))

    async def down(self, kiosk: str) -> None:
        """Its network goes."""
        self._network(kiosk, up=False)

    async def up(self, kiosk: str) -> None:
        """Its network comes."""
        self._network(kiosk, up=True)

    def _network(self, kiosk: str, *, up: bool) -> None:
        box = self._boxes[kiosk]
        if box.up is not up:
            self._stage.note(Network(at=self._stage.now, kiosk=kiosk, what="up" if up else "down"))
            box.network(up=up)

    async def fault(self, key: str, fault: dict[str, Any]) -> None:
        """A fault before the service, for all kiosks."""
        standing = self._stage.service.faults.set(**fault)
        self._stage.faults[key] = standing.id
        self._stage.note(Network(at=self._stage.now, what="set", fault={**fault, "id": standing.id}))

    async def clear(self, key: str) -> None:
        """It stands no longer."""
        number = self._stage.faults.pop(key, None)
        if number is not None:
            self._stage.service.faults.clear(number)
            self._stage.note(Network(at=self._stage.now, what="cleared", fault={"id": number}))

    async def key(self, good: bool) -> None:
        """The key expires; or the owner makes a new one and writes it into the kiosks' file."""
        stage, keys = self._stage, self._stage.service.company.access.keys
        if not good:
            keys.clear()
        elif not keys:
            stage.keys += 1
            keys[f"{SANDBOX_KEY}-{stage.keys}"] = None
            stage.key_file.write_text(f"{SANDBOX_KEY}-{stage.keys}\n")
        stage.human("key_renewed" if good else "key_expired")

    # --- what people tell a kiosk

    async def order(self, kiosk: str, what: str) -> None:
        """Pause, resume, sync now."""
        if await self._told(kiosk, lambda box: box.ask("POST", f"/v1/sync/{what.removeprefix('sync_')}")) is None:
            self._stage.note(Ordered(at=self._stage.now, kiosk=kiosk, what=what))

    async def give(self, kiosk: str, badge: str, user_id: str) -> None:
        """A badge gets an owner; whoever gives it does so again where the kiosk went off before it answered."""
        made: list[str] = []

        async def assign(box: Box) -> None:
            answer = await box.ask("POST", "/v1/badges", {"badge": badge, "user_id": user_id})
            made.extend(punch["id"] for punch in answer["punches"])

        # Nobody tells people that it is back.
        while (refused := await self._told(kiosk, assign)) == WENT_OFF:  # noqa: ASYNC110
            await asyncio.sleep(AGAIN_S)
        self._stage.note(
            Assigned(
                at=self._stage.now, what="given", badge=badge, user_id=user_id, kiosk=kiosk, punches=tuple(made),
                refused=refused,
            )
        )  # fmt: skip

    async def release(self, kiosk: str, badge: str) -> None:
        """A badge is free."""
        refused = await self._told(kiosk, lambda box: box.ask("DELETE", f"/v1/badges/{badge}"))
        self._assigned("released", badge, kiosk, refused)

    async def block(self, kiosk: str, badge: str) -> None:
        """A badge is refused from now on."""
        refused = await self._told(kiosk, lambda box: box.ask("POST", f"/v1/badges/{badge}/block"))
        self._assigned("blocked", badge, kiosk, refused)

    def _assigned(self, what: str, badge: str, kiosk: str, refused: str | None) -> None:
        at = self._stage.now
        self._stage.note(Assigned(at=at, what=what, badge=badge, user_id=None, kiosk=kiosk, refused=refused))

    async def decide(self, kiosk: str, nth: int, decision: str, hours: float) -> None:
        """Somebody decides about a punch in review, as well as they know; told to state its time first, they do."""
        waiting = await self._decide(kiosk, nth, decision, hours)
        if waiting is not None and waiting["reason"] in TIME_FIRST and decision in ("retry", "other_half"):
            await self._decide(kiosk, nth, "time", hours, waiting)

    async def _decide(
        self, kiosk: str, nth: int, decision: str, hours: float, about: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Decide about that punch, else the nth of the list; where the kiosk refused, the punch."""
        chosen: dict[str, Any] = dict(about or {})

        async def ask(box: Box) -> None:
            if not chosen:
                waiting = await box.ask("GET", "/v1/review")
                if not waiting:
                    return
                chosen.update(waiting[nth % len(waiting)])
            action, body = decision_on(chosen, decision, hours)
            chosen["stated"] = next((at for at in body.values() if isinstance(at, int)), None)
            answer = await box.ask("POST", f"/v1/review/{chosen['id']}/{action}", body)
            chosen["added"] = (answer.get("added") or {}).get("id")

        refused = await self._told(kiosk, ask)
        if chosen:
            word = "clock_out" if chosen["direction"] == "clock_in" else "clock_in"
            self._stage.note(
                Decided(
                    at=self._stage.now, kiosk=kiosk, punch_id=chosen["id"], refused=refused,
                    decision=word if decision == "other_half" else decision,
                    stated=chosen.get("stated"), added=chosen.get("added"),
                )
            )  # fmt: skip
        return chosen if chosen and refused == "refused" else None

    async def _told(self, kiosk: str, ask: Callable[[Box], Any]) -> str | None:
        """Ask a kiosk something; the reason where it did not do so."""
        box = self._boxes[kiosk]
        if (life := box.life) is None:
            return "it is off"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await ask(box)
        except ProblemError as error:
            return error.problem.code
        except PunchdError as error:
            return error.code
        except sqlite3.Error as error:
            return f"sqlite: {error}"
        except TimeoutError:
            return "no answer"
        return None if box.life is life and kiosk in self._stage.alive else WENT_OFF


def decision_on(punch: dict[str, Any], decision: str, hours: float) -> tuple[str, dict[str, Any]]:
    """The route's last word and the body for a decision about a punch."""
    at = int(punch["occurred_at_unix"])
    match decision:
        case "retry":
            return "retry", {}
        case "discard":
            return "discard", {"reason": "simulated"}
        case "accept_server":
            return "resolve", {"accept_server": True}
        case "time":
            return "resolve", {"time": at - int(hours * 60)}
        case _ if punch["direction"] == "clock_in":
            return "resolve", {"clock_out": at + int(hours * 3600)}
        case _:
            return "resolve", {"clock_in": at - int(hours * 3600)}


def settings_of(config: Config) -> dict[str, Any]:
    """What of a configuration a judge may need."""
    service = config.connecteam
    return {
        "readers": {reader.name: str(reader.direction) for reader in config.readers},
        "max_shift_s": config.attendance.max_shift_s,
        "repeat_tap_s": config.attendance.repeat_tap_s,
        "after_auto_clock_out": config.attendance.after_auto_clock_out,
        "lookback_s": service.lookback_s,
        "lookback_margin_s": service.lookback_margin_s,
        "requests_per_minute": service.requests_per_minute,
        "settle_s": service.settle_s,
        "batch_pairs": service.batch_pairs,
        "close_late_by_update": service.close_late_by_update,
    }
