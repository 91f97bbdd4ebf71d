"""One instance a state directory: a lock the kernel gives back however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from daemon.errors import READ_ONLY, AlreadyRunningError, StorageBusyError, StorageError


class InstanceLock:
    """Holds `punchd.lock` of a state directory (made if its parent is there). Use as a context manager."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._fd: int | None = None

    def __enter__(self) -> InstanceLock:
        """Take the lock. Raises AlreadyRunningError, or StorageError where the directory cannot be used."""
        try:
            self._state_dir.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(self._state_dir / "punchd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.EROFS:
                raise StorageBusyError(f"cannot use the state directory {self._state_dir}: {READ_ONLY}") from error
            kind = StorageBusyError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else StorageError
            raise kind(
                f"cannot use the state directory {self._state_dir}: {error.strerror}; "
                "make it and give it to the user of the service, or name another (kiosk.state_dir)"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise AlreadyRunningError(
                f"cannot start: punchd already runs on {self._state_dir} (process {holder}); "
                "stop that one first (systemctl stop punchd), or give this one a state_dir of its own"
            ) from error
        self._fd = fd
        with suppress(OSError):  # the number is for people; on a full disk the lock holds without it
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go. The file stays: removing it would let two hold locks on two files of one name."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
