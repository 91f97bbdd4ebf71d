"""OpenMetrics 1.0 as text: families of samples in, one exposition out. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `kind` is gauge, counter or info; a counter's and an info's samples get their suffix in the text.

    `unit` is the last word of the name where there is one (seconds, bytes), as OpenMetrics wants it.
    """

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Labels, float]]
    unit: str = ""


_SUFFIXES = {"gauge": "", "counter": "_total", "info": "_info"}


def exposition(families: Iterable[Family]) -> bytes:
    """All families as OpenMetrics text in UTF-8, with its end mark; a family without samples is left out."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# TYPE {family.name} {family.kind}")
        if family.unit:
            lines.append(f"# UNIT {family.name} {family.unit}")
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        for labels, value in family.samples:
            listed = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            shown = f"{{{listed}}}" if listed else ""
            lines.append(f"{family.name}{_SUFFIXES[family.kind]}{shown} {_number(value)}")
    return ("\n".join([*lines, "# EOF"]) + "\n").encode("utf-8", "replace")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
