"""One request as the handlers see it, and what they may answer: nothing of HTTP's machinery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.control.inputs import Fields, clean, parse_json
from daemon.control.kiosk import Kiosk
from daemon.control.problems import invalid


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `by` is who asks, as the journal names them (`uid:1000`); `may_act`: it came by control.sock."""

    kiosk: Kiosk
    by: str
    params: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes
    content_type: str
    may_act: bool = False

    def param(self, name: str) -> str:
        """A segment of the path."""
        return clean(name, self.params[name])

    def fields(self, *known: str) -> Fields:
        """The members of the JSON body; others than `known` are refused."""
        return Fields(parse_json(self.body), known)

    def filters(self, *known: str) -> Fields:
        """The parameters of the query; others than `known` are refused, and so is one given twice."""
        values: dict[str, str] = {}
        for name, value in self.query:
            if name in values:
                raise invalid(f"Cannot use {name} twice.", "Give it once.")
            values[name] = value
        return Fields(values, known)


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON document."""

    value: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Rows:
    """One JSON array that may be long: sent piece by piece, so that nothing else waits for it."""

    pieces: AsyncIterator[Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Watch:
    """Everything that happens from now on, as server-sent events."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of another kind than JSON, in UTF-8, sent piece by piece. It must hold no badge: it goes out unmasked."""

    pieces: AsyncIterator[bytes]
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Document | Rows | Watch | Text
