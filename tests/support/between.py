"""What stands between a kiosk and its service: sees each request, and may answer it instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import httpx

from tests.support.town import Kiosk


class Between(httpx.AsyncBaseTransport):
    """Put into a kiosk's wire; `meet` may answer or raise, else the request goes on. `out_max`: at a time."""

    def __init__(self, kiosk: Kiosk, meet: Callable[[httpx.Request], httpx.Response | None] = lambda _: None) -> None:
        self._inner, self._meet = kiosk.wire.inner, meet
        self.out = self.out_max = 0
        kiosk.wire.inner = self

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry it."""
        self.out += 1
        self.out_max = max(self.out, self.out_max)
        try:
            return self._meet(request) or await self._inner.handle_async_request(request)
        finally:
            self.out -= 1

    async def aclose(self) -> None:
        """End what is under way."""
        await self._inner.aclose()


class Body(httpx.AsyncByteStream):
    """A body as a network brings it: not read yet (what httpx.Response is given as content already is)."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer that nobody has read yet."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return httpx.Response(status, headers=raw, stream=Body(body))
