"""What the machine itself tells: disk, card service, kernel modules, input devices, sockets, systemd. Reads only."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from daemon.control.doctor.findings import Finding, fine, found

#: What fails without a disk: a log file grows, SQLite needs room for its log, an update for its packages.
DISK_FULL_BYTES = 20_000_000
DISK_LOW_BYTES = 200_000_000
#: File systems that forget everything at a power cut.
VOLATILE = ("tmpfs", "ramfs", "devtmpfs")
#: The kernel's own NFC drivers: while one holds a reader, pcscd cannot (facts 4.3).
NFC_MODULES = ("pn533_usb", "pn533", "nfc")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a machine tells of itself; tests point elsewhere."""

    modules: Path = Path("/proc/modules")
    mounts: Path = Path("/proc/self/mountinfo")
    proc: Path = Path("/proc")
    input_devices: Path = Path("/dev/input")
    pcscd_socket: Path = Path("/run/pcscd/pcscd.comm")
    disk_full_bytes: int = DISK_FULL_BYTES
    disk_low_bytes: int = DISK_LOW_BYTES

    # --- the disk

    def disk(self, path: Path) -> list[Finding]:
        """Room on the disk of `path`, and whether that is one."""
        try:
            told = os.statvfs(path)
        except OSError as error:
            return [found("database_unseen", f"cannot look at {path}: {error.strerror}")]
        free = told.f_bavail * told.f_frsize
        text = f"{free / 1e6:.0f} MB are free where the database is ({path})"
        code = "disk_full" if free < self.disk_full_bytes else "disk_low" if free < self.disk_low_bytes else ""
        return [found(code, f"only {text}") if code else fine("disk", text), *self._volatile(path)]

    def _volatile(self, path: Path) -> list[Finding]:
        kind = self._file_system(path.resolve())
        if kind is None:
            return []
        if kind in VOLATILE:
            return [found("database_volatile", f"{path} is in memory ({kind}): a power cut takes every punch in it")]
        return [fine("file_system", f"{path} is on a disk ({kind})")]

    def _file_system(self, path: Path) -> str | None:
        """The type of the file system a path is on; None where the kernel does not say."""
        best, kind = -1, None
        for line in _lines(self.mounts):
            fields = line.split(" ")
            if "-" not in fields[6:]:
                continue
            point = Path(fields[4].replace("\\040", " "))
            # Of several on one place the last one covers the others.
            if path.is_relative_to(point) and len(point.parts) >= best:
                best, kind = len(point.parts), fields[fields.index("-", 6) + 1]
        return kind

    # --- readers

    def card_service(self) -> list[Finding]:
        """Whether pcscd, or systemd on its behalf, listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                probe.connect(os.fspath(self.pcscd_socket))
            except BlockingIOError:
                pass  # busy, so it is there
            except OSError as error:
                text = f"nothing listens at {self.pcscd_socket} ({error.strerror}): no NFC reader works"
                return [found("pcscd_absent", text)]
        return [fine("pcscd", "pcscd listens")]

    def kernel_modules(self) -> list[Finding]:
        """Whether the kernel's own NFC drivers are loaded."""
        loaded = {line.split(" ", 1)[0] for line in _lines(self.modules)}
        wrong = [name for name in NFC_MODULES if name in loaded]
        if wrong:
            text = f"kernel modules are loaded that take NFC readers away: {', '.join(wrong)}"
            return [found("nfc_modules_loaded", text)]
        return [fine("kernel_modules", "no kernel module takes NFC readers away")]

    def scanners(self, matches: Iterable[str], uid: int) -> list[Finding]:
        """Whether the user of the service may read its scanners: those named by path, else any input device."""
        paths = [Path(match) for match in matches if match.startswith("/")]
        denied = [path for path in paths if os.path.exists(path) and not may_read(path, uid)]
        if not paths:
            devices = sorted(self.input_devices.glob("event*"))
            denied = devices if devices and not any(may_read(path, uid) for path in devices) else []
        if denied:
            return [found("input_denied", f"{_user(uid)} may not read {', '.join(map(str, denied[:4]))}")]
        return [fine("scanners", f"{_user(uid)} may read the scanners that are connected")]

    # --- the service

    def sockets(self, folder: Path) -> list[Finding]:
        """The modes of both sockets: who may look, who may act."""
        wrong = []
        for name, allowed in (("status.sock", (0o660,)), ("control.sock", (0o600, 0o660))):
            try:
                mode = stat.S_IMODE((folder / name).stat().st_mode)
            except OSError:
                continue  # that it is not there is told by whoever tried to connect
            if mode not in allowed:
                wrong.append(f"{folder / name} has mode {mode:04o} instead of {allowed[0]:04o}")
        return [found("socket_modes", "; ".join(wrong))] if wrong else [fine("sockets", "the sockets' modes are right")]

    def supervised(self, path: Path) -> list[Finding]:
        """Whether the process that listens at `path` belongs to a unit of systemd."""
        pid = listener(path)
        groups = _lines(self.proc / str(pid) / "cgroup") if pid else []
        if not groups:
            return []
        if any(part.endswith(".service") for line in groups for part in line.split("/")):
            return [fine("systemd", "punchd runs as a unit of systemd")]
        return [found("not_under_systemd", f"punchd (process {pid}) runs without systemd: nothing starts it again")]


def may_read(path: Path, uid: int) -> bool:
    """Whether a user may read a file, by its owner, groups and mode."""
    try:
        told = path.stat()
    except OSError:
        return False
    if uid == 0:
        return True
    if told.st_uid == uid:
        return bool(told.st_mode & stat.S_IRUSR)
    try:
        user = pwd.getpwuid(uid)
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:
        groups = []
    return bool(told.st_mode & (stat.S_IRGRP if told.st_gid in groups else stat.S_IROTH))


def listener(path: Path) -> int | None:
    """The process that listens at a Unix socket, as the kernel knows it; None where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
            packed = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        except OSError:
            return None
    pid: int = struct.unpack("iII", packed)[0]
    return pid or None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
