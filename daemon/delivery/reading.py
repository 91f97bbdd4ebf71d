"""Reads that take several requests, driven one request at a time: all people, many people's shifts.

Each is given `ask`, which carries out one read when it may (delivery's), and raises RefusedError in words for people
where an answer is no answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from daemon.errors import RefusedError
from daemon.timesheets.timesheet import (
    CertificateTime,
    CheckAssigned,
    Found,
    KeyRefused,
    LookUp,
    Misconfigured,
    NotSent,
    Outcome,
    People,
    PersonRecord,
    Query,
    ReadPeople,
    Refused,
    Reply,
    ShiftRecord,
    Standings,
    Throttled,
    Uncertain,
)

Ask = Callable[[Query], Awaitable[Reply]]

#: 20,000 people; a service that still has more pages then turns in a circle.
PAGES_MAX = 40


async def read_people(ask: Ask) -> list[PersonRecord]:
    """Everybody the service knows, archived people included, each once. All of them, or RefusedError."""
    found: dict[str, PersonRecord] = {}
    offset = 0
    for _ in range(PAGES_MAX):
        outcome = (await ask(ReadPeople(offset))).outcome
        if not isinstance(outcome, People):
            raise refusal("read the people", "users.read", outcome)
        # Somebody who joins meanwhile may push others to the next page: they come twice, and count once.
        found.update({person.user_id: person for person in outcome.people})
        if outcome.next_offset is None:
            return list(found.values())
        offset = outcome.next_offset
    raise RefusedError(f"Cannot read the people: the service has more than {PAGES_MAX} pages of them. Report this.")


async def read_assigned(ask: Ask, user_id: str) -> bool | None:
    """Whether one person may punch on this time clock; None where the service does not know the person."""
    outcome = (await ask(CheckAssigned(user_id))).outcome
    if isinstance(outcome, Standings):
        return outcome.standings[0].assigned if outcome.standings else None
    if isinstance(outcome, Refused):
        return None
    raise refusal("read who is assigned", "users.read", outcome)


async def read_shifts(ask: Ask, user_ids: Sequence[str], since: int, until: int) -> tuple[ShiftRecord, ...]:
    """These people's shifts that touch [since, until]."""
    outcome = (await ask(LookUp(tuple(user_ids), since, until))).outcome
    if isinstance(outcome, Found):
        if outcome.unreadable:
            raise RefusedError(
                f"Cannot read the timesheet: records of {', '.join(outcome.unreadable[:5])} do not have the shape that "
                "the service promises. Look at their shifts there, and report this.",
                code="no_answer",
            )
        return outcome.records
    raise refusal("read the timesheet", "time_clock.read", outcome)


def refusal(what: str, scope: str, outcome: Outcome) -> RefusedError:
    """Why a read came to nothing, with what mends it. `scope` is what a key needs for it."""
    match outcome:
        case KeyRefused(_, detail):
            return RefusedError(
                f"Cannot {what}: the service refuses the key ({detail}). Give the key the scope {scope}.",
                code="key_refused",
            )
        case Throttled():
            return RefusedError(f"Cannot {what}: the account's budget is spent. Try again later.", code="budget_spent")
        case NotSent(why) | CertificateTime(why):
            return RefusedError(f"Cannot {what}: {why}. Try again when the service can be reached.", code="offline")
        case Uncertain(why):
            return RefusedError(
                f"Cannot {what}: the answer cannot be used ({why}). Try again; see punchctl status.", code="no_answer"
            )
        case Misconfigured(_, detail):
            return RefusedError(
                f"Cannot {what}: {detail}. Mend time_clock_id or base_url in the configuration.", code="misconfigured"
            )
        case _:
            detail = getattr(outcome, "detail", type(outcome).__name__)
            return RefusedError(f"Cannot {what}: the service says {detail}. See punchctl status.")
