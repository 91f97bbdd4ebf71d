"""Steps as the queue stores them: a kind and plain JSON, both ways."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift, Write

_KINDS: Final[dict[str, type[Write]]] = {
    "open_shift": OpenShift,
    "end_shift": EndShift,
    "record_shift": RecordShift,
    "close_shift": CloseShift,
}


def encode(step: Write) -> tuple[str, dict[str, Any]]:
    """A step's kind and fields."""
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(step, cls))
    return kind, asdict(step)


def decode(kind: str, fields: dict[str, Any]) -> Write:
    """The step that was stored. Raises KeyError or TypeError for what `encode` never wrote."""
    return _KINDS[kind](**fields)
