"""Rules about reasons: published ones, true of what happened; a review whose obstacle is gone goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.simulation.weeks import reasons_held, reasons_review
from tests.simulation.weeks.facts import Facts, published_reasons
from tests.simulation.weeks.seen import Finding, PunchSeen, Violation
from tests.simulation.weeks.sights import Sights

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reasons.md"
#: Why a reason is not true of a punch; None where it is.
Truth = Callable[[Sights, PunchSeen], str | None]
TRUTHS: dict[str, Truth] = {**reasons_held.TRUTHS, **reasons_review.TRUTHS}
OBSTACLES: dict[str, Truth] = reasons_review.OBSTACLES


def reasons_true(facts: Facts) -> list[Violation]:
    """What waits names a published reason of its state, and that reason is true of the history."""
    finding, sights = Finding("reasons true"), Sights(facts)
    published = published_reasons(PAGE.read_text(encoding="utf-8"))
    for punch in facts.punches:
        if punch.state not in ("held", "review", "discarded"):
            continue
        line, reason = punch.tap.line if punch.tap else 0, str(punch.reason)
        if published.get(reason) != punch.state:
            finding.say(line, f"{punch}: {reason} is no published reason for {punch.state}")
            continue
        why = TRUTHS[reason](sights, punch) if reason in TRUTHS else None
        if why:
            finding.say(line, f"{punch}, but {why}")
    return finding.found


def obstacles_gone(facts: Facts) -> list[Violation]:
    """A review whose obstacle the timesheet no longer shows is taken up again, once a read could tell."""
    finding, sights = Finding("obstacles gone"), Sights(facts)
    for punch in facts.punches:
        obstacle = OBSTACLES.get(str(punch.reason)) if punch.state == "review" else None
        if obstacle is None or not _could_see(facts, punch):
            continue
        gone = obstacle(sights, punch)
        if gone:
            finding.say(punch.tap.line if punch.tap else 0, f"{punch} waits for a person, but {gone}")
    return finding.found


def _could_see(facts: Facts, punch: PunchSeen) -> bool:
    """Whether the kiosk read this person's shifts twice after the last thing that anybody else did for them."""
    if str(facts.kiosks[punch.kiosk].status.get("state")) != "online":
        return False
    since = max((deed.at for _, deed in facts.humans.get(punch.user_id, ())), default=0.0)
    since = max(since, facts.ending.calm_at)
    writes = [r.said.at for r in facts.requests if any(want.user_id == punch.user_id for want in r.wants)]
    since = max(since, *writes, 0.0) if writes else since
    reads = [
        request
        for request in facts.by_kiosk.get(punch.kiosk, ())
        if request.reads_person(punch.user_id) and request.answered and request.said.at > since + 60
    ]
    return len(reads) >= 2 and reads[0].said.at < facts.ending.at - 3600
