"""TLS before the sandbox, so that the kiosk speaks to it as to the real service, by a name and with a certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import trustme

PATIENCE_S = 60.0


@contextmanager
def tls_front(host: str, port: int, name: str) -> Iterator[tuple[int, str]]:
    """Serve `name` over TLS on a free port of loopback, and pass on to (host, port); the port, and the CA as PEM."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))

    async def serve() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
        started.set_result((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="tls-front", daemon=True)
    thread.start()
    own_port, loop, stop = started.result(PATIENCE_S)
    try:
        yield own_port, authority.cert_pem.bytes().decode()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        with contextlib.suppress(OSError):
            writer.close()
