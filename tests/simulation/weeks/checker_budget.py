"""Rules about the account's budget and the key: obey the headers, wait for the reset, leave a refused key alone."""

from __future__ import annotations

import itertools

from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import Decided, HumanDid, Network, Ordered, Reconfigured, Started
from tests.simulation.weeks.seen import Finding, Request, Violation, clock

#: Without a reset header a throttled account waits this long (delivery.md).
THROTTLE_S = 60.0
#: A refused key is tried again this often (delivery.md).
HALT_RETRY_S = 15 * 60
#: What a person, a link or a restart brings about follows within this.
SOON_S = 30.0
#: What an answer told is on the disk so soon after it.
WRITTEN_WITHIN_S = 1.0
#: Our timers and the way there.
SLACK_S = 1.5


def budget_kept(facts: Facts) -> list[Violation]:
    """The service never has to refuse a kiosk that had been told, or could count, that nothing was left."""
    finding = Finding("budget kept")
    for kiosk, requests in facts.by_kiosk.items():
        for before, request in zip([None, *requests], requests, strict=False):
            said = request.said
            if said.status != 429 or before is None or not before.answered:
                continue
            if _moved(facts, kiosk, before, request) or _forgotten(facts, kiosk, before):
                continue
            for window in ("minute", "day"):
                left = before.said.headers.get(f"x-ratelimit-{window}-remaining")
                reset = before.said.headers.get(f"x-ratelimit-{window}-reset")
                if left == "0" and reset is not None and said.at < float(reset):
                    finding.say(request.line, f"{kiosk} had been told that nothing is left of the {window}: {request}")
    return finding.found


def _forgotten(facts: Facts, kiosk: str, told: Request) -> bool:
    """Whether it died before what it was told could be written down, with the next thing it stored."""
    heard_at = told.said.processed_at or told.said.at
    return facts.died_between(kiosk, told.said.at, heard_at + WRITTEN_WITHIN_S)


def ceiling_kept(facts: Facts) -> list[Violation]:
    """Never more requests in a minute than the owner allows."""
    finding = Finding("ceiling kept")
    for kiosk, requests in facts.by_kiosk.items():
        for place, request in enumerate(requests):
            limit = int(facts.settings(kiosk, request.said.at).get("requests_per_minute", 60))
            first = requests[place - limit] if place >= limit else None
            if first is None or first.life != request.life:
                continue
            if request.said.at - first.said.at < 60 - 0.5 and not _relaxed(facts, kiosk, request):
                finding.say(
                    request.line,
                    f"{request} of {kiosk} is number {limit + 1} in {request.said.at - first.said.at:.0f} s",
                )
    return finding.found


def _relaxed(facts: Facts, kiosk: str, request: Request) -> bool:
    """Whether the ceiling was just changed, or the clock by which it is kept just moved."""
    changed = any(line.kiosk == kiosk and 0 <= request.said.at - line.at <= 60 for _, line in facts.of(Reconfigured))
    return changed or any(0 <= request.said.at - state.since <= 60 for state in facts.clocks(kiosk))


def throttle_obeyed(facts: Facts) -> list[Violation]:
    """After a throttle nothing leaves before the reset that the answer named, or for a minute where it named none."""
    finding = Finding("throttle obeyed")
    for kiosk, requests in facts.by_kiosk.items():
        for request, after in itertools.pairwise(requests):
            if not request.throttled or after.life != request.life or _moved(facts, kiosk, request, after):
                continue
            until = _reset(facts, request)
            if after.said.at < until - SLACK_S and not _by_hand(facts, kiosk, after):
                finding.say(
                    after.line, f"{after} of {kiosk} left {until - after.said.at:.0f} s before the reset it was told"
                )
    return finding.found


def _reset(facts: Facts, request: Request) -> float:
    """When the kiosk may ask again, by what it was told."""
    headers, at = request.said.headers, request.said.at
    if request.said.fault in ("throttle", "throttle_200"):  # says that the minute is spent, where it has the headers
        return (at // 60 + 1) * 60 if facts.begun.behaviour.get("with_headers", True) else at + THROTTLE_S
    for window in ("day", "minute"):
        if headers.get(f"x-ratelimit-{window}-remaining") == "0" and f"x-ratelimit-{window}-reset" in headers:
            return float(headers[f"x-ratelimit-{window}-reset"])
    return at + (1 if "x-ratelimit-minute-reset" in headers else THROTTLE_S)


def _moved(facts: Facts, kiosk: str, first: Request, then: Request) -> bool:
    """Whether it was started anew by a clock that was wrong, then or before: what it kept was by another clock."""
    if first.life == then.life:
        return False  # its own clock may be wrong, or be set: the answer's Date says how long it is to wait
    states = [facts.clock(kiosk, first.said.at), facts.clock(kiosk, then.said.at)]
    moved = any(first.said.at <= state.since <= then.said.at for state in facts.clocks(kiosk))
    return moved or any(state is not None and abs(state.error_s) > 1 for state in states)


def _by_hand(facts: Facts, kiosk: str, request: Request) -> bool:
    """Whether a person asked for something that needs a read of its own; what came of it is told after that read."""
    return any(line.kiosk == kiosk and abs(request.said.at - line.at) <= SOON_S for _, line in facts.of(Decided))


def key_left_alone(facts: Facts) -> list[Violation]:
    """A refused key is tried each quarter of an hour, when it changed, by order, and after a new link: no more."""
    finding = Finding("key left alone")
    for kiosk, requests in facts.by_kiosk.items():
        good_at = 0.0
        for before, request, after in zip([None, *requests], requests, requests[1:], strict=False):
            good_at = request.said.at if request.answered and not request.refused_key else good_at
            if not request.refused_key or after.said.at - request.said.at >= HALT_RETRY_S - SLACK_S:
                continue
            if _is_check(request) and not _is_check(after):
                continue  # what it met halts nothing
            first_of_pair = request.reads is not None and after.said.path == "/me"
            halted = before is not None and before.refused_key and before.life == request.life
            if before is not None and (_by_hand(facts, kiosk, before) or _is_check(before)):
                halted = False  # what those met halts nothing: the next read of the kiosk's finds it out for itself
            if (
                (first_of_pair and not halted)
                or _renewed(facts, good_at, after)
                or _has_cause(facts, kiosk, request, after)
            ):
                continue
            finding.say(after.line, f"{after} of {kiosk} tries a key refused at {clock(request.said.at)} again")
    return finding.found


def _is_check(request: Request) -> bool:
    """Whether it asks for what keeps a punch in review: a key that may not ask for that may still do its work."""
    return request.reads is None and not request.wants and not request.said.path.endswith("/me")


def _renewed(facts: Facts, good_at: float, after: Request) -> bool:
    """Whether the key was renewed since one was last good: the kiosk finds the new one when the old one is refused."""
    changed = [line.at for _, line in facts.of(HumanDid) if line.what == "key_renewed"]
    return any(good_at <= at <= after.said.at for at in changed)


def _has_cause(facts: Facts, kiosk: str, request: Request, after: Request) -> bool:
    """Whether something happened that a refused key may be tried again for."""
    if after.life != request.life:
        return True
    low, high = request.said.at - SOON_S, after.said.at
    for kind in (Ordered, Reconfigured, Started, Decided, Network, HumanDid):
        for _, line in facts.of(kind):
            if low <= line.at <= high and getattr(line, "kiosk", kiosk) in (kiosk, None):
                if kind is HumanDid and line.what not in ("key_expired", "key_renewed"):
                    continue
                return True
    return any(low <= state.since <= high for state in facts.clocks(kiosk))
