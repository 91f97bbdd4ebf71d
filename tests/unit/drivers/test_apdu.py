"""What cards answer, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.apdu import GET_UID, NoUid, Resend, Uid, has_lights, read_answer, show
from drivers.reader import Feedback

UID = bytes.fromhex("04A22B19C45E80")


@pytest.mark.parametrize("status", ["9000", "6282"])
def test_a_uid_that_came_is_taken(status: str) -> None:
    """90 00, and 62 82 (fewer bytes than asked for), carry the UID."""
    assert read_answer(UID + bytes.fromhex(status)) == Uid(UID)


def test_a_length_named_by_the_reader_is_asked_for() -> None:
    """6C 07: the same command with length 07."""
    assert read_answer(b"\x6c\x07") == Resend(bytes.fromhex("FFCA000007"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("6300", "could not read the card"),
        ("6A81", "cannot tell a UID"),
        ("6D00", "gave no UID"),
        ("9000", "without a UID"),
        ("", "no answer"),
        ("90", "no answer"),
    ],
)
def test_no_uid_says_why(answer: str, words: str) -> None:
    """Known refusals, unknown ones and answers that are none each say what they are."""
    told = read_answer(bytes.fromhex(answer))
    assert isinstance(told, NoUid)
    assert words in told.why


@given(st.binary(max_size=64))
def test_only_an_answer_that_says_so_yields_a_uid(answer: bytes) -> None:
    """For every answer: a UID comes only from 90 00 or 62 82 with something before it, and is what stood before it."""
    told = read_answer(answer)
    if isinstance(told, Uid):
        assert told.uid
        assert answer in (told.uid + b"\x90\x00", told.uid + b"\x62\x82")


def test_get_data_is_the_whole_uid() -> None:
    """FF CA 00 00 00 (facts 4.1)."""
    assert bytes.fromhex("FFCA000000") == GET_UID


def test_every_feedback_has_a_command_and_no_success_looks_like_a_refusal() -> None:
    """All are lights-and-buzzer commands of nine bytes; what was stored and what was not differ."""
    commands = {feedback: show(feedback) for feedback in Feedback}
    assert all(len(command) == 9 and command.startswith(b"\xff\x00\x40") for command in commands.values())
    stored = {Feedback.CLOCKED_IN, Feedback.CLOCKED_OUT, Feedback.ACCEPTED, Feedback.ENROLLED}
    assert not {commands[f] for f in stored} & {commands[f] for f in set(Feedback) - stored}


def test_only_an_acr122_is_sent_its_commands() -> None:
    """Other readers' cards would get a command they do not know."""
    assert has_lights("ACS ACR122U PICC Interface 00 00")
    assert not has_lights("OMNIKEY AG CardMan 5x21 00 01")
