"""What a history says, put in order for the rules: taps with what became of them, punches, requests, human deeds.

Nothing here is asked of the daemon's code: who a badge belonged to, which clock could be believed and what a request
wanted is worked out from the history's lines alone. Instants are true Unix seconds unless a name says otherwise.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.simulation.weeks.clocks import DOUBT_S, ClockState, clock_states, state_at
from tests.simulation.weeks.history import (
    Asked,
    Assigned,
    Begun,
    Crashed,
    Decided,
    Disk,
    Ending,
    History,
    HumanDid,
    KioskEnd,
    PowerCut,
    Presented,
    Reconfigured,
    Shown,
    Started,
    Stopped,
)
from tests.simulation.weeks.seen import ACKNOWLEDGED, PunchSeen, Request, Tap, reads_of, wants_of

#: What is told of an order whose kiosk went off before it answered.
WENT_OFF = "it went off meanwhile"
#: What the sandbox takes there and back, at most, where no fault delays it.
TRAVEL_S = 1.0


@dataclass(frozen=True)
class Facts:
    """One history, indexed. Build it once and hand it to every rule."""

    history: History

    # --- lines

    @cached_property
    def begun(self) -> Begun:
        """How the week began."""
        return self.history.begun

    @cached_property
    def ending(self) -> Ending:
        """How it ended."""
        return self.history.ending

    def of(self, kind: type[Any]) -> list[tuple[int, Any]]:
        """All lines of one kind, with their numbers."""
        return self._by_kind.get(kind, [])

    @cached_property
    def _by_kind(self) -> dict[type[Any], list[tuple[int, Any]]]:
        found: dict[type[Any], list[tuple[int, Any]]] = defaultdict(list)
        for number, line in enumerate(self.history.lines, start=1):
            found[type(line)].append((number, line))
        return found

    @cached_property
    def kiosks(self) -> dict[str, KioskEnd]:
        """How each kiosk ended, by name."""
        return {kiosk.kiosk: kiosk for kiosk in self.ending.kiosks}

    def settings(self, kiosk: str, at: float) -> Mapping[str, Any]:
        """By which settings a kiosk ran at that moment."""
        changes = [line for _, line in self.of(Reconfigured) if line.kiosk == kiosk and line.at <= at]
        chosen = changes[-1].settings if changes else self.begun.settings.get(kiosk, {})
        return dict(chosen)

    def _ever(self, kiosk: str, name: str) -> list[Any]:
        """Every value that a setting had on a kiosk."""
        changed = [line.settings for _, line in self.of(Reconfigured) if line.kiosk == kiosk]
        every = [self.begun.settings.get(kiosk, {}), *changed]
        return [settings[name] for settings in every if name in settings]

    def max_shift(self, kiosk: str) -> tuple[float, float]:
        """The shortest and the longest `max_shift_s` that ever was in force: a rule must hold by one of them."""
        values = self._ever(kiosk, "max_shift_s") or [14 * 3600]
        return min(values), max(values)

    def repeat_s(self, kiosk: str, at: float, *, least: bool = False) -> float:
        """Seconds inside which a tap repeats. Around a change of the settings the longer, or the `least`, of both."""
        values = [self.settings(kiosk, moment).get("repeat_tap_s", 60) for moment in (at - 5, at + 5)]
        return float(min(values) if least else max(values))

    def was_full(self, kiosk: str, at: float) -> bool:
        """Whether that kiosk's disk took nothing then."""
        lines = [line for _, line in self.of(Disk) if line.kiosk == kiosk and line.at <= at]
        return bool(lines) and lines[-1].full

    # --- people and badges

    @cached_property
    def _owners(self) -> dict[tuple[str, str], list[tuple[float, str | None]]]:
        owners: dict[tuple[str, str], list[tuple[float, str | None]]] = defaultdict(list)
        for _, line in self.of(Assigned):
            if line.kiosk is None or line.refused is not None or line.what not in ("given", "released", "blocked"):
                continue
            owner = line.user_id if line.what == "given" else None
            owners[line.kiosk, line.badge].append((line.at, owner))
        return owners

    def owner(self, kiosk: str, badge: str, at: float) -> str | None:
        """Whose badge a kiosk holds this for."""
        since = self._owners.get((kiosk, badge), [])
        place = bisect_right([moment for moment, _ in since], at)
        return since[place - 1][1] if place else None

    def blocked(self, kiosk: str, badge: str, at: float) -> bool:
        """Whether the badge was blocked there, or may be: a kiosk that went off meanwhile may have stored it."""
        lines = [ln for _, ln in self.of(Assigned) if (ln.kiosk, ln.badge) == (kiosk, badge) and ln.at <= at]
        perhaps = [ln.what for ln in lines
                   if ln.refused is None or (ln.refused == WENT_OFF and ln.what == "blocked")]  # fmt: skip
        return bool(perhaps) and perhaps[-1] == "blocked"

    @cached_property
    def humans(self) -> dict[str, list[tuple[int, HumanDid]]]:
        """What was done for each person on the service itself."""
        found: dict[str, list[tuple[int, HumanDid]]] = defaultdict(list)
        for number, line in self.of(HumanDid):
            if line.user_id is not None:
                found[line.user_id].append((number, line))
        return found

    # --- taps and punches

    @cached_property
    def taps(self) -> list[Tap]:
        """Every presentation, in order, with what was shown in the end."""
        shown = {line.tap: (number, line) for number, line in self.of(Shown)}
        found = []
        for number, said in self.of(Presented):
            at_line, seen = shown.get(said.tap, (number, Shown(at=self.ending.at, tap=said.tap, feedback=None)))
            owner = self.owner(said.kiosk, said.badge, said.at)
            found.append(Tap(number, said, owner, seen.feedback, seen.at, at_line))
        return found

    @cached_property
    def punches(self) -> list[PunchSeen]:
        """Every punch of every kiosk, each joined to the tap that has its badge, its reader and its clock's second."""
        found = [PunchSeen(kiosk.kiosk, told) for kiosk in self.ending.kiosks for told in kiosk.punches]
        places: dict[tuple[str, str, str, int], list[Tap]] = defaultdict(list)
        for tap in self.taps:
            said = tap.said
            if said.wall_at is not None:
                places[said.kiosk, said.badge, said.reader, math.floor(said.wall_at)].append(tap)
        # Two presentations of one second: the one that was acknowledged is the one that became a punch.
        for pick in (ACKNOWLEDGED, (None,), ("unknown_badge",)):
            for punch in found:
                if punch.source != "tap" or punch.tap is not None:
                    continue
                key = (punch.kiosk, str(punch.told["badge"]), str(punch.told["reader"]), punch.raw_second)
                tap = next((tap for tap in places[key] if tap.shown in pick), None)
                if tap is not None:
                    places[key].remove(tap)
                    punch.tap = tap
        return found

    @cached_property
    def punch_of(self) -> dict[int, PunchSeen]:
        """The punch of each tap that became one, by the tap's number."""
        return {punch.tap.said.tap: punch for punch in self.punches if punch.tap is not None}

    @cached_property
    def lanes(self) -> dict[tuple[str, str], list[PunchSeen]]:
        """Each person's punches on each kiosk that are not discarded, in the order they happened."""
        lanes: dict[tuple[str, str], list[PunchSeen]] = defaultdict(list)
        for punch in self.punches:
            if punch.state != "discarded":
                lanes[punch.kiosk, punch.user_id].append(punch)
        for lane in lanes.values():
            lane.sort(key=lambda punch: (punch.second, punch.tap.said.tap if punch.tap else 0))
        return lanes

    def neighbour(self, punch: PunchSeen, step: int) -> PunchSeen | None:
        """The punch before (-1) or after (1) this one in its lane."""
        lane = self.lanes.get((punch.kiosk, punch.user_id), [])
        if punch not in lane:
            return None
        place = lane.index(punch) + step
        return lane[place] if 0 <= place < len(lane) else None

    def tolerance_s(self, punch: PunchSeen) -> int:
        """How far from the true second a punch's time may lie: 0 unless its clock's error was told, or unknowable."""
        tap = punch.tap
        if tap is None or tap.said.wall_at is None:
            return 0
        state = self.clock(punch.kiosk, tap.said.at)
        if state is not None and state.right:
            return 0
        told = math.ceil(punch.error_s) if punch.error_s else 0
        unknowable = math.ceil(abs(state.error_s)) if state and state.trusted and abs(state.error_s) <= DOUBT_S else 0
        return max(told, unknowable) + 1

    @cached_property
    def _clocks(self) -> dict[str, list[ClockState]]:
        return {kiosk: clock_states(kiosk, self.history.lines) for kiosk in self.kiosks}

    def clocks(self, kiosk: str) -> list[ClockState]:
        """Every state of a kiosk's clocks."""
        return self._clocks.get(kiosk, [])

    def clock(self, kiosk: str, at: float) -> ClockState | None:
        """How a kiosk's clocks stood at that moment."""
        return state_at(self.clocks(kiosk), at)

    def exact(self, tap: Tap) -> bool:
        """Whether the kiosk knew the true time of a tap, and went on knowing it."""
        states = self.clocks(tap.said.kiosk)
        return all(state.right for state in states if state.boot_id == tap.said.boot_id)

    # --- requests

    @cached_property
    def requests(self) -> list[Request]:
        """Every request that reached the service, in order of arrival."""
        found = []
        for number, said in self.of(Asked):
            life = self.life(said.kiosk, said.at)
            found.append(Request(number, said, life, wants_of(said), reads_of(said)))
        return found

    @cached_property
    def by_kiosk(self) -> dict[str, list[Request]]:
        """The requests of each kiosk."""
        found: dict[str, list[Request]] = defaultdict(list)
        for request in self.requests:
            found[request.said.kiosk].append(request)
        return found

    @cached_property
    def _starts(self) -> dict[str, list[tuple[float, int]]]:
        starts: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for _, line in self.of(Started):
            starts[line.kiosk].append((line.at, line.life))
        return starts

    def life(self, kiosk: str, at: float) -> int:
        """Which life of the kiosk that moment belongs to. A daemon may ask a little before it says that it is ready."""
        since = self._starts.get(kiosk, [])
        place = bisect_right([moment for moment, _ in since], at)
        return since[place - 1][1] if place else 0

    @cached_property
    def ends_of_lives(self) -> dict[str, list[float]]:
        """When each kiosk was stopped, died or lost its power."""
        found: dict[str, list[float]] = defaultdict(list)
        for kind in (Stopped, Crashed, PowerCut):
            for _, line in self.of(kind):
                found[line.kiosk].append(line.at)
        return {kiosk: sorted(times) for kiosk, times in found.items()}

    def died_between(self, kiosk: str, since: float, until: float) -> bool:
        """Whether the daemon ended in that time, in order or not."""
        return any(since <= at <= until for at in self.ends_of_lives.get(kiosk, ()))

    def outlived(self, asked: Request) -> bool:
        """Whether what was answered is known in later lives: it is written down with the next request at the latest."""
        later = (one for one in self.by_kiosk[asked.said.kiosk] if one.said.number > asked.said.number)
        return any(one.life == asked.life for one in later)

    def decisions(self, punch_id: str) -> list[Decided]:
        """What people decided on a punch, as far as the kiosk took it, or may have before it went off."""
        return [ln for _, ln in self.of(Decided) if ln.punch_id == punch_id and ln.refused in (None, WENT_OFF)]


def published_reasons(page: str) -> dict[str, str]:
    """Codes of docs/reasons.md with where each belongs: held, review, discarded, tap."""
    found, where = {}, ""
    titles = {"Held": "held", "Review": "review", "Discarded": "discarded", "Taps": "tap"}
    for line in page.splitlines():
        if line.startswith("## "):
            where = titles.get(re.split(r"[ :]", line[3:])[0], "")
        elif match := re.match(r"\| `(\w+)` \|", line):
            found[match[1]] = where
    return found
