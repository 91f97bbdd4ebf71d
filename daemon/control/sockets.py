"""Unix sockets bound by ourselves: modes set before anybody can connect, stale files replaced, live ones refused."""

from __future__ import annotations

import grp
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import AlreadyRunningError, ConfigError

#: Linux keeps this many bytes for a socket's path (unix(7)), with the closing zero.
PATH_MAX = 107
BACKLOG = 64


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A listening socket and its file, which is ours as long as the inode is the same."""

    sock: socket.socket
    path: Path
    inode: int

    @property
    def stands(self) -> bool:
        """Whether its file is still there, and ours."""
        try:
            return self.path.lstat().st_ino == self.inode
        except OSError:
            return False

    def remove(self) -> None:
        """Close it, and remove its file unless another process has put its own there."""
        self.sock.close()
        try:
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()
        except FileNotFoundError:
            pass


def bind(path: Path, mode: int, group: str | None = None) -> BoundSocket:
    """Listen at `path` with exactly `mode`, for `group` where one is given.

    The socket is made beside its place and moved there when mode and group are right, so that it is never open to
    others, not for a moment; a file that a dead process left is replaced by the same move. Raises AlreadyRunningError
    when a live process listens there, ConfigError when nothing can be bound there.
    """
    if len(os.fsencode(path)) > PATH_MAX:
        raise ConfigError(f"Cannot bind {path}: longer than {PATH_MAX} bytes; choose a shorter [kiosk] runtime_dir.")
    # No longer than the place itself, because of PATH_MAX.
    beside = path.with_name("." + path.name[: max(1, len(path.name) - 4)] + "new")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_if_taken(path)
        beside.unlink(missing_ok=True)
        sock.bind(os.fspath(beside))
        os.chmod(beside, mode)
        if group is not None:
            os.chown(beside, -1, grp.getgrnam(group).gr_gid)
        sock.listen(BACKLOG)
        inode = beside.stat().st_ino
        beside.rename(path)
    except KeyError as error:
        sock.close()
        beside.unlink(missing_ok=True)
        raise ConfigError(f"Cannot open {path} to group {group}: no such group; create it: groupadd {group}") from error
    except OSError as error:
        sock.close()
        raise ConfigError(f"Cannot bind {path}: {error}; give the service a runtime_dir it may write to.") from error
    except (AlreadyRunningError, ConfigError):
        sock.close()
        raise
    return BoundSocket(sock, path, inode)


def _refuse_if_taken(path: Path) -> None:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found):
        raise ConfigError(f"Cannot bind {path}: something that is no socket lies there; move it away.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # a full backlog is somebody's
    raise AlreadyRunningError(
        f"Cannot bind {path}: another punchd answers there; stop it, or choose another runtime_dir."
    )


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel knows it (SO_PEERCRED)."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    _pid, uid, _gid = struct.unpack("iII", packed)
    return int(uid)
