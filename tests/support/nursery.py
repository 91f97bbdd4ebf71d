"""Many punchds one after another: each a process of its own, none of which loads Python and its libraries again.

`python -m tests.support.nursery` loads everything once and forks a punchd for each line of JSON it reads: the same
program from its command line on, as `punchd run --config FILE`, which is ready in a tenth of the time. `--unsynced`
lets them commit without syncs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

#: Reached only when something is broken.
PATIENCE_S = 60.0


class Newborn:
    """One punchd that the nursery started; `code` is its exit code as of subprocess (negative: a signal)."""

    def __init__(self, nursery: Nursery, config: Path, log: Path) -> None:
        address = f"\0punchd-nursery-{os.getpid()}-{config}"
        self._nursery = nursery
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(address)
        self._manager.settimeout(PATIENCE_S)
        self.log = log
        self.pid = nursery.ask({"config": str(config), "notify": "@" + address[1:], "log": str(log)})
        self.code: int | None = None

    def heard(self, word: str) -> None:
        """Wait until systemd would have heard `word`."""
        while word not in self._manager.recv(4096).decode().split("\n"):
            pass

    def ready_or_ended(self) -> int | None:
        """Wait until it is ready (None) or has ended (its exit code)."""
        ended = os.pidfd_open(self.pid)
        try:
            while not select.select([ended], [], [], 0)[0]:
                self._manager.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    self.heard("READY=1")
                    return None
        finally:
            self._manager.settimeout(PATIENCE_S)
            os.close(ended)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        if self.code is None:
            self.code = self._nursery.ask({"wait": self.pid})
            self._manager.close()
        return self.code

    def stopped(self) -> int:
        """SIGTERM, and wait for the end."""
        if self.code is None:
            end = os.pidfd_open(self.pid)
            try:
                os.kill(self.pid, signal.SIGTERM)
                ended, *_ = select.select([end], [], [], PATIENCE_S)
            finally:
                os.close(end)
            assert ended, f"punchd does not stop; its log is {self.log}"
        return self.ended()

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def go_on(self) -> None:
        """SIGCONT, after a SIGSTOP."""
        os.kill(self.pid, signal.SIGCONT)

    def killed(self) -> None:
        """SIGKILL, and wait for the end; safe to repeat."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()

    def threads(self) -> list[int]:
        """Its threads, in the order in which they began."""
        return sorted(int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir())


class Nursery:
    """The process that forks them."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery", *options],
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,  # Ctrl-C is for whoever asks
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, config: Path, log: Path) -> Newborn:
        """A punchd that is ready for taps. `log` is appended to."""
        newborn = self.begin(config, log)
        newborn.heard("READY=1")
        return newborn

    def begin(self, config: Path, log: Path) -> Newborn:
        """A punchd that is about to start."""
        return Newborn(self, config, log)

    def ask(self, question: dict[str, object]) -> int:
        """One question and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery has ended; what it said stands above, or on standard error"
        return int(answer)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=PATIENCE_S)


def main() -> None:
    """Fork and wait, as asked on standard input."""
    from daemon import app, cli  # noqa: F401  # all that a service needs, loaded once

    if "--unsynced" in sys.argv:
        from tests.support.weakened import weaken

        weaken()
    alive: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            print(os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1]), flush=True)
            alive.remove(question["wait"])
            continue
        pid = os.fork()
        if pid == 0:
            _become(question)
            cli.main(["run", "--config", question["config"]])
        alive.add(pid)
        print(pid, flush=True)
    for pid in alive:  # whoever asked for them is gone
        os.kill(pid, signal.SIGKILL)


def _become(question: dict[str, str]) -> None:
    """Stand as a service does: its own notify socket, its log in a file, nothing to read."""
    os.environ["NOTIFY_SOCKET"] = question["notify"]
    nothing, log = os.open(os.devnull, os.O_RDWR), os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(log, 2)


if __name__ == "__main__":
    main()
