"""Pure: what was told and what still waits to get out, as one small document that survives a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from daemon.alerts.deciding import Change, Told

#: Nobody wants to know a week later; the last state of what still is wrong is told again by then.
WAITING_MAX_S = 7 * 86_400.0
#: Two messages an alarm and way out; more alarms than this never stand at once.
WAITING_MAX = 200
#: What its receiver refuses so often is not wanted.
REFUSALS_MAX = 10
#: Alarms are a sentence or two.
TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class Message:
    """One message by one way out (`channel`). `at` is when it was made; `refusals` how often it was not taken."""

    id: str
    channel: str
    code: str
    raised: bool
    since: float
    text: str
    at: float
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """What was told, by code, and the messages that wait, oldest first. Every change makes a new one."""

    told: dict[str, Told] = field(default_factory=dict)
    waiting: tuple[Message, ...] = ()

    def next(self, channel: str) -> Message | None:
        """The message a channel shall bring next."""
        return next((message for message in self.waiting if message.channel == channel), None)

    def tell(self, changes: Sequence[Change], channels: Sequence[str], now: float, new_id: Callable[[], str]) -> Book:
        """Note changes as told, with a message for each channel; what is too old or too much is let go."""
        told, waiting = dict(self.told), [m for m in self.waiting if abs(now - m.at) <= WAITING_MAX_S]
        for change in changes:
            text, message_id = change.text[:TEXT_MAX], new_id()
            told[change.code] = Told(change.raised, change.since, text, now)
            for channel in channels:
                same = [m for m in waiting if (m.channel, m.code) == (channel, change.code)]
                if len(same) >= 2:
                    # Raised and over again, or over and raised again: both together change nothing.
                    waiting = [m for m in waiting if m not in same]
                waiting.append(Message(message_id, channel, change.code, change.raised, change.since, text, now))
        return Book(told, tuple(waiting[-WAITING_MAX:]))

    def forget(self, now: float, gap_s: float) -> Book:
        """Without what is over and told longer ago than the gap: it says nothing any more."""
        told = {code: one for code, one in self.told.items() if one.raised or 0 <= now - one.at < gap_s}
        return replace(self, told=told)

    def sent(self, message: Message) -> Book:
        """Without a message that got through."""
        return replace(self, waiting=tuple(m for m in self.waiting if not _same(m, message)))

    def refused(self, message: Message) -> Book:
        """With a message that was not taken behind the others, or without it once that was often enough."""
        if not any(_same(m, message) for m in self.waiting):
            return self  # let go meanwhile
        rest = self.sent(message).waiting
        again = replace(message, refusals=message.refusals + 1)
        return replace(self, waiting=rest if again.refusals >= REFUSALS_MAX else (*rest, again))

    def to_json(self) -> str:
        """As text."""
        told = {code: asdict(one) for code, one in self.told.items()}
        document = {"told": told, "waiting": [asdict(message) for message in self.waiting]}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, channels: Sequence[str]) -> Book:
        """From text, without messages for channels that are there no more. Raises ValueError where it is none."""
        try:
            document = json.loads(text)
            told = {code: Told(**one) for code, one in document["told"].items()}
            waiting = tuple(Message(**one) for one in document["waiting"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a book of alerts: {error}") from error
        return cls(told, tuple(message for message in waiting if message.channel in channels))


def _same(one: Message, other: Message) -> bool:
    return (one.id, one.channel) == (other.id, other.channel)
