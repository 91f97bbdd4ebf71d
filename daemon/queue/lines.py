"""The copy's lines: one JSON document each, with a checksum of its own, so that a torn or damaged one shows. Pure.

    {"sum":"9f86d081884c7d65","is":"punch",…}

`sum` is the first 16 hexadecimal digits of the SHA-256 of the document without it. What every line says besides:
`of` (the origin of the chain it belongs to), `n` and `j` (how far in the chain and in the journal the copy reaches
with it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

_BEFORE, _AFTER, _DIGITS = b'{"sum":"', b'",', 16
_PREFIX = len(_BEFORE) + _DIGITS + len(_AFTER)
#: A line longer than this is none of ours: the longest holds one punch with its detail.
LINE_MAX: Final = 64 * 1024

Record = dict[str, Any]


def encode(record: Record) -> bytes:
    """One record as a line, with its line end."""
    body = json.dumps(record, separators=(",", ":")).encode()
    return b"".join((_BEFORE, _sum(body), _AFTER, body[1:], b"\n"))


def decode(line: bytes) -> Record | None:
    """The record of a whole line (its line end may be missing); None when it is torn, damaged or none of ours."""
    line = line.removesuffix(b"\n")
    if not line.startswith(_BEFORE) or line[_PREFIX - len(_AFTER) : _PREFIX] != _AFTER:
        return None
    body = b"{" + line[_PREFIX:]
    if _sum(body) != line[len(_BEFORE) : len(_BEFORE) + _DIGITS]:
        return None
    record = json.loads(body)  # it is what was written: the sum says so
    return record if isinstance(record, dict) else None


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a file read in pieces, each with its line end but perhaps the last; what has none for long is cut."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
        while len(rest) > LINE_MAX:
            yield rest[:LINE_MAX]
            rest = rest[LINE_MAX:]
    if rest:
        yield rest


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_DIGITS].encode()
