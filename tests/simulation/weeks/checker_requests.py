"""Rules about requests: one at a time, in order, looked up before they go again, inside their window."""

from __future__ import annotations

import itertools

from tests.simulation.weeks.clocks import DOUBT_S, TRUST_S
from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.seen import Finding, Request, Violation, clock, instant

#: Between the moment a request is judged and its arrival: a commit, and the pacing of a burst.
ON_THE_WAY_S = 2.0
#: A refused request may go again when something was mended, which people do a few times a day at most.
AGAIN_A_DAY, DAY_S = 10, 86400.0


def one_at_a_time(facts: Facts) -> list[Violation]:
    """A kiosk has one request out at a time: the next one leaves after the answer to the last was made."""
    finding = Finding("one at a time")
    for kiosk, requests in facts.by_kiosk.items():
        for before, after in itertools.pairwise(requests):
            if not before.answered or before.said.processed_at is None:
                continue
            if after.said.at < before.said.processed_at and not facts.died_between(
                kiosk, before.said.at, after.said.at
            ):
                finding.say(after.line, f"{after} of {kiosk} left while {before} was still out")
    return finding.found


def looked_up_first(facts: Facts) -> list[Violation]:
    """After a write whose outcome is not known nothing is written for that person before a list has shown them."""
    finding = Finding("looked up first")
    for requests in facts.by_kiosk.values():
        unknown: dict[str, Request] = {}
        for request in requests:
            if request.reads is not None and request.answered and request.said.status == 200:
                for user_id in [who for who, of in unknown.items() if request.reads_person(who)]:
                    if request.said.at >= unknown[user_id].said.at:
                        del unknown[user_id]
            for user_id in dict.fromkeys(want.user_id for want in request.wants):
                if user_id in unknown:
                    finding.say(
                        request.line, f"{request} writes for {user_id}, and what {unknown[user_id]} did is not known"
                    )
                if not request.clear:
                    unknown[user_id] = request
                else:
                    unknown.pop(user_id, None)
    return finding.found


def no_hammering(facts: Facts) -> list[Violation]:
    """What the service clearly refuses is not sent again and again: a few times a day, when something was mended."""
    finding = Finding("no hammering")
    for kiosk, requests in facts.by_kiosk.items():
        refused: dict[tuple[str, str, int], list[float]] = {}
        told: set[tuple[str, str, int]] = set()
        for request in requests:
            status = request.said.status or 0
            if not request.answered or not 400 <= status < 500 or status in (401, 403, 429):
                continue
            for want in request.wants:
                for direction, second in want.ends:
                    key = (want.user_id, direction, second)
                    times = refused.setdefault(key, [])
                    times.append(request.said.at)
                    day = [at for at in times if at > request.said.at - DAY_S]
                    if key in told or len(day) <= AGAIN_A_DAY:
                        continue
                    if len(day) > AGAIN_A_DAY + _wished_for(facts, kiosk, want.user_id, request.said.at):
                        told.add(key)
                        finding.say(request.line, f"{request} of {kiosk} asks for {clock(second)} of {want.user_id} "
                                                  f"again, refused {len(day) - 1} times within a day")  # fmt: skip
    return finding.found


def _wished_for(facts: Facts, kiosk: str, user_id: str, at: float) -> int:
    """How often people let a punch of that person's go again that day: each wish is a request more."""
    theirs = [punch.id for punch in facts.punches if (punch.kiosk, punch.user_id) == (kiosk, user_id)]
    return len([one for punch_id in theirs for one in facts.decisions(punch_id) if at - DAY_S < one.at <= at])


def in_order(facts: Facts) -> list[Violation]:
    """No clock-out is sent before its clock-in is settled: on the timesheet, in review, or decided against."""
    finding = Finding("in order")
    for kiosk, requests in facts.by_kiosk.items():
        for request in requests:
            for want in request.wants:
                if want.kind != "clock_out" or want.end is None:
                    continue
                lane = facts.lanes.get((kiosk, want.user_id), [])
                mine = next((p for p in lane if p.direction == "clock_out" and p.second == want.end), None)
                before = facts.neighbour(mine, -1) if mine else None
                if before is None or before.direction != "clock_in" or before.source != "tap":
                    continue
                if before.tap is not None and before.tap.said.at > request.said.at:
                    continue
                if any(
                    line["action"] == "punch.claimed" and instant(line["at"]) > request.said.at
                    for line in before.journal
                ):  # of a badge that was given to its person later on
                    continue
                if not _settled(facts, kiosk, before.user_id, before.second, request):
                    finding.say(request.line, f"{request} asks for the clock-out at {clock(want.end)} before {before}")
    return finding.found


def _settled(facts: Facts, kiosk: str, user_id: str, second: int, by: Request) -> bool:
    """Whether the kiosk had heard of that clock-in before: an answer to it, or a list with that person in it."""
    for request in facts.by_kiosk[kiosk]:
        if request.said.number >= by.said.number:
            break
        for want in request.wants:
            if want.user_id == user_id and want.start == second and request.clear:
                return True
        if request.reads_person(user_id) and request.answered and request.said.at >= second:
            return True
    return False


def in_window(facts: Facts) -> list[Violation]:
    """Live requests arrive inside the look-back less its margin; nothing is sent of the future."""
    finding = Finding("in window")
    for request in facts.requests:
        said = request.said
        settings = facts.settings(said.kiosk, said.at)
        reach_s = settings.get("lookback_s", 12 * 3600) - settings.get("lookback_margin_s", 600)
        leeway_s = ON_THE_WAY_S + _clock_error_s(facts, said.kiosk, said.at)
        for want in request.wants:
            for _, second in want.ends:
                if second > said.at + max(0.0, leeway_s - ON_THE_WAY_S):
                    finding.say(request.line, f"{request} asks for {clock(second)}, {second - said.at:.0f} s ahead")
                if want.kind in ("clock_in", "clock_out") and said.at - second > reach_s + leeway_s:
                    late = said.at - second - reach_s
                    finding.say(request.line, f"{request} asks live for {clock(second)}, {late:.0f} s beyond its reach")
    return finding.found


def _clock_error_s(facts: Facts, kiosk: str, at: float) -> float:
    """How wrong the kiosk's idea of the time may be then without its knowledge: nothing while its clock is right.

    What a wrong time server vouched for is believed until the service's next Date disputes it: the boot clock goes on
    from there, also where somebody sets the wall clock meanwhile.
    """
    states = [state for state in facts.clocks(kiosk) if state.since <= at]
    if states and states[-1].trusted and not states[-1].doubted and abs(states[-1].error_s) > DOUBT_S:
        return abs(states[-1].error_s)
    boot = states[-1].boot_id if states else None
    worst = max((abs(state.error_s) for state in states if state.boot_id == boot), default=0.0)
    return 0.0 if worst < 0.001 else DOUBT_S + TRUST_S


def clock_gate(facts: Facts) -> list[Violation]:
    """Nothing is written by a clock that neither NTP nor the service has vouched for, or that the service disputes."""
    finding = Finding("clock gate")
    for kiosk, requests in facts.by_kiosk.items():
        for request in requests:
            state = facts.clock(kiosk, request.said.at)
            if not request.wants or state is None or state.perhaps:
                continue
            if not state.trusted:
                finding.say(request.line, f"{request} of {kiosk} writes, and nothing had vouched for its clock")
            elif state.doubted:
                finding.say(request.line, f"{request} of {kiosk} writes, and the service's Date disputes its clock")
    return finding.found
