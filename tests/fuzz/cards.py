"""What a card, a reader or pcscd may answer: status words right and wrong, lengths, result codes, torn listings."""

from __future__ import annotations

from hypothesis import strategies as st

from drivers import pcsc_words

_STATUS = st.sampled_from([b"\x90\x00", b"\x62\x82", b"\x63\x00", b"\x6a\x81", b"\x6c\x04", b"\x6c\x00", b"\x61\x07"])
_DATA = st.binary(max_size=40) | st.sampled_from([b"", bytes(4), b"\x04\xa2\x2b\x19", bytes(300)])
#: An answer to a command: data and status, or any bytes at all.
ANSWERS = st.builds(bytes.__add__, _DATA, _STATUS | st.binary(min_size=2, max_size=2)) | st.binary(max_size=3)

_KNOWN_CODES = [code for name, code in vars(pcsc_words).items() if name.isupper() and isinstance(code, int)]
#: A result code of PC/SC, mostly that all is well.
CODES = st.sampled_from([0] * 200 + _KNOWN_CODES + [1, 0x7FFFFFFF, 0x80000000, 0x80100003, 0xFFFFFFFF])
#: What a reader's state may say, the counter in its high word included: mostly that it is empty, or that a card came.
STATES = st.sampled_from(
    [0x12] * 8 + [0x22, 0x10022, 0x30022] * 4 + [0x20012, 0x2A, 0x422, 4, 6, 8, 0, 2**31 - 1, 0xDEADBEEF]
)
