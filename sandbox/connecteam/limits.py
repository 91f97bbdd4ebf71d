"""The account's budget of requests (facts 1.3): per minute and per day, shared by everything the company runs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan allows. `api` is False below the plans that have an API at all (facts 1.1, "Plan gate")."""

    name: str
    per_minute: int
    per_day: int
    api: bool = True


SMALL_BUSINESS = Plan("small_business", 5, 100)
EXPERT = Plan("expert", 100, 10_000)
ENTERPRISE = Plan("enterprise", 200, 20_000)
BASIC = Plan("basic", 100, 10_000, api=False)
PLANS = {plan.name: plan for plan in (SMALL_BUSINESS, EXPERT, ENTERPRISE, BASIC)}

MINUTE_S = 60
DAY_S = 86_400


@dataclass(slots=True)
class Window:
    """A count that starts anew at every multiple of `length_s`, Unix time."""

    length_s: int
    used: int = 0
    number: int = -1

    def turn(self, now: float) -> None:
        """Forget the count of an earlier window."""
        if int(now // self.length_s) != self.number:
            self.number, self.used = int(now // self.length_s), 0

    @property
    def resets_at(self) -> int:
        """When the next window begins."""
        return (self.number + 1) * self.length_s


@dataclass(slots=True)
class Limits:
    """The running counts. `with_headers` off models an answer path that says nothing of the budget.

    `as_200` is the trap of facts 1.3: the throttle answered with status 200 and the same body.
    """

    plan: Plan
    minute: Window = field(default_factory=lambda: Window(MINUTE_S))
    day: Window = field(default_factory=lambda: Window(DAY_S))
    with_headers: bool = True
    as_200: bool = False
    enforced: bool = True

    def spend(self, now: float, count: int = 1) -> bool:
        """Take `count` requests from the budget; False, and nothing taken, when it does not hold them."""
        self.minute.turn(now)
        self.day.turn(now)
        over = self.minute.used + count > self.plan.per_minute or self.day.used + count > self.plan.per_day
        if over and self.enforced:
            return False
        self.minute.used += count
        self.day.used += count
        return True

    def headers(self, now: float) -> dict[str, str]:
        """The six headers of facts 1.3; resets are Unix seconds, and there is no Retry-After."""
        if not self.with_headers:
            return {}
        self.minute.turn(now)
        self.day.turn(now)
        told: dict[str, str] = {}
        for name, window, limit in (
            ("minute", self.minute, self.plan.per_minute),
            ("day", self.day, self.plan.per_day),
        ):
            told[f"x-ratelimit-{name}-limit"] = str(limit)
            told[f"x-ratelimit-{name}-remaining"] = str(max(0, limit - window.used))
            told[f"x-ratelimit-{name}-reset"] = str(window.resets_at)
        return told
