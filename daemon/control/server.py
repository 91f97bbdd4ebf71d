"""The two sockets: HTTP on status.sock (reads, badges masked) and control.sock (everything).

sockets = Sockets(kiosk, admin_group=None)
await sockets.start()      # raises AlreadyRunningError, ConfigError
await sockets.stop()       # under three seconds, also with streams open
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from daemon.control import views
from daemon.control.call import Answer, Call, Document, Rows, Text
from daemon.control.kiosk import Kiosk
from daemon.control.listener import MetricsListener
from daemon.control.problems import MEDIA_TYPE, Problem, ProblemError, malformed, problem_of
from daemon.control.routes import ROUTES, Access, Route, find
from daemon.control.sockets import BoundSocket, bind, peer_uid
from daemon.control.stream import WATCHERS_MAX, send_events
from daemon.errors import PunchdError, SocketGoneError

#: A caller on this machine that takes longer to send its few bytes has hung.
BODY_TIMEOUT_S = 30.0
#: How long requests that run may take at a stop; twice this passes at worst, and the promise is three seconds.
GRACE_S = 0.8
HEARTBEAT_S = 15.0
#: Whatever cleans up below /run takes a socket's file away without a word; looking costs two system calls.
LOOK_S = 60.0


class Sockets:
    """Both sockets, from start to stop."""

    def __init__(
        self,
        kiosk: Kiosk,
        *,
        admin_group: str | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        self._kiosk = kiosk
        self._admin_group = admin_group
        self._heartbeat_s = heartbeat_s
        self._routes = routes
        self._stopping = asyncio.Event()
        self._acting: set[asyncio.Task[Any]] = set()
        self._bound: list[BoundSocket] = []
        self._runners: list[web.ServerRunner] = []
        self._watchers = 0
        self.metrics = MetricsListener(kiosk, grace_s=GRACE_S)

    @property
    def status_path(self) -> Path:
        """Where status.sock is."""
        return self._kiosk.config.kiosk.runtime_dir / "status.sock"

    @property
    def control_path(self) -> Path:
        """Where control.sock is."""
        return self._kiosk.config.kiosk.runtime_dir / "control.sock"

    async def start(self) -> None:
        """Bind both and serve. Raises AlreadyRunningError or ConfigError; then nothing is left open."""
        try:
            await self._serve(self.control_path, 0o660 if self._admin_group else 0o600, Access.ACT, self._admin_group)
            await self._serve(self.status_path, 0o660, Access.READ, None)
            await self.metrics.start()
        except PunchdError:
            await self.stop()
            raise

    async def run(self) -> None:
        """Keep both sockets where people look for them, until cancelled; run again after a failure, it serves anew.

        Raises SocketGoneError when one of their files has gone: whoever connects would find nobody.
        """
        if not self._reachable():
            await self._end_all()
            self._stopping.clear()
            await self.start()
        await self._watch()

    async def _watch(self) -> None:
        while True:
            if not self._reachable():
                raise SocketGoneError(f"{self.control_path} or {self.status_path} has gone, and is made anew")
            await asyncio.sleep(LOOK_S)

    def _reachable(self) -> bool:
        return bool(self._bound) and all(bound.stands for bound in self._bound)

    async def stop(self) -> None:
        """Take no more requests, end all streams, let what acts come to its end, remove both files."""
        await self._end_all()

    async def _end_all(self) -> None:
        self._stopping.set()
        await asyncio.gather(self.metrics.stop(), *(runner.cleanup() for runner in self._runners))
        if self._acting:
            await asyncio.wait(self._acting, timeout=GRACE_S)
        for bound in self._bound:
            bound.remove()
        self._runners.clear()
        self._bound.clear()

    async def _serve(self, path: Path, mode: int, access: Access, group: str | None) -> None:
        bound = bind(path, mode, group)
        self._bound.append(bound)

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(request, access)

        runner = web.ServerRunner(_Server(answer, handler_cancellation=True), shutdown_timeout=GRACE_S)
        self._runners.append(runner)
        await runner.setup()
        await web.SockSite(runner, bound.sock).start()

    async def _answer(self, request: web.BaseRequest, access: Access) -> web.StreamResponse:
        """Any request to its answer; refusals of any part become problem documents."""
        try:
            route, call = await self._admit(request, access)
            work = route.handler(call)
            answer = await (self._to_the_end(work) if route.to_the_end else work)  # type: ignore[arg-type]
            return await self._send(request, answer, masks=access is Access.READ)
        except ProblemError as error:
            problem = error.problem
        except (PunchdError, sqlite3.Error) as error:
            problem = problem_of(error)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer broke off")  # the caller sees a cut-off answer, which is what it is
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            structlog.get_logger().error("control.failed", path=request.path, code=problem.code, detail=problem.detail)
        return problem_response(problem, self._headers())

    async def _admit(self, request: web.BaseRequest, access: Access) -> tuple[Route, Call]:
        """The route of a request and all it brought, or a ProblemError."""
        found = find(self._routes, request.method, request.rel_url.raw_path)
        if isinstance(found, list):
            raise ProblemError(_not_routed(request, found))
        if found.route.access is Access.ACT and access is Access.READ:
            raise ProblemError(
                Problem(
                    403,
                    "read_only",
                    "Cannot act through status.sock: it is for reading.",
                    f"Use {self.control_path} (as root or as the service's user, or in its admin group).",
                )
            )
        transport = request.transport
        if transport is None:
            raise ConnectionError("the caller hung up")
        return found.route, Call(
            kiosk=self._kiosk,
            by=f"uid:{peer_uid(transport.get_extra_info('socket'))}",
            params=found.params,
            query=tuple(request.query.items()),
            body=await read_body(request, found.route.body_max) if found.route.body_max else b"",
            content_type=request.content_type,
            may_act=access is Access.ACT,
        )

    async def _to_the_end(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Await what acts; when the caller hangs up it goes on by itself."""
        task = asyncio.create_task(work)
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)
        return await asyncio.shield(task)

    async def _send(self, request: web.BaseRequest, answer: Answer, *, masks: bool) -> web.StreamResponse:
        if isinstance(answer, Document):
            value = views.masked(answer.value) if masks else answer.value
            return web.Response(
                body=views.encoded(value) + b"\n",
                status=answer.status,
                content_type="application/json",
                headers=self._headers(),
            )
        if isinstance(answer, Rows):
            return await self._send_rows(request, answer, masks=masks)
        if isinstance(answer, Text):
            return await self._send_text(request, answer)
        if self._watchers >= WATCHERS_MAX:
            raise ProblemError(
                Problem(503, "too_many_watchers", f"Cannot follow: {WATCHERS_MAX} others do.", "End one of them.")
            )
        self._watchers += 1
        try:
            return await send_events(
                request,
                self._kiosk.events,
                self._stopping,
                headers=self._headers(),
                heartbeat_s=self._heartbeat_s,
                masks=masks,
            )
        finally:
            self._watchers -= 1

    async def _send_rows(self, request: web.BaseRequest, rows: Rows, *, masks: bool) -> web.StreamResponse:
        """One JSON array, a row a line, sent as it is read."""
        response = web.StreamResponse(headers={"Content-Type": "application/json", **self._headers()})
        opened = False
        async for piece in rows.pieces:
            for row in piece:
                text = views.encoded(views.masked(row) if masks else row)
                if not opened:
                    await response.prepare(request)
                await response.write((b",\n" if opened else b"[\n") + text)
                opened = True
        if not opened:
            await response.prepare(request)
        await response.write(b"\n]\n" if opened else b"[]\n")
        await response.write_eof()
        return response

    async def _send_text(self, request: web.BaseRequest, text: Text) -> web.StreamResponse:
        """Text as it is made; what fails before its first piece is still answered by a problem document."""
        headers = {"Content-Type": text.content_type, **self._headers(), **text.headers}
        response = web.StreamResponse(headers=headers)
        async for piece in text.pieces:
            if not response.prepared:
                await response.prepare(request)
            await response.write(piece)
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        return response

    def _headers(self) -> dict[str, str]:
        """What every answer says: the kiosk's zone and its best known time, for whoever shows times to people."""
        return {
            "Server": "punchd",
            "Cache-Control": "no-store",
            "Punchd-Timezone": str(self._kiosk.config.kiosk.timezone),
            "Punchd-Now": f"{self._kiosk.timekeeper.now():.3f}",
        }


class _Server(web.Server):
    """aiohttp's server, with our connections."""

    def __call__(self) -> web.RequestHandler:
        # Nothing is decompressed: a small body must not become a large one.
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is aiohttp's own word for "no access log"
            keepalive_timeout=75.0,
            lingering_time=1.0,
            auto_decompress=False,
        )


class _Connection(web.RequestHandler):
    """One connection; bytes that are no HTTP, and our own mistakes, are answered by problem documents."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what no handler caught: 500 without internals, 4xx for bytes that are no request."""
        if isinstance(exc, ConnectionError):
            raise exc  # the caller hung up: nobody failed, and nobody reads an answer
        log = structlog.get_logger()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("control.failed", path=request.path, exc_info=exc)
            problem = Problem(
                500,
                "internal",
                "Cannot answer: punchd failed on this request.",
                "Report it with the log: journalctl -u punchd",
            )
        else:
            log.debug("control.request_unreadable", status=status)
            problem = Problem(status, "malformed", "Cannot read the request: it is not HTTP.", "Use HTTP/1.1.")
        if request.writer.output_size > 0:
            raise ConnectionError("the answer broke off")
        response = problem_response(problem, {"Server": "punchd"})
        response.force_close()
        return response


def problem_response(problem: Problem, headers: dict[str, str]) -> web.Response:
    """A problem document as an answer."""
    return web.Response(
        body=views.encoded(problem.document()) + b"\n",
        status=problem.status,
        headers={"Content-Type": MEDIA_TYPE, **headers, **problem.headers},
    )


async def read_body(request: web.BaseRequest, most: int) -> bytes:
    """The body, at most `most` bytes. Raises ProblemError 413, 408 or 400."""
    too_large = ProblemError(
        Problem(413, "too_large", f"Cannot take the body: larger than {most} bytes.", "Send it in smaller parts.")
    )
    if (request.content_length or 0) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError as error:
        raise ProblemError(Problem(408, "too_slow", "Cannot wait longer for the body.", "Send it at once.")) from error
    except web.RequestPayloadError as error:
        raise malformed("Cannot read the body: it breaks off or is wrongly framed.", "Send it whole.") from error
    return bytes(body)


def _not_routed(request: web.BaseRequest, methods: list[str]) -> Problem:
    path = request.rel_url.raw_path
    if not methods:
        return Problem(404, "no_such_route", f"Cannot find {path}.", "See what exists: /v1/status, /v1/punches, …")
    allowed = ", ".join(methods)
    return Problem(
        405, "wrong_method", f"Cannot {request.method} {path}.", f"Use {allowed}.", headers={"Allow": allowed}
    )
