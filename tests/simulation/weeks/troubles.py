"""What goes wrong in a week: each kind of trouble is a function that draws its events.

A week has only some of the kinds (swarm testing: a kind that is always there hides what only shows in its absence), and
each as often as that week likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.faults import Kind
from tests.simulation.weeks.life import DAY, HOUR, Company
from tests.simulation.weeks.script import Event, Person

#: What may come back instead of an answer to a request that was, or was not, carried out.
ANSWERS = (
    Kind.DROP, Kind.RESET, Kind.HANG, Kind.STATUS, Kind.EMPTY, Kind.PORTAL, Kind.TRUNCATED, Kind.TORN, Kind.REDIRECT,
    Kind.THROTTLE, Kind.THROTTLE_200, Kind.REFUSE, Kind.OVERSIZED,
)  # fmt: skip
#: The last hour in which trouble begins, a little before calm.
LAST_S = 7 * DAY


@dataclass(frozen=True, slots=True)
class Draw:
    """What a kind draws from: the company, when people tap (seconds), how often, and chance."""

    company: Company
    taps: tuple[Event, ...]
    often: float
    rng: random.Random

    def times(self, a_week: float) -> list[float]:
        """So many moments a week on average; most of them just after somebody tapped, when most is under way."""
        count = max(1, round(self.rng.uniform(0.5, 1.5) * a_week * self.often))
        return sorted(self.moment() for _ in range(count))

    def moment(self) -> float:
        """One moment."""
        rng = self.rng
        if rng.random() < 0.7 and self.taps:
            return min(rng.choice(self.taps).at + rng.choice([0, 0, 0.01, 0.1, 0.16, 0.31, 1, 6, 36, 300]), LAST_S)
        return rng.uniform(0, LAST_S)

    def kiosk(self) -> str:
        """One of the kiosks."""
        return self.rng.choice(self.company.kiosks).name

    def person(self) -> Person:
        """One of the people."""
        return self.rng.choice(self.company.people)

    def while_(self, *durations_s: float) -> float:
        """About one of these."""
        return self.rng.choice(durations_s) * self.rng.uniform(0.7, 1.3)


def outages(draw: Draw) -> Iterator[Event]:
    """A kiosk's network goes, for seconds or for hours."""
    for at in draw.times(6):
        kiosk = draw.kiosk()
        yield Event(at, "down", {"kiosk": kiosk})
        yield Event(at + draw.while_(10, 600, HOUR, 6 * HOUR, 13 * HOUR), "up", {"kiosk": kiosk})


def days_offline(draw: Draw) -> Iterator[Event]:
    """A kiosk without network for days."""
    at, kiosk = draw.rng.uniform(0, 3 * DAY), draw.company.kiosks[-1].name
    yield Event(at, "down", {"kiosk": kiosk})
    yield Event(at + draw.while_(1.5 * DAY, 3 * DAY), "up", {"kiosk": kiosk})


def lost_answers(draw: Draw) -> Iterator[Event]:
    """A share of the answers is lost for hours, after the request was carried out or before."""
    rng = draw.rng
    for number, at in enumerate(draw.times(3)):
        key = f"lost{number}"
        kind = rng.choice((Kind.DROP, Kind.RESET, Kind.HANG, Kind.STATUS, Kind.TORN))
        fault = {"kind": str(kind), "processed": rng.random() < 0.7, "probability": rng.choice([0.05, 0.3, 1.0])}
        if rng.random() < 0.6:
            fault["method"] = rng.choice(["POST", "GET", "PUT"])
        yield Event(at, "fault", {"key": key, "fault": fault})
        yield Event(at + draw.while_(60, 1800, 6 * HOUR), "clear", {"key": key})


def false_answers(draw: Draw) -> Iterator[Event]:
    """A few requests in a row get whatever may come back instead of an answer."""
    rng = draw.rng
    for number, at in enumerate(draw.times(8)):
        kind = rng.choice(ANSWERS)
        never_done = kind in (Kind.THROTTLE, Kind.THROTTLE_200, Kind.REFUSE)
        fault = {
            "kind": str(kind),
            "processed": not never_done and rng.random() < 0.5,
            "count": rng.choice([1, 1, 2, 5]),
        }
        if kind is Kind.OVERSIZED:
            fault["size_bytes"] = 3_000_000
        if kind is Kind.STATUS:
            fault["status"] = rng.choice([500, 502, 503, 504, 408, 425, 429])
            # Whoever says 429 has not done it (delivery.md, "What an answer means").
            fault["processed"] = fault["processed"] and fault["status"] != 429
        if kind in (Kind.EMPTY, Kind.PORTAL):
            fault["status"] = rng.choice([200, 200, 511])
        yield Event(at, "fault", {"key": f"false{number}", "fault": fault})
        yield Event(at + draw.while_(600, 3 * HOUR), "clear", {"key": f"false{number}"})


def slow_service(draw: Draw) -> Iterator[Event]:
    """Requests or answers take seconds, longer than the kiosk waits now and then."""
    rng = draw.rng
    for number, at in enumerate(draw.times(2)):
        fault = {"kind": "none", "delay_s": rng.choice([3.0, 14.0, 18.0]), "when": rng.choice(["before", "after"]),
                 "probability": rng.choice([0.2, 1.0])}  # fmt: skip
        yield Event(at, "fault", {"key": f"slow{number}", "fault": fault})
        yield Event(at + draw.while_(600, 3 * HOUR), "clear", {"key": f"slow{number}"})


def refusals(draw: Draw) -> Iterator[Event]:
    """The service refuses a few punches for reasons of its own."""
    rng = draw.rng
    for number, at in enumerate(draw.times(2)):
        refused = [(400, "JOB_REQUIRED"), (409, "HAS_LOCKED_DAYS"), (422, None), (403, None), (400, "SOMETHING_NEW")]
        status, code = rng.choice(refused)
        fault = {"kind": "error", "status": status, "code": code, "text": code or "no", "count": rng.choice([1, 2]),
                 "method": "POST", "shape": rng.choice(["error", "detail", "details"])}  # fmt: skip
        yield Event(at, "fault", {"key": f"refuse{number}", "fault": fault})
        yield Event(at + 2 * HOUR, "clear", {"key": f"refuse{number}"})


def crashes(draw: Draw) -> Iterator[Event]:
    """The process dies at any await, or at any write of the database."""
    rng = draw.rng
    for at in draw.times(6):
        data = {"kiosk": draw.kiosk(), "rounds": rng.randrange(0, 60), "back_s": rng.choice([0.0, 2.0, 30.0])}
        if rng.random() < 0.5:
            data["operations"] = rng.randrange(0, 80)
        yield Event(at, "crash", data)


def power_cuts(draw: Draw) -> Iterator[Event]:
    """The power goes, at any await or in the middle of a commit; the clock comes back behind, and NTP when it can."""
    rng = draw.rng
    for at in draw.times(5):
        data = {
            "kiosk": draw.kiosk(),
            "rounds": rng.randrange(0, 60),
            "off_s": draw.while_(5, 120, 1800, 5 * HOUR),
            "ntp_s": rng.choice([5.0, 60.0, 600.0, 4 * HOUR, None]),
            "tear": rng.randrange(1 << 30),
        }
        if rng.random() < 0.7:
            data["operations"] = rng.randrange(0, 80)
        yield Event(at, "power", data)


def restarts(draw: Draw) -> Iterator[Event]:
    """Stopped in order and started again, as an update does."""
    for at in draw.times(2):
        yield Event(at, "restart", {"kiosk": draw.kiosk(), "off_s": draw.while_(2, 300)})


def wrong_clocks(draw: Draw) -> Iterator[Event]:
    """The wall clock is set by hand, with NTP away; it comes back later."""
    rng = draw.rng
    for at in draw.times(2):
        kiosk = draw.kiosk()
        by_s = rng.choice([-1, 1]) * draw.while_(0.5, 4, 40, 3600, 7 * HOUR)
        yield Event(at, "step", {"kiosk": kiosk, "by_s": by_s, "vouched": False})
        yield Event(at + draw.while_(60, HOUR, 9 * HOUR), "synchronise", {"kiosk": kiosk})


def bad_ntp(draw: Draw) -> Iterator[Event]:
    """A time server that is wrong: the kernel vouches for it, the service's Date does not."""
    rng = draw.rng
    at, kiosk = draw.moment(), draw.kiosk()
    yield Event(at, "step", {"kiosk": kiosk, "by_s": rng.choice([-1, 1]) * draw.while_(60, HOUR), "vouched": True})
    yield Event(at + draw.while_(60, HOUR, 5 * HOUR), "synchronise", {"kiosk": kiosk})


def full_disks(draw: Draw) -> Iterator[Event]:
    """No room on a kiosk's disk, for minutes or for half a day."""
    for at in draw.times(2):
        kiosk = draw.kiosk()
        yield Event(at, "disk", {"kiosk": kiosk, "full": True})
        yield Event(at + draw.while_(60, HOUR, 10 * HOUR), "disk", {"kiosk": kiosk, "full": False})


def keys(draw: Draw) -> Iterator[Event]:
    """The key expires, and is good again later."""
    for at in draw.times(1):
        yield Event(at, "key", {"good": False})
        yield Event(at + draw.while_(300, 3 * HOUR, DAY), "key", {"good": True})


def managers(draw: Draw) -> Iterator[Event]:
    """Managers close what was forgotten, every morning at ten."""
    for day in range(7):
        yield Event(draw.company.at(day, 10.0), "close_forgotten", {"hours": draw.rng.choice([6, 8])})


def edits(draw: Draw) -> Iterator[Event]:
    """Managers enter, change and delete shifts."""
    rng = draw.rng
    for at in draw.times(6):
        who = draw.person().user_id
        match rng.randrange(4):
            case 0:
                hours_ago = rng.uniform(1, 30)
                yield Event(at, "add_shift", {"user_id": who, "hours_ago": hours_ago, "hours": rng.uniform(0.5, 9)})
            case 1:
                by_s = rng.choice([-600, 60, 900])
                yield Event(at, "edit_shift", {"user_id": who, "by_s": by_s, "end": rng.random() < 0.7})
            case 2:
                yield Event(at, "close_shift", {"user_id": who, "ago_s": rng.choice([0, 60, 3600])})
            case _:
                if rng.random() < 0.3:
                    yield Event(at, "delete_shift", {"user_id": who})


def locks(draw: Draw) -> Iterator[Event]:
    """A day is locked for somebody, and unlocked the day after."""
    for at in draw.times(3):
        who, day = draw.person().user_id, draw.rng.choice([0, 0, -1])
        yield Event(at, "lock_day", {"user_id": who, "day": day})
        yield Event(at + draw.while_(HOUR, DAY), "unlock_days", {"user_id": who})


def phones(draw: Draw) -> Iterator[Event]:
    """People clock in and out by phone, and take breaks there."""
    for at in draw.times(8):
        kind = draw.rng.choice(["phone_punch", "phone_punch", "phone_break"])
        yield Event(at, kind, {"user_id": draw.person().user_id})


def staff_changes(draw: Draw) -> Iterator[Event]:
    """People are taken off the time clock or archived, and come back."""
    for at in draw.times(2):
        who, what = draw.person().user_id, draw.rng.choice(["unassign", "archive"])
        yield Event(at, what, {"user_id": who})
        back = {"unassign": "assign", "archive": "unarchive"}[what]
        yield Event(at + draw.while_(HOUR, DAY), back, {"user_id": who})


def badges(draw: Draw) -> Iterator[Event]:
    """Badges are released and given to somebody else, blocked, and given again."""
    rng = draw.rng
    for at in draw.times(2):
        owner = draw.person()
        for kiosk in draw.company.kiosks:
            match rng.randrange(3):
                case 0:
                    yield Event(at, "block", {"kiosk": kiosk.name, "badge": owner.badge})
                case 1:
                    yield Event(at, "release", {"kiosk": kiosk.name, "badge": owner.badge})
                case _:
                    other = {"kiosk": kiosk.name, "badge": owner.badge, "user_id": draw.person().user_id}
                    yield Event(at, "give", other)
            again = {"kiosk": kiosk.name, "badge": owner.badge, "user_id": owner.user_id}
            yield Event(at + draw.while_(HOUR, DAY), "give", again)


def settings(draw: Draw) -> Iterator[Event]:
    """The owner changes the configuration, by a reload or a restart; readers are turned around."""
    rng = draw.rng
    for at in draw.times(2):
        changed: dict[str, object] = {
            "attendance": rng.choice([{}, {"repeat_tap_seconds": rng.choice([10, 60, 180])},
                                      {"max_shift_hours": rng.choice([10, 14, 36])}]),
            "connecteam": rng.choice([{}, {"requests_per_minute": rng.choice([10, 60])}]),
        }  # fmt: skip
        kiosk = rng.choice(draw.company.kiosks)
        if rng.random() < 0.4:
            changed["readers"] = {rng.choice(list(kiosk.readers)): rng.choice(["toggle", "clock_in", "clock_out"])}
        data = {"kiosk": kiosk.name, "settings": changed, "how": rng.choice(["reload", "reload", "restart"])}
        yield Event(at, "configure", data)


def orders(draw: Draw) -> Iterator[Event]:
    """Delivery is paused and resumed, and told to go on at once."""
    for at in draw.times(2):
        kiosk = draw.kiosk()
        yield Event(at, "order", {"kiosk": kiosk, "what": "pause"})
        yield Event(at + draw.while_(60, 3 * HOUR, 13 * HOUR), "order", {"kiosk": kiosk, "what": "resume"})
        yield Event(draw.moment(), "order", {"kiosk": kiosk, "what": "sync_now"})


def decisions(draw: Draw) -> Iterator[Event]:
    """People decide what is in review, rightly or not."""
    rng = draw.rng
    for at in draw.times(12):
        decision = rng.choice(["retry", "retry", "discard", "accept_server", "other_half", "time"])
        hours = rng.choice([0.5, 4, 8])
        yield Event(
            at, "decide", {"kiosk": draw.kiosk(), "nth": rng.randrange(5), "decision": decision, "hours": hours}
        )


def unplugged(draw: Draw) -> Iterator[Event]:
    """A reader is unplugged and plugged in again."""
    for at in draw.times(2):
        kiosk = draw.rng.choice(draw.company.kiosks)
        data = {"kiosk": kiosk.name, "reader": draw.rng.choice(list(kiosk.readers))}
        yield Event(at, "unplug", data)
        yield Event(at + draw.while_(5, 600), "replug", data)


Trouble = Callable[[Draw], Iterator[Event]]
TROUBLES: tuple[Trouble, ...] = (
    outages, days_offline, lost_answers, false_answers, slow_service, refusals, crashes, power_cuts, restarts,
    wrong_clocks, bad_ntp, full_disks, keys, managers, edits, locks, phones, staff_changes, badges, settings, orders,
    decisions, unplugged,
)  # fmt: skip
