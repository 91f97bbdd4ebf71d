"""Judges a history: every promise of the product is a small pure function from what happened to what was broken.

It knows nothing of the daemon's code (a test holds that it imports none of it): a fault that the code and its tests
share would pass for right. docs/reliability.md says what each rule promises and where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.weeks import checker_budget as budget
from tests.simulation.weeks import checker_delay as delay
from tests.simulation.weeks import checker_effects as effects
from tests.simulation.weeks import checker_kept as kept
from tests.simulation.weeks import checker_kiosk as kiosk
from tests.simulation.weeks import checker_people as people
from tests.simulation.weeks import checker_reasons as reasons
from tests.simulation.weeks import checker_requests as requests
from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import History
from tests.simulation.weeks.seen import Violation


@dataclass(frozen=True, slots=True)
class Rule:
    """One promise. `text` is what the function's docstring says of it."""

    name: str
    judge: Callable[[Facts], list[Violation]]

    @property
    def text(self) -> str:
        """The promise in words."""
        return (self.judge.__doc__ or "").strip()


RULES: Sequence[Rule] = (
    Rule("nothing lost", effects.nothing_lost),
    Rule("one effect", effects.one_effect),
    Rule("from somewhere", effects.from_somewhere),
    Rule("kept taps", kept.kept_taps),
    Rule("true time", effects.true_time),
    Rule("reasons true", reasons.reasons_true),
    Rule("obstacles gone", reasons.obstacles_gone),
    Rule("one at a time", requests.one_at_a_time),
    Rule("looked up first", requests.looked_up_first),
    Rule("no hammering", requests.no_hammering),
    Rule("in order", requests.in_order),
    Rule("in window", requests.in_window),
    Rule("clock gate", requests.clock_gate),
    Rule("budget kept", budget.budget_kept),
    Rule("ceiling kept", budget.ceiling_kept),
    Rule("throttle obeyed", budget.throttle_obeyed),
    Rule("key left alone", budget.key_left_alone),
    Rule("nobody starves", kiosk.nobody_starves),
    Rule("no delay", delay.no_delay),
    Rule("at rest", kiosk.at_rest),
    Rule("oldest first", kiosk.oldest_first),
    Rule("turned away", people.turned_away),
    Rule("folded", people.folded),
    Rule("direction", people.direction_right),
    Rule("secrets kept", kiosk.secrets_kept),
    Rule("parts run", kiosk.parts_run),
    Rule("sound", kiosk.sound),
)


def check(history: History) -> list[Violation]:
    """What is broken in a history, rule by rule; nothing where every promise held."""
    facts = Facts(history)
    return [violation for rule in RULES for violation in rule.judge(facts)]
