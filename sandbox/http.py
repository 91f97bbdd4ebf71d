"""A request and a response, free of any framework: one handler for a real server and an in-process transport."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

#: Answers are trees made for the purpose: nobody need look for circles in each.
_JSON = json.JSONEncoder(check_circular=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is decoded, `query` keeps repeated keys in their order, header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(
        cls,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        document: Any = None,
    ) -> Request:
        """A request from its target (`/path?query`), and either a raw body or a JSON document."""
        parts = urlsplit(target)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return cls(
            method.upper(),
            unquote(parts.path) or "/",
            tuple(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in pairs},
            body if document is None else json.dumps(document).encode(),
        )

    def document(self) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)

    def every(self, name: str) -> list[str]:
        """All values of a query key: arrays are sent by repeating the key (facts 1.1)."""
        return [value for key, value in self.query if key == name]

    def one(self, name: str) -> str | None:
        """The first value of a query key."""
        return next(iter(self.every(name)), None)


@dataclass(frozen=True, slots=True)
class Response:
    """One response, complete in memory."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, status: int, document: Any, headers: Mapping[str, str] | None = None) -> Response:
        """A response with a JSON document."""
        return cls(status, {"content-type": "application/json", **(headers or {})}, _JSON.encode(document).encode())

    @classmethod
    def page(cls, status: int, html: str) -> Response:
        """A response with an HTML page, as proxies and portals send."""
        return cls(status, {"content-type": "text/html; charset=utf-8"}, html.encode())

    def document(self) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)
