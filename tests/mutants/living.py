"""One simulated week in the tree it is started in: `python -m tests.mutants.living SEED` tells in JSON what it broke.

`days` is how long the week lasted; `broken` holds, for each rule of the checker that was broken, the day on which that
first shows in the history (its end where no one line is to blame) and the checker's words.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from tests.simulation.weeks.checker import check
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.history import History
from tests.simulation.weeks.run import run

DAY_S = 86400.0
#: Ten times what a week takes; one that takes more turns in a circle, and is ended by SIGXCPU.
PROCESSOR_MAX_S = 150


def live(seed: int) -> dict[str, Any]:
    """Live through the week of a seed; whatever keeps it from ending breaks a promise as well (rule `ran`)."""
    script = draw_script(seed)
    days = (script.calm_s + script.settling_s) / DAY_S
    try:
        history = run(script)
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything
        return {"days": days, "broken": {"ran": [days, f"{type(error).__name__}: {error}"[:300]]}}
    broken: dict[str, list[Any]] = {}
    for violation in check(history):
        if "memory more than at the start" in violation.what:
            continue  # of a process that has just begun, and is still loading what it needs
        day = _day(history, violation.line, days)
        if violation.rule not in broken or day < broken[violation.rule][0]:
            broken[violation.rule] = [day, str(violation)[:300]]
    return {"days": days, "broken": broken}


def _day(history: History, line: int, days: float) -> float:
    if not line:
        return days
    return min(days, (history.lines[line - 1].at - history.lines[0].at) / DAY_S)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_MAX_S, PROCESSOR_MAX_S + 5))
    print(json.dumps(live(int(sys.argv[1]))))
