"""How fast requests go, who goes first, and when nothing goes."""

from __future__ import annotations

import random

import pytest

from daemon.delivery.board import Board, Lane
from daemon.delivery.gate import HALT_RETRY_S, Gate
from daemon.delivery.pacer import DAY_S, Pacer, backoff_s, reserve
from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.settle import Reach
from daemon.timesheets.timesheet import Budget, OpenShift
from tests.support.lanes import punch

NOW = 1_000_000.0


def test_our_own_ceiling_holds_over_any_minute():
    """Never more than requests_per_minute in 60 seconds."""
    pacer, now, sent = Pacer(5), NOW, []
    for _ in range(23):
        now = pacer.ready_at(now, live=True)
        pacer.note_sent(now)
        sent.append(now)
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[5:], strict=False))
    assert sent[4] == NOW


def test_refused_again_and_again_without_a_reset_it_asks_less_often():
    """Three waits of a minute, then twice as long each, at most five minutes; an answer begins anew (facts 1.3)."""
    pacer, now, waits = Pacer(60), NOW, []
    for _ in range(7):
        until = pacer.note_throttled(now, None, 0.0)
        waits.append(until - now)
        now = pacer.ready_at(now, live=True)
        assert now == until
    assert waits == [60, 60, 60, 120, 240, 300, 300]
    pacer.note_served()
    assert pacer.note_throttled(now, None, 0.0) == now + 60


def test_an_exhausted_minute_waits_for_its_reset():
    """x-ratelimit-minute-remaining: 0 waits until the reset header, by our clock."""
    pacer = Pacer(60)
    pacer.note_budget(Budget(minute_limit=5, minute_remaining=0, minute_reset_at=NOW + 30), 0.0)
    assert pacer.ready_at(NOW, live=True) == NOW + 30
    pacer.note_budget(Budget(minute_limit=5, minute_remaining=0, minute_reset_at=NOW + 30), 10.0)
    assert pacer.ready_at(NOW, live=True) == NOW + 20
    assert pacer.ready_at(NOW + 31, live=True) == NOW + 31


def test_a_reset_that_cannot_be_meant_is_not_waited_for():
    """A header that names the year 2286 silences nobody: not as a minute's end, not as a day's, not with a 429."""
    pacer = Pacer(60)
    pacer.note_budget(Budget(minute_remaining=0, minute_reset_at=9_999_999_999.0), 0.0)
    assert pacer.ready_at(NOW, live=True) == NOW
    pacer.note_budget(Budget(day_remaining=0, day_reset_at=NOW + 3 * 86400), 0.0)
    assert pacer.ready_at(NOW, live=True) == NOW
    assert pacer.note_throttled(NOW, 9_999_999_999.0, 0.0) == NOW + 60
    pacer.note_budget(Budget(day_remaining=0, day_reset_at=NOW + 86400), 0.0)
    assert pacer.ready_at(NOW + 60, live=True) == NOW + 86400


def test_every_request_costs_one_until_the_headers_say_better():
    """Two requests left and two sent without headers: the third waits."""
    pacer = Pacer(60)
    pacer.note_budget(Budget(minute_limit=5, minute_remaining=2, minute_reset_at=NOW + 30), 0.0)
    pacer.note_sent(NOW)
    assert pacer.ready_at(NOW, live=True) == NOW
    pacer.note_sent(NOW)
    assert pacer.ready_at(NOW, live=True) == NOW + 30


def test_the_reserve_is_kept_for_live_punches():
    """min(10, max(1, limit // 5)): what is not live leaves it alone."""
    assert [reserve(n) for n in (None, 0, 5, 50, 100, 200)] == [1, 1, 1, 10, 10, 10]
    assert reserve(1) == 0  # kept back, it would never be made
    pacer = Pacer(600)
    pacer.note_budget(Budget(minute_limit=100, minute_remaining=10, minute_reset_at=NOW + 30), 0.0)
    assert pacer.ready_at(NOW, live=False) == NOW + 30
    assert pacer.ready_at(NOW, live=True) == NOW


def test_a_day_that_is_used_up_waits_for_the_next():
    """The day's budget holds like the minute's."""
    pacer = Pacer(60)
    pacer.note_budget(Budget(day_limit=100, day_remaining=0, day_reset_at=NOW + 40_000), 0.0)
    assert pacer.ready_at(NOW, live=True) == NOW + 40_000


def test_a_day_is_counted_on_where_the_answers_tell_nothing_more():
    """A limit told once holds from day to day, and each request costs one, until an answer says better."""
    pacer = Pacer(600)
    pacer.note_budget(Budget(day_limit=6, day_remaining=2, day_reset_at=NOW + 3600), 0.0)
    for _ in range(2):
        assert pacer.ready_at(NOW, live=True) == NOW
        pacer.note_sent(NOW)
    assert pacer.ready_at(NOW, live=True) == NOW + 3600
    later = NOW + 3600 + 2 * DAY_S
    for _ in range(6):
        assert pacer.ready_at(later, live=True) == later
        pacer.note_sent(later)
    assert pacer.ready_at(later, live=True) == NOW + 3600 + 3 * DAY_S
    pacer.note_budget(Budget(day_limit=6, day_remaining=1, day_reset_at=later + 60), 0.0)
    assert pacer.ready_at(later, live=True) == later


def test_what_never_left_is_given_back():
    """However often: the day's count, told by headers or by the owner, is as it was; our own minute keeps it."""
    told, own = Pacer(3), Pacer(3, 10)
    told.note_budget(Budget(5, 4, NOW + 30, 100, 50, NOW + 3600), 0.0)
    for number in range(60):
        for pacer in (told, own):
            pacer.note_sent(NOW + 20 * number)
            pacer.note_unsent(NOW + 20 * number + 1)
    assert told.budget == Budget(5, 4, NOW + 30, 100, 50, NOW + 3600)
    assert own.ready_at(NOW + 1300, live=False) == NOW + 1300
    for pacer in (told, own):
        for _ in range(3):
            pacer.note_sent(NOW + 1300)
            pacer.note_unsent(NOW + 1300)
        assert pacer.ready_at(NOW + 1301, live=True) == NOW + 1360


def test_what_never_left_gives_no_more_back_than_it_cost():
    """An answer since, or a new day, says better."""
    pacer = Pacer(60)
    pacer.note_budget(Budget(day_limit=100, day_remaining=0, day_reset_at=NOW + 10), 0.0)
    pacer.note_sent(NOW + 9)
    pacer.note_unsent(NOW + 11)
    assert pacer.budget is not None
    assert pacer.budget.day_remaining == 100
    pacer.note_sent(NOW + 12)
    pacer.note_budget(Budget(day_remaining=7), 0.0)
    pacer.note_unsent(NOW + 13)
    assert pacer.budget.day_remaining == 7
    own = Pacer(60, 10)
    for _ in range(2):
        own.note_unsent(NOW)
    assert '"day_sent": 0' in (own.memory() or "")


def test_the_owners_word_counts_where_the_service_tells_nothing():
    """requests_per_day: days begin at 00:00 UTC, and the reserve is kept for live punches."""
    midnight = (NOW // DAY_S + 1) * DAY_S
    pacer = Pacer(600, 10)
    for _ in range(8):
        pacer.note_sent(NOW)
    assert pacer.ready_at(NOW, live=False) == midnight
    assert pacer.ready_at(NOW, live=True) == NOW
    pacer.note_sent(NOW)
    pacer.note_sent(NOW)
    assert pacer.ready_at(NOW, live=True) == midnight
    assert pacer.ready_at(midnight + 1, live=False) == midnight + 1


def test_what_the_pacer_knows_survives_a_restart():
    """The day's count, the budget, and how long the account is refused; nothing is kept while nothing is known."""
    assert Pacer(60).memory() is None
    pacer = Pacer(600, 10)
    pacer.note_budget(Budget(day_limit=100, day_remaining=70, day_reset_at=NOW + 3600), 0.0)
    for _ in range(10):
        pacer.note_sent(NOW)
    pacer.note_throttled(NOW, NOW + 500, 0.0)
    again = Pacer(600, 10)
    again.recall(pacer.memory() or "")
    assert again.budget == Budget(day_limit=100, day_remaining=60, day_reset_at=NOW + 3600)
    assert again.blocked_until == NOW + 500
    assert again.ready_at(NOW, live=True) == (NOW // DAY_S + 1) * DAY_S
    assert again.memory() == pacer.memory()


def test_the_first_form_of_that_memory_is_understood_and_damage_is_forgotten():
    """A budget alone, as it was kept before; text that is none of both changes nothing."""
    pacer = Pacer(600)
    pacer.recall('{"day_limit": 100, "day_remaining": 3, "day_reset_at": 1003600.0}')
    assert pacer.budget == Budget(day_limit=100, day_remaining=3, day_reset_at=NOW + 3600)
    before = pacer.memory()
    for damaged in ("", "[]", "7", "null", '{"budget": {"no such": 1}}', '{"budget": null}', "\x00"):
        pacer.recall(damaged)
    assert pacer.memory() == before


def test_throttled_without_a_header_waits_a_minute():
    """The whole account waits until the reset header, else 60 s."""
    pacer = Pacer(60)
    assert pacer.note_throttled(NOW, None, 0.0) == NOW + 60
    assert pacer.ready_at(NOW, live=True) == NOW + 60
    assert pacer.note_throttled(NOW, NOW + 12, 0.0) == NOW + 12


@pytest.mark.parametrize("told_s", [None, 60.0])
def test_an_account_that_refuses_for_days_goes_on_being_asked(told_s):
    """Refused thousands of times in a row, with a reset header or without: the longest wait, and no fault of ours."""
    pacer, now = Pacer(60), NOW
    for _ in range(5000):
        until = pacer.note_throttled(now, None if told_s is None else now + told_s, 0.0)
        assert until - now <= 300.0
        now = until
    assert until - pacer.note_throttled(now, None, 0.0) == -300.0


def test_backoff_doubles_to_its_cap_and_never_meets_another_kiosk():
    """Growing, capped, jittered."""
    rng = random.Random(1)
    waits = [backoff_s(n, 300, rng) for n in range(1, 60)]
    assert all(0.5 <= wait <= 300 for wait in waits)
    assert max(waits) > 150
    assert len(set(waits)) == len(waits)


def _lane(user_id: str) -> Lane:
    return Lane(user_id, [punch("in", 8)], None)


def _wants(due: float, *, expired: bool = False) -> Plan:
    return Plan(request=Send(OpenShift("7", 1), ("p",)), expired=expired, due=due)


def test_oldest_first_inside_the_window():
    """The oldest expires first."""
    board = Board()
    for user_id, due in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        board.put(_lane(user_id), _wants(due))
    best = board.best()
    assert best is not None
    assert best.user_id == "b"


def test_what_has_expired_yields_but_gets_one_request_in_ten():
    """It cannot expire again, and it must not starve."""
    board = Board()
    board.put(_lane("old"), _wants(0.0, expired=True))
    order = []
    for number in range(20):
        board.put(_lane("live"), _wants(100.0 + number))
        best = board.best()
        assert best is not None
        board.note_request(best)
        order.append(best.user_id)
    assert order == (["live"] * 9 + ["old"]) * 2


def test_what_was_read_for_goes_right_after_the_read_and_reads_alone_take_no_more_turns():
    """A write that must follow its read closely would read again and again; a read that fails keeps nobody back."""
    board, order, reading = Board(), list[str](), Plan(request=Read(0, 1), expired=True, due=0.0)
    for number, old in enumerate([reading] * 10 + [_wants(0.0, expired=True)] + [reading] * 21):
        board.put(_lane("old"), old)
        board.put(_lane("live"), _wants(100.0 + number))
        best = board.best()
        assert best is not None
        board.note_request(best)
        order.append(best.user_id)
    assert order == ["live"] * 9 + ["old"] * 2 + ["live"] * 9 + ["old"] * 2 + ["live"] * 9 + ["old"]


def test_an_old_plan_is_never_carried_out():
    """A lane planned anew counts with its new plan only, also after it was forgotten and came back."""
    board = Board()
    lane = _lane("a")
    board.put(lane, _wants(1.0))
    board.put(Lane("a", [], None), Plan())
    assert board.best() is None
    board.put(_lane("a"), Plan(wake_at=5.0))
    assert board.best() is None
    assert board.next_wake() == 5.0
    assert [lane.user_id for lane in board.due_wakes(5.0)] == ["a"]
    assert board.due_wakes(6.0) == []


def test_lanes_that_wait_for_a_read_are_found_together():
    """One list request serves all of them."""
    board = Board()
    for user_id in "abc":
        board.put(_lane(user_id), Plan(request=Read(0, 10), due=1.0))
    assert {lane.user_id for lane in board.readers()} == {"a", "b", "c"}


def test_a_refused_key_halts_until_a_quarter_of_an_hour_or_a_reason_to_try():
    """Halted is tried again on a reload, a new key, and every 15 minutes; an answer ends it."""
    gate = Gate(300, random.Random(1))
    gate.note(Reach.KEY_REFUSED, "expired", NOW)
    assert (gate.state, gate.ready_at(NOW)) == ("halted", NOW + HALT_RETRY_S)
    gate.retry(NOW + 5)
    assert gate.ready_at(NOW + 5) == NOW + 5
    gate.note(Reach.ANSWERED, None, NOW + 6)
    assert gate.state == "online"


def test_offline_backs_off_and_a_new_punch_hurries_it():
    """Nothing left the box: offline at once; pauses grow, a new punch tries soon, one answer ends it."""
    gate = Gate(300, random.Random(1))
    for n in range(8):
        gate.note(Reach.UNREACHED, "no route", NOW + n)
    assert gate.state == "offline"
    assert gate.ready_at(NOW + 8) > NOW + 60
    gate.hurry(5.0)
    assert gate.ready_at(NOW + 8) == NOW + 12
    gate.note(Reach.ANSWERED, None, NOW + 20)
    assert (gate.state, gate.ready_at(NOW + 20)) == ("online", NOW + 20)


def test_what_writes_pauses_longer_each_time_though_reads_are_answered():
    """Lost, and a read answered after each: writes wait longer each time, reads do not; status says what is so."""
    gate, pauses, now = Gate(300, random.Random(1)), [], NOW
    for number in range(12):
        gate.note(Reach.UNCLEAR, "no answer", now, wrote=True)
        pauses.append(gate.writes_at(now) - now)
        gate.note(Reach.ANSWERED, None, now + 1)
        assert gate.ready_at(now + 1) == now + 1
        assert gate.state == ("offline" if number else "online")
        now = gate.writes_at(now + 300)
    assert pauses[0] <= 1 < pauses[3] <= 8 < pauses[6] <= 64
    assert all(150 <= pause <= 300 for pause in pauses[9:])
    assert "reads" in (gate.detail or "")
    gate.note(Reach.UNREACHED, "no route", now, wrote=True)  # nothing left the box: no loss, and no arrival either
    gate.note(Reach.ANSWERED, None, now + 1)
    assert gate.state == "offline"
    gate.note(Reach.ANSWERED, None, now + 2, wrote=True)
    assert (gate.state, gate.detail, gate.writes_at(now + 2)) == ("online", None, now + 2)


def test_losses_count_for_twice_the_longest_pause_and_no_longer_without_a_try():
    """Each loss begins it anew; without one there is nothing to wait for. A clock that was set moves it."""
    gate = Gate(300, random.Random(1))
    assert gate.losses_count_until == float("inf")
    gate.note(Reach.UNCLEAR, "no answer", NOW, wrote=True)
    gate.note(Reach.UNCLEAR, "no answer", NOW + 50, wrote=True)
    assert gate.losses_count_until == NOW + 650
    gate.move(3600)
    assert gate.losses_count_until == NOW + 4250
    gate.write_arrived()
    assert gate.losses_count_until == float("inf")


def test_one_new_punch_waits_for_no_pause_of_those_that_were_lost():
    """Five seconds after the last try, and once: it shows whether everybody's are lost."""
    gate = Gate(300, random.Random(1))
    for number in range(10):
        gate.note(Reach.UNCLEAR, "no answer", NOW + number, wrote=True)
    gate.note(Reach.ANSWERED, None, NOW + 10)
    gate.hurry(5.0)
    assert gate.writes_at(NOW + 11, new=True) > NOW + 100
    gate.hurry(5.0, writes=True)
    assert gate.writes_at(NOW + 11, new=True) == NOW + 14
    assert gate.writes_at(NOW + 11) > NOW + 100
    gate.try_new()
    assert gate.writes_at(NOW + 11, new=True) > NOW + 100


def test_the_pause_of_what_writes_moves_with_the_clock_and_ends_where_a_person_asks():
    """Set back by hours it is no longer than it was; `sync now` ends it, and a link that changes does."""
    for spread_s in (0.0, 0.8):
        gate = Gate(300, random.Random(1))
        for number in range(10):
            gate.note(Reach.UNCLEAR, "no answer", NOW + number, wrote=True)
        gate.note(Reach.ANSWERED, None, NOW + 10)
        until = gate.writes_at(NOW + 10)
        gate.move(-7200)
        assert gate.writes_at(NOW + 10 - 7200) == until - 7200
        gate.retry(NOW + 11 - 7200, spread_s=spread_s)
        assert gate.writes_at(NOW + 11 - 7200) <= NOW + 11 - 7200 + spread_s


def test_who_was_sent_in_vain_goes_again_twice_at_once_and_then_rests():
    """Lost answers are every day's; a third loss in a row is not, and costs half a minute, in the end five."""
    gate = Gate(300, random.Random(1))
    rests = [gate.rest_after_s(in_vain) for in_vain in range(1, 12)]
    assert rests[:2] == [0, 0]
    assert 15 <= rests[2] <= 30 <= rests[3] <= 60
    assert all(150 <= rest <= 300 for rest in rests[6:])


def test_a_link_that_flaps_is_tried_once_a_change_and_does_not_begin_the_pauses_anew_each_time():
    """The first change after a quiet while begins them anew: a link is often up before anything can be reached."""
    gate = Gate(300.0, random.Random(1))
    for number in range(10):
        gate.note(Reach.UNREACHED, "no network", NOW + 1000 * number)
    now = NOW + 20_000
    gate.retry(now, spread_s=0.8)
    gate.note(Reach.UNREACHED, "no network", now + 1)
    assert gate.ready_at(now + 1) <= now + 1 + 4
    for number in range(5):
        gate.note(Reach.UNREACHED, "no network", now + 40 + number)
    gate.retry(now + 60, spread_s=0.8)
    assert gate.ready_at(now + 60) <= now + 61
    gate.note(Reach.UNREACHED, "no network", now + 61)
    assert gate.ready_at(now + 61) > now + 61 + 10


def test_paused_lets_nothing_through():
    """Paused is stronger than anything."""
    gate = Gate(300, random.Random(1))
    gate.paused = True
    assert (gate.state, gate.ready_at(NOW)) == ("paused", float("inf"))
