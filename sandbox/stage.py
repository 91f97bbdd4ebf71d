"""Where the demo plays: a sandbox on loopback, and punchd as a process of its own in a folder that vanishes.

punchd is spoken to as anybody would: HTTP on its control socket.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from sandbox.handle import Sandbox
from sandbox.sample import config_snippet, employees_csv, populate, write_files
from sandbox.server import SandboxServer

ZONE = "Europe/Amsterdam"
READER = "front"
#: How long a request to the sandbox takes, and its answer again: slow enough to watch a queue drain.
LATENCY_S = 0.05
#: Only ever reached when something is broken.
PATIENCE_S = 30.0
#: Between two looks at what has no way of telling us.
LOOK_S = 0.1
#: A second tap of one person inside this is the same tap. Shorter than at a door, where it is a minute.
REPEAT_S = 5
#: An orderly stop of punchd takes far less; after this it is killed.
STOP_S = 10.0
DYING_S = 1.0
#: Socket paths longer than about 107 bytes do not exist, whatever TMPDIR says.
_FOLDER_MAX = 60
#: The checkout or the place of installation: the process must be the punchd this file belongs to.
_ROOT = Path(__file__).resolve().parents[1]
_CONFIG = """\
[kiosk]
name = "demo"
timezone = "{zone}"
state_dir = "{folder}/state"
runtime_dir = "{folder}/run"

[attendance]
repeat_tap_seconds = {repeat_s}

{connecteam}requests_per_minute = 200
timeout_seconds = 10
settle_seconds = 0.5
backoff_max_seconds = 1

[[readers]]
name = "{reader}"
driver = "simulated"
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class UnreachedError(DemoError):
    """Nothing listens on punchd's socket."""


class Kiosk:
    """A running punchd, by its control socket."""

    def __init__(self, http: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
        self._http = http
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def tap(self, badge: str) -> dict[str, Any]:
        """Present a badge to the reader; what the reader answers."""
        answer: dict[str, Any] = await self._ask("POST", "/v1/taps", json={"badge": badge, "reader": READER})
        return answer

    async def status(self) -> dict[str, Any]:
        """Everything `punchctl status` shows."""
        answer: dict[str, Any] = await self._ask("GET", "/v1/status")
        return answer

    async def reviews(self) -> list[dict[str, Any]]:
        """The punches that a person must decide."""
        answer: list[dict[str, Any]] = await self._ask("GET", "/v1/review")
        return answer

    async def meet(self, csv_text: str) -> None:
        """Import employees."""
        headers = {"content-type": "text/csv; charset=utf-8"}
        await self._ask("POST", "/v1/employees/import", content=csv_text.encode(), headers=headers)

    async def opened(self) -> None:
        """Wait until the reader takes taps."""
        async with _patience("punchd did not start", self):
            while True:
                try:
                    if (await self.status())["readers"][0]["state"] == "open":
                        return
                except UnreachedError:
                    pass  # its socket is not there yet
                await asyncio.sleep(LOOK_S)

    async def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until the status satisfies a condition; `what` says in words what did not happen otherwise."""
        async with _patience(what, self):
            while not condition(await self.status()):  # noqa: ASYNC110  # the event would be in another process
                await asyncio.sleep(LOOK_S)

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-10:])

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise DemoError(f"punchd has ended ({code}). Its log ends:\n{self.last_words()}")

    async def _ask(self, method: str, target: str, **content: Any) -> Any:
        try:
            response = await self._http.request(method, target, **content)
        except httpx.ConnectError as error:
            self._check_alive()
            raise UnreachedError(f"punchd cannot be reached. Its log ends:\n{self.last_words()}") from error
        except httpx.HTTPError as error:
            await _ended(self._process, DYING_S)  # its connections end a moment before it does
            self._check_alive()
            raise DemoError(f"punchd does not answer: {type(error).__name__} {error}") from error
        if response.status_code != httpx.codes.OK:
            raise DemoError(f"punchd refused {method} {target}: {response.text}")
        return response.json()


class Stage:
    """The sandbox, the kiosk and the cable between them."""

    def __init__(self, sandbox: Sandbox, server: SandboxServer, kiosk: Kiosk) -> None:
        self.sandbox = sandbox
        self.server = server
        self.kiosk = kiosk

    async def pull_cable(self) -> None:
        """Cut the network; a request under way is lost."""
        self.sandbox.cable.cut()
        await self.server.settle()

    def plug_cable(self) -> None:
        """Bring the network back."""
        self.sandbox.cable.restore()

    async def held(self, user_id: str) -> None:
        """Wait until the sandbox holds a request about this person."""
        async with _patience("punchd did not send the request that was to be caught", self.kiosk):
            await self.sandbox.log.until(lambda entry: entry.held and user_id in entry.user_ids)


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Everything up and ready for the first tap; nothing of it left afterwards. Raises DemoError."""
    roomy = None if len(tempfile.gettempdir()) <= _FOLDER_MAX else "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="punchd-demo-", dir=roomy))
    try:
        sandbox = Sandbox(timezone=ZONE, latency_s=LATENCY_S)
        populate(sandbox)
        async with SandboxServer(sandbox) as server, _punchd(folder, server.url) as kiosk:
            await kiosk.opened()
            await kiosk.meet(employees_csv())
            yield Stage(sandbox, server, kiosk)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _punchd(folder: Path, url: str) -> AsyncIterator[Kiosk]:
    config, log = folder / "punchd.toml", folder / "punchd.log"
    key_file, _ = write_files(folder)
    text = _CONFIG.format(
        zone=ZONE, folder=folder, repeat_s=REPEAT_S, connecteam=config_snippet(url, key_file), reader=READER
    )
    config.write_text(text, encoding="utf-8")
    # What a real kiosk's environment may hold must not reach this one.
    ours = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    process = _started([sys.executable, "-m", "daemon.cli", "run", "--config", str(config)], environment, log)
    try:
        transport = httpx.AsyncHTTPTransport(uds=str(folder / "run" / "control.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://punchd", timeout=PATIENCE_S) as http:
            yield Kiosk(http, process, log)
    finally:
        await _end(process)


def _started(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        # A session of its own: Ctrl-C is for the demo alone, which then stops punchd in order.
        return subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop in order, and by force where that does not help."""
    process.terminate()
    if not await _ended(process, STOP_S):
        process.kill()
        process.wait()


async def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Wait for its end; whether it came."""
    try:
        await asyncio.to_thread(process.wait, within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


@asynccontextmanager
async def _patience(what: str, kiosk: Kiosk) -> AsyncIterator[None]:
    """Bound a wait; when it ends, `what` did not happen."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError as error:
        message = f"{what} within {PATIENCE_S:.0f} s. punchd's log ends:\n{kiosk.last_words()}"
        raise DemoError(message) from error
