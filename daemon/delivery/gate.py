"""Whether requests may leave at all: paused by a person, halted by a refused key, or backing off."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from daemon.delivery.pacer import backoff_s
from daemon.delivery.settle import Reach

DeliveryState = Literal["online", "offline", "halted", "paused"]

#: A refused key or a wrong time clock is tried again this often (delivery.md, "halted").
HALT_RETRY_S = 15 * 60
#: Answers that prove nothing, in a row, until the way to the service counts as gone.
UNCLEAR_IS_OFFLINE = 2


@dataclass(slots=True)
class Halt:
    """Why nothing is sent. `code` is the alarm's: halted or misconfigured."""

    code: str
    detail: str
    since: float
    retry_at: float


class Gate:
    """The state of the way to the service. Told of every answer; times are our best time, Unix seconds."""

    def __init__(self, backoff_max_s: float, rng: random.Random) -> None:
        self.paused = False
        self.halt: Halt | None = None
        self.detail: str | None = None
        self.offline_since: float | None = None
        self._failures = 0
        self._given_up = False
        self._until = 0.0
        self._last_try_at = 0.0
        self._afresh_at = float("-inf")
        self._backoff_max_s = backoff_max_s
        self._rng = rng

    @property
    def state(self) -> DeliveryState:
        """The one word for status."""
        if self.paused:
            return "paused"
        if self.halt is not None:
            return "halted"
        return "online" if self.offline_since is None else "offline"

    def ready_at(self, now: float) -> float:
        """When the next request may be tried; infinity while paused."""
        if self.paused:
            return float("inf")
        self._until = min(self._until, now + self._backoff_max_s)  # no pause is longer, by whatever clock it was begun
        if self.halt is None:
            return max(now, self._until)
        return max(now, self.halt.retry_at, self._until)  # the way may be gone as well

    def note(self, reach: Reach, detail: str | None, now: float) -> None:
        """An answer, or the lack of one."""
        self._last_try_at = now
        given_up, self._given_up = self._given_up, False
        if given_up and reach in (Reach.UNREACHED, Reach.UNCLEAR):
            return  # it hung on the way that is gone, and says nothing of the one that is there now
        if reach in (Reach.UNREACHED, Reach.UNCLEAR, Reach.CERTIFICATE_TIME):
            self._failures += 1
            self._until = now + backoff_s(self._failures, self._backoff_max_s, self._rng)
            self.detail = detail
            if self.offline_since is None and (reach is not Reach.UNCLEAR or self._failures >= UNCLEAR_IS_OFFLINE):
                self.offline_since = now
            return
        self._failures, self._until, self.offline_since, self.detail = 0, 0.0, None, None
        if reach is Reach.KEY_REFUSED:
            self.halt_for("halted", detail or "the key was refused", now)
        elif reach is Reach.MISCONFIGURED:
            self.halt_for("misconfigured", detail or "wrong time clock", now)
        elif reach is Reach.ANSWERED:
            self.halt = None

    def halt_for(self, code: str, detail: str, now: float) -> None:
        """Stop sending until `retry`, or a quarter of an hour."""
        since = self.halt.since if self.halt is not None else now
        self.halt = Halt(code, detail, since, now + HALT_RETRY_S)

    def retry(self, now: float, *, spread_s: float = 0.0, given_up: bool = False) -> None:
        """Something changed (a person asked, the key file, a link): the next request may be tried at once.

        What changed for many kiosks alike (a link) is tried within `spread_s`, so that they do not come back in step.
        A link is often up before anything can be reached through it, so the pauses begin anew; but those of a link that
        flaps begin anew once in the longest pause, and each of its changes is otherwise worth one try.
        `given_up`: a request that was out has just been given up, and its failure is no reason for a pause.
        """
        self._given_up = given_up
        self._until = now + self._rng.uniform(0.0, spread_s)
        if not spread_s or now - self._afresh_at >= self._backoff_max_s:
            self._failures, self._afresh_at = min(self._failures, 1), now
        if self.halt is not None:
            self.halt.retry_at = self._until

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back): what is waited for comes no sooner and no later for it."""
        self._until, self._last_try_at = self._until + seconds, self._last_try_at + seconds
        self._afresh_at += seconds
        if self.offline_since is not None:
            self.offline_since += seconds
        if self.halt is not None:
            self.halt.since, self.halt.retry_at = self.halt.since + seconds, self.halt.retry_at + seconds

    def hurry(self, not_before_s: float) -> None:
        """A new punch is here: try again soon, but not sooner than this after the last try."""
        self._until = min(self._until, self._last_try_at + not_before_s)
