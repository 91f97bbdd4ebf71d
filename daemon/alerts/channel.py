"""The seam to a way out: one message goes, and what came of it is a value. What a message looks like outside."""

from __future__ import annotations

import enum
import json
import math
from datetime import UTC, datetime
from typing import Protocol

from daemon.alerts.book import Message


class Sent(enum.Enum):
    """What came of one try."""

    DONE = "done"
    REFUSED = "refused"  # it got there, and was not taken
    FAILED = "failed"  # it did not get there, as far as is known


class Channel(Protocol):
    """A way out. Never raises for what the outside does; logs why something did not work."""

    async def send(self, message: Message, body: bytes) -> Sent:
        """Bring one message. Cancelled, it leaves nothing running; between messages nothing stays open."""


def body_of(message: Message, kiosk: str) -> bytes:
    """The message as it goes out: one JSON document."""
    since = datetime.fromtimestamp(max(0, math.floor(message.since)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "id": message.id,
        "code": message.code,
        "raised": message.raised,
        "since": since,
        "kiosk": kiosk,
        "text": message.text,
    }
    return json.dumps(document, ensure_ascii=False).encode()
