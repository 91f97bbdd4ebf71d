"""The rules of repeat or new, in or out, refused or not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.attendance import (
    Moment,
    New,
    Origin,
    Policy,
    Refused,
    Repeat,
    ServerView,
    decide,
    elapsed_s,
    repeats,
    toggle,
)
from daemon.model import Direction, Punch, PunchState, ReaderDirection, Source

IN, OUT = Direction.CLOCK_IN, Direction.CLOCK_OUT
TOGGLE, AT_IN, AT_OUT = ReaderDirection.TOGGLE, ReaderDirection.CLOCK_IN, ReaderDirection.CLOCK_OUT
HOUR = 3600.0
T = 1_795_248_000.0
POLICY = Policy(repeat_s=60, max_shift_s=14 * HOUR)
NEVER = float("-inf")


def punch(
    direction: Direction | None = IN, ago: float = HOUR, *, known: bool = True, boot: str = "b1", **more: object
) -> Punch:
    """A punch made `ago` seconds before T."""
    made = Punch(
        id="p",
        seq=1,
        user_id="7",
        name="Ann",
        direction=direction,
        occurred_at=T - ago,
        raw_at=T - ago,
        time_error_s=None,
        time_known=known,
        boot_id=boot,
        boottime_s=100_000.0 - ago,
        synchronised=known,
        reader="front",
        badge="04A1",
        source=Source.TAP,
        job_id=None,
        state=PunchState.PENDING,
        reason=None,
        detail=None,
        attempts=0,
        remote_id=None,
        recorded_as=None,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def moment(*, known: bool = True, boot: str = "b1", origin: Origin = Origin.LIVE, later: float = 0.0) -> Moment:
    """A moment `later` seconds after T."""
    return Moment(T + later, known, boot, 100_000.0 + later, origin)


def decided(last: Punch | None, when: Moment | None = None, reader: ReaderDirection = TOGGLE, **more):
    return decide(when or moment(), last, reader, POLICY, now=T, **more)


PENDING_IN, PENDING_OUT = New(IN, PunchState.PENDING), New(OUT, PunchState.PENDING)
UNTRUSTED = (PunchState.HELD, "clock_untrusted")


@pytest.mark.parametrize(
    ("last", "reader", "expected"),
    [
        (None, TOGGLE, PENDING_IN),
        (None, AT_IN, PENDING_IN),
        (None, AT_OUT, PENDING_OUT),
        (punch(IN), TOGGLE, PENDING_OUT),
        (punch(OUT), TOGGLE, PENDING_IN),
        (punch(IN), AT_IN, PENDING_IN),
        (punch(OUT), AT_OUT, PENDING_OUT),
        (punch(IN, 14 * HOUR), TOGGLE, PENDING_OUT),
        (punch(IN, 14 * HOUR + 0.01), TOGGLE, PENDING_IN),
        (punch(IN, 59.9), TOGGLE, Repeat()),
        (punch(IN, 60), TOGGLE, PENDING_OUT),
        (punch(OUT, 5), TOGGLE, Repeat()),
        (punch(IN, 5), AT_IN, Repeat()),
        (punch(IN, 5), AT_OUT, PENDING_OUT),
        (punch(OUT, 5), AT_IN, PENDING_IN),
        (punch(IN, -0.5), TOGGLE, Repeat()),
    ],
)
def test_on_a_trusted_clock(last, reader, expected):
    """One row a rule of "In or out" and "Repeats"."""
    assert decided(last, reader=reader) == expected


@pytest.mark.parametrize(
    ("last", "boot", "reader", "expected"),
    [
        # In the same boot the boot clock tells all but the time itself.
        (None, "b1", TOGGLE, New(IN, *UNTRUSTED)),
        (punch(IN, known=False), "b1", TOGGLE, New(OUT, *UNTRUSTED)),
        (punch(OUT, known=False), "b1", TOGGLE, New(IN, *UNTRUSTED)),
        (punch(IN, 30, known=False), "b1", TOGGLE, Repeat()),
        (punch(IN, 15 * HOUR, known=False), "b1", TOGGLE, New(IN, *UNTRUSTED)),
        (punch(None, known=False), "b1", TOGGLE, New(None, *UNTRUSTED)),
        # Of an earlier boot nothing tells how long ago it was.
        (punch(IN), "b2", TOGGLE, New(None, *UNTRUSTED)),
        (punch(OUT), "b2", TOGGLE, New(None, *UNTRUSTED)),
        (punch(IN, 30), "b2", TOGGLE, New(None, *UNTRUSTED)),
        (punch(IN, known=False), "b2", TOGGLE, New(None, *UNTRUSTED)),
        # A fixed reader decides all the same.
        (punch(IN), "b2", AT_OUT, New(OUT, *UNTRUSTED)),
        (punch(IN, 30), "b2", AT_IN, New(IN, *UNTRUSTED)),
    ],
)
def test_on_an_untrusted_clock(last, boot, reader, expected):
    """While the clock is untrusted every punch waits, and a direction that hangs on the time stays open."""
    assert decided(last, moment(known=False, boot=boot), reader) == expected


@pytest.mark.parametrize(
    ("last", "reader", "expected"),
    [
        (punch(IN, known=False), TOGGLE, New(None, PunchState.HELD, "earlier_punch_undecided")),
        (punch(OUT, known=False), TOGGLE, New(None, PunchState.HELD, "earlier_punch_undecided")),
        (punch(None, known=False), TOGGLE, New(None, PunchState.HELD, "earlier_punch_undecided")),
        (punch(None), TOGGLE, New(None, PunchState.HELD, "earlier_punch_undecided")),
        (punch(None, known=False), AT_OUT, PENDING_OUT),
        (punch(IN, 30), TOGGLE, Repeat()),
        (punch(IN, HOUR), TOGGLE, PENDING_OUT),
    ],
)
def test_after_a_reboot_with_a_trusted_clock(last, reader, expected):
    """Known times compare across boots; an unknown one holds up the next toggle, by name."""
    assert decided(last, moment(boot="b2"), reader) == expected


@pytest.mark.parametrize(
    ("ago", "stated_later", "expected"),
    [
        (HOUR, 0.5, Refused("time_in_future")),
        (HOUR, 0.0, PENDING_OUT),
        (HOUR, -HOUR, Refused("time_not_after_last")),
        (HOUR, -2 * HOUR, Refused("time_not_after_last")),
        (HOUR, -HOUR + 59, Repeat()),
        (HOUR, -HOUR + 60, PENDING_OUT),
        (20 * HOUR, -5 * HOUR, PENDING_IN),
        (20 * HOUR, -6 * HOUR, PENDING_OUT),
    ],
)
def test_a_stated_time_is_judged_as_stated(ago, stated_later, expected):
    """Future and out of order are refused; repeats, direction and max_shift go by the stated time."""
    assert decided(punch(IN, ago), moment(origin=Origin.STATED, later=stated_later)) == expected


def test_stated_times_exactly_a_repeat_apart_are_two_on_any_clock():
    """The floats of a moved boot clock must not turn 60 s into 59.9999999."""
    last = punch(IN, 60, known=False, boottime_s=99_940.000_000_1)
    assert decided(last, moment(known=False, origin=Origin.STATED)) == New(OUT, *UNTRUSTED)


@pytest.mark.parametrize(
    ("ago", "later", "expected"),
    [
        (HOUR, -2 * HOUR, New(IN, PunchState.REVIEW, "out_of_order")),
        (HOUR, -HOUR - 30, New(IN, PunchState.REVIEW, "out_of_order")),
        (HOUR, -HOUR, Repeat()),
        (HOUR, -HOUR + 30, Repeat()),
        (HOUR, 0, New(IN, PunchState.PENDING)),
    ],
)
def test_a_kept_tap_that_lies_before_the_last_punch_goes_to_review(ago, later, expected):
    """Kept taps are never folded into a punch after them, and never refused."""
    assert decided(punch(OUT, ago), moment(origin=Origin.KEPT, later=later)) == expected


def view(
    open_ago: float | None = None, *, asked_ago: float = 10, settled_ago: float | None = 20, auto: float | None = None
):
    settled = None if settled_ago is None else T - settled_ago
    start = None if open_ago is None else T - open_ago
    return ServerView(T - asked_ago, settled, start, None if auto is None else T - auto)


@pytest.mark.parametrize(
    ("last", "server", "expected"),
    [
        # A view that speaks: what is open there is what a tap ends.
        (None, view(HOUR, settled_ago=float("inf")), OUT),
        (punch(OUT, 2 * HOUR), view(HOUR), OUT),
        (punch(OUT, 2 * HOUR), view(14 * HOUR), OUT),
        (punch(OUT, 2 * HOUR), view(14 * HOUR + 1), IN),
        (punch(IN, 2 * HOUR), view(), IN),  # ended on a phone
        (punch(IN, 2 * HOUR), view(2 * HOUR), OUT),
        (punch(IN, 20 * HOUR), view(20 * HOUR), IN),
        # Asked too early, or with something of ours still on its way: local knowledge alone.
        (punch(IN, 2 * HOUR), view(asked_ago=30), OUT),
        (punch(IN, 2 * HOUR), view(asked_ago=20), OUT),
        (punch(IN, 2 * HOUR), view(settled_ago=None), OUT),
        (punch(OUT, 2 * HOUR), view(HOUR, settled_ago=None), IN),
        # Ended by the server itself: the person leaving late is leaving.
        (punch(IN, 10 * HOUR), view(auto=10 * HOUR), OUT),
        (punch(IN, 14 * HOUR), view(auto=14 * HOUR), OUT),
        (punch(IN, 15 * HOUR), view(auto=15 * HOUR), IN),
        (punch(OUT, HOUR), view(auto=10 * HOUR), IN),
        # A shift that begins only after this moment says nothing of it.
        (punch(IN, 2 * HOUR), view(-5), OUT),
    ],
)
def test_the_servers_view_corrects_what_is_known_here(last, server, expected):
    """One row a rule about the snapshot."""
    assert decided(last, server=server) == New(expected, PunchState.PENDING)


def test_the_view_says_nothing_without_a_trusted_clock_and_nothing_at_a_fixed_reader():
    """Its instants cannot be compared with ours; and a fixed reader decides itself."""
    assert decided(punch(IN), moment(known=False), server=view()) == New(OUT, *UNTRUSTED)
    assert decided(punch(IN), reader=AT_OUT, server=view()) == PENDING_OUT


def test_a_decisions_place_on_the_boot_clock_says_nothing():
    """A clock-out that a person entered is compared by its time alone."""
    last = punch(OUT, HOUR, source=Source.DECISION, boottime_s=100_000.0)
    assert elapsed_s(moment(), last) == HOUR
    assert elapsed_s(moment(known=False), last) is None


# --- for all


directions = st.sampled_from([IN, OUT, None])
readers = st.sampled_from(list(ReaderDirection))
origins = st.sampled_from(list(Origin))
seconds = st.floats(-100 * HOUR, 100 * HOUR)


@st.composite
def situations(draw):
    last = draw(
        st.none()
        | st.builds(
            lambda direction, ago, known, boot, drift: punch(
                direction, ago, known=known, boot=boot, boottime_s=100_000.0 - ago + drift
            ),
            directions,
            seconds,
            st.booleans(),
            st.sampled_from(["b1", "b2"]),
            st.sampled_from([0.0, 5000.0, -5000.0]),
        )
    )
    when = moment(known=draw(st.booleans()), origin=draw(origins), later=draw(seconds))
    server = draw(st.none() | st.builds(view, st.none() | seconds, asked_ago=seconds, settled_ago=st.none() | seconds))
    return when, last, draw(readers), server


@given(situations())
def test_a_real_tap_of_a_known_badge_is_never_refused(situation):
    """Whatever the clocks, the last punch and the server say."""
    when, last, reader, server = situation
    decision = decide(when, last, reader, POLICY, now=T, server=server)
    if when.origin is not Origin.STATED:
        assert not isinstance(decision, Refused)


@given(situations())
def test_nothing_becomes_pending_without_a_known_time_and_a_direction(situation):
    """Pending means: may be sent. Nobody is clocked in or out by guesswork, nor at a time that is not known."""
    when, last, reader, server = situation
    decision = decide(when, last, reader, POLICY, now=T, server=server)
    if not isinstance(decision, New):
        return
    if decision.state is PunchState.PENDING:
        assert when.known
        assert decision.direction is not None
        assert last is None or not last.time_known or when.at > last.occurred_at
    if not when.known:
        assert (decision.state, decision.reason) == UNTRUSTED
    assert (decision.reason is None) == (decision.state is PunchState.PENDING)


@given(situations())
def test_a_fixed_reader_is_obeyed(situation):
    """On a reader with a direction every punch has that direction, and the other direction is never a repeat."""
    when, last, reader, server = situation
    decision = decide(when, last, reader, POLICY, now=T, server=server)
    if reader.fixed is None:
        return
    if isinstance(decision, New):
        assert decision.direction is reader.fixed
    if isinstance(decision, Repeat):
        assert last is not None
        assert last.direction is reader.fixed


@given(situations(), st.floats(-1e9, 1e9))
def test_a_wall_clock_step_changes_no_repeat_of_a_real_tap(situation, step):
    """In one boot a repeat hangs on the boot clock alone."""
    when, last, reader, _ = situation
    when = replace(when, origin=Origin.LIVE)
    if last is not None and last.boot_id == when.boot_id:
        assert repeats(when, last, reader, POLICY) == repeats(replace(when, at=when.at + step), last, reader, POLICY)


def test_repeats_are_not_prolonged():
    """Ten taps 20 s apart: every third is accepted, because each is held against the last accepted one."""
    last, accepted = None, []
    for turn in range(10):
        when = moment(later=20.0 * turn)
        if isinstance(decide(when, last, TOGGLE, POLICY, now=when.at), New):
            accepted.append(turn)
            last = punch(IN, -20.0 * turn)
    assert accepted == [0, 3, 6, 9]


def test_toggle_of_nothing_known_is_in():
    """Somebody's first tap ever is a clock-in, trusted or not."""
    for known, origin in itertools.product((True, False), Origin):
        assert toggle(moment(known=known, origin=origin), None, POLICY) is IN


@pytest.mark.parametrize(("passed_s", "repeat"), [(20, True), (59, True), (61, False), (600, False)])
@pytest.mark.parametrize("step_s", [-HOUR, -30, 30, HOUR])
def test_what_the_wall_clock_shows_makes_no_repeat_and_hides_none(passed_s, repeat, step_s):
    """Both times are known and the wall clock was set in between: the boot clock alone says how long it was."""
    when = replace(moment(later=passed_s), at=T + passed_s + step_s)
    assert repeats(when, punch(IN, 0), TOGGLE, POLICY) is repeat
