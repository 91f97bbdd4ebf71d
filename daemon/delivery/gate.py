"""Whether requests may leave at all: paused by a person, halted by a refused key, or backing off."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from daemon.delivery.pacer import backoff_s
from daemon.delivery.settle import Reach
from daemon.supervisor import Backoff

DeliveryState = Literal["online", "offline", "halted", "paused"]

#: A refused key or a wrong time clock is tried again this often (delivery.md, "halted").
HALT_RETRY_S = 15 * 60
#: Answers that prove nothing, in a row, until the way to the service counts as gone; what writes is counted apart.
UNCLEAR_IS_OFFLINE = 2
#: What was lost counts until twice the longest pause has passed without another try: then nothing waits to be written.
LOSSES_COUNT_PAUSES = 2
#: One person's punch that was sent in vain goes again at once so often, as lost answers are every day's; then it rests,
#: twice as long each time, to the longest pause. That is 1 part in 140 of the time in which it can go live.
AT_ONCE_AGAIN, REST_FIRST_S = 2, 30.0


@dataclass(slots=True)
class Halt:
    """Why nothing is sent. `code` is the alarm's: halted or misconfigured."""

    code: str
    detail: str
    since: float
    retry_at: float


class Gate:
    """The state of the way to the service. Told of every answer; times are our best time, Unix seconds.

    Requests that write have a pause of their own beside everybody's: where they are lost and reads are answered, each
    one costs two reads more, and no read says anything of the next.
    """

    def __init__(self, backoff_max_s: float, rng: random.Random) -> None:
        self.paused = False
        self.halt: Halt | None = None
        self.offline_since: float | None = None
        self._failures = 0
        self._detail: str | None = None
        self._given_up = False
        self._until = 0.0
        self._last_try_at = 0.0
        #: Requests that wrote, in a row, without an answer, and nothing showed that one arrived; the last's words.
        self._lost, self._lost_detail = 0, ""
        self._writes_until = 0.0
        self._last_write_at = 0.0
        #: A new punch is here and was not tried: one may go this long after the last write. None: there is none.
        self._new_wait_s: float | None = None
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
        return "online" if self.offline_since is None and self._lost < UNCLEAR_IS_OFFLINE else "offline"

    @property
    def detail(self) -> str | None:
        """Why it is offline; None while it is not, and after a first failure already the words of that."""
        if self.offline_since is None and self._lost >= UNCLEAR_IS_OFFLINE:
            return f"it answers reads, and nothing that records punches ({self._lost_detail})"
        return self._detail

    @property
    def losing(self) -> bool:
        """Whether the last request that wrote got no answer, and nothing showed since that one arrived."""
        return self._lost > 0

    @property
    def losses_count_until(self) -> float:
        """Until when what was lost says something of the way, if nothing is written meanwhile; infinity: nothing was.

        A person's record in the timesheet, or a review, may have settled what was to be written.
        """
        if not self._lost:
            return float("inf")
        return self._last_write_at + LOSSES_COUNT_PAUSES * self._backoff_max_s

    def ready_at(self, now: float) -> float:
        """When the next request may be tried; infinity while paused."""
        if self.paused:
            return float("inf")
        self._until = min(self._until, now + self._backoff_max_s)  # no pause is longer, by whatever clock it was begun
        if self.halt is None:
            return max(now, self._until)
        return max(now, self.halt.retry_at, self._until)  # the way may be gone as well

    def writes_at(self, now: float, *, new: bool = False) -> float:
        """When the next request that writes may be tried, or one for a `new` punch; infinity while paused."""
        self._writes_until = min(self._writes_until, now + self._backoff_max_s)
        until = self._writes_until
        if new and self._new_wait_s is not None:
            until = min(until, self._last_write_at + self._new_wait_s)
        return max(self.ready_at(now), until)

    def note(self, reach: Reach, detail: str | None, now: float, *, wrote: bool = False) -> None:
        """An answer, or the lack of one, to a read or to what `wrote`."""
        self._last_try_at = now
        if wrote:
            self._note_write(reach, detail or "no answer", now)
        given_up, self._given_up = self._given_up, False
        if given_up and reach in (Reach.UNREACHED, Reach.UNCLEAR):
            return  # it hung on the way that is gone, and says nothing of the one that is there now
        if reach in (Reach.UNREACHED, Reach.UNCLEAR, Reach.CERTIFICATE_TIME):
            self._failures += 1
            self._until = now + backoff_s(self._failures, self._backoff_max_s, self._rng)
            self._detail = detail
            if self.offline_since is None and (reach is not Reach.UNCLEAR or self._failures >= UNCLEAR_IS_OFFLINE):
                self.offline_since = now
            return
        self._failures, self._until, self.offline_since, self._detail = 0, 0.0, None, None
        if reach is Reach.KEY_REFUSED:
            self.halt_for("halted", detail or "the key was refused", now)
        elif reach is Reach.MISCONFIGURED:
            self.halt_for("misconfigured", detail or "wrong time clock", now)
        elif reach is Reach.ANSWERED:
            self.halt = None

    def _note_write(self, reach: Reach, detail: str, now: float) -> None:
        self._last_write_at = now
        if reach is Reach.UNCLEAR:
            self._lost, self._lost_detail = self._lost + 1, detail
            self._writes_until = now + backoff_s(self._lost, self._backoff_max_s, self._rng)
        elif reach not in (Reach.UNREACHED, Reach.CERTIFICATE_TIME):  # of these nothing arrived, and nothing was lost
            self.write_arrived()

    def write_arrived(self) -> None:
        """One was answered, or a read shows what it did: they arrive. Or nothing is left that would show it."""
        self._lost, self._writes_until = 0, 0.0

    def rest_after_s(self, in_vain: int) -> float:
        """How long one person's punch rests that was lost so often in a row."""
        if in_vain <= AT_ONCE_AGAIN:
            return 0.0
        return Backoff(REST_FIRST_S, self._backoff_max_s).delay_s(in_vain - AT_ONCE_AGAIN, self._rng)

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
        self._until = self._writes_until = now + self._rng.uniform(0.0, spread_s)
        if not spread_s or now - self._afresh_at >= self._backoff_max_s:
            self._failures, self._lost, self._afresh_at = min(self._failures, 1), min(self._lost, 1), now
        if self.halt is not None:
            self.halt.retry_at = self._until

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back): what is waited for comes no sooner and no later for it."""
        self._until, self._last_try_at = self._until + seconds, self._last_try_at + seconds
        self._writes_until, self._last_write_at = self._writes_until + seconds, self._last_write_at + seconds
        self._afresh_at += seconds
        if self.offline_since is not None:
            self.offline_since += seconds
        if self.halt is not None:
            self.halt.since, self.halt.retry_at = self.halt.since + seconds, self.halt.retry_at + seconds

    def hurry(self, not_before_s: float, *, writes: bool = False) -> None:
        """A person asks, or (`writes`) a new punch is here: try again soon, but not sooner than this after the last.

        Of what writes that is the next one for a new punch alone: it shows whether everybody's are lost.
        """
        self._until = min(self._until, self._last_try_at + not_before_s)
        if writes:
            self._new_wait_s = not_before_s

    def try_new(self) -> None:
        """A request for a new punch leaves: the next one for such a punch waits as all do."""
        self._new_wait_s = None
