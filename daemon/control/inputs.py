"""Reading what a request brought, strictly: every mistake is named, none reaches the other parts."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.control.problems import invalid, malformed
from daemon.control.times import checked, parse_instant

#: Names, ids, badges and reasons are short; a longer one is a mistake, and would not fit any screen.
TEXT_MAX = 500
#: In a query a bare plus means a space; whoever types an offset there by hand meant the plus.
_LOST_PLUS = re.compile(r"([Tt ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?) (\d\d:\d\d)$")


def parse_json(body: bytes) -> Any:
    """The JSON document of a body; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise malformed("Cannot read the body: it is not JSON.", "Send one JSON document in UTF-8.") from error


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


class Fields:
    """The members of a JSON object, or the parameters of a query. Raises ProblemError for whatever does not fit."""

    def __init__(self, values: Any, known: Iterable[str]) -> None:
        if not isinstance(values, Mapping):
            raise invalid("Cannot use the body: it is not a JSON object.", f"Send an object with {_listed(known)}.")
        self._values: Mapping[str, Any] = values
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(str(name), list(known), n=1)
                meant = f"Did you mean {near[0]}?" if near else f"Known here: {_listed(known)}."
                raise invalid(f"Cannot use {str(name)[:TEXT_MAX]!r}: no such parameter.", meant)

    def text(self, name: str) -> str:
        """A text that must be there."""
        value = self.maybe_text(name)
        if value is None:
            raise invalid(f"Cannot do this without {name}.", f"Give {name} as a text that is not empty.")
        return value

    def maybe_text(self, name: str) -> str | None:
        """A text, or None where it is absent, null or empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(f"Cannot use {name}: it is not a text.", f'Give it in quotes: "{name}": "…".')
        return clean(name, value)

    def maybe_instant(self, name: str) -> float | None:
        """An instant in Unix seconds, given as RFC 3339 with offset or as Unix seconds; None where absent."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, str):
                return parse_instant(_LOST_PLUS.sub(r"\1+\2", value))
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"cannot use {name} as a time; give RFC 3339 with an offset, or Unix seconds")
            return checked(float(value))
        except (ValueError, OverflowError) as error:
            raise invalid(
                f"{name}: {error}.", "Give RFC 3339 with an offset (2026-03-01T08:00:00+01:00) or Unix seconds."
            ) from error

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"Cannot use {name}: it is neither true nor false.", f"Give {name} as true, or leave it out.")
        return value

    def maybe_number(self, name: str, low: int, high: int) -> int | None:
        """A whole number in [low, high]; None where absent."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid(f"Cannot use {name} as it is.", f"Give a whole number from {low} to {high}.")
        return value


def clean(name: str, value: str) -> str:
    """The same text without spaces around it, if it is printable and short. Raises ProblemError otherwise."""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise invalid(f"Cannot use {name}: it holds control characters.", "Leave them out.")
    if len(value) > TEXT_MAX:
        raise invalid(f"Cannot use {name}: it is longer than {TEXT_MAX} characters.", "Shorten it.")
    return value.strip()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
