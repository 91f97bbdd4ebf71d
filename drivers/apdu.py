"""What is said to a card and to an NFC reader, and what the answers mean. PURE: bytes in, values out.

Source: PC/SC part 3 GET DATA as in the readers' manuals (facts 4.1). The two last bytes of an answer are its status.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.reader import Feedback

#: GET DATA for the whole UID.
GET_UID = bytes.fromhex("FFCA000000")


@dataclass(frozen=True, slots=True)
class Uid:
    """The card told its UID."""

    uid: bytes


@dataclass(frozen=True, slots=True)
class Resend:
    """The reader wants the command again, with the length it named."""

    command: bytes


@dataclass(frozen=True, slots=True)
class NoUid:
    """No UID came; `why` says so in words, with the status."""

    why: str


Answer = Uid | Resend | NoUid


def read_answer(answer: bytes) -> Answer:
    """What the answer to GET_UID (or to its Resend) means. Anything unknown is NoUid: never a guessed UID."""
    if len(answer) < 2:
        return NoUid(f"the reader answered {len(answer)} bytes, which is no answer")
    data, status = answer[:-2], answer[-2:]
    # 62 82: fewer bytes than asked for; what came is whole, because all were asked for.
    if status in (b"\x90\x00", b"\x62\x82"):
        return Uid(data) if data else NoUid(f"the reader answered {status.hex(' ').upper()} without a UID")
    if status[0] == 0x6C:
        return Resend(GET_UID[:-1] + status[1:])
    match status:
        case b"\x63\x00":
            why = "the reader could not read the card"
        case b"\x6a\x81":
            why = "the card or the reader cannot tell a UID"
        case _:
            why = "the reader gave no UID"
    return NoUid(f"{why} (status {status.hex(' ').upper()})")


#: The reader's own beep at the sight of a card: off, because a beep means "stored" here (facts 4.1).
ACR122_QUIET = bytes.fromhex("FF00520000")
#: Both lights off, no beep: how it looks when nothing happens.
_GREEN_BEEP = bytes.fromhex("FF0040280402000101")
_GREEN_TWO_BEEPS = bytes.fromhex("FF0040280401010201")
_RED_THREE_BEEPS = bytes.fromhex("FF0040500401010203")
_AMBER_BLINK = bytes.fromhex("FF0040F00402020200")

_ACR122_SHOWN = {
    Feedback.CLOCKED_IN: _GREEN_BEEP,
    Feedback.CLOCKED_OUT: _GREEN_TWO_BEEPS,
    Feedback.ACCEPTED: _GREEN_BEEP,
    Feedback.ENROLLED: _GREEN_TWO_BEEPS,
    Feedback.REPEAT: _AMBER_BLINK,
    Feedback.WAIT: _AMBER_BLINK,
    Feedback.UNKNOWN_BADGE: _RED_THREE_BEEPS,
    Feedback.REFUSED: _RED_THREE_BEEPS,
}


def has_lights(reader_name: str) -> bool:
    """Whether the PC/SC reader of this name has the lights and the buzzer of an ACR122."""
    return "ACR122" in reader_name


def show(feedback: Feedback) -> bytes:
    """The command that lets an ACR122 show `feedback`; it holds the reader for less than a second."""
    return _ACR122_SHOWN[feedback]
