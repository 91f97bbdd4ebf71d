"""The taps of a salvaged database. Kept taps of unknown badges are vouched for by their links, as punches are.

One that is not as it was stored, and that the copy has no better, is left out and named: once its badge has an owner it
would become a punch by itself, and no person would see before what damage has made of it.
"""

from __future__ import annotations

from typing import Any, Final

from daemon.model import TapResult
from daemon.queue.chain import TAP_FACTS
from daemon.queue.draft import Draft, is_text
from daemon.queue.lines import Record
from daemon.queue.records import plain
from daemon.queue.salvaged import Salvage, add
from daemon.queue.verify import iso
from daemon.queue.wreck import Wreck

_COLUMNS: Final = (*TAP_FACTS, "punch_id")
_TAP: Final = f"SELECT {', '.join(_COLUMNS)} FROM taps WHERE id = ?"
_CLAIMED: Final = "SELECT t.id FROM taps t CROSS JOIN punches p ON p.id = t.punch_id"
_KEPT: Final = TapResult.UNKNOWN_BADGE.value
Row = dict[str, Any]


class Taps:
    """Fills the new database with them: those of the wreck first, then those of the copy, and those that punches name.

    `links`: the link of each kept tap that the wreck's chain tells of, by the tap's number.
    """

    def __init__(self, draft: Draft, wreck: Wreck, report: Salvage, links: dict[int, int]) -> None:
        self._draft, self._wreck, self._report = draft, wreck, report
        self._told, self._told_links = links, frozenset(links.values())
        #: Of each kept tap in the new database: the link it was taken from.
        self._links: dict[int, int] = {}
        self._altered: dict[int, tuple[Row, Any]] = {}
        self._left_out: dict[int, Any] = {}
        #: Taps of the copy whose number another one has: that of a second history. Both happened.
        self._moved: dict[int, int] = {}

    def read_wreck(self) -> None:
        """What of them is as it was stored. Of a tap that was not kept nothing can say so: it is only a record."""
        for row in self._wreck.numbered("taps", "id", (*_COLUMNS, "link")):
            tap, link = dict(zip(_COLUMNS, row[:-1], strict=True)), row[-1]
            if tap["result"] != _KEPT and link not in self._told_links:
                self._draft.insert("taps", _COLUMNS, row[:-1], count=False)
                continue
            vouching = self._vouching(row[: len(TAP_FACTS)], link)
            if vouching is None:
                self._altered[tap["id"]] = (tap, link)
            else:
                claimed = isinstance(tap["punch_id"], str) and is_text((tap["punch_id"],))
                self._put(tap | {"punch_id": tap["punch_id"] if claimed else None}, vouching)

    def _vouching(self, facts: tuple[Any, ...], link: Any) -> int | None:
        """The link that vouches for a kept tap: 0 where there is no chain yet that could, None where none does."""
        told = self._told.get(facts[0])
        for one in (link, told):
            if one is not None and self._wreck.vouches(one, facts):
                return int(one)
        return 0 if link is None and told is None else None

    def take(self, record: Record) -> None:
        """A kept tap of the copy, unless it is there as it was stored later."""
        tap = {name: record["tap"].get(name) for name in TAP_FACTS}
        tap["id"], holder = self._place(tap)
        if holder is None or self._links.get(tap["id"], -1) < record["n"]:
            self._put(tap | {"punch_id": holder and holder["punch_id"]}, record["n"])

    def number_of(self, punch: Row) -> int:
        """The number of a punch's tap in the new database."""
        return self._place(_made_of(punch), punch["id"])[0]

    def claim(self, punch: Row) -> None:
        """A punch is there: so is its tap, and has become it."""
        tap = _made_of(punch)
        self._draft.insert("taps", tuple(tap), list(tap.values()), count=False)
        self._draft.conn.execute("UPDATE taps SET punch_id = ? WHERE id = ?", (punch["id"], tap["id"]))

    def name_altered(self) -> None:
        """Name those that are left out. What has become a punch, or repeated one, waits for nobody: it is kept."""
        there, taken = self.told()
        for number, (tap, link) in self._altered.items():
            if number in there or (link and link in taken):
                continue
            if self._is_a_punch(tap["punch_id"]):
                self._draft.insert("taps", tuple(tap), list(tap.values()), count=False)
                continue
            self._left_out[number] = link
            at = iso(tap["raw_at"])
            words = f"a kept tap, number {number}, at {plain(tap['reader'])}{f', {at}' if at else ''} (left out)"
            add(self._report.altered, words)
            self._report.altered_total += 1

    def told(self) -> tuple[set[int], set[Any]]:
        """The numbers and the links of all that is there, kept or claimed by now, or was named as left out."""
        claimed = {number for (number,) in self._draft.conn.execute(_CLAIMED)}
        return claimed | self._links.keys() | self._left_out.keys(), {*self._links.values(), *self._left_out.values()}

    def _is_a_punch(self, punch_id: Any) -> bool:
        found = self._draft.conn.execute("SELECT 1 FROM punches WHERE id = ?", (plain(punch_id),))
        return found.fetchone() is not None

    def _put(self, tap: Row, link: int) -> None:
        if self._draft.insert("taps", tuple(tap), list(tap.values()), replace=True):
            self._links[tap["id"]] = link

    def _place(self, tap: Row, punch_id: str | None = None) -> tuple[int, Row | None]:
        """Which number a tap has in the new database, and the row that is there of it already."""
        number = tap["id"]
        for one in (number, self._moved.get(number)):
            if one is None:
                continue
            found = self._draft.conn.execute(_TAP, (one,)).fetchone()
            holder = None if found is None else dict(zip(_COLUMNS, found, strict=True))
            if holder is None or _same(holder, tap) or (punch_id is not None and holder["punch_id"] == punch_id):
                return one, holder
        self._moved[number] = self._draft.count("SELECT max(id) + 1 FROM taps")
        return self._moved[number], None


def _made_of(punch: Row) -> Row:
    """What a punch tells of its tap."""
    return {"id": punch["tap_id"], "reader": punch["reader"] or "", "badge": punch["badge"] or "",
            "raw_at": punch["raw_at"], "boottime_s": punch["boottime_s"], "boot_id": punch["boot_id"],
            "synchronised": punch["synchronised"], "result": TapResult.ACCEPTED.value}  # fmt: skip


def _same(one: Row, other: Row) -> bool:
    """Whether two taps with one number are the same tap: erasing blanks its badge, a stated time moves its punch's."""
    stated = one["stated_at"] is not None or other.get("stated_at") is not None
    return (one["reader"] == other["reader"] and one["boot_id"] == other["boot_id"]
            and (stated or one["raw_at"] == other["raw_at"])
            and (one["badge"] == other["badge"] or "" in (one["badge"], other["badge"])))  # fmt: skip
