"""One canonical form per badge, whoever names it: an NFC reader, a scanner that types, or an operator. PURE.

A UID is the upper-case hex of its bytes, first byte first: `04A22B19C45E80`. Any other text is kept as it is, without
the white space around it. Text that can only be read as pairs of hex digits is taken for a UID (`04:a2:2b`, `04-A2-2B`,
`04 a2 2b` and `04a22b` are one badge), so that a badge has one identity on every reader and in every import.
"""

from __future__ import annotations

import re

#: Longer than any UID (10 bytes) and any number a scanner types; short enough for a log line and a screen.
LENGTH_MAX = 64
#: ISO 14443-3 knows UIDs of 4, 7 and 10 bytes; other cards' identifiers are not longer than this.
UID_BYTES_MAX = 32

#: Pairs of hex digits, all parted by the same sign or by none.
_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(?:([:\- ]?)[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2})*)?")


class InvalidBadge(ValueError):
    """This cannot be a badge; the message says why and what would be one."""


def canonical(text: str) -> str:
    """The canonical form of what was typed, scanned or imported; applying it twice changes nothing.

    Raises InvalidBadge for what is empty, longer than 64 characters or not printable.
    """
    kept = text.strip()
    if not kept:
        raise InvalidBadge("it is empty; a badge has 1 to 64 printable characters")
    if len(kept) > LENGTH_MAX:
        raise InvalidBadge(f"it has {len(kept)} characters; a badge has 1 to {LENGTH_MAX}")
    if not kept.isprintable():
        raise InvalidBadge("it has characters that cannot be printed; a badge has 1 to 64 printable characters")
    if _PAIRS.fullmatch(kept):
        return re.sub(r"[:\- ]", "", kept).upper()
    return kept


def from_uid(uid: bytes) -> str:
    """The badge of an NFC card's UID. Raises InvalidBadge for an empty or overlong one."""
    if not 1 <= len(uid) <= UID_BYTES_MAX:
        raise InvalidBadge(f"its UID has {len(uid)} bytes; a UID has 1 to {UID_BYTES_MAX}")
    return uid.hex().upper()


def is_unstable(badge: str) -> bool:
    """Whether a canonical badge is an NFC UID made up anew at each tap: 4 bytes beginning 08 (ISO 14443-3, facts 4.1).

    Phones and some cards do that. Meant for NFC readers' badges: eight digits typed by a scanner are no UID.
    """
    return len(badge) == 8 and badge.startswith("08") and _PAIRS.fullmatch(badge) is not None
