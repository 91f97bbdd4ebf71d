"""What a simulated week reached of the product: planner rows, answers, transitions, alarms, reasons, faults.

Collected from the test side alone: pure functions are watched from outside while a week runs (`watching`), the rest is
read from its history (`of_history`). reach.toml holds what must be reached, and what cannot be, with its reason.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from daemon.delivery import planner
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.timesheet import Reply, Step
from tests.simulation.weeks.history import Asked, History, HumanDid, Line, PowerCut, Shown
from tests.simulation.weeks.rows import answer_name, rows_of

REACH = Path(__file__).with_name("reach.toml")
#: What is counted, in the order in which it is told, with its title.
KINDS = {
    "planner": "Rows of the planner's table",
    "answers": "Answers of the service, by what was asked",
    "transitions": "Transitions of a punch",
    "reasons": "Reasons",
    "alarms": "Alarms",
    "feedback": "What people were shown",
    "faults": "What went wrong, and what people did",
}
_BARE = ("Stopped", "Crashed", "StartFailed", "Failed", "Disk", "Plugged", "ClockStepped", "ClockSynchronised")
Seen = dict[str, Counter[str]]


@dataclass
class Coverage:
    """How often each thing was reached. Summed over weeks, and over processes as JSON."""

    counts: Seen = field(default_factory=lambda: defaultdict(Counter))

    def note(self, kind: str, name: str, times: int = 1) -> None:
        """It was reached."""
        assert kind in KINDS, kind
        self.counts[kind][name] += times

    def add(self, other: Coverage) -> None:
        """What another week reached, too."""
        for kind, counter in other.counts.items():
            self.counts[kind].update(counter)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps({kind: dict(sorted(self.counts[kind].items())) for kind in KINDS})

    @classmethod
    def load(cls, text: str) -> Coverage:
        """What `dump` wrote."""
        found = cls()
        for kind, counter in json.loads(text).items():
            found.counts[kind].update(counter)
        return found


@contextmanager
def watching(coverage: Coverage) -> Iterator[None]:
    """Count, while the block runs in this process, what the planner decided and what the service answered."""
    plan_lane, carry_out = planner.plan_lane, ConnecteamTimesheet.carry_out

    def planned(lane: Any, view: Any, moment: Any, policy: Any) -> Any:
        plan = plan_lane(lane, view, moment, policy)
        for name in rows_of(lane, view, plan):
            coverage.note("planner", name)
        return plan

    async def carried_out(self: ConnecteamTimesheet, step: Step) -> Reply:
        reply = await carry_out(self, step)
        coverage.note("answers", answer_name(step, reply.outcome))
        return reply

    with ExitStack() as stack:
        users = [module for module in [*sys.modules.values()] if getattr(module, "plan_lane", None) is plan_lane]
        for module in users:  # whoever imported it by name holds it by that name
            stack.enter_context(mock.patch.object(module, "plan_lane", planned))
        stack.enter_context(mock.patch.object(ConnecteamTimesheet, "carry_out", carried_out))
        yield


def of_history(history: History) -> Coverage:
    """What a week's history shows to have been reached."""
    found = Coverage()
    for line in history.lines:
        for name in _of_line(line):
            found.note(*name)
    for kiosk in history.ending.kiosks:
        for code, _ in kiosk.told:
            found.note("alarms", code.split(":")[0])
        for punch in kiosk.punches:
            for name in transitions(punch):
                found.note("transitions", name)
                words = name.split()
                if len(words) == 4:
                    found.note("reasons", words[3])
    return found


def _of_line(line: Line) -> Iterator[tuple[str, str]]:
    match line:
        case Shown():
            yield "feedback", line.feedback or "nothing"
        case Asked() if line.fault not in ("none", ""):
            yield "faults", f"answer: {line.fault}"
        case Asked() if line.status == 429:
            yield "faults", "answer: the budget's own 429"
        case HumanDid():
            yield "faults", f"human: {line.what}"
        case PowerCut():
            yield "faults", "kiosk: PowerCut, " + ("unsynced bytes lost" if "lost" in line.torn else "all was synced")
    for name in ("what", "how", "decision"):
        value = getattr(line, name, None)
        if isinstance(value, str) and not isinstance(line, HumanDid):
            refused = ", refused" if getattr(line, "refused", None) else ""
            yield "faults", f"{type(line).__name__}: {value}{refused}"
    if type(line).__name__ in _BARE:
        yield "faults", f"kiosk: {type(line).__name__}"


def transitions(punch: Mapping[str, Any]) -> list[str]:
    """A punch's moves in order, as "pending → held clock_untrusted". Sending is told by the attempts."""
    moves: list[tuple[str, int, str, str, str | None]] = []
    for entry in punch["history"]["journal"]:
        action, data = str(entry["action"]), entry["data"]
        if action.startswith("punch.") and "from" in data:
            moves.append((entry["at"], 1, data["from"], action.removeprefix("punch."), data.get("reason")))
    told = [f"{came} → {went}" + (f" {why}" if why else "") for _, _, came, went, why in moves]
    first = moves[0][2] if moves else ("pending" if punch["history"]["attempts"] else str(punch["state"]))
    begun = "pending" if first == "in_flight" else first
    sent = ["pending → in_flight"] * len(punch["history"]["attempts"])
    return [f"new → {begun}", *sent, *told]


# --- what must be reached


@dataclass(frozen=True, slots=True)
class Reach:
    """What must be reached, what may be, and what cannot: by kind, name and words (its meaning; the reason why not)."""

    wanted: Mapping[str, Mapping[str, str]]
    seldom: Mapping[str, Mapping[str, str]]
    impossible: Mapping[str, Mapping[str, str]]

    @classmethod
    def load(cls, path: Path = REACH) -> Reach:
        """The kept list."""
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = (told, told.get("seldom", {}), told.get("impossible", {}))
        return cls(*({kind: part.get(kind, {}) for kind in KINDS} for part in parts))

    def missing(self, coverage: Coverage) -> list[str]:
        """What should have been reached and was not."""
        return [f"{kind}: {name}" for kind in KINDS for name in self.wanted[kind] if not coverage.counts[kind][name]]

    def refuted(self, coverage: Coverage) -> list[str]:
        """What was reached although it is said to be impossible."""
        return [f"{kind}: {name}" for kind in KINDS for name in self.impossible[kind] if coverage.counts[kind][name]]

    def unlisted(self, coverage: Coverage) -> list[str]:
        """What was reached and stands in no list."""
        known = {kind: {*self.wanted[kind], *self.seldom[kind], *self.impossible[kind]} for kind in KINDS}
        return [
            f"{kind}: {name}" for kind in KINDS for name in sorted(coverage.counts[kind]) if name not in known[kind]
        ]


def table(reach: Reach, coverage: Coverage | None = None) -> str:
    """The kept list as Markdown, for docs/reliability.md; with the counts of a run where one is given."""
    return "\n".join(_lines(reach, lambda kind, name: "" if coverage is None else f" {coverage.counts[kind][name]} |"))


def _lines(reach: Reach, count: Callable[[str, str], str]) -> Iterator[str]:
    for kind, title in KINDS.items():
        counted = bool(count(kind, ""))
        yield from (f"### {title}", "", "| name | is |" + (" times |" if counted else ""))
        yield "| --- | --- |" + (" ---: |" if counted else "")
        for name, words in reach.wanted[kind].items():
            yield f"| {name} | {words} |{count(kind, name)}"
        for title, names in (("Seldom", reach.seldom[kind]), ("Never, and why", reach.impossible[kind])):
            if names:
                yield from ("", f"{title}:", "", "| name | is |", "| --- | --- |")
                yield from (f"| {name} | {words} |" for name, words in names.items())
        yield ""


def summary(reach: Reach, coverage: Coverage) -> str:
    """A line a kind: how much of what is wanted was reached."""
    lines = []
    for kind, title in KINDS.items():
        reached = sum(bool(coverage.counts[kind][name]) for name in reach.wanted[kind])
        lines.append(f"{title + ':':<48}{reached} of {len(reach.wanted[kind])}")
    return "\n".join(lines)
