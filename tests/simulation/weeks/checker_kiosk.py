"""Rules about a kiosk as a whole: nobody starves, secrets stay secret, what it stands on is sound and does not grow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import Failed, KioskEnd
from tests.simulation.weeks.seen import Finding, Request, Violation, clock, instant

#: The key of every sandbox, as a kiosk's key file holds it.
SECRETS = ("sandbox-key",)
#: More than this within one week is a leak: resident (kB), where modules are loaded and the history itself is kept;
#: held by a daemon (kB), which a week of 25 people makes some 150 kB more, and one in five hundred 700 kB; descriptors.
#: What grows slowly shows between the weeks of a process (__main__.py).
MEMORY_KB, HELD_KB = 512 * 1024, 2 * 1024
DESCRIPTORS = 8
#: A punch tapped this long before the other's request was in its lane by then, planned and waiting.
WAITED_S = 60.0
#: A clock that is doubted and found right again moves what waits twice: a bad day has some.
MOVES_A_DAY = 40
DAY_S = 86400
#: What SQLite and the system say of a disk that takes nothing more.
NO_ROOM = re.compile(r"^OperationalError: database or disk is full$")


def nobody_starves(facts: Facts) -> list[Violation]:
    """When all trouble is over and time has passed, nothing is still to be sent and nothing is out."""
    finding = Finding("nobody starves")
    for name, kiosk in facts.kiosks.items():
        state = kiosk.status.get("state")
        if state not in ("online", None):
            finding.say(0, f"{name} is {state} in the end: {kiosk.status.get('delivery')}")
            continue
        for punch in facts.punches:
            if punch.kiosk == name and punch.state in ("pending", "in_flight"):
                finding.say(punch.tap.line if punch.tap else 0, f"{punch} is still on its way in the end")
    return finding.found


def at_rest(facts: Facts) -> list[Violation]:
    """What waits comes to rest: no punch moves to and fro all day without a request, each move a write."""
    finding = Finding("at rest")
    for punch in facts.punches:
        moves = [instant(line["at"]) for line in punch.journal if _unasked(line)]
        for place in range(len(moves) - MOVES_A_DAY):
            if moves[place + MOVES_A_DAY] - moves[place] < DAY_S:
                words = f"{punch} moved more than {MOVES_A_DAY} times in the day from {clock(moves[place])}"
                finding.say(punch.tap.line if punch.tap else 0, words)
                break
    return finding.found


def _unasked(line: Mapping[str, Any]) -> bool:
    """Whether a line of a journal is a move that no request brought about."""
    return str(line["action"]).startswith("punch.") and (line["data"] or {}).get("from") != "in_flight"


def oldest_first(facts: Facts) -> list[Violation]:
    """Of two clock-ins of two people, both waiting and both free to go live, the older one goes first."""
    finding = Finding("oldest first")
    for kiosk, requests in facts.by_kiosk.items():
        live = [request for request in requests if request.said.path.endswith("/clock-in")]
        first_asked: dict[tuple[str, int], Request] = {}
        for request in live:
            want = request.wants[0]
            first_asked.setdefault((want.user_id, want.start or 0), request)
        waiting = sorted(first_asked.values(), key=lambda request: request.said.number)
        for place, request in enumerate(waiting):
            want = request.wants[0]
            for other in waiting[place + 1 : place + 40]:
                older = other.wants[0]
                if (older.start or 0) >= (want.start or 0) - 1 or other.life != request.life:
                    continue
                if older.user_id != want.user_id and _was_free(facts, kiosk, older.user_id, older.start or 0, request):
                    finding.say(request.line, f"{request} for {clock(want.start or 0)} overtook {other}'s "
                                              f"{clock(older.start or 0)} of {older.user_id}")  # fmt: skip
    return finding.found


def _was_free(facts: Facts, kiosk: str, user_id: str, second: int, at: Request) -> bool:
    """Whether that clock-in was stored, alone in its lane, undisturbed, and had been waiting for a minute."""
    punch = next(
        (p for p in facts.lanes.get((kiosk, user_id), ()) if (p.direction, p.second) == ("clock_in", second)), None
    )
    if punch is None or punch.tap is None or punch.tap.shown == "unknown_badge" or user_id in facts.humans:
        return False
    if at.said.at - punch.tap.said.at < WAITED_S or not facts.exact(punch.tap):
        return False
    if any(entry["action"] in ("punch.held", "punch.review") for entry in punch.journal):
        return False
    if any(one["outcome"] == "absent" and instant(one["sent_at"]) < at.said.at for one in punch.attempts):
        return False  # the power went between its entry in the journal and its leaving: it is looked up first
    lane = facts.lanes[kiosk, user_id]
    earlier = lane[: lane.index(punch)]
    touched = [request for request in facts.by_kiosk[kiosk] if any(w.user_id == user_id for w in request.wants)]
    before = [request for request in touched if request.said.at < at.said.at]
    if any(other.unfinished for other in earlier):
        return False
    if before and not (before[-1].clear and (before[-1].life == at.life or facts.outlived(before[-1]))):
        return False
    # A refused key, by whomever, or a spent budget, settles nothing.
    told = [one for one in before if one.clear and one.said.got not in ("401", "403") and not one.throttled]
    done = {second for request in told for want in request.wants for _, second in want.ends}
    return all(other.second in done for other in earlier)


def parts_run(facts: Facts) -> list[Violation]:
    """A part fails only while its disk takes nothing, saying so; no work and no punch is given up as a fault."""
    finding = Finding("parts run")
    for name, kiosk in facts.kiosks.items():
        for written in kiosk.log:
            at, _, words = written.partition(" ")
            if words.startswith("event=part.failed "):
                error = _quoted(words, "error")
                if not NO_ROOM.match(error) or not facts.was_full(name, float(at)):
                    finding.say(0, f"the {_quoted(words, 'part')} of {name} failed at {clock(float(at))}: {error}")
            elif words.startswith("event=work.contained "):
                finding.say(0, f"{name} failed for one person at {clock(float(at))}: {_quoted(words, 'error')}")
        for code, told_at in kiosk.told:
            if code.endswith("_failing") and not facts.was_full(name, told_at):
                finding.say(0, f"{name} raised {code} at {clock(told_at)}, and its disk had room")
    for punch in facts.punches:
        given_up = [line for line in punch.journal if (line["data"] or {}).get("reason") == "internal_error"]
        if given_up:
            finding.say(punch.tap.line if punch.tap else 0, f"punchd failed on {punch}: {given_up[0]['data']}")
    return finding.found


def _quoted(words: str, name: str) -> str:
    """One value of a line of the log."""
    found = re.search(rf'\b{name}=("(?:[^"\\]|\\.)*"|\S*)', words)
    return found[1].strip('"') if found else ""


def secrets_kept(facts: Facts) -> list[Violation]:
    """No key in log, alarms, status or a punch's journal; no badge in the first three, and no name in the log."""
    finding = Finding("secrets kept")
    badges = {tap.said.badge for tap in facts.taps if tap.owner is not None}
    names = set(facts.begun.people.values())
    for name, kiosk in facts.kiosks.items():
        for where, text in _texts(kiosk):
            found = [secret for secret in SECRETS if secret in text]
            if where in ("log", "status", "alarms"):
                found += [badge for badge in badges if badge in text]
            if where == "log":
                found += [person for person in names if person in text]
            for secret in found:
                at = text.index(secret)
                finding.say(0, f"{name} shows {secret!r} in its {where}: …{text[max(0, at - 80) : at + 40]}…")
    return finding.found


def _texts(kiosk: KioskEnd) -> Iterator[tuple[str, str]]:
    yield "log", "\n".join(kiosk.log)
    yield "status", json.dumps(kiosk.status)
    yield "alarms", json.dumps(kiosk.alarms)
    for punch in kiosk.punches:
        yield "journal", json.dumps(punch.get("history", {}))


def sound(facts: Facts) -> list[Violation]:
    """The daemon never ends by itself, the database has no damage, memory and descriptors do not grow."""
    finding, ending = Finding("sound"), facts.ending
    for number, line in facts.of(Failed):
        finding.say(number, f"the daemon of {line.kiosk} ended by itself: {line.error}")
    for name, kiosk in facts.kiosks.items():
        for damage in kiosk.findings:
            finding.say(0, f"the database of {name} is damaged: {damage}")
    low, high = ending.descriptors
    if high > low + DESCRIPTORS:
        finding.say(0, f"{high - low} file descriptors more than at the start ({low} to {high})")
    low, high = ending.memory_kb
    if high > low + MEMORY_KB:
        finding.say(0, f"{high - low} kB of memory more than at the start ({low} to {high})")
    low, high = ending.held_kb
    if high > low + HELD_KB:
        finding.say(0, f"a daemon holds {high - low} kB more than at the start ({low} to {high})")
    return finding.found
