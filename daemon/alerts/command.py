"""A way out through a program of the kiosk's owner: mail, a lamp, a telephone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from daemon.alerts.book import Message
from daemon.alerts.channel import Sent

_log = structlog.get_logger()

TIMEOUT_S: Final = 30.0
#: The end of what a program complains of says why.
COMPLAINT_MAX: Final = 500
#: What a program may know of punchd's surroundings; not where the key is, nor systemd's sockets.
_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "HOME")


class Command:
    """Runs one program a message, with the JSON on its standard input, in a process group of its own."""

    def __init__(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._argv, self._timeout_s = tuple(argv), timeout_s
        given = os.environ if environment is None else environment
        self._environment = {name: given[name] for name in _ENVIRONMENT if name in given}

    async def send(self, message: Message, body: bytes) -> Sent:
        """Run it to its end; whatever it started is gone afterwards."""
        log = _log.bind(code=message.code, channel="command")
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            log.warning("alert.failed", error=str(error))
            return Sent.FAILED
        try:
            async with asyncio.timeout(self._timeout_s):
                complaint = await _fed(process, body)
                status = await process.wait()
        except TimeoutError:
            log.warning("alert.failed", error=f"no end within {self._timeout_s:g} s; it was stopped")
            return Sent.REFUSED
        finally:
            await _ended(process)
        if status == 0:
            return Sent.DONE
        log.warning("alert.failed", exit_code=status, error=complaint)
        return Sent.REFUSED


async def _fed(process: asyncio.subprocess.Process, body: bytes) -> str:
    """Give it the message; the end of its standard error, which is read to its end so that it never waits for us."""
    assert process.stdin is not None
    assert process.stderr is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read
        process.stdin.write(body)
        await process.stdin.drain()
    process.stdin.close()
    complaint = b""
    while chunk := await process.stderr.read(4096):
        complaint = (complaint + chunk)[-COMPLAINT_MAX:]
    return complaint.decode("utf-8", "replace").strip()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Let nothing of the group stay behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
