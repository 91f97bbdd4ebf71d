"""What there must be, by what a damaged database and its copy still say of it; and what of that is lost, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from daemon.model import PunchState
from daemon.queue import chain
from daemon.queue.draft import Draft
from daemon.queue.lines import Record
from daemon.queue.salvaged import Salvage, add
from daemon.queue.salvaged_taps import Taps
from daemon.queue.wreck import Wreck

#: So many punches, or kept taps, may be lost behind the last that is left.
_NUMBERS_AHEAD: Final = 10_000
#: A database whose punches begin with a number up to this has probably pruned none yet.
_FIRST_NUMBERS: Final = 100
_STATES: Final = frozenset(PunchState)
_LINK: Final = ("id", "kind", "why", "row_id", "digest", "hash", "gone")


class Losses:
    """Read the wreck with `read_chain` and `read_deliveries`; name what is lost once the new database is filled."""

    def __init__(self, draft: Draft, wreck: Wreck, report: Salvage) -> None:
        self._draft, self._wreck, self._report = draft, wreck, report
        self._expected: set[int] = set()
        #: Links that nothing vouches for, and the numbers they name.
        self._doubtful: list[tuple[int, int]] = []
        #: The numbers that deliveries name, and the places in their lanes.
        self._deliveries: list[tuple[int, tuple[Any, Any]]] = []
        self._gone: set[int] = set()
        #: Of each kept tap there must be: its link, by its number; and of those that a doubtful link tells of.
        self.taps: dict[int, int] = {}
        self._doubtful_taps: list[tuple[int, int]] = []
        #: Links that either record still has something of; and those of them whose row went for a recorded reason.
        self._known_links: set[int] = set()
        self._gone_links: set[int] = set()
        #: The newest link that follows from the one before it.
        self._sure_link = 0
        self._chain_whole = True
        #: The newest link of which either record has more than its number.
        self.last_link = 0

    def read_chain(self) -> None:
        """Which punches and kept taps there must be; and whether the chain that says so is whole itself."""
        last: tuple[int, bytes] | None = None
        for row in self._wreck.numbered("chain", "id", _LINK):
            link_id, kind, why, row_id, digest, hashed, gone = row
            if not (isinstance(hashed, bytes) and isinstance(row_id, int | None)):
                self._chain_whole = False
                continue
            right = last is not None and last[0] == link_id - 1 and hashed == chain.hashed(
                last[1], link_id, kind, why, row_id or 0, digest)  # fmt: skip
            self._known_links.add(link_id)
            if gone is not None:
                self._gone_links.add(link_id)
            elif right:
                self._sure_link = link_id
            if row_id is not None:
                self._expect(kind, link_id, row_id, right=right, gone=gone is not None)
            if kind != "origin" and gone is None:
                self._chain_whole &= right
            last = (link_id, hashed)
        self._chain_whole &= last is not None and not self._wreck.unreadable["chain"]
        self.last_link = 0 if last is None else last[0]

    def _expect(self, kind: str, link_id: int, row_id: int, *, right: bool, gone: bool) -> None:
        if kind == "punch":
            if gone:
                self._gone.add(row_id)
            elif right:
                self._expected.add(row_id)
            else:
                self._doubtful.append((link_id, row_id))
        elif kind == "tap" and not gone:
            if right:
                self.taps[row_id] = link_id
            else:
                self._doubtful_taps.append((link_id, row_id))

    def note_link(self, link: Any) -> None:
        """A line of the copy, or a row that no link vouches for, is known to be this link's."""
        if isinstance(link, int):
            self._known_links.add(link)

    def tap_links(self) -> dict[int, int]:
        """The link of each kept tap that the chain tells of, whatever vouches for that link."""
        return {row_id: link_id for link_id, row_id in self._doubtful_taps} | self.taps

    def read_deliveries(self) -> None:
        """A delivery goes only with its punch: each that is left tells of one there must be."""
        for seq, user_id, order_at, state in self._wreck.numbered(
                "deliveries", "punch_seq", ("punch_seq", "user_id", "order_at", "state")):  # fmt: skip
            # A damaged page makes rows that never were: a number, and behind it whatever lies there.
            if (isinstance(user_id, str), isinstance(order_at, float), state in _STATES).count(True) >= 2:
                self._deliveries.append((seq, (user_id, order_at)))

    def name(self, links: Mapping[str, int], altered: Collection[str], taps: Taps, standing: Mapping[str, Record],
             reach: int) -> None:  # fmt: skip
        """Name and count what is lost. `links`: of each punch that is there the link it was taken from; `altered` of
        them are not as they were stored; `reach`: how far the copy says that the chain had come."""
        lost = list(self._lost_punches(links, altered))
        nameless = self._nameless_links([seq for seq, _ in lost], reach)
        lost += self._lost_taps(taps)
        beyond = self._draft.count("SELECT coalesce(max(seq), 0) + 1 FROM punches")
        tail = range(self.last_link + 1, reach + 1)
        lost += [(beyond, f"what link {link} stood for, a punch or a kept tap") for link in tail]
        total = len(lost) + nameless
        if nameless:
            lost.append((beyond, f"{nameless} more of which nothing is left but a gap in the chain (kept taps, or what "
                                 "was pruned)"))  # fmt: skip
        if self._wreck.why:  # marks are all that tells of punches whose own line is damaged
            ids = {punch_id for (punch_id,) in self._draft.conn.execute("SELECT id FROM punches")}
            # Their numbers are among the above, as far as anything tells of them.
            marks = [(0, f"{one} (its end is known)")
                     for one, told in standing.items() if told["is"] == "mark" and one not in ids]  # fmt: skip
            lost, total = marks + lost, max(total, len(marks))
        for _, words in sorted(lost):
            add(self._report.lost, words)
        self._report.lost_total += total

    def _lost_punches(self, links: Mapping[str, int], altered: Collection[str]) -> Iterator[tuple[int, str]]:
        conn = self._draft.conn
        there = {seq for (seq,) in conn.execute("SELECT seq FROM punches")}
        taken = set(links.values())  # such a link's punch is there, whatever number damage has made of it
        expected = self._expected | {seq for link, seq in self._doubtful if link not in taken}
        places = set(conn.execute("SELECT user_id, order_at FROM punches"))  # no two punches share one
        expected |= {seq for seq, place in self._deliveries if place not in places}
        # Damage makes numbers as well: one far beyond all others was never given.
        vouched = (seq for seq, one in conn.execute("SELECT seq, id FROM punches") if one not in altered)
        believed = max(vouched, default=0) + _NUMBERS_AHEAD
        there = {seq for seq in there if seq <= believed}
        expected = {seq for seq in expected if 0 < seq <= believed}
        gone = {seq for seq in self._gone if 0 < seq <= believed}
        yield from ((seq, f"number {seq}") for seq in expected - there)
        if not self._chain_whole and self._report.copy_lines_unreadable and there:
            # Nothing is left that says what they were; but numbers are given one after the other.
            known = there | expected | gone
            first = 1 if min(known) <= _FIRST_NUMBERS else min(known)  # those before were pruned long ago
            unknown = set(range(first, max(known))) - known
            yield from ((seq, f"number {seq} (unless it was pruned)") for seq in unknown)

    def _lost_taps(self, taps: Taps) -> Iterator[tuple[int, str]]:
        there, taken = taps.told()
        believed = max(there, default=0) + _NUMBERS_AHEAD
        expected = {row_id: link for link, row_id in self._doubtful_taps if 0 < row_id <= believed} | self.taps
        yield from ((row_id, f"a kept tap, number {row_id}") for row_id, link in expected.items()
                    if row_id not in there and link not in taken)  # fmt: skip

    def _nameless_links(self, lost: Collection[int], reach: int) -> int:
        """How many links neither record has anything of, beyond those of the lost punches, whose numbers are known."""
        end = max(self._sure_link, reach)  # one far beyond was made by damage
        known = sorted(link for link in self._known_links if 0 < link <= end)
        if self._chain_whole or not self._report.copy_lines_unreadable or not known:
            return 0
        first = 1 if known[0] <= _FIRST_NUMBERS else known[0]  # those before were pruned long ago
        missing = sum(link - before - 1 for before, link in pairwise([first, *known])
                      if link > before and link not in self._gone_links)  # fmt: skip # others were merged into that
        told = self._expected | {seq for _, seq in self._doubtful}
        return max(0, missing - sum(seq not in told for seq in lost))
