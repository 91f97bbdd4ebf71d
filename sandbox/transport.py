"""The sandbox in process: an httpx transport without sockets or threads, deterministic under virtual time.

What the network would do becomes what httpx would raise (the same expectations run over real sockets in
tests/integration/test_sandbox_both_ways.py):

    cable refusing or cut, refuse    ConnectError
    cable cut while under way        ReadError
    drop                             RemoteProtocolError
    reset                            ReadError
    hang, or slower than the client  ReadTimeout, after the client's own read timeout; the service goes on
    torn                             RemoteProtocolError, while the body is read
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from sandbox.cable import CableState
from sandbox.exchange import PADDING, Answered, Broken, exchange
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from sandbox.http import Request


class SandboxTransport(httpx.AsyncBaseTransport):
    """Carries httpx requests to a sandbox. Host and scheme are not looked at.

    A request whose client gave up goes on in the background, as it would on a server.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._under_way: dict[asyncio.Task[Answered | Broken], None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises what httpx raises."""
        if self._sandbox.cable.state is not CableState.UP:
            raise httpx.ConnectError("all connection attempts failed", request=request)
        task = asyncio.ensure_future(exchange(self._sandbox, await _request(request)))
        self._under_way[task] = None
        task.add_done_callback(self._forget)
        timeout_s = request.extensions.get("timeout", {}).get("read")
        done, _ = await asyncio.wait((task,), timeout=timeout_s)
        if not done:
            raise httpx.ReadTimeout("timed out", request=request)
        outcome = task.result()
        if isinstance(outcome, Answered):
            return _response(outcome)
        match outcome.how:
            case Kind.REFUSE:
                raise httpx.ConnectError("all connection attempts failed", request=request)
            case Kind.DROP:
                raise httpx.RemoteProtocolError("server disconnected without sending a response", request=request)
            case _:
                raise httpx.ReadError("connection reset", request=request)

    def _forget(self, task: asyncio.Task[Answered | Broken]) -> None:
        del self._under_way[task]

    async def aclose(self) -> None:
        """End what is still under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Body(httpx.AsyncByteStream):
    """An answer's body, with its padding or its sudden end."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, torn_at = self._answered.response.body, self._answered.torn_at
        if torn_at is not None:
            yield body[:torn_at]
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        yield body
        left = self._answered.padding
        while left > 0:
            yield PADDING[:left]
            left -= len(PADDING)


def _response(answered: Answered) -> httpx.Response:
    length = len(answered.response.body) + answered.padding
    headers = {**answered.response.headers, "content-length": str(length)}
    return httpx.Response(answered.response.status, headers=headers, stream=_Body(answered))


async def _request(request: httpx.Request) -> Request:
    target = request.url.raw_path.decode("ascii")
    return Request.of(request.method, target, headers=list(request.headers.multi_items()), body=await request.aread())
