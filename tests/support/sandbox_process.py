"""A sandbox in a process of its own, for tests that must not share a loop with the daemon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from sandbox.handle import Sandbox
from sandbox.server import SandboxServer

ROOT = Path(__file__).resolve().parents[2]
#: For a subprocess' first line, or for a thread to end: generous, only ever reached when something is broken.
PATIENCE_S = 60.0


class SandboxAdmin:
    """Talks to a sandbox's admin routes (sandbox/admin.py). Blocking: not for the loop that serves them."""

    def __init__(self, admin_url: str) -> None:
        self._http = httpx.Client(base_url=f"{admin_url}/_sandbox", timeout=PATIENCE_S, trust_env=False)

    def get(self, path: str, /, **query: Any) -> Any:
        """The JSON of a GET; fails on anything but 200."""
        return self._told(self._http.get(path, params=query))

    def post(self, path: str, /, **document: Any) -> Any:
        """The JSON of a POST."""
        return self._told(self._http.post(path, json=document))

    def timesheet(self, user_id: str | None = None) -> list[dict[str, Any]]:
        """The rows of sandbox.handle.Row."""
        rows: list[dict[str, Any]] = self.get("/timesheet", **({"user_id": user_id} if user_id else {}))
        return rows

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The log."""
        entries: list[dict[str, Any]] = self.get("/requests", since=since)
        return entries

    def wait(self, **wanted: Any) -> list[dict[str, Any]]:
        """Wait for requests: path, method, user_id, state, count, since, timeout_s."""
        entries: list[dict[str, Any]] = self.get("/wait", **wanted)
        return entries

    def fault(self, **particulars: Any) -> int:
        """Set a fault; its id."""
        return int(self.post("/faults", **particulars)["id"])

    def clear_faults(self) -> None:
        """Clear all faults."""
        self._told(self._http.delete("/faults"))

    def release(self) -> int:
        """Let held requests go on."""
        return int(self.post("/release")["released"])

    def cable(self, state: str) -> None:
        """`up`, `refusing` or `cut`."""
        self.post("/cable", state=state)

    def edit(self, name: str, /, **arguments: Any) -> Any:
        """A manager's edit."""
        return self.post(f"/edits/{name}", **arguments)

    def close(self) -> None:
        """Drop kept connections."""
        self._http.close()

    @staticmethod
    def _told(response: httpx.Response) -> Any:
        assert response.status_code == 200, f"{response.status_code}: {response.text}"
        return response.json()


class SandboxProcess:
    """`python -m sandbox` as a child. `url` is the service, `admin` drives it."""

    def __init__(self, folder: Path, *arguments: str, module: str = "sandbox") -> None:
        command = [sys.executable, "-m", module, "--port", "0", "--files", str(folder), *arguments]
        self.key_file = folder / "connecteam.key"
        self.people_file = folder / "people.csv"
        # Unbuffered: what readline took ahead would be missing from what communicate returns.
        self._child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, bufsize=0)
        try:
            self.url = self._line("service")
            self.admin_url = self._line("admin")
            self.admin = SandboxAdmin(self.admin_url)
        except BaseException:
            self.stop()
            raise

    def _line(self, word: str) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline().decode()
        told, _, url = line.strip().partition(" ")
        assert told == word, f"the sandbox said {line!r} instead of its {word} address"
        return url

    def stop(self) -> str:
        """End it in order; what it printed after its addresses, the first time."""
        if hasattr(self, "admin"):
            self.admin.close()
        if self._child.poll() is not None:
            return ""
        self._child.terminate()
        said, _ = self._child.communicate(timeout=PATIENCE_S)
        return said.decode()

    @property
    def returncode(self) -> int | None:
        """Its exit code once it ended."""
        return self._child.poll()


@contextmanager
def sandbox_process(folder: Path, *arguments: str, module: str = "sandbox") -> Iterator[SandboxProcess]:
    """A sandbox in a process of its own for the length of a block."""
    process = SandboxProcess(folder, *arguments, module=module)
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def sandbox_thread(sandbox: Sandbox) -> Iterator[SandboxServer]:
    """The real server in a thread with a loop of its own, for the length of a block.

    Drive it through `SandboxAdmin(server.admin_url)`: the sandbox's objects belong to that loop. Reading
    `sandbox.timesheet()` after the block is safe.
    """
    started: Future[tuple[SandboxServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with SandboxServer(sandbox) as server:
            started.set_result((server, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    server, loop, stop = started.result(PATIENCE_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the sandbox's thread did not end"
