"""The optional loopback port for a monitoring system: `GET /metrics` and nothing else."""

from __future__ import annotations

import ipaddress
import socket
import sqlite3
from http import HTTPStatus

import structlog
from aiohttp import web

from daemon.control.kiosk import Kiosk
from daemon.control.metrics import metrics
from daemon.control.openmetrics import CONTENT_TYPE

ALARM = "metrics_unavailable"
BACKLOG = 16


class MetricsListener:
    """Serves the numbers on the address of `[metrics] listen`. Where it cannot, that is an alarm and nothing worse."""

    def __init__(self, kiosk: Kiosk, *, grace_s: float) -> None:
        self._kiosk = kiosk
        self._grace_s = grace_s
        self._runner: web.ServerRunner | None = None
        self.address: tuple[str, int] | None = None
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen, where it is configured. A port that is taken stops nobody from tapping: it raises an alarm."""
        where = self._kiosk.config.metrics_listen
        if not where:
            return
        try:
            sock = bound(where)
        except OSError as error:
            structlog.get_logger().error("metrics.unavailable", listen=where, error=str(error))
            self._kiosk.alarms.set(
                ALARM,
                f"Cannot serve metrics on {where}: {error.strerror}. Free that address, or name another in [metrics] "
                "listen; then restart punchd",
            )
            return
        server = web.Server(self._answer, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=self._grace_s)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        self.address = sock.getsockname()[:2]

    async def stop(self) -> None:
        """Listen no longer."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner, self.address = None, None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.rel_url.raw_path != "/metrics":
            return _plain(HTTPStatus.NOT_FOUND, "Nothing but /metrics is served here.\n")
        if request.method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET.\n")
        try:
            body = await metrics(self._kiosk)
        except sqlite3.Error as error:
            structlog.get_logger().error("metrics.failed", error=str(error))
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "Cannot read the database; see punchctl doctor.\n")
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE, "Server": "punchd"})


def bound(where: str) -> socket.socket:
    """A listening TCP socket at `HOST:PORT` (an IPv6 host in brackets). Raises OSError."""
    host, _, port = where.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        # A restart must not wait for connections of before.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _plain(status: HTTPStatus, text: str) -> web.Response:
    return web.Response(text=text, status=status, headers={"Server": "punchd"})
