"""What one request told about the key to the service, in words for the person who asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.timesheets.timesheet import (
    CertificateTime,
    KeyRefused,
    Misconfigured,
    NotSent,
    Proven,
    Refused,
    Reply,
    Throttled,
    Uncertain,
)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """`valid` is None where the service did not say. `changed`: another key was in the file than the one in use."""

    valid: bool | None
    changed: bool
    account: str | None
    status: int | None
    text: str
    remedy: str


def key_check(reply: Reply, *, changed: bool) -> KeyCheck:
    """What the answer to a probe says of the key."""
    valid, text, remedy = _judged(reply)
    account = reply.outcome.account if isinstance(reply.outcome, Proven) else None
    return KeyCheck(valid, changed, account, reply.status, text, remedy)


def unreadable(why: str) -> KeyCheck:
    """The key could not even be read; nothing was sent."""
    return KeyCheck(False, False, None, None, why, "Let the service's user read the key file, then check again.")


def _judged(reply: Reply) -> tuple[bool | None, str, str]:
    match reply.outcome:
        case Proven(account):
            return True, f"The service takes the key{f' of {account}' if account else ''}.", ""
        case KeyRefused(status, detail):
            remedy = "Make a new key in Connecteam and write it into the key file, then check again."
            return False, f"The service refuses the key ({status}): {detail}", remedy
        case NotSent(why) | CertificateTime(why):
            return None, f"The service was not reached: {why}", "Look at network and clock, then check again."
        case Throttled():
            return None, "The account's requests are used up for now.", "Check again later."
        case Misconfigured(_, detail) | Refused(_, detail):
            return None, f"The service did not say: {detail}", "See that base_url is the service's address."
        case Uncertain(why, _):
            return None, f"What answered proved nothing: {why}", "Look for a proxy or portal on the way; check again."
    return None, "What answered proved nothing.", "Check again."
