"""The sandbox over real HTTP on loopback, with faults down to the connection.

Two ports: the service's own, which the cable cuts, and one for the admin routes alone, which stays reachable. The
service's port is kept reserved while the cable is cut, so that the service comes back at the same address.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import admin
from sandbox.cable import CableState
from sandbox.exchange import PADDING, Answered, exchange
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from sandbox.http import Request, Response

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

#: SO_LINGER on with no time: closing then sends a reset instead of an orderly end.
_LINGER_RESET = struct.pack("ii", 1, 0)
_BACKLOG = 128


class Listener:
    """One port of loopback that can stop and start listening at will, without losing its number."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler = handler
        self._web = web.Server(self._count, access_log=None)
        self._busy: dict[asyncio.Task[object] | None, asyncio.BaseTransport | None] = {}
        self._host = host
        self._reserved = _bound(host, port)
        self.port: int = self._reserved.getsockname()[1]
        self._opening: asyncio.Task[asyncio.Server] | None = None
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen: from here on connections succeed."""
        if self._socket is not None:
            return
        self._socket = _bound(self._host, self.port)
        self._socket.listen(_BACKLOG)
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(loop.create_server(self._web, sock=self._socket, backlog=_BACKLOG))

    def shut(self) -> None:
        """Stop listening: from here on connections are refused."""
        if self._socket is None or self._opening is None:
            return
        if self._opening.done():
            self._opening.result().close()
        else:
            self._opening.cancel()
        self._socket.close()
        self._socket = self._opening = None

    def reset_all(self) -> None:
        """Reset every connection, also one in the middle of a request."""
        for protocol in list(self._web.connections):
            reset(protocol.transport)

    def close_idle(self) -> None:
        """End every connection without a request under way; the others end with their answer."""
        for protocol in list(self._web.connections):
            if protocol.transport not in self._busy.values():
                _end(protocol.transport)

    async def settle(self) -> None:
        """Wait until what was reset or closed is seen so by the peers: transports end in the loop's next turn."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _count(self, incoming: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        self._busy[task] = incoming.transport
        try:
            response = await self._handler(incoming)
        finally:
            del self._busy[task]
        if self._socket is None and not response.prepared:
            response.force_close()
        return response

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        self.shut()
        self.reset_all()
        tasks = [task for task in self._busy if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What is left has nothing under way any more; aiohttp takes 0 for "without limit".
        await self._web.shutdown(1)
        self._reserved.close()


class SandboxServer:
    """A sandbox on loopback. Port 0 takes any free one; `port` and `admin_port` are what was taken.

    Create and use it inside the loop that serves it.
    """

    def __init__(self, sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0, admin_port: int = 0) -> None:
        self.sandbox = sandbox
        self._host = host
        self._service = Listener(self._serve, host, port)
        self._admin = Listener(self._administer, host, admin_port)
        self.port = self._service.port
        self.admin_port = self._admin.port

    @property
    def url(self) -> str:
        """The service's base URL."""
        return f"http://{self._host}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where /_sandbox/ is reachable whatever the cable does."""
        return f"http://{self._host}:{self.admin_port}"

    async def start(self) -> None:
        """Listen on both ports and follow the cable."""
        self.sandbox.cable.on_change.append(self._follow)
        self._admin.open()
        self._follow(self.sandbox.cable.state)

    async def stop(self) -> None:
        """Close both ports and all connections."""
        self.sandbox.cable.on_change.remove(self._follow)
        await self._service.stop()
        await self._admin.stop()

    async def settle(self) -> None:
        """After a change of the cable in this very loop: wait until the peers' sockets have seen it.

        A client that sends on a kept connection in the same turn of the loop would find it still open.
        """
        await self._service.settle()

    async def __aenter__(self) -> SandboxServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _follow(self, state: CableState) -> None:
        match state:
            case CableState.UP:
                self._service.open()
            case CableState.REFUSING:
                self._service.shut()
                self._service.close_idle()
            case CableState.CUT:
                self._service.shut()
                self._service.reset_all()

    async def _serve(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = await _request(incoming)
        if request.path.startswith(admin.PREFIX):
            return _response(await admin.handle(self.sandbox, request))
        outcome = await exchange(self.sandbox, request)
        if not isinstance(outcome, Answered):
            if outcome.how is Kind.DROP:
                _end(incoming.transport)
            else:
                reset(incoming.transport)
            return web.Response()  # goes nowhere
        if outcome.torn_at is None and not outcome.padding:
            return _response(outcome.response)
        return await _odd_answer(incoming, outcome)

    async def _administer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        return _response(await admin.handle(self.sandbox, await _request(incoming)))


async def serve_forever(server: SandboxServer, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with server:
        await stop.wait()


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection the hard way: the peer sees a reset."""
    if isinstance(transport, asyncio.Transport):
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()


def _end(transport: asyncio.BaseTransport | None) -> None:
    """End a connection in order: the peer sees its end."""
    if isinstance(transport, asyncio.Transport):
        transport.close()


async def _odd_answer(incoming: web.BaseRequest, outcome: Answered) -> web.StreamResponse:
    """A body that ends too early, or never seems to end."""
    body = outcome.response.body
    response = web.StreamResponse(status=outcome.response.status, headers=dict(outcome.response.headers))
    response.content_length = len(body) + outcome.padding
    try:
        await response.prepare(incoming)
        if outcome.torn_at is not None:
            await response.write(body[: outcome.torn_at])
            _end(incoming.transport)
            return response
        await response.write(body)
        left = outcome.padding
        while left > 0:
            await response.write(PADDING[:left])
            left -= len(PADDING)
        await response.write_eof()
    except ConnectionError:
        reset(incoming.transport)  # the client had enough
    return response


def _bound(host: str, port: int) -> socket.socket:
    """A socket on this address. Several may be bound to it at once as long as at most one listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


async def _request(incoming: web.BaseRequest) -> Request:
    body = await incoming.read()
    return Request.of(incoming.method, incoming.raw_path, headers=list(incoming.headers.items()), body=body)


def _response(response: Response) -> web.Response:
    return web.Response(status=response.status, headers=dict(response.headers), body=response.body)
