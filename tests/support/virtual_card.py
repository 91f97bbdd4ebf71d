"""NFC cards that exist only in a test, held to the readers of vsmartcard-vpcd.

Connecting to a reader's port on loopback puts the card on it, closing the connection takes it away. Frames both ways:
two bytes length (big-endian), then the payload. One byte from the reader is a control (0 power off, 1 power on, 2
reset, 4 asks for the ATR), anything longer a command, answered with a response.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

#: The ATR PC/SC readers make up for a MIFARE-like card.
ATR = bytes.fromhex("3B8F8001804F0CA000000306030001000000006A")
GET_UID = bytes.fromhex("FFCA000000")
OK = b"\x90\x00"
#: What cards and readers say of a command they do not know.
UNKNOWN_COMMAND = b"\x6d\x00"
ASKS_FOR_ATR = b"\x04"
#: A wait for a frame that will come; reached only when something is broken.
PATIENCE_S = 60.0

Answering = Callable[[bytes], bytes]


def telling(uid: str) -> Answering:
    """A card of this UID (hex): answers GET DATA with it, and every lights-and-buzzer command like an ACR122."""
    answers = {GET_UID: bytes.fromhex(uid) + OK}

    def answer(command: bytes) -> bytes:
        if command.startswith((b"\xff\x00\x40", b"\xff\x00\x52")):
            return OK
        return answers.get(command, UNKNOWN_COMMAND)

    return answer


class VirtualCard:
    """One card. `answer` maps a command to its response, in a thread of the card's own: it may block, as cards do.

    `put_on(port)` and `take_away()` may be repeated; `with card.on(port):` does both. `commands` is all it was asked.
    """

    def __init__(self, answer: Answering | str, atr: bytes = ATR) -> None:
        self._answer = telling(answer) if isinstance(answer, str) else answer
        self._atr = atr
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        #: Set once pcscd has seen the card (it asks for the ATR first of all).
        self.noticed = threading.Event()
        self.commands: list[bytes] = []
        self._asked = threading.Condition()

    def put_on(self, port: int) -> None:
        """Hold the card to the reader at `port`."""
        self.noticed.clear()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), name="virtual-card", daemon=True)
        self._thread.start()

    def take_away(self) -> None:
        """Take the card off; safe to repeat."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE_S)

    def wait_until_asked(self, times: int) -> None:
        """Wait until it got so many commands, counted from the first. Blocks."""
        with self._asked:
            if not self._asked.wait_for(lambda: len(self.commands) >= times, PATIENCE_S):
                raise TimeoutError(f"the card was asked {len(self.commands)} times, not {times}")

    def on(self, port: int) -> _Presence:
        """A context in which the card lies on the reader at `port`, already noticed by pcscd."""
        return _Presence(self, port)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                payload = _receive(connection)
                if payload == ASKS_FOR_ATR:
                    _send(connection, self._atr)
                    self.noticed.set()
                elif len(payload) > 1:
                    with self._asked:
                        self.commands.append(payload)
                        self._asked.notify_all()
                    _send(connection, self._answer(payload))


class _Presence:
    def __init__(self, card: VirtualCard, port: int) -> None:
        self._card = card
        self._port = port

    def __enter__(self) -> VirtualCard:
        self._card.put_on(self._port)
        if not self._card.noticed.wait(PATIENCE_S):
            raise TimeoutError("pcscd did not notice the card")
        return self._card

    def __exit__(self, *error: object) -> None:
        self._card.take_away()


def _receive(connection: socket.socket) -> bytes:
    (length,) = struct.unpack(">H", _exactly(connection, 2))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        # vpcd writes length and payload apart, so its kernel holds the payload back until the length is acknowledged,
        # which ours would put off for 40 ms, at each command. Linux forgets the wish: it is made anew each time.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError("the reader ended the connection")
        data += piece
    return data


def _send(connection: socket.socket, payload: bytes) -> None:
    connection.sendall(struct.pack(">H", len(payload)) + payload)
