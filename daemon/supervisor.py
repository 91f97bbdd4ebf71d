"""Keeps a part running: the one place that catches broadly.

Readers, delivery and control are supervised one by one, so that no fault of one stops the others. A programmer's
error in the intake or the queue is not survived here: it is raised as FatalError, passes through, and stops the
service in order; systemd starts it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from daemon.alarms import Alarms
from daemon.events import Events

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class FatalError(Exception):
    """The intake or the queue failed in a way nobody foresaw: the service must stop in order and start afresh."""


class Uniform(Protocol):
    """The part of random.Random that is used."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number in [a, b] by chance."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing waits with jitter, all in seconds: the n-th lies in the upper half of min(first * 2**n, max).

    After `stable_s` without a failure the count begins anew.
    """

    first_s: float = 1.0
    max_s: float = 60.0
    stable_s: float = 60.0

    def delay_s(self, failures: int, rng: Uniform) -> float:
        """How long to wait after so many failures in a row (at least one)."""
        assert failures >= 1
        # The exponent is bounded too: 2.0**1024 would overflow after some months of failing.
        ceiling = min(self.first_s * 2.0 ** min(failures - 1, 30), self.max_s)
        return rng.uniform(ceiling / 2, ceiling)


async def supervise(
    name: str,
    factory: Callable[[], Awaitable[None]],
    *,
    alarms: Alarms,
    events: Events,
    backoff: Backoff,
    rng: Uniform,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Run `factory()` until it returns, and again after each exception, with growing pauses.

    Each failure is logged (with its traceback unless it is the one before it over again), published as `part.failed`,
    and raises the alarm `NAME_failing`, which is cleared once the part has run for `backoff.stable_s`. Cancellation and
    FatalError pass through.
    """
    log = structlog.get_logger("supervisor").bind(part=name)
    alarm = f"{name}_failing"
    failures, last = 0, ""

    async def calm_down() -> None:
        nonlocal failures, last
        await sleep(backoff.stable_s)
        failures, last = 0, ""
        alarms.clear(alarm)

    while True:
        calming = asyncio.create_task(calm_down())
        try:
            await factory()
            alarms.clear(alarm)
            return
        except Exception as error:
            if _is_fatal(error):
                raise
            failures += 1
            delay_s = backoff.delay_s(failures, rng)
            # A full disk fails alike each minute for days: one traceback of it is enough, and less to write.
            before, last = last, _words(error)
            log.error(
                "part.failed", failures=failures, retry_in_s=round(delay_s, 1), error=last, exc_info=last != before
            )
            events.publish("part.failed", part=name, error=last, failures=failures)
            alarms.set(
                alarm,
                f"{name} cannot run: {last}; it is started again by itself. "
                "If that goes on, report it with the output of journalctl -u punchd",
            )
        finally:
            calming.cancel()
        await sleep(delay_s)


async def contained(work: Awaitable[T], *, passing: tuple[type[Exception], ...]) -> T | Exception:
    """Do one piece of work for one person; its failure is the answer, so that it is nobody else's.

    What `passing` names is not that person's trouble (the disk, say) and is raised, as are FatalError and cancellation.
    """
    try:
        return await work
    except passing:
        raise
    except Exception as error:
        if _is_fatal(error):
            raise
        structlog.get_logger("supervisor").exception("work.contained", error=_words(error))
        return error


def _words(error: BaseException) -> str:
    """An error in at most 200 characters."""
    return f"{type(error).__name__}: {error}"[:200]


def _is_fatal(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_fatal(inner) for inner in error.exceptions)
    return isinstance(error, FatalError)
