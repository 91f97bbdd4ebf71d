"""Where the punches of a salvaged database stand.

A punch whose delivery is not known to be settled enters as `in_flight`, with an attempt of unknown outcome: what the
timesheet shows decides, nothing is sent blindly. One whose time or direction is missing waits for it and is looked up
then; one that is not as it was stored goes to review.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from daemon.queue.deliveries import SALVAGED, doubtful_step
from daemon.queue.draft import Draft
from daemon.queue.lines import Record
from daemon.queue.salvaged import Salvage, Seen
from daemon.queue.wreck import Wreck

_FINISHED: Final = ("delivered", "discarded")
_DELIVERY: Final = ("state", "reason", "detail", "attempts", "attempt_id", "remote_id", "recorded_as", "changed_at")


class Deliveries:
    """Fills the new database with them. `standing`: where the copy says that a punch stands; `altered`: the punches
    that are not as they were stored."""

    def __init__(self, draft: Draft, wreck: Wreck, report: Salvage, seen: Seen,
                 standing: Mapping[str, Record], altered: Collection[str]) -> None:  # fmt: skip
        self._draft, self._conn, self._wreck, self._report = draft, draft.conn, wreck, report
        self._standing, self._altered, self._now = standing, altered, seen.wall_s
        if not seen.known:
            # What an unknown time was taken for may lie years ahead: nothing would ever be looked up.
            newest_at = "SELECT coalesce(max(occurred_at), 0) FROM punches WHERE time_known"
            self._now = self._conn.execute(newest_at).fetchone()[0]

    def place_all(self, copy_head: tuple[int, str] | None) -> None:
        """Give each punch its delivery. `copy_head`: the newest link that the copy tells of."""
        head = self._wreck.one("SELECT id, hash FROM chain ORDER BY id DESC LIMIT 1")
        newest = None if head is None else (head[0], _hex(head[1]))
        agree = newest is not None and not self._wreck.unreadable and copy_head in (None, newest)
        self._conn.execute("DELETE FROM attempts WHERE punch_seq NOT IN (SELECT seq FROM punches)")
        self._conn.execute("UPDATE attempts SET pair_seq = NULL WHERE pair_seq NOT IN (SELECT seq FROM punches)")
        for seq, punch_id in self._conn.execute("SELECT seq, id FROM punches ORDER BY seq").fetchall():
            found = self._wreck.one(f"SELECT {', '.join(_DELIVERY)} FROM deliveries WHERE punch_seq = ?", seq)
            old = dict(zip(_DELIVERY, found, strict=True)) if found is not None else {}
            told = self._standing.get(punch_id, {})
            self._place(seq, punch_id, old, told, agree=agree)

    def _place(self, seq: int, punch_id: str, old: Record, told: Record, *, agree: bool) -> None:
        user_id, order_at, at, direction, known, job_id = self._conn.execute(
            "SELECT user_id, order_at, occurred_at, direction, time_known, job_id FROM punches WHERE seq = ?", (seq,)
        ).fetchone()
        last = self._conn.execute(
            "SELECT id, ended_at FROM attempts WHERE punch_seq = ? OR pair_seq = ? ORDER BY id DESC LIMIT 1", (seq, seq)
        ).fetchone()
        row: Record = {"punch_seq": seq, "user_id": user_id, "order_at": order_at, "changed_at": self._now,
                       "attempts": old.get("attempts") if isinstance(old.get("attempts"), int) else 0,
                       "attempt_id": last[0] if last else None}  # fmt: skip
        for one in (old, told):
            if one.get("state") in _FINISHED and (one["state"] != "delivered" or one.get("recorded_as")):
                row |= {name: one.get(name) for name in ("state", "reason", "detail", "remote_id", "recorded_as")}
                if self._draft.insert("deliveries", tuple(row), list(row.values()), count=False):
                    return
        certain = punch_id not in self._altered
        if known and direction is not None and certain and "review" not in (old.get("state"), told.get("state")):
            row |= {"state": "in_flight"}
            self._report.in_doubt += 1
        elif old.get("state") == "held" and agree and certain:
            row |= {name: old.get(name) for name in ("state", "reason", "detail")}
        elif "review" not in (old.get("state"), told.get("state")) and certain:
            # Looked up as soon as it has what it lacks (deliveries.release).
            row |= {"state": "held", "reason": "earlier_punch_undecided" if known else "clock_untrusted"}
            row |= {"detail": SALVAGED}
        else:
            source = told if told.get("state") == "review" else old if old.get("state") == "review" else {}
            detail = source.get("detail") if source else SALVAGED
            row |= {"state": "review", "reason": source.get("reason") or "salvaged", "detail": detail}
            self._report.to_review += 1
        if row["state"] != "held" and known and direction is not None and (last is None or last[1] is not None):
            row["attempt_id"] = self._doubtful_attempt(seq, user_id, at, direction, job_id)
            row["attempts"] = (row["attempts"] or 0) + 1
        elif last is not None and last[1] is None:  # it was out when last seen, which may be long ago
            self._conn.execute("UPDATE attempts SET detail = ? WHERE id = ?", (SALVAGED, last[0]))
        if not self._draft.insert("deliveries", tuple(row), list(row.values())):
            row |= {"state": "review", "reason": "salvaged", "detail": None}
            self._draft.insert("deliveries", tuple(row), list(row.values()))

    def _doubtful_attempt(self, seq: int, user_id: str, at: float, direction: str, job_id: str | None) -> int:
        """A request that may have been out: what it would have wanted is looked for on the timesheet first."""
        kind, step = doubtful_step(user_id, at, direction, job_id)
        cursor = self._conn.execute(
            "INSERT INTO attempts (punch_seq, kind, step, sent_at, detail) VALUES (?, ?, ?, ?, ?)",
            (seq, kind, json.dumps(step, sort_keys=True), max(at, self._now), SALVAGED),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else ""
