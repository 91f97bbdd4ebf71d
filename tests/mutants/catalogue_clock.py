"""Mutants of the clock gate."""

from __future__ import annotations

from functools import partial

from tests.mutants.mutant import Mutant
from tests.mutants.tests_of import CLIENT, CLOCK, DAYS, DOUBT, GATE, GUARDED, PLANNER, POWER, TIMES

_gate = partial(Mutant, table="the clock gate")

_CLOCK = "daemon/clock.py"
_SETTLING = "daemon/intake/settling.py"

MUTANTS = (
    _gate(
        id="any-clock-is-trusted",
        row="nothing is sent while it is not trusted",
        breaks="A clock that was never synchronised counts as trusted.",
        file=_CLOCK,
        before="if not seen.synchronised:\n            return",
        after="pass",
        proofs=(f"{CLOCK}::test_a_clock_that_nothing_vouches_for_is_not_trusted",),
    ),
    _gate(
        id="disputed-clock-sends",
        row="nothing is sent while it is not trusted",
        breaks="Punches are sent although the service's clock disputes ours.",
        file=_CLOCK,
        before="return self.doubt is None and seen.boot_id in self._trusts",
        after="return seen.boot_id in self._trusts",
        proofs=(
            f"{CLOCK}::test_a_disputed_clock_is_not_trusted_whatever_ntp_says",
            f"{GATE}::test_a_date_far_from_ours_is_doubt_whatever_ntp_says",
        ),
    ),
    _gate(
        id="no-probe-for-trust",
        row="a Date near ours",
        breaks="Without NTP nothing ever asks the service for its time: punches wait for ever.",
        file="daemon/delivery/probing.py",
        before="return self._planning.anyone_waits and not self._timekeeper.trusted",
        after="return False",
        proofs=(f"{GUARDED}::test_a_clock_nobody_vouches_for_is_asked_about_again",),
    ),
    _gate(
        id="a-date-an-hour-off-is-trust",
        row="a Date near ours",
        breaks="A Date an hour from our clock makes that clock trusted.",
        file=_CLOCK,
        before="<= TRUST_WITHIN_S + 1:",
        after="<= 3600:",
        proofs=(f"{CLOCK}::test_a_verified_date_vouches_or_disputes",),
    ),
    _gate(
        id="certificates-not-verified",
        row="a Date near ours",
        breaks="Any certificate will do: the Date, the answers and the key's way are anybody's.",
        file="daemon/timesheets/connecteam/client.py",
        before="verify=tls or (",
        after="verify=False and (",
        proofs=(f"{CLIENT}::test_a_certificate_of_somebody_else_is_not_sent",),
        unseen="simulated weeks have no TLS",
    ),
    _gate(
        id="no-doubt-under-ntp",
        row="a Date far from ours",
        breaks="A Date far from ours says nothing while the kernel calls the clock synchronised.",
        file=_CLOCK,
        before="elif abs(nearest) > DOUBT_BEYOND_S and",
        after="elif False and",
        proofs=(f"{CLOCK}::test_a_disputed_clock_is_not_trusted_whatever_ntp_says",),
    ),
    _gate(
        id="doubt-forgotten-at-a-restart",
        row="a Date far from ours",
        breaks="A restart of the service forgets that its clock is disputed.",
        file="daemon/app.py",
        before="await database.read(list_trusts), doubt=doubt)",
        after="await database.read(list_trusts))",
        proofs=(f"{DOUBT}::test_a_restart_does_not_make_a_disputed_clock_believed",),
    ),
    _gate(
        id="certificate-alarm-missing",
        row="a certificate out of its time",
        breaks="A certificate out of its time on an untrusted clock raises no alarm about the clock.",
        file="daemon/delivery/way.py",
        before="if reach is Reach.CERTIFICATE_TIME and not self._timekeeper.trusted:",
        after="if False:",
        proofs=(f"{GATE}::test_a_certificate_out_of_its_time_on_an_untrusted_clock_is_a_clock_alarm",),
        unseen="simulated weeks have no TLS",
    ),
    _gate(
        id="certificate-time-is-offline",
        row="a certificate out of its time",
        breaks="A certificate that is not yet valid is told as an ordinary failure.",
        file="daemon/timesheets/connecteam/client.py",
        before="_CERTIFICATE_TIME = frozenset({9, 10})",
        after="_CERTIFICATE_TIME = frozenset()",
        proofs=(f"{CLIENT}::test_a_certificate_out_of_its_time_may_mean_our_clock",),
        unseen="simulated weeks have no TLS",
    ),
    _gate(
        id="wall-clock-before-trust",
        row="taps before trust, same boot",
        breaks="A tap made before the clock was right keeps what the wall clock said.",
        file=_CLOCK,
        before="return BestTime(seen.wall_s if seen.synchronised else by_boot, trust.error_s, known=True)",
        after="return BestTime(seen.wall_s, trust.error_s, known=True)",
        proofs=(
            f"{CLOCK}::test_a_tap_before_the_clock_was_set_right_gets_its_time_from_the_boot_clock",
            f"{DAYS}::test_the_clock_is_wrong_at_boot",
        ),
    ),
    _gate(
        id="times-never-settled",
        row="taps before trust, same boot",
        breaks="Punches held for their time stay held when the clock becomes trusted.",
        file="daemon/watches.py",
        before="await self._settle_times()",
        after="pass",
        proofs=(f"{DAYS}::test_the_clock_is_wrong_at_boot",),
    ),
    _gate(
        id="trust-of-a-boot-not-kept",
        row="taps before trust, same boot",
        breaks="The trust of a boot is forgotten by a power cut, and times that hung on it stay unknown.",
        file="daemon/watches.py",
        before="await self._database.write(lambda conn: put_trust(conn, trust))",
        after="pass",
        proofs=(f"{POWER}::test_the_trust_of_a_boot_outlives_it",),
    ),
    _gate(
        id="a-boot-without-trust-is-believed",
        row="taps of a boot that never had it",
        breaks="Punches of a boot that nothing ever vouched for get that boot's wall clock.",
        file=_CLOCK,
        before="return BestTime(seen.wall_s, None, known=False)",
        after="return BestTime(seen.wall_s, None, known=True)",
        proofs=(f"{TIMES}::test_a_punch_of_a_boot_that_never_had_trust_stays_and_holds_what_hangs_on_it",),
    ),
    _gate(
        id="a-doubted-boot-is-believed-later",
        row="taps of a boot that never had it",
        breaks="Taps of a boot that ended in doubt get the time of the clock that was disputed.",
        file="daemon/intake/moments.py",
        before="believed = self.trusted if this_boot else mark != _DOUBTED",
        after="believed = self.trusted if this_boot else True",
        proofs=(f"{TIMES}::test_a_doubt_outlives_the_boot_it_was_of",),
    ),
    _gate(
        id="new-punches-by-a-doubted-clock",
        row="taps of a boot that never had it",
        breaks="A tap made while the clock is disputed counts as known.",
        file="daemon/intake/intake.py",
        before="if best.known and not desk.reckoner.trusted:",
        after="if False:",
        proofs=(f"{TIMES}::test_a_doubted_clock_is_not_trusted_for_new_punches",),
    ),
    _gate(
        id="misdated-punch-sent",
        row="a time shown to be wrong is not sent",
        breaks="A punch keeps a time that the uninterrupted clock shows to be wrong, and is sent with it.",
        file=_SETTLING,
        before="disputed = [_dispute(conn, punch, at, desk) for punch, at in _misdated(conn, desk)]",
        after="disputed = []",
        proofs=(f"{DOUBT}::test_a_tap_by_a_clock_that_was_believed_and_wrong_is_never_sent_with_that_time",),
    ),
    _gate(
        id="far-future-waited-for",
        row="a time shown to be wrong is not sent",
        breaks="A punch dated far ahead waits until its wrong time comes, and is sent then.",
        file="daemon/delivery/planner.py",
        before="if punch.second - walk.moment.server_now > FUTURE_MAX_S:",
        after="if False:",
        proofs=(f"{PLANNER}::test_a_time_that_lies_far_ahead_is_known_to_be_wrong",),
    ),
)
