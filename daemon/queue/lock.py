"""One punchd a state directory: two would deliver every punch twice."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from daemon.errors import AlreadyRunningError, StorageError

LOCK_NAME = "punchd.lock"


class InstanceLock:
    """The right to use a state directory, held from `acquire` until `release` or the end of the process.

    A kernel lock on an open file (flock): it cannot outlive its holder, so a power cut or a kill leaves nothing to
    clean up. The file stays and names the holder's pid, for the message only.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / LOCK_NAME
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunningError, which names the holder, or StorageError."""
        assert self._fd is None, "the lock is held already"
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"cannot use the state directory {self._path.parent}: {error.strerror}; create it and give it to the user "
                "that runs punchd, or set kiosk.state_dir"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise AlreadyRunningError(
                f"cannot start: punchd (pid {holder}) already uses {self._path.parent}; stop it first, or set another "
                "kiosk.state_dir"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> InstanceLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
