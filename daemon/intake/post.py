"""One reader's post: it opens, watches and reopens the reader, and hands its taps to the intake one by one."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from daemon.alarms import Alarms
from daemon.config import ReaderConfig
from daemon.events import Events
from daemon.intake.pulse import Pulse
from daemon.intake.showing import FEEDBACK_TIMEOUT_S, Showing
from daemon.model import Direction, ReaderDirection, TapAnswer, TapResult
from daemon.supervisor import Backoff, FatalError, Sleep, Uniform
from drivers.reader import Feedback, Reader, ReaderError, Tap


class TakesTaps(Protocol):
    """What a post needs of the intake."""

    async def accept(self, tap: Tap) -> TapAnswer:
        """Store a tap; the answer comes after the commit."""


class ReaderState(enum.StrEnum):
    """How a reader stands."""

    OPENING = "opening"
    OPEN = "open"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """One reader as people see it. `since` (Unix seconds) is when `state` began, `detail` the last trouble."""

    name: str
    driver: str
    direction: ReaderDirection
    state: ReaderState
    since: float
    taps: int
    errors: int
    detail: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; seconds, except `queue_max`."""

    #: People at one door between two commits; more is a fault, and holds the reader back.
    queue_max: int = 64
    #: Longer than this without a word, people tap again or walk off (feedback WAIT).
    wait_after_s: float = 1.0
    feedback_timeout_s: float = FEEDBACK_TIMEOUT_S
    #: A replugged reader or a restarted pcscd is back within this, and nobody need know.
    grace_s: float = 10.0
    #: Opening or letting go of a device takes milliseconds; a hung one must not hold the post for ever.
    open_timeout_s: float = 30.0
    close_timeout_s: float = 5.0
    #: A commit that a slow card drags out takes seconds; an answer that takes longer than this will not come.
    answer_max_s: float = 60.0
    #: Whoever plugs a reader in again stands before it: it is noticed within 5 s, for one look at the device each time.
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, max_s=5.0, stable_s=60.0))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all posts share. `now` is the best known time, `sleep` waits between attempts."""

    intake: TakesTaps
    alarms: Alarms
    events: Events
    now: Callable[[], float]
    rng: Uniform
    sleep: Sleep
    limits: Limits


class Post:
    """One reader. `watch` and `serve` run side by side; `on_answer` hears what became of each tap, after the commit."""

    def __init__(self, config: ReaderConfig, reader: Reader, around: Surroundings) -> None:
        self.config = config
        self.reader = reader
        self.on_answer: Callable[[Tap, TapAnswer], None] = lambda tap, answer: None
        self._around = around
        self._taps: asyncio.Queue[Tap] = asyncio.Queue(around.limits.queue_max)
        self._showing = Showing(reader, timeout_s=around.limits.feedback_timeout_s)
        self._log = structlog.get_logger("readers").bind(reader=config.name)
        self._state = ReaderState.OPENING
        self._since = around.now()
        self._detail: str | None = None
        self._seen = 0
        self._grace: asyncio.TimerHandle | None = None
        #: The signs of life of the task that runs `watch`, over and over, and of the one that runs `serve`.
        self.watching, self.serving = Pulse(), Pulse()

    @property
    def state(self) -> ReaderState:
        """How the reader stands."""
        return self._state

    def status(self) -> ReaderStatus:
        """The reader as people see it."""
        config = self.config
        return ReaderStatus(
            config.name,
            config.driver,
            config.direction,
            self._state,
            self._since,
            self._seen,
            self.reader.errors,
            self._detail,
        )

    # --- the reader

    async def watch(self) -> None:
        """Keep the reader open and put its taps in the queue, until cancelled. Raises what a broken driver raises."""
        limits, failures = self._around.limits, 0
        loop = asyncio.get_running_loop()
        self._await_return()
        while True:
            opened_at = None
            why = "its driver failed; see the journal"
            try:
                with self.watching.within(limits.open_timeout_s):
                    async with asyncio.timeout(limits.open_timeout_s):
                        await self.reader.open()
                opened_at = loop.time()
                self._opened()
                await self._read(self.reader.taps())
                why = "it ended by itself"
            except ReaderError as error:
                why = str(error) or type(error).__name__
            except TimeoutError:
                why = f"it did not open within {limits.open_timeout_s:g} s; unplug it and plug it in again"
            except asyncio.CancelledError:
                why = ""
                raise
            finally:
                await self._let_go()
                if why:
                    self._lost(why)
            if opened_at is not None and loop.time() - opened_at >= limits.backoff.stable_s:
                failures = 0
            failures += 1
            delay_s = limits.backoff.delay_s(failures, self._around.rng)
            with self.watching.within(delay_s):
                await self._around.sleep(delay_s)

    async def _read(self, taps: AsyncIterator[Tap]) -> None:
        try:
            async for tap in taps:
                self._seen += 1
                # A full queue holds the reader back: nothing is dropped without a word.
                await self._taps.put(tap)
        finally:
            aclose = getattr(taps, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _let_go(self) -> None:
        limit_s = self._around.limits.close_timeout_s
        try:
            with self.watching.within(limit_s):
                async with asyncio.timeout(limit_s):
                    await self.reader.close()
        except (ReaderError, TimeoutError) as error:
            self._log.warning("reader.close_failed", error=str(error) or type(error).__name__)

    def _opened(self) -> None:
        self._enter(ReaderState.OPEN)
        self._detail = None
        self._forget_grace()
        self._around.alarms.clear(self._alarm)
        self._log.info("reader.opened")
        self._around.events.publish("reader.opened", reader=self.config.name)

    def _lost(self, why: str) -> None:
        self._detail = why
        if self._state is ReaderState.LOST:
            return
        self._enter(ReaderState.LOST)
        self._await_return()
        self._log.warning("reader.lost", error=why)
        self._around.events.publish("reader.lost", reader=self.config.name, detail=why)

    def _enter(self, state: ReaderState) -> None:
        self._state, self._since = state, self._around.now()

    @property
    def _alarm(self) -> str:
        return f"reader_lost:{self.config.name}"

    def _await_return(self) -> None:
        """Let an alarm ring unless the reader is back in time."""
        if self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(self._around.limits.grace_s, self._ring)

    def _ring(self) -> None:
        text = f"Reader {self.config.name} takes no taps: {self._detail or 'it does not open'}. See punchctl doctor"
        self._around.alarms.set(self._alarm, text)

    def _forget_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    # --- its taps

    async def serve(self) -> None:
        """Hand taps to the intake, one after another. Cancelled, it ends with the taps made until then.

        Raises FatalError when the intake fails otherwise than by a bad disk: a programmer's error.
        """
        try:
            while True:
                tap = await self._taps.get()
                with self.serving.within(self._around.limits.answer_max_s):
                    await self._take(tap)
        except asyncio.CancelledError:
            while not self._taps.empty():
                await self._take(self._taps.get_nowait())
            raise
        finally:
            self._forget_grace()
            await self._showing.finish()

    async def _take(self, tap: Tap) -> None:
        accepting = asyncio.create_task(self._around.intake.accept(tap))
        try:
            done, _ = await asyncio.wait({accepting}, timeout=self._around.limits.wait_after_s)
            if not done:
                self._showing.show(tap, Feedback.WAIT)
                await asyncio.wait({accepting})
        except asyncio.CancelledError:
            # Its commit is on the way: the person still learns what came of it.
            await asyncio.wait({accepting})
            self._conclude(tap, accepting)
            raise
        self._conclude(tap, accepting)

    def _conclude(self, tap: Tap, accepting: asyncio.Task[TapAnswer]) -> None:
        error = accepting.exception()
        if error is not None:
            self._showing.show(tap, Feedback.REFUSED)
            raise FatalError(f"cannot go on: the intake failed at a tap of reader {self.config.name}") from error
        answer = accepting.result()
        self._showing.show(tap, feedback_for(answer))
        self.on_answer(tap, answer)


def feedback_for(answer: TapAnswer) -> Feedback:
    """What a person sees of an answer."""
    match answer.result:
        case TapResult.REPEAT:
            return Feedback.REPEAT
        case TapResult.UNKNOWN_BADGE:
            return Feedback.UNKNOWN_BADGE
        case TapResult.REFUSED:
            return Feedback.REFUSED
        case TapResult.ACCEPTED:
            direction = answer.punch.direction if answer.punch is not None else None
            if answer.enrolled:
                return Feedback.ENROLLED
            if direction is None:
                return Feedback.ACCEPTED
            return Feedback.CLOCKED_IN if direction is Direction.CLOCK_IN else Feedback.CLOCKED_OUT
