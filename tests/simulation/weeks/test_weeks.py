"""Weeks are the same again under their seed, made shorter without losing what breaks, and written down as they are."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.script import Event, KioskSetting, Person, Script
from tests.simulation.weeks.shrink import shrink

DIGEST = """
import hashlib, sys
from dataclasses import replace
from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.run import run
week = draw_script(int(sys.argv[1]))
two_days = tuple(event for event in week.events if event.at < 2 * 86400)
history = run(replace(week, events=two_days, calm_s=2 * 86400, settling_s=3600))
print(hashlib.sha256(history.dump().encode()).hexdigest())
"""


def digest(seed: int, hash_seed: int) -> str:
    """What a process of its own makes of a seed."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(
        [sys.executable, "-c", DIGEST, str(seed)], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_seed_is_a_history_to_the_byte():
    """Two processes that order their sets differently live through the same week; another seed is another week."""
    once = digest(11, 1)
    assert once == digest(11, 2)
    assert once != digest(12, 1)


def test_a_script_is_read_back_as_it_was_written():
    """So that a failing week can be kept in a file."""
    script = draw_script(5)
    assert Script.load(script.dump()).dump() == script.dump()


def test_a_script_is_made_as_short_as_what_breaks_allows():
    """Of two hundred events the two remain that are needed together."""
    people = tuple(Person(str(101 + n), f"Person {n}", f"04A1B2C3D4{n:04d}") for n in range(10))
    events = tuple(Event(float(n), "tap" if n % 3 else "down", {"person": str(101 + n % 10)}) for n in range(200))
    script = Script(
        1,
        "2026-11-30",
        "Europe/Amsterdam",
        "expert",
        people,
        (KioskSetting("front-door", {"front": "toggle"}),),
        events,
    )

    def breaks(shorter: Script) -> bool:
        return {33.0, 150.0} <= {event.at for event in shorter.events}

    assert [event.at for event in shrink(script, breaks, 60).events] == [33.0, 150.0]


def test_the_command_lives_weeks_in_processes_of_their_own(tmp_path):
    """Two weeks of two people, two at a time, and what came of them."""
    words = ["run", "--weeks", "2", "--seed", "3", "--people", "2", "--jobs", "2", "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.weeks", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 weeks from seed 3" in done.stdout
    assert "0 broke a promise" in done.stdout
