"""One canonical form per badge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.badge import LENGTH_MAX, InvalidBadge, canonical, from_uid, is_unstable


@pytest.mark.parametrize("text", ["04:a2:2b", "04-A2-2B", "04 a2 2b", "04a22b", "  04A22B\n"])
def test_every_way_to_write_a_uid_is_one_badge(text: str) -> None:
    """However an operator writes a UID, it is the upper-case hex an NFC reader yields."""
    assert canonical(text) == from_uid(bytes.fromhex("04A22B")) == "04A22B"


@pytest.mark.parametrize(
    "text", ["EMP-0042", "0012345", "a:b:c", "04:a2-2b", "12-345678", "Zo\u00eb 1", "abc", "0x04a22b"]
)
def test_other_texts_are_kept_as_they_are(text: str) -> None:
    """What cannot only be pairs of hex digits keeps its case and its signs."""
    assert canonical(f" {text}\t") == text


@pytest.mark.parametrize("text", ["", " \t\n", "x" * (LENGTH_MAX + 1), "12\x0034", "12\n34", "\ud800", "a\u200bb"])
def test_what_is_no_badge_is_refused_with_words(text: str) -> None:
    """Empty, overlong and unprintable texts raise, and say what a badge has."""
    with pytest.raises(InvalidBadge, match="a badge has 1 to 64"):
        canonical(text)


@given(st.text())
def test_canonical_is_printable_short_and_applied_twice_the_same(text: str) -> None:
    """For every text: refused, or a form within the limits on which nothing more is to be done."""
    try:
        badge = canonical(text)
    except InvalidBadge:
        return
    assert badge.isprintable()
    assert 1 <= len(badge) <= LENGTH_MAX
    assert badge == badge.strip()
    assert canonical(badge) == badge


@given(st.binary(min_size=1, max_size=32), st.sampled_from([":", "-", " ", ""]), st.booleans())
def test_a_readers_uid_and_its_typed_form_are_one(uid: bytes, sign: str, upper: bool) -> None:
    """For every UID and every way to write it that fits a badge."""
    text = sign.join(f"{byte:02X}" if upper else f"{byte:02x}" for byte in uid)
    if len(text) <= LENGTH_MAX:
        assert canonical(text) == from_uid(uid)


@pytest.mark.parametrize("uid", [b"", bytes(33)])
def test_a_uid_of_impossible_length_is_refused(uid: bytes) -> None:
    """No badge is made of nothing, nor of more than a UID can be."""
    with pytest.raises(InvalidBadge):
        from_uid(uid)


@pytest.mark.parametrize(
    ("badge", "unstable"),
    [("08A1B2C3", True), ("08123456", True), ("04A1B2C3", False), ("08A1B2C3D4E5F6", False), ("08", False)],
)
def test_random_uids_are_four_bytes_beginning_08(badge: str, unstable: bool) -> None:
    """Only 4-byte UIDs that begin with 08 are made up anew at each tap."""
    assert is_unstable(badge) is unstable


def test_a_text_that_only_looks_like_it_is_not_unstable() -> None:
    """Eight characters beginning 08 that are no hex are a badge like any other."""
    assert not is_unstable("08-STAFF")
