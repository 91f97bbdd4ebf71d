"""What people decide with, on a bench of delivery."""

from __future__ import annotations

import random

from daemon.config import AttendanceConfig
from daemon.intake.decisions import Decisions
from daemon.intake.intake import Intake
from tests.support.delivery_bench import Bench


def intake_of(bench: Bench) -> Intake:
    """As the service builds it."""
    return Intake(
        bench.db,
        bench.timekeeper,
        attendance=AttendanceConfig(),
        readers=(),
        alarms=bench.alarms,
        events=bench.events,
        chance=random.Random(3),
        on_punch=lambda punch: bench.delivery.wake(punch.user_id),
    )


def decisions(bench: Bench) -> Decisions:
    """As the service builds them."""
    return Decisions(bench.db, intake_of(bench), bench.timekeeper)
