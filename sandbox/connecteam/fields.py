"""Reading a request's fields, gathering every complaint into one 422 the way the API words them (facts 1.9)."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.connecteam.errors import Refusal
from sandbox.http import Request


class Fields:
    """One JSON object of a body. Readers return a harmless value for a bad field and note the complaint.

    Unknown fields are ignored, as the API ignores what it does not accept (facts 1.5: a `manualBreaks` in a request
    is simply not seen, only `manualbreaks` is). `finish` raises what was noted.
    """

    def __init__(self, values: dict[str, Any], loc: tuple[str | int, ...], faults: list[dict[str, Any]]) -> None:
        self._values = values
        self._loc = loc
        self._faults = faults

    @classmethod
    def of(cls, request: Request) -> Fields:
        """The body of a request, which must be a JSON object."""
        try:
            values = request.document()
        except ValueError:
            values = None
        fields = cls(values if isinstance(values, dict) else {}, ("body",), [])
        if not isinstance(values, dict):
            fields.complain(None, "value is not a valid dict", "type_error.dict")
            fields.finish()
        return fields

    def complain(self, name: str | None, message: str, kind: str) -> None:
        """Note one complaint."""
        loc = [*self._loc, name] if name is not None else [*self._loc]
        self._faults.append({"loc": loc, "msg": message, "type": kind})

    def finish(self) -> None:
        """Raise the 422 if there is anything to complain of."""
        if self._faults:
            raise Refusal(422, "Validation error", faults=self._faults)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(name) is not None

    def need(self, name: str) -> None:
        """Complain when the field is missing or null."""
        if not self.has(name):
            self.complain(name, "field required", "value_error.missing")

    def integer(self, name: str, *, least: int | None = None) -> int | None:
        """An optional integer; a number in a string or with a fraction is none."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.complain(name, "value is not a valid integer", "type_error.integer")
            return None
        if least is not None and value < least:
            self.complain(name, f"ensure this value is greater than or equal to {least}", "value_error.number.not_ge")
        return value

    def text(self, name: str) -> str | None:
        """An optional string."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        self.complain(name, "str type expected", "type_error.str")
        return None

    def flag(self, name: str, default: bool) -> bool:
        """An optional boolean."""
        value = self._values.get(name, default)
        if isinstance(value, bool):
            return value
        self.complain(name, "value could not be parsed to a boolean", "type_error.bool")
        return default

    def zone(self, name: str = "timezone") -> str | None:
        """An optional IANA zone name."""
        value = self.text(name)
        if value is None:
            return None
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.complain(name, "invalid timezone", "value_error")
            return None
        return value

    def object(self, name: str) -> Fields | None:
        """An optional object."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.complain(name, "value is not a valid dict", "type_error.dict")
            return None
        return Fields(value, (*self._loc, name), self._faults)

    def objects(self, name: str, *, most: int) -> list[Fields]:
        """An optional array of at most `most` objects."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.complain(name, "value is not a valid list", "type_error.list")
            return []
        if len(value) > most:
            self.complain(name, f"ensure this value has at most {most} items", "value_error.list.max_items")
        return [Fields(item, (*self._loc, name, place), self._faults) for place, item in enumerate(value)]

    @property
    def raw(self) -> dict[str, Any]:
        """The object as it came."""
        return self._values


def query_day(request: Request, name: str) -> datetime.date:
    """A required `YYYY-MM-DD` of the query; 422 otherwise."""
    value = request.one(name)
    if value is None:
        fault = {"loc": ["query", name], "msg": "field required", "type": "value_error.missing"}
        raise Refusal(422, "Validation error", faults=[fault])
    try:
        if len(value) != len("2026-01-01"):
            raise ValueError(value)
        return datetime.date.fromisoformat(value)
    except ValueError as error:
        fault = {"loc": ["query", name], "msg": "invalid date format", "type": "value_error.date"}
        raise Refusal(422, "Validation error", faults=[fault]) from error


def query_integer(request: Request, name: str, default: int, least: int, most: int) -> int:
    """An optional integer of the query within limits; 422 otherwise."""
    value = request.one(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        fault = {"loc": ["query", name], "msg": f"must be {least} to {most}", "type": "value_error.number"}
        raise Refusal(422, "Validation error", faults=[fault])
    return number


def query_integers(request: Request, name: str) -> set[int] | None:
    """An optional array of integers, given by repeating the key; None when the key is absent.

    Values that are no integers, comma-joined lists among them, match nothing silently (facts 1.1).
    """
    values = request.every(name)
    return {int(value) for value in values if value.isdecimal()} if values else None
