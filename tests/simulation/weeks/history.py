"""What a simulated week leaves behind: one line for each thing that happened, and how everything stood in the end.

Whoever judges a week knows nothing but this. Every `at` is true Unix seconds, which no kiosk may know; lines stand in
the order in which things happened. Names of kiosks, readers and badges are those of the configuration, people are
their `user_id`. A history is written as JSON lines (`dump`), and the same week is the same text to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

#: What a fault, a setting, a punch, a shift looks like is told by whoever makes it; here it is JSON.
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Anything that happened, at true Unix seconds."""

    at: float


# --- a kiosk's life


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(Line):
    """How the week begins: always the first line.

    `people` by user_id with their names; `settings` by kiosk, as `Reconfigured.settings`; `plan` holds `name`,
    `per_minute` and `per_day`; `behaviour` what is not as documented on the service, by switch; `kinds` the kinds of
    trouble that this week knows at all.
    """

    seed: int
    people: Json
    settings: Json
    plan: Json
    behaviour: Json
    kinds: tuple[str, ...]
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Line):
    """The daemon runs and takes taps. `life` counts starts from 1; `ahead_s` is its wall clock less true time."""

    kiosk: str
    life: int
    boot_id: str
    ahead_s: float
    synchronised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Line):
    """It was stopped in order."""

    kiosk: str
    life: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed(Line):
    """The process died between two steps; the machine, its clocks and what was written to its files stay."""

    kiosk: str
    life: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut(Line):
    """The machine died; only what was synced stays. `torn` says what the disk made of the rest of the log."""

    kiosk: str
    life: int
    off_s: float
    torn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed(Line):
    """The daemon could not start (a full disk), and said why."""

    kiosk: str
    life: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Line):
    """The daemon ended by itself, which it never should; it is started again."""

    kiosk: str
    life: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconfigured(Line):
    """From now on it runs by other settings, all of them told: `readers` (name to direction), `max_shift_s`,
    `repeat_tap_s`, `after_auto_clock_out`, `lookback_s`, `lookback_margin_s`, `requests_per_minute`, `settle_s`,
    `batch_pairs`, `close_late_by_update`. `how` is `reload` or `restart`.
    """

    kiosk: str
    how: str
    settings: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped(Line):
    """Its wall clock was set, by `by_s`; since then it is `ahead_s` ahead of true time.

    `vouched`: by a time server that is wrong, so that the kernel holds it for synchronised.
    """

    kiosk: str
    by_s: float
    ahead_s: float
    vouched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSynchronised(Line):
    """NTP set its clock right, and the kernel says so. `by_s` is how far it was moved."""

    kiosk: str
    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk(Line):
    """Its disk is full from now on, or has room again."""

    kiosk: str
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged(Line):
    """A reader was unplugged, or plugged in again."""

    kiosk: str
    reader: str
    plugged: bool


# --- people


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented(Line):
    """A badge was held before a reader, by `person` (its owner, or whoever borrowed it).

    `tap` numbers presentations from 1. `direction` is the reader's at that moment: toggle, clock_in or clock_out.
    `wall_at`, `boot_id` and `boottime_s` are what the kiosk's own clocks said; None while it was off, or its reader was
    unplugged: then nothing was read.
    """

    tap: int
    kiosk: str
    reader: str
    direction: str
    badge: str
    person: str
    wall_at: float | None
    boot_id: str | None
    boottime_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Line):
    """What the person saw in the end, a value of drivers.reader.Feedback; None: the reader stayed dark."""

    tap: int
    feedback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanDid(Line):
    """Somebody did something on the service itself. `what` is one of

    add_shift, edit_shift, close_shift, delete_shift, lock_day, unlock_day, assign, unassign, archive, unarchive (a
    manager); phone_in, phone_out, break_start, break_end (a phone); auto_clock_out (the service by itself);
    key_expired, key_renewed (an administrator). `start` and `end` are the shift's times afterwards (of a deleted one
    the last), `start_before` and `end_before` those until then: None where there was none. `day` is an ISO date.
    """

    what: str
    user_id: str | None = None
    shift_id: str | None = None
    start: int | None = None
    end: int | None = None
    start_before: int | None = None
    end_before: int | None = None
    day: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Line):
    """A person decided on a punch at the kiosk: `retry`, `discard`, `accept_server`, `clock_in`, `clock_out`, `time`.

    `stated` is the time they gave. `refused` is the kiosk's reason where it did not take the decision; `added` the id
    of the punch that the decision made.
    """

    kiosk: str
    punch_id: str
    decision: str
    stated: float | None = None
    refused: str | None = None
    added: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered(Line):
    """A person told a kiosk something else: `pause`, `resume`, `sync_now`."""

    kiosk: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(Line):
    """A badge changed hands: `given`, `released`, `blocked` on one kiosk, `lent` and `returned` between people.

    `user_id` is whose it is from now on (whom it was lent to). `punches` are those made of the taps that were kept for
    it, by id. `refused` is the kiosk's reason where it did not do so.
    """

    what: str
    badge: str
    user_id: str | None
    kiosk: str | None = None
    punches: tuple[str, ...] = ()
    refused: str | None = None


# --- network and service


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(Line):
    """One kiosk's network goes `down` or `up`; or a fault is `set` or `cleared` before the service, for all kiosks.

    `fault` holds the fault's particulars (sandbox/faults.py) and its `id`.
    """

    what: str
    kiosk: str | None = None
    fault: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Line):
    """One request that reached the service; `at` is its arrival, `number` counts arrivals.

    `query` as pairs, `body` as text. `processed_at`, `status`, `headers` and `answer` are the service's own doing: None
    and empty where it never processed the request. `fault` is the fault that the request met (`none`), `got` what the
    kiosk got to see: a status, or what httpx raised; None when it was gone by then. `got_at`: when that was.
    """

    number: int
    kiosk: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str
    processed_at: float | None
    status: int | None
    headers: Json
    answer: str
    fault: str
    got: str | None
    got_at: float | None = None


# --- the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One row of the service's timesheet, as sandbox.handle.Row has it; instants in Unix seconds."""

    id: str
    user_id: str
    start: int
    end: int | None
    source: str
    end_source: str | None
    note: str | None
    auto_ended: bool
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskEnd:
    """How one kiosk stood in the end.

    `punches` are what `GET /v1/punches` shows (badges unmasked), each with `history` (attempts, journal) as
    `GET /v1/punches/{id}`. `unknown` are the badges that taps are kept for. `alarms` stand; `told` were ever raised
    (code, at by the kiosk's clock). `log` holds every line written, `findings` what the check of the database found.
    `settings` as in `Reconfigured`, `status` as `GET /v1/status`.
    """

    kiosk: str
    lives: int
    settings: Json
    status: Json
    punches: tuple[Json, ...]
    unknown: tuple[Json, ...]
    alarms: tuple[Json, ...]
    told: tuple[tuple[str, float], ...]
    log: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending(Line):
    """How everything stood in the end: always the last line. `calm_at` is when the last trouble ceased.

    `descriptors` and `memory_kb` are of the simulating process, `held_kb` of the first kiosk's daemon (in the end of
    the one that holds most), each at the start and at the end; they are not part of what a seed determines, and `dump`
    leaves them out.
    """

    calm_at: float
    timesheet: tuple[Shift, ...]
    kiosks: tuple[KioskEnd, ...]
    per_minute: int
    per_day: int
    descriptors: tuple[int, int] = (0, 0)
    memory_kb: tuple[int, int] = (0, 0)
    held_kb: tuple[int, int] = (0, 0)


_OF_THE_RUN: Final = ("descriptors", "memory_kb", "held_kb")
_KINDS: Final = {
    kind.__name__: kind
    for kind in (
        Begun, Started, Stopped, Crashed, PowerCut, StartFailed, Failed, Reconfigured, ClockStepped, ClockSynchronised,
        Disk, Plugged, Presented, Shown, HumanDid, Decided, Ordered, Assigned, Network, Asked, Ending,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class History:
    """A whole week: `lines` in order, the first `Begun`, the last `Ending`."""

    lines: tuple[Line, ...]

    @property
    def begun(self) -> Begun:
        """How it began."""
        first = self.lines[0]
        assert isinstance(first, Begun)
        return first

    @property
    def ending(self) -> Ending:
        """How it ended."""
        last = self.lines[-1]
        assert isinstance(last, Ending)
        return last

    def dump(self) -> str:
        """JSON, a line for each line; `load` reads it back."""
        return "".join(f"{json.dumps(_told(line), ensure_ascii=False)}\n" for line in self.lines)

    @classmethod
    def load(cls, lines: Iterable[str]) -> History:
        """What `dump` wrote."""
        return cls(tuple(_read(json.loads(line)) for line in lines))


def _told(line: Any) -> Any:
    """One line as JSON, its kind first."""
    if hasattr(line, "__dataclass_fields__"):
        of = {f.name: _told(getattr(line, f.name)) for f in fields(line) if f.name not in _OF_THE_RUN}
        return {"line": type(line).__name__, **of} if isinstance(line, Line) else of
    if isinstance(line, list | tuple):
        return [_told(item) for item in line]
    return line


def _read(told: dict[str, Any]) -> Line:
    """The line that `_told` wrote."""
    kind = _KINDS[told.pop("line")]
    if kind is Ending:
        told["timesheet"] = tuple(Shift(**row) for row in told["timesheet"])
        told["kiosks"] = tuple(_kiosk_end(kiosk) for kiosk in told["kiosks"])
    if kind is Asked:
        told["query"] = tuple((name, value) for name, value in told["query"])
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})


def _kiosk_end(told: dict[str, Any]) -> KioskEnd:
    told["told"] = [tuple(pair) for pair in told["told"]]
    return KioskEnd(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})
