"""Which alarms are told, and when: time is an argument here, and days pass in no time."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.alarms import Alarm
from daemon.alerts.book import Book, Message
from daemon.alerts.deciding import START_GRACE_S, Quiet, Rules, decide

ZONE = ZoneInfo("Europe/Amsterdam")
NIGHT = Quiet(22 * 60, 6 * 60, ZONE)


def at(text: str, fold: int = 0) -> float:
    """A local time in Amsterdam as Unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE, fold=fold).timestamp()


class Box:
    """A kiosk that tells by one channel: alarms come and go, time passes, and `heard` is what came out."""

    def __init__(
        self, start: float, *, gap_s: float = 900, quiet: Quiet | None = None, book: Book | None = None
    ) -> None:
        self.now, self.started = start, start
        self.rules = Rules(gap_s, quiet)
        self.book = book or Book()
        self.standing: dict[str, Alarm] = {}
        self.noticed: set[str] = set()
        self.heard: list[tuple[float, str, bool]] = []

    def set(self, code: str) -> None:
        self.noticed.add(code)
        self.standing.setdefault(code, Alarm(code, self.now, f"{code} is so"))
        self.look()

    def clear(self, code: str) -> None:
        self.standing.pop(code, None)
        self.look()

    def look(self) -> float | None:
        up_s = self.now - self.started
        alarms = list(self.standing.values())
        decision = decide(alarms, self.book.told, self.rules, now=self.now, up_s=up_s, noticed=self.noticed)
        self.book = self.book.tell(decision.changes, ["url"], self.now, lambda: "id").forget(self.now, self.rules.gap_s)
        self.heard += [(self.now, change.code, change.raised) for change in decision.changes]
        return decision.look_in_s

    def wait(self, seconds: float) -> None:
        """Let time pass, looking whenever it was said to."""
        until = self.now + seconds
        while True:
            look_in = self.look()
            if look_in is None or self.now + look_in > until:
                self.now = until
                self.look()
                return
            self.now += look_in

    def codes(self) -> list[tuple[str, bool]]:
        return [(code, raised) for _, code, raised in self.heard]


NOON = at("2026-03-02T12:00")


def test_once_when_raised_and_once_when_over():
    """However often it is looked at, and however its text changes, there are two messages."""
    box = Box(NOON)
    box.set("halted")
    for minute in range(30):
        box.standing["halted"] = Alarm("halted", NOON, f"for {minute} minutes")
        box.wait(60)
    box.clear("halted")
    box.wait(86_400)
    assert box.codes() == [("halted", True), ("halted", False)]
    assert box.heard[0][0] == NOON


def test_what_is_of_no_concern_outside_stays_inside():
    """An alarm the table says nothing of, or says no to, is not told."""
    box = Box(NOON)
    for code in ("metrics_unavailable", "alerts_unsent:url", "server_changes_times", "made_up"):
        box.set(code)
    box.wait(86_400)
    assert box.codes() == []


def test_flapping_is_told_as_it_stands_at_the_end_of_the_gap():
    """A reader that comes and goes every minute for an hour is told five times, not sixty, and right at the end."""
    box = Box(NOON)
    for _ in range(30):
        box.set("reader_lost:front")
        box.wait(60)
        box.clear("reader_lost:front")
        box.wait(60)
    box.wait(86_400)
    times = [when for when, _, _ in box.heard]
    assert all(later - earlier >= 900 for earlier, later in itertools.pairwise(times))
    assert len(times) <= 6
    assert box.heard[-1][2] is False


def test_one_readers_gap_is_not_anothers():
    """The gap is for each alarm by itself."""
    box = Box(NOON)
    box.set("reader_lost:front")
    box.set("reader_lost:back")
    assert box.codes() == [("reader_lost:front", True), ("reader_lost:back", True)]


def test_at_night_it_is_kept_back_until_morning():
    """Raised at 23:10, told at 6:00 with its true beginning."""
    box = Box(at("2026-03-02T23:10"), quiet=NIGHT)
    box.set("halted")
    box.wait(86_400 / 2)
    assert box.heard == [(at("2026-03-03T06:00"), "halted", True)]
    assert box.book.told["halted"].since == at("2026-03-02T23:10")


def test_what_is_over_by_morning_is_never_told():
    """Nobody reads of a night that mended itself."""
    box = Box(at("2026-03-02T23:10"), quiet=NIGHT)
    box.set("halted")
    box.wait(3600)
    box.clear("halted")
    box.wait(86_400)
    assert box.codes() == []


@pytest.mark.parametrize("code", ["cannot_store", "database_damaged"])
def test_what_cannot_wait_comes_at_night_and_so_does_its_end(code):
    """People stand before a reader that refuses them: at once, whatever the hour."""
    box = Box(at("2026-03-02T23:10"), quiet=NIGHT)
    box.set(code)
    box.wait(3600)
    box.clear(code)
    box.wait(1)
    assert box.heard == [(at("2026-03-02T23:10"), code, True), (at("2026-03-03T00:10"), code, False)]


@pytest.mark.parametrize(
    ("quiet", "now", "wait_s"),
    [
        (NIGHT, at("2026-03-02T21:59"), 0),
        (NIGHT, at("2026-03-02T22:00"), 8 * 3600),
        (NIGHT, at("2026-03-03T05:59"), 60),
        (NIGHT, at("2026-03-03T06:00"), 0),
        (NIGHT, at("2026-03-28T23:00"), 6 * 3600),  # the night that has an hour less
        (NIGHT, at("2026-10-24T23:00"), 8 * 3600),  # and the one that has one more
        (Quiet(720, 780, ZONE), at("2026-03-02T12:30"), 1800),
        (Quiet(720, 780, ZONE), at("2026-03-02T13:00"), 0),
        (Quiet(60, 150, ZONE), at("2026-10-25T02:10"), 1200),  # ends at 2:30, which comes twice that night
        (Quiet(60, 150, ZONE), at("2026-10-25T02:10", fold=1), 1200),
    ],
)
def test_quiet_hours_are_those_of_the_place(quiet, now, wait_s):
    """By the kiosk's own zone, over midnight, and in the nights when clocks are changed."""
    assert quiet.wait_s(now) == wait_s


def restarted(box: Box, off_s: float) -> Box:
    """The same box after a restart: what was told is known, no alarm stands yet."""
    later = Box(box.now + off_s, book=Book.from_json(box.book.to_json(), ["url"]))
    later.rules = box.rules
    return later


def test_a_restart_tells_nothing_twice():
    """Still wrong after the restart: silence; over after it: said once the grace has passed."""
    box = Box(NOON)
    box.set("halted")
    box.set("review_waiting")
    again = restarted(box, 3600)
    again.wait(60)
    again.set("halted")
    again.wait(86_400)
    assert again.heard == [(NOON + 3600 + START_GRACE_S, "review_waiting", False)]


def test_a_clock_set_back_silences_nothing():
    """The gap of a message from the future is over."""
    box = Box(NOON)
    box.set("halted")
    box.now -= 30 * 86_400
    box.started -= 60 * 86_400
    box.clear("halted")
    box.wait(10)
    assert box.codes() == [("halted", True), ("halted", False)]


CODES = ("halted", "cannot_store", "reader_lost:a", "queue_old")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CODES), st.booleans(), st.integers(0, 20_000)), max_size=30),
    st.integers(0, 86_399),
)
def test_whatever_comes_and_goes(happens, second_of_day):
    """Raised and over by turns, never closer than the gap, never at night but for what must, and true in the end."""
    box = Box(NOON + second_of_day, quiet=NIGHT)
    for code, raised, then_s in happens:
        (box.set if raised else box.clear)(code)
        box.wait(then_s)
    box.wait(2 * 86_400)
    for code in CODES:
        own = [(when, raised) for when, one, raised in box.heard if one == code]
        assert [raised for _, raised in own] == [n % 2 == 0 for n in range(len(own))]
        assert all(b[0] - a[0] >= 900 for a, b in itertools.pairwise(own))
        assert code == "cannot_store" or all(NIGHT.wait_s(when) == 0 for when, _ in own)
        assert (bool(own) and own[-1][1]) == (code in box.standing)


# --- the book


def message(code: str, raised: bool, name: str = "m", channel: str = "url") -> Message:
    return Message(name, channel, code, raised, 1.0, "t", NOON)


def test_only_the_last_state_waits_while_nothing_gets_out():
    """A week of flapping without a network leaves at most two messages an alarm, and the last is the truth."""
    box = Box(NOON)
    for n in range(101):
        (box.set if n % 2 == 0 else box.clear)("halted")
        box.wait(1000)
    assert [m.raised for m in box.book.waiting][-1] is True
    assert len(box.book.waiting) <= 2


def test_what_is_a_week_old_is_let_go():
    """Nobody wants it then; what is fresh is kept."""
    box = Box(NOON)
    box.set("halted")
    box.wait(8 * 86_400)
    box.set("review_waiting")
    assert [m.code for m in box.book.waiting] == ["review_waiting"]


def test_a_refused_message_lets_the_others_pass_and_goes_at_last():
    """It goes behind them; after ten refusals it is dropped; one that was dropped meanwhile does not come back."""
    book = Book({}, (message("halted", True, "a"), message("queue_old", True, "b")))
    book = book.refused(book.waiting[0])
    assert [m.id for m in book.waiting] == ["b", "a"]
    for _ in range(9):
        (refused,) = (m for m in book.waiting if m.id == "a")
        book = book.refused(refused)
    assert [m.id for m in book.waiting] == ["b"]
    assert book.refused(refused) == book


def test_each_channel_has_its_own_line():
    """What one has brought still waits for the other, under the same id."""
    box = Box(NOON)
    changes = decide([Alarm("halted", NOON, "x")], {}, box.rules, now=NOON, up_s=0, noticed=()).changes
    book = Book().tell(changes, ["url", "command"], NOON, lambda: "id-1")
    book = book.sent(book.next("url"))
    assert book.next("url") is None
    assert book.next("command").id == "id-1"


def test_the_book_survives_as_text():
    """There and back it is the same; messages for a way out that is no longer configured are dropped."""
    box = Box(NOON)
    box.set("halted")
    box.set("reader_lost:a\u2028")
    assert Book.from_json(box.book.to_json(), ["url"]) == box.book
    assert Book.from_json(box.book.to_json(), ["command"]).waiting == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"told": {}, "waiting": [{"id": 1}]}', '{"told": {"a": {}}}', "null"]
)
def test_what_is_no_book_is_said_to_be_none(text):
    """A ValueError, whatever stands there."""
    with pytest.raises(ValueError):
        Book.from_json(text, ["url"])
