"""`punchd run` as a process, as systemd runs it: with a notify socket, signals, and its log on stderr."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PATIENCE_S = 60.0
"""Only ever waited for when something is broken."""
_NUMBERS = itertools.count()


class Kiosk:
    """A folder with a configuration, a key, and directories for state and sockets."""

    def __init__(self, folder: Path, base_url: str = "http://127.0.0.1:9") -> None:
        self.folder = folder
        self.state, self.runtime, self.config = folder / "state", folder / "run", folder / "punchd.toml"
        self.key = folder / "key"
        self.key.write_text("a-key-for-tests-1")
        self.key.chmod(0o600)
        self.write(base_url=base_url)

    def write(self, *, base_url: str = "http://127.0.0.1:9", more: str = "", attendance: str = "") -> None:
        """Write the configuration: one simulated reader, a service on loopback."""
        self.config.write_text(
            f"""
[kiosk]
name = "front-door"
timezone = "Europe/Amsterdam"
state_dir = "{self.state}"
runtime_dir = "{self.runtime}"
[attendance]
{attendance}
[connecteam]
base_url = "{base_url}"
time_clock_id = 12345
api_key_file = "{self.key}"
{more}
[[readers]]
name = "front"
driver = "simulated"
"""
        )

    def ctl(self, *arguments: str) -> Any:
        """What `punchctl … --json` answers; fails where it does."""
        command = [sys.executable, "-m", "daemon.control.cli", "--json", "--socket", str(self.runtime / "control.sock")]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def running(self, **options: Any) -> Iterator[Punchd]:
        """punchd while a block lasts; killed afterwards where the block did not end it."""
        process = Punchd(self, **options)
        try:
            yield process
        finally:
            process.clean_up()


class Punchd:
    """The running process, and what systemd would have heard of it. `prefix` is a command that runs it.

    A long run needs a file as `stderr`: what is in a pipe that nobody reads stops it in the end.
    """

    def __init__(self, kiosk: Kiosk, prefix: Sequence[str] = (), stderr: int | IO[str] = subprocess.PIPE) -> None:
        # A program that is just being started elsewhere in this process may still hold the last one's for a moment.
        address = f"\0punchd-acceptance-{kiosk.folder}-{next(_NUMBERS)}"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(address)
        self._manager.settimeout(PATIENCE_S)
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "daemon.cli", "run", "--config", str(kiosk.config)],
            env={**os.environ, "NOTIFY_SOCKET": "@" + address[1:]},
            stderr=stderr,
            text=True,
        )
        self.log = ""

    def heard(self, word: str) -> str:
        """Wait until systemd would have heard `word` (such as READY=1); the whole message. Fails with its end."""
        while not self._ended_silent():
            message = self._manager.recv(4096).decode()
            if word in message.split("\n"):
                return message
        raise AssertionError(f"punchd ended with {self.ended()} before it said {word}:\n{self.log}")

    def _ended_silent(self) -> bool:
        """Wait for its next message or its end; whether it has ended and has nothing more to say."""
        if self.process.poll() is None:
            end = os.pidfd_open(self.process.pid)
            try:
                select.select([self._manager.fileno(), end], [], [], PATIENCE_S)
            finally:
                os.close(end)
        return self.process.poll() is not None and not select.select([self._manager], [], [], 0)[0]

    def until_status(self, status: str) -> None:
        """Wait until the status line is this."""
        self.heard(f"STATUS={status}")

    def signal(self, number: signal.Signals) -> None:
        """Send one signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end; the exit code, with the log in `log`."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        self.log = said or ""
        return self.process.returncode

    def stopped(self) -> int:
        """SIGTERM, and wait for the end."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def clean_up(self) -> None:
        """Let nothing stay behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self._manager.close()
