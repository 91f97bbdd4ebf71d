"""The shortest script that still breaks the same promise: parts are left out, smaller and smaller ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.simulation.weeks.script import Event, Script

T = TypeVar("T")


def shrink(script: Script, still_breaks: Callable[[Script], bool], limit_s: float) -> Script:
    """A script of which no small part can be left out, or the best one found within `limit_s` seconds of real time."""
    ends = time.monotonic() + limit_s

    def breaks(shorter: Script) -> bool:
        return time.monotonic() < ends and still_breaks(shorter)

    script = _fewer_people(script, breaks)
    script = replace(script, events=_fewer(script.events, lambda events: breaks(replace(script, events=tuple(events)))))
    last = max((event.at for event in script.events), default=0.0)
    for usual in ({"calm_s": last + 3600}, {"behaviour": {}}, {"limits": {}}, {"kiosks": script.kiosks[:1]}):
        plainer = replace(script, **usual)
        if plainer != script and _whole(plainer) and breaks(plainer):
            script = plainer
    return script


def _whole(script: Script) -> bool:
    """Whether each kiosk that an event names is there."""
    names = {kiosk.name for kiosk in script.kiosks}
    return all(event.data.get("kiosk", next(iter(names))) in names for event in script.events)


def _fewer_people(script: Script, breaks: Callable[[Script], bool]) -> Script:
    """Without what most people did: one person at a time says little, so halves first."""

    def of(people: Sequence[str]) -> Script:
        kept = [event for event in script.events if _who(event) is None or _who(event) in people]
        return replace(script, events=tuple(kept))

    everybody = tuple(person.user_id for person in script.people)
    return of(_fewer(everybody, lambda people: breaks(of(people))))


def _who(event: Event) -> str | None:
    who = event.data.get("person", event.data.get("user_id"))
    return None if who is None else str(who)


def _fewer(things: Sequence[T], breaks: Callable[[Sequence[T]], bool]) -> tuple[T, ...]:
    """Leave out what is not needed: halves first, then ever smaller parts."""
    kept, part = list(things), max(1, len(things) // 2)
    while kept:
        at, shorter = 0, False
        while at < len(kept):
            without = kept[:at] + kept[at + part :]
            if breaks(without):
                kept, shorter = without, True
            else:
                at += part
        if part == 1 and not shorter:
            break
        part = max(1, part // 2) if not shorter or part > 1 else 1
    return tuple(kept)
