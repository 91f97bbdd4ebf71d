"""A server on loopback that does with each connection exactly what a test says, down to the byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

#: What a test does with one connection; it is closed afterwards.
Script = Callable[["Connection"], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. Header names are lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: list[Asked] = field(default_factory=list)

    async def request(self) -> Asked:
        """The next request, whole. Raises IncompleteReadError when the client closed instead."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip().split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (one.partition(":") for one in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(line, headers, body))
        return self.asked[-1]

    async def answer(self, raw: bytes) -> None:
        """Send these bytes."""
        self.writer.write(raw)
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the client closes."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ScriptedServer:
    """Runs `script` for every connection; `connections` and `asked` tell what came."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.connections: list[Connection] = []
        self.ended = 0
        self._closing = False

    async def until_ended(self, count: int) -> None:
        """Wait until the scripts of this many connections have ended."""
        while self.ended < count:
            self._changed.clear()
            await self._changed.wait()

    @property
    def asked(self) -> list[Asked]:
        """All requests, connection by connection."""
        return [asked for connection in self.connections for asked in connection.asked]

    @property
    def url(self) -> str:
        """Its base URL, by the name that certificates are made out to."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:  # fmt: skip
        self._server.close()
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            await self._script(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; what it did is for the test to judge
        except asyncio.CancelledError:
            if not self._closing:
                raise
        finally:
            self._tasks.discard(task)
            writer.close()
            self.ended += 1
            self._changed.set()


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names with _ for -."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(raw: bytes) -> Script:
    """Answer every request of every connection with these bytes, and keep the connection."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.answer(raw)

    return script
