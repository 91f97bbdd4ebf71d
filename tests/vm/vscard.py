"""A card for QEMU's USB reader: the host's side of `ccid-card-passthru`.

Messages are three big-endian words (type, reader, length) and a body. QEMU is greeted, told of a reader, and then of
cards: an ATR puts one on, its removal takes it away; commands come and are answered in a thread.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
from pathlib import Path

from tests.support.virtual_card import ATR, telling

HEADER = struct.Struct(">III")
NEW_READER = 0xFFFFFFFF
GREETING = b"VSCD" + struct.pack(">II", 2, 0)
PATIENCE_S = 120.0


class Kind(enum.IntEnum):
    """What a message is."""

    INIT = 1
    ERROR = 2
    READER_ADD = 3
    READER_REMOVE = 4
    ATR = 5
    CARD_REMOVE = 6
    APDU = 7


class CardHolder:
    """Holds cards to one virtual reader. `close` when done."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._socket.settimeout(None)
        self._answer = telling("00")
        #: All that cards were asked, in order.
        self.commands: list[bytes] = []
        self._send(Kind.INIT, GREETING)
        self._send(Kind.READER_ADD, b"virtual\0")
        self._thread = threading.Thread(target=self._serve, name="card", daemon=True)
        self._thread.start()

    def put_on(self, uid: str) -> None:
        """Lay a card of this UID (hex) on the reader."""
        self._answer = telling(uid)
        self._send(Kind.ATR, ATR)

    def take_away(self) -> None:
        """Take it away again."""
        self._send(Kind.CARD_REMOVE, b"")

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)

    def _send(self, kind: Kind, body: bytes) -> None:
        reader = NEW_READER if kind in (Kind.INIT, Kind.READER_ADD) else 0
        self._socket.sendall(HEADER.pack(kind, reader, len(body)) + body)

    def _serve(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                kind, _, length = HEADER.unpack(self._exactly(HEADER.size))
                body = self._exactly(length)
                if kind == Kind.APDU:
                    self.commands.append(body)
                    self._send(Kind.APDU, self._answer(body))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise EOFError("QEMU hung up")
            data += piece
        return data
