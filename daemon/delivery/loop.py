"""The delivery loop: what changed is planned, the best request is carried out, and then it sleeps.

What may wake it: a punch, a decision, the clock, a plan's own time, the end of a pause, a link or route. Nothing is
polled but the key file, while the service refuses the key (one stat every 15 s).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.asking import Asking
from daemon.delivery.courier import Courier
from daemon.delivery.deciding import Deciding
from daemon.delivery.doubles import Doubles
from daemon.delivery.gate import Gate
from daemon.delivery.idle import IdleReads
from daemon.delivery.key_check import KeyCheck, key_check, unreadable
from daemon.delivery.knowledge import Knowledge, View
from daemon.delivery.looks import Looks
from daemon.delivery.outlook import Outlook
from daemon.delivery.pacer import Pacer
from daemon.delivery.planning import Planning
from daemon.delivery.policy import Policy
from daemon.delivery.probing import Probing
from daemon.delivery.serving import Serving
from daemon.delivery.status import DeliveryStatus, status_of
from daemon.delivery.teller import Teller
from daemon.delivery.way import Way
from daemon.errors import ConfigError
from daemon.events import Events
from daemon.model import Punch
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Query, Reply, Timesheet

#: A new punch while nothing answers is a reason to try again, but not more often than this.
HURRY_S = 5.0
#: Kiosks behind one line see it come back in the same moment; each waits a part of this, under a second.
LINK_SPREAD_S = 0.8
#: While halted the key file is looked at this often.
KEY_LOOK_S = 15.0


class Delivery:
    """The delivery loop of one timesheet."""

    def __init__(
        self,
        *,
        db: Database,
        timesheet: Timesheet,
        timekeeper: Timekeeper,
        policy: Policy,
        alarms: Alarms,
        events: Events,
        rng: random.Random,
        requests_per_minute: int = 60,
        requests_per_day: int | None = None,
        zone: ZoneInfo | None = None,
    ) -> None:
        self._db, self._timesheet, self._timekeeper = db, timesheet, timekeeper
        can = timesheet.capabilities
        policy = replace(
            policy,
            live=can.live,
            lookback_s=can.lookback_s,
            close_late_by_update=policy.close_late_by_update and can.close_late,
        )
        self.pacer, self.gate = Pacer(requests_per_minute, requests_per_day), Gate(policy.backoff_max_s, rng)
        self._knowledge, self._teller = Knowledge(), Teller(db, alarms, events)
        self._outlook = Outlook(rng, may_pair=policy.batch_pairs == "when_scarce")
        self._planning = Planning(
            db,
            timekeeper,
            policy=policy,
            knowledge=self._knowledge,
            outlook=self._outlook,
            gate=self.gate,
            alarms=alarms,
            teller=self._teller,
        )
        doubles = Doubles(db, alarms, timekeeper.now, zone or ZoneInfo("UTC"))
        self._way = Way(
            db,
            timesheet,
            timekeeper,
            pacer=self.pacer,
            gate=self.gate,
            alarms=alarms,
            teller=self._teller,
            follow_the_clock=self._follow_the_clock,
        )
        self._looks = Looks(self._way, timekeeper, knowledge=self._knowledge, alarms=alarms, doubles=doubles)
        self._probing = Probing(
            timekeeper, planning=self._planning, looks=self._looks, gate=self.gate, pacer=self.pacer
        )
        courier = Courier(
            db,
            self._way,
            timekeeper,
            pacer=self.pacer,
            gate=self.gate,
            knowledge=self._knowledge,
            alarms=alarms,
            teller=self._teller,
        )
        self._serving = Serving(
            timekeeper,
            planning=self._planning,
            courier=courier,
            looks=self._looks,
            probing=self._probing,
            gate=self.gate,
            pacer=self.pacer,
        )
        self._asking = Asking(self._way.ask, self.gate, timekeeper)
        self._deciding = Deciding(
            db, timekeeper, ask=self._asking.ask, knowledge=self._knowledge, teller=self._teller, wake=self.wake
        )
        self._idle = IdleReads(
            db,
            timekeeper,
            planning=self._planning,
            doubles=doubles,
            way=self._way,
            looks=self._looks,
            gate=self.gate,
            pacer=self.pacer,
            outlook=self._outlook,
            teller=self._teller,
            zone=zone or ZoneInfo("UTC"),
            decided=self._deciding.decided,
        )
        self._stepped_s = timekeeper.stepped_s
        self._news = asyncio.Event()
        self._stopping = self._recalled = False

    # --- life

    async def run(self) -> None:
        """Deliver until `stop` or cancellation. Raises what only a fault of ours or of the disk can raise."""
        self._planning.start()
        self._outlook.start(self._timekeeper.now())
        self.gate.paused, pace = await self._db.read(storage.remembered)
        if pace is not None and not self._recalled:
            self.pacer.recall(pace)
        self._recalled = True
        await self._teller.count_reviews()
        try:
            while not self._stopping:
                self._news.clear()
                rest_s = await self._turn()
                if rest_s is None or rest_s > 0:
                    # Not wait_for: in Python 3.11 it forgets a cancellation that comes together with news.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(rest_s):
                            await self._news.wait()
        finally:
            await self._serving.finish_last()
            if self._stopping and self.pacer.memory() is not None:
                await self._way.keep_pace()  # what was read since the last punch counts as well

    async def stop(self, grace_s: float) -> None:
        """End `run` after the request that is out, if its answer comes within `grace_s`; the caller cancels it then."""
        self._stopping = self._asking.closed = True
        self._timesheet.abandon()
        self._news.set()

    # --- what others ask of it

    def wake(self, user_id: str | None = None) -> None:
        """This person's lane changed, or (None) the clock or anything that concerns all."""
        self._follow_the_clock()
        if user_id is None:
            self._planning.all_dirty = True
            self._probing.hurry()
        else:
            self._planning.board.mark(user_id)
            self.gate.hurry(HURRY_S, writes=True)
        self._news.set()

    def people_changed(self) -> None:
        """Somebody's job, or how long they may work, changed: what waits is planned by it."""
        self._planning.all_dirty = True
        self._news.set()

    def network_changed(self) -> None:
        """A link or route changed: what failed may work now, and what hangs on the old way is given up."""
        self._follow_the_clock()
        given_up = self._timesheet.abandon()
        self.gate.retry(self._timekeeper.now(), spread_s=LINK_SPREAD_S, given_up=given_up)
        self._news.set()

    async def sync_now(self) -> None:
        """Try at once whatever waits for time alone, and let every waiting lane read again."""
        self._follow_the_clock()
        for user_id in self._planning.board.lanes:
            self._knowledge.forget(user_id)
        self._outlook.hurry(self._timekeeper.now())
        self._planning.allow_reads()
        self._planning.board.forgive()
        self.gate.retry(self._timekeeper.now())
        self.wake()
        self._probing.hurry(asked=True)

    def change_rules(self, policy: Policy) -> None:
        """Plan by the owner's new rules from now on; what was learnt of the service meanwhile stays."""
        self._planning.policy = replace(
            self._planning.policy,
            max_shift_s=policy.max_shift_s,
            after_auto_clock_out=policy.after_auto_clock_out,
            close_within_s=policy.close_within_s,
        )
        self.wake()

    async def reload(self) -> None:
        """The configuration or key may have changed: read the key again and try. Raises ConfigError."""
        await self._timesheet.reload_key()
        await self.sync_now()

    async def pause(self, by: str) -> None:
        """Send nothing until resumed, also after a restart."""
        await self._set_paused(True, by)

    async def resume(self, by: str) -> None:
        """Go on after `pause`."""
        await self._set_paused(False, by)

    async def retry(self, punch_ids: Sequence[str], *, by: str) -> list[Punch]:
        """Take punches out of review. All or none: raises NotFoundError or RefusedError with the first that cannot."""
        return await self._deciding.retry(punch_ids, by)

    async def discard(self, punch_id: str, *, reason: str, by: str) -> Punch:
        """Decide that an undelivered punch is not sent; it stays on record. Raises NotFoundError or RefusedError."""
        return await self._deciding.discard(punch_id, reason, by)

    async def accept_server(self, punch_id: str, *, by: str) -> Punch:
        """Take the timesheet's record for the punch: reads it now. Raises NotFoundError, RefusedError."""
        return await self._deciding.accept_server(punch_id, self._planning.policy.max_shift_s, by)

    async def ask(self, step: Query) -> Reply:
        """One read for a person, when gate and budget let it; live punches keep their reserve. Raises RefusedError."""
        return await self._asking.ask(step)

    async def ask_at_once(self, step: Query) -> Reply:
        """The same, refused where it would have to wait: somebody looks at a screen meanwhile."""
        return await self._asking.ask(step, patience_s=0.0)

    async def check_key(self) -> KeyCheck:
        """Read the key again and prove it by one request, also while halted or paused; a good key lifts a halt."""
        try:
            changed = await self._timesheet.reload_key()
        except ConfigError as error:
            return unreadable(error.message)
        reply = await self._looks.greet(at_any_rate=True)
        self._news.set()
        return key_check(reply, changed=changed)

    def seen(self, user_id: str) -> tuple[View, float | None] | None:
        """What a read last showed of a person, and when their last punch here was settled (None: something is not).

        A quick look into memory, safe from any thread. None while nothing was read.
        """
        view = self._knowledge.of(user_id)
        if view is None:
            return None
        return view, self._planning.settled_at(user_id)

    def status(self) -> DeliveryStatus:
        """Where delivery stands."""
        now, last_at = self._timekeeper.now(), self._teller.last_delivery_at
        return status_of(self.gate, self.pacer.budget, self._knowledge.snapshot_at, last_at, now)

    async def _set_paused(self, paused: bool, by: str) -> None:
        now = self._timekeeper.now()
        await self._db.write(lambda conn: storage.set_paused(conn, paused, now, by))
        with self._teller.watching(self.gate):
            self.gate.paused = paused
        self._news.set()

    # --- one turn

    def _follow_the_clock(self) -> None:
        """Where the clock was set since the last turn, move along all that is waited for, and forget what was read."""
        self._timekeeper.evidence()
        seconds = self._timekeeper.stepped_s - self._stepped_s
        if not seconds:
            return
        self._stepped_s += seconds
        for waiting in (self.gate, self.pacer, self._outlook, self._planning):
            waiting.move(seconds)
        self._probing.hurry()
        # Whether it was requested before or after a tap its time no longer tells.
        self._knowledge.forget_all()

    async def _turn(self) -> float | None:
        """Plan what changed, carry out at most one request. How long to rest: 0 not at all, None until news."""
        self._follow_the_clock()
        await self._serving.follow_up()
        next_lane = self._serving.at_once()
        if next_lane is not None:
            await self._planning.for_one(next_lane, self._serving.serve(next_lane))
            return 0.0
        await self._serving.finish_last()
        await self._planning.plan_changed()
        self._planning.look_ahead(self.pacer.budget)
        now = self._timekeeper.now()
        if self.gate.halt is not None and not self.gate.paused and await self._is_new_key():
            self._planning.allow_reads()
            self.gate.retry(now)
        if now >= self._planning.reads_again_at:
            self._planning.allow_reads()
            return 0.0
        at = self.gate.ready_at(now)
        if at <= now:
            at = self.pacer.ready_at(now, live=True)
        if at > now:
            return self._rest(at, now)
        if self._probing.wanted(now):
            await self._probing.probe()
            return 0.0
        expired_at = self.pacer.ready_at(now, live=False)
        lane, writes_at = self._serving.next_lane(now, expired_too=expired_at <= now)
        if lane is None and expired_at <= now and await self._idle.read(now):
            return 0.0
        if lane is None:
            at = min(expired_at if expired_at > now else float("inf"), writes_at)
            return self._rest(min(at, self._forget_losses(now) if at == float("inf") else at), now)
        await self._planning.for_one(lane, self._serving.serve(lane))
        return 0.0

    async def _is_new_key(self) -> bool:
        """Whether another key is there now. One that cannot be read, gone or half written, is waited for."""
        try:
            return await self._timesheet.reload_key()
        except ConfigError:
            return False

    def _forget_losses(self, now: float) -> float:
        """Nothing is there to be written: what was lost long ago no longer says that the way is gone. When it will."""
        until = self.gate.losses_count_until
        if until > now:
            return until
        with self._teller.watching(self.gate):
            self.gate.write_arrived()
        return float("inf")

    def _rest(self, at: float, now: float) -> float | None:
        """The rest until the earliest of: `at`, a plan's own time, a look at the key, a probe, reads allowed again."""
        next_wake = self._planning.board.next_wake() or float("inf")
        times = [at, next_wake, self._planning.reads_again_at, self._idle.due_at(now), self._probing.due_at(now)]
        if self.gate.halt is not None and not self.gate.paused:
            times.append(now + KEY_LOOK_S)
        earliest = min(times)
        return None if earliest == float("inf") else max(0.001, earliest - now)
