"""One person's punches in order, as planning looks at them: the head of a lane, with its neighbours.

Plain functions on an open connection, called inside `Database.read` or `Database.write`; they write nothing.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from daemon.model import Punch, PunchState
from daemon.queue.deliveries import ATTEMPT_COLUMNS, SALVAGED, UNFINISHED, UNFINISHED_STATES, Attempt, read_attempt
from daemon.queue.queue import SELECT_PUNCH, find_punch, read_punch

#: Planning looks at so many punches of one person at a time; what lies behind them has its turn when they moved.
HEAD_MAX: Final = 8
#: Of those that may go it needs no more than the next, its other half, and the one after them: with each request that
#: leaves the rest would be loaded and planned for nothing.
NEXT_MAX: Final = 3
#: And at so many in review, the newest: one read may take up all of them again, and few people have more than a few.
REVIEWS_MAX: Final = 64
#: A look-up takes what begins or ends a quarter of an hour away for what it looks for, unless another punch explains
#: it: that one may lie as far again beyond.
BESIDE_S: Final = 2 * 15 * 60
#: Or one that was made this near to the request: after an outage a person's days go one after the other.
TOGETHER_S: Final = 10 * 60
#: People who tap more often than every few seconds are no people.
BESIDE_MAX: Final = 200
#: A look-up for a forgotten delivery asks whose the person's other shifts are as far around as the longest shift goes.
AROUND_S: Final = 36 * 3600

_OF_ATTEMPT = ", ".join(f"a.{column.strip()}" for column in ATTEMPT_COLUMNS.split(","))
#: From one person to the next in the index, state by state: costs the people, not what they have waiting.
_LANES = f"""
    WITH RECURSIVE states (state) AS (VALUES ('pending'), ('held'), ('in_flight'), ('review')),
    lanes (state, user_id) AS (
        SELECT state, (SELECT min(user_id) FROM deliveries d INDEXED BY deliveries_unfinished
                       WHERE d.{UNFINISHED} AND d.state = states.state) FROM states
        UNION ALL
        SELECT state, (SELECT min(user_id) FROM deliveries d INDEXED BY deliveries_unfinished
                       WHERE d.{UNFINISHED} AND d.state = lanes.state AND d.user_id > lanes.user_id)
        FROM lanes WHERE user_id IS NOT NULL)
    SELECT DISTINCT user_id FROM lanes WHERE user_id IS NOT NULL ORDER BY user_id"""
_LANE_UNFINISHED = f"""
    SELECT order_at, punch_seq FROM deliveries INDEXED BY deliveries_unfinished
    WHERE {UNFINISHED} AND state IN {UNFINISHED_STATES} AND user_id = ? ORDER BY order_at, punch_seq"""


def _neighbour(columns: str, user_id: str, place: str, side: tuple[str, str]) -> str:
    """The person's punch (q, its delivery b) right before, or right after, a place in their lane."""
    sign, way = side
    return f"""
        SELECT {columns} FROM punches q INDEXED BY punches_by_lane CROSS JOIN deliveries b ON b.punch_seq = q.seq
        WHERE q.user_id = {user_id} AND (q.order_at, q.seq) {sign} ({place}) AND b.state <> 'discarded'
        ORDER BY q.order_at {way}, q.seq {way} LIMIT 1"""


def _next_to_it(side: tuple[str, str], is_so: str) -> str:
    """Whether what stands on that side of a held punch (d) is so."""
    beside = _neighbour("q.direction, q.time_known, b.state, b.reason", "d.user_id", "d.order_at, d.punch_seq", side)
    return f"EXISTS (SELECT 1 FROM ({beside}) WHERE {is_so})"


_BEFORE, _AFTER = ("<", "DESC"), (">", "ASC")
_UNDECIDED = "NOT time_known OR direction IS NULL OR reason = 'clock_untrusted'"
_IN_REVIEW = "direction = 'clock_in' AND state = 'review' AND reason NOT IN ('already_open', 'server_changed_time')"
_OUT_REVIEW = "direction = 'clock_out' AND state = 'review'"
#: Whether a held punch only waits for one beside it: a clock-out for its clock-in in review (but not for what the
#: timesheet may still explain), a clock-in for its clock-out there, a clock-out for what is not decided. Nothing that
#: delivery looks at moves it before that one does; how long ago it was may move one of the newest.
_WAITS_FOR_ITS_OTHER_HALF = f"""
    coalesce(d.reason, '') IN ('earlier_punch_in_review', 'earlier_punch_undecided')
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.id = d.attempt_id AND a.ended_at IS NULL)
    AND CASE WHEN d.reason = 'earlier_punch_undecided' THEN {_next_to_it(_BEFORE, _UNDECIDED)}
        WHEN p.direction = 'clock_out' THEN {_next_to_it(_BEFORE, _IN_REVIEW)}
        ELSE {_next_to_it(_AFTER, _OUT_REVIEW)} END"""
_HELD = f"""
    SELECT d.order_at, d.punch_seq FROM deliveries d INDEXED BY deliveries_unfinished
    JOIN punches p ON p.seq = d.punch_seq
    WHERE d.user_id = :user_id AND d.{UNFINISHED} AND d.state = 'held' AND p.time_known AND p.direction IS NOT NULL"""
#: The head of a lane: the oldest that may move, whatever is out, and the newest that need a person. Punches held
#: for their time or direction move by the intake alone; they come in as neighbours. Who waits for what a person must
#: decide keeps nobody else back: of those the newest, the others as neighbours.
_HEAD = (
    f"{_HELD} AND NOT ({_WAITS_FOR_ITS_OTHER_HALF}) ORDER BY d.order_at, d.punch_seq LIMIT {HEAD_MAX}",
    f"{_HELD} AND {_WAITS_FOR_ITS_OTHER_HALF} ORDER BY d.order_at DESC, d.punch_seq DESC LIMIT {HEAD_MAX}",
    f"""
    SELECT order_at, punch_seq FROM deliveries INDEXED BY deliveries_unfinished
    WHERE user_id = :user_id AND {UNFINISHED}
    AND state = 'pending' ORDER BY order_at, punch_seq LIMIT :pending_max""",
    f"""
    SELECT order_at, punch_seq FROM deliveries INDEXED BY deliveries_unfinished
    WHERE user_id = :user_id AND {UNFINISHED} AND state = 'in_flight' ORDER BY order_at, punch_seq LIMIT {HEAD_MAX}""",
    f"""
    SELECT order_at, punch_seq FROM deliveries INDEXED BY deliveries_unfinished
    WHERE user_id = :user_id AND {UNFINISHED} AND state = 'review'
    ORDER BY order_at DESC, punch_seq DESC LIMIT {REVIEWS_MAX}""",
)
_HEADS = " UNION ALL ".join(f"SELECT * FROM ({statement})" for statement in _HEAD)
#: The seconds of what waits to go, as many as a head has at most.
_WAITING = f"""
    SELECT p.occurred_at FROM deliveries d INDEXED BY deliveries_unfinished CROSS JOIN punches p ON p.seq = d.punch_seq
    WHERE d.user_id = ? AND d.{UNFINISHED} AND d.state = 'pending' ORDER BY d.order_at, d.punch_seq LIMIT {HEAD_MAX}"""
#: What was delivered so near to a live clock-in or clock-out without a known outcome (BESIDE_S, or TOGETHER_S in its
#: making) that its shift could be taken for it. Every other request names the shift that it writes, and is looked for
#: by that; so is a clock-out, until it is asked what it ended instead.
_BESIDE = f"""
    SELECT p.order_at, p.seq FROM deliveries f INDEXED BY deliveries_unfinished
    LEFT JOIN attempts a ON a.id = f.attempt_id
    CROSS JOIN punches p INDEXED BY punches_by_lane CROSS JOIN deliveries d ON d.punch_seq = p.seq
    WHERE f.user_id = ? AND f.{UNFINISHED} AND f.state = 'in_flight'
        AND (a.kind IN ('open_shift', 'end_shift') OR a.kind IS NULL)
        AND p.user_id = f.user_id AND p.order_at BETWEEN f.order_at - {AROUND_S} AND f.order_at + {AROUND_S}
        AND (abs(p.order_at - f.order_at) <= {BESIDE_S} OR abs(d.changed_at - a.sent_at) <= {TOGETHER_S})
        AND d.remote_id IS NOT NULL AND d.state <> 'discarded'
    LIMIT {BESIDE_MAX}"""
#: What explains a person's shifts around a punch whose delivery was forgotten.
_AROUND = f"""
    SELECT p.order_at, p.seq FROM punches p INDEXED BY punches_by_lane CROSS JOIN deliveries d ON d.punch_seq = p.seq
    WHERE p.user_id = ? AND p.order_at BETWEEN ? - {AROUND_S} AND ? + {AROUND_S} AND d.state <> 'discarded'
    LIMIT {BESIDE_MAX}"""
#: The person's punches right before and right after a place in their lane.
_BOTH_SIDES = " UNION ALL ".join(
    f"SELECT * FROM ({_neighbour('q.order_at, q.seq', '?', '?, ?', side)})" for side in (_BEFORE, _AFTER)
)
_STATED = "EXISTS (SELECT 1 FROM taps t WHERE t.id = p.tap_id AND t.stated_at IS NOT NULL)"
#: Punches as `read_punch` takes them, each then with whether its time was stated, since when it stands where it stands,
#: and its last attempt.
_LANE_PUNCHES = f"""
    {SELECT_PUNCH.replace(" FROM punches p", f", {_STATED}, d.changed_at, {_OF_ATTEMPT} FROM punches p")}
    LEFT JOIN attempts a ON a.id = d.attempt_id WHERE p.seq IN (SELECT value FROM json_each(?))"""
_TAIL: Final = 2 + len(ATTEMPT_COLUMNS.split(","))


@dataclass(frozen=True, slots=True)
class LanePunch:
    """A punch in its lane, with its last attempt and since when it stands where it stands (Unix seconds).

    `context`: here only because a neighbour is planned; its own neighbours may be missing. `stated`: its tap came with
    a time, which no clock of ours can show to be wrong.
    """

    punch: Punch
    attempt: Attempt | None
    since: float = 0.0
    context: bool = False
    stated: bool = False

    @property
    def outcome_unknown(self) -> bool:
        """Whether its last request was sent and nobody knows what it did: it is looked up, never just sent again."""
        return self.attempt is not None and self.attempt.ended_at is None

    @property
    def forgotten(self) -> bool:
        """Whether damage took what was known of its delivery: it may have been delivered long ago."""
        return self.outcome_unknown and self.attempt is not None and self.attempt.detail == SALVAGED


def unfinished_lanes(conn: sqlite3.Connection) -> list[str]:
    """user_ids of all people with a punch that is neither delivered nor discarded."""
    return [user_id for (user_id,) in conn.execute(_LANES)]


def load_lane(conn: sqlite3.Connection, user_id: str) -> list[LanePunch]:
    """The person's unfinished punches, and of the others those right before and right after each, in lane order.

    Beside a request whose outcome is not known also those whose shifts could be taken for what it wrote, and beside one
    that is `forgotten` all of its days. Discarded punches are left out, as if they were not there.
    """
    return _with_context(conn, user_id, conn.execute(_LANE_UNFINISHED, (user_id,)).fetchall())


def find_lane_punch(conn: sqlite3.Connection, punch_id: str) -> LanePunch | None:
    """One punch with its last attempt, or None where there is no such punch."""
    punch = find_punch(conn, punch_id)
    return None if punch is None else _lane_punches(conn, [punch.seq], context=False)[punch.seq]


def load_head(conn: sqlite3.Connection, user_id: str, pending_max: int = HEAD_MAX) -> list[LanePunch]:
    """As `load_lane`, but at most HEAD_MAX of each kind (REVIEWS_MAX in review): a long lane costs no more.

    `pending_max`: of what may go so many, NEXT_MAX at least.
    """
    wanted = {"user_id": user_id, "pending_max": pending_max}
    return _with_context(conn, user_id, sorted(set(conn.execute(_HEADS, wanted))))


def waiting(conn: sqlite3.Connection, user_id: str) -> list[int]:
    """The seconds of the person's oldest punches that may go, HEAD_MAX at most."""
    return [math.floor(at) for (at,) in conn.execute(_WAITING, (user_id,))]


def _with_context(conn: sqlite3.Connection, user_id: str, chosen: list[tuple[float, int]]) -> list[LanePunch]:
    if not chosen:
        return []
    wanted, places = _lane_punches(conn, [seq for _, seq in chosen], context=False), set(chosen)
    if any(entry.punch.state is PunchState.IN_FLIGHT for entry in wanted.values()):
        places.update(conn.execute(_BESIDE, (user_id,)))
    for order_at, seq in chosen:
        places.update(conn.execute(_BOTH_SIDES, (user_id, order_at, seq) * 2))
        if wanted[seq].forgotten:
            places.update(conn.execute(_AROUND, (user_id, order_at, order_at)))
    around = _lane_punches(conn, [seq for _, seq in places if seq not in wanted], context=True)
    return [wanted.get(seq) or around[seq] for _, seq in sorted(places)]


def _lane_punches(conn: sqlite3.Connection, seqs: Sequence[int], *, context: bool) -> dict[int, LanePunch]:
    """These punches by their seq."""
    found: dict[int, LanePunch] = {}
    for row in conn.execute(_LANE_PUNCHES, (f"[{','.join(map(str, seqs))}]",)) if seqs else ():
        punch = read_punch(row[:-_TAIL])
        stated, since, *attempt = row[-_TAIL:]
        last = None if attempt[0] is None else read_attempt(attempt)
        found[punch.seq] = LanePunch(punch, last, since, context, bool(stated))
    return found
