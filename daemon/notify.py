"""Telling systemd how the service is: sd_notify over $NOTIFY_SOCKET, silent where there is none."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

#: systemd reads one datagram; a status line is for people and stays short.
_STATUS_MAX = 200


class Notifier:
    """Sends state to the service manager. Never raises and never waits: a deaf manager must not stop taps."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """How often systemd wants to hear WATCHDOG=1 at the latest, None where it does not."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int | None = None) -> Notifier:
        """From $NOTIFY_SOCKET, and $WATCHDOG_USEC where $WATCHDOG_PID means this process or is not set."""
        period, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        ours = meant in ("", str(os.getpid() if pid is None else pid))
        watchdog_s = int(period) / 1e6 if period.isascii() and period.isdigit() and int(period) > 0 and ours else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog_s=watchdog_s)

    def ready(self, status: str) -> None:
        """The service takes taps (also after a reload)."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(text))

    def stopping(self, status: str = "stopping") -> None:
        """The service has begun to stop."""
        self._send("STOPPING=1", _status(status))

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it. The clock is what Type=notify-reload asks for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def watchdog(self) -> None:
        """The event loop runs."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Starting or stopping needs this much longer from now (a large migration, a slow disk)."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A leading @ stands for the NUL byte of an abstract address.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(), address)
        except OSError:
            return  # what it would have said stands in the log and in `punchctl status` as well


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_STATUS_MAX]
