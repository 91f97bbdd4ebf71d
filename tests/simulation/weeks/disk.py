"""A disk below SQLite: it knows what was synced and what was only written, can be full, and can lose its power.

SQLite asks the system through a table of functions, its VFS. Here `write`, `truncate` and `sync` of the system's own
one are wrapped, for files of simulated kiosks only. What is written goes to the real file, as a kernel's cache would
have it; beside that each file has an *image*: the bytes that were there when it was last synced. After a power cut the
image is all that is left, and of what came after it each sector as chance has it.

Names (a file made, renamed, removed) are held to be durable at once; the kernel's own cache and real disks are not
looked at here.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK, IOERR, FULL = 0, 10, 13
SECTOR = 512
#: What a kernel holds in memory for SQLite alone; after a power cut it is gone.
VOLATILE = "-shm"

_P = ctypes.c_void_p
_I = ctypes.c_int
#: The name goes by its address: what follows it in memory is part of it, and SQLite keeps the address.
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_CLOSE = ctypes.CFUNCTYPE(_I, _P)
_WRITE = ctypes.CFUNCTYPE(_I, _P, _P, _I, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_I, _P, _I)


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, as far as it matters here: what follows xOpen is copied as it is."""

    _fields_ = [
        ("iVersion", _I), ("szOsFile", _I), ("mxPathname", _I), ("pNext", _P), ("zName", ctypes.c_char_p),
        ("pAppData", _P), ("xOpen", _P), ("rest", _P * 15),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    """sqlite3_io_methods."""

    _fields_ = [
        ("iVersion", _I), ("xClose", _P), ("xRead", _P), ("xWrite", _P), ("xTruncate", _P), ("xSync", _P),
        ("rest", _P * 13),
    ]  # fmt: skip


@dataclass
class _Image:
    """One file: what is synced, and what was done since, in order: (offset, bytes), or (length, None) for a cut."""

    synced: bytearray
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def sync(self) -> None:
        for offset, data in self.since:
            _apply(self.synced, offset, data)
        self.since.clear()

    def after_power_cut(self, rng: random.Random) -> tuple[bytes, int]:
        """What the disk has, and how many bytes of what was not synced it lost."""
        kept, lost = bytearray(self.synced), 0
        share = rng.choice([0.0, 0.5, 0.9, 1.0])
        in_order = rng.random() < 0.5
        for offset, data in self.since:
            if data is None:
                if rng.random() < share:
                    _apply(kept, offset, None)
                continue
            for begin, end in _sectors(offset, len(data)):
                if rng.random() < share:
                    _apply(kept, begin, data[begin - offset : end - offset])
                else:
                    lost += end - begin
                    share = 0.0 if in_order else share
        return bytes(kept), lost


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """The parts of a write that share no sector: a disk writes whole ones."""
    end = offset + length
    while offset < end:
        border = min(end, (offset // SECTOR + 1) * SECTOR)
        yield offset, border
        offset = border


class Disk:
    """The disk of one life of one kiosk: everything SQLite keeps in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.full = False
        self.images: dict[int, _Image] = {}
        self._left: int | None = None
        self._then: Callable[[], None] = lambda: None

    def after(self, operations: int, then: Callable[[], None]) -> None:
        """Call `then` before the write, truncation or sync that follows so many more of them; once."""
        self._left, self._then = operations, then

    def disarm(self) -> None:
        """Call nothing any more."""
        self._left = None

    def operate(self) -> None:
        """One operation begins."""
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            self._then()

    def after_crash(self, target: Path) -> Disk:
        """The disk as the next process of a machine that went on finds it: with everything that was written."""
        shutil.copytree(self.folder, target)
        left = Disk(target)
        left.full = self.full
        for path in target.iterdir():
            image = self.images.get((self.folder / path.name).stat().st_ino)
            if image is not None:
                left.images[path.stat().st_ino] = _Image(bytearray(image.synced), list(image.since), image.size)
        return left

    def after_power_cut(self, target: Path, rng: random.Random) -> tuple[Disk, str]:
        """The disk as the next start of the machine finds it, and what became of what was not synced."""
        target.mkdir()
        told = []
        left = Disk(target)
        left.full = self.full
        for path in sorted(self.folder.iterdir()):
            if path.name.endswith(VOLATILE) or not path.is_file():
                continue
            image = self.images.get(path.stat().st_ino)
            if image is None:
                shutil.copy(path, target)
                continue
            kept, lost = image.after_power_cut(rng)
            (target / path.name).write_bytes(kept)
            os.chmod(target / path.name, 0o600)
            if image.since:
                told.append(f"{path.name}: {len(image.since)} unsynced, {lost} bytes lost")
        return left, "; ".join(told) or "all was synced"


class Disks:
    """All simulated disks of this process. Use `with Disks() as disks:`, then `disks.add(Disk(folder))`.

    `works` is False where this Python has its SQLite inside: then files are as the system has them, a power cut leaves
    what was written, and no disk is ever full.
    """

    def __init__(self) -> None:
        self._disks: dict[str, Disk] = {}
        self._open: dict[int, tuple[Disk, _Image, Any]] = {}
        self._tables: dict[int, tuple[_Methods, dict[str, Any]]] = {}
        self._library = _sqlite()
        self.works = self._library is not None
        #: What went wrong in here; SQLite only saw that the disk failed.
        self.failed: BaseException | None = None

    def add(self, disk: Disk) -> Disk:
        """Watch its folder."""
        self._disks[str(disk.folder.absolute())] = disk
        return disk

    @contextmanager
    def installed(self) -> Iterator[Disks]:
        """Stand between SQLite and the system, for as long as this lasts."""
        if self._library is None:
            yield self
            return
        find, register = self._library.sqlite3_vfs_find, self._library.sqlite3_vfs_register
        find.restype, find.argtypes = _P, [ctypes.c_char_p]
        register.argtypes = [_P, _I]
        self._library.sqlite3_vfs_unregister.argtypes = [_P]
        system = find(None)
        vfs = _Vfs.from_buffer_copy((ctypes.c_char * ctypes.sizeof(_Vfs)).from_address(system))
        self._system_open = _OPEN(vfs.xOpen)
        own_open = _OPEN(self._xopen)
        vfs.zName, vfs.pNext = b"punchd-simulation", None
        vfs.xOpen = ctypes.cast(own_open, _P).value
        self._vfs = vfs
        register(ctypes.addressof(vfs), 1)
        try:
            yield self
        finally:
            register(system, 1)
            self._library.sqlite3_vfs_unregister(ctypes.addressof(vfs))
        if self.failed is not None:
            raise self.failed

    # --- what SQLite calls

    def _guarded(self, work: Callable[..., int], *given: Any) -> int:
        try:
            return work(*given)
        except BaseException as error:  # noqa: BLE001 - nothing may be raised through SQLite; `installed` raises it
            self.failed = self.failed or error
            return IOERR

    def _xopen(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        code: int = self._system_open(vfs, name, file, flags, out)
        return code or self._guarded(self._opened, name, file)

    def _opened(self, name: int | None, file: int) -> int:
        path = Path(os.fsdecode(ctypes.string_at(name))) if name else None
        disk = self._disks.get(str(path.parent)) if path is not None else None
        if disk is None or path is None:
            return OK
        status = path.stat()
        image = disk.images.get(status.st_ino)
        if image is None or image.size != status.st_size:
            content = path.read_bytes()
            image = disk.images[status.st_ino] = _Image(bytearray(content), size=len(content))
        slot = _P.from_address(file)
        table, system = self._table(slot.value or 0)
        self._open[file] = disk, image, system
        slot.value = ctypes.addressof(table)
        return OK

    def _table(self, address: int) -> tuple[_Methods, dict[str, Any]]:
        """Our functions in place of some of those at `address`."""
        if address not in self._tables:
            methods = _Methods.from_buffer_copy((ctypes.c_char * ctypes.sizeof(_Methods)).from_address(address))
            system: dict[str, Any] = {
                "close": _CLOSE(methods.xClose), "write": _WRITE(methods.xWrite),
                "truncate": _TRUNCATE(methods.xTruncate),
            }  # fmt: skip
            own = (_CLOSE(self._xclose), _WRITE(self._xwrite), _TRUNCATE(self._xtruncate), _SYNC(self._xsync))
            system["kept alive"] = own
            close, write, truncate, sync = (ctypes.cast(function, _P).value for function in own)
            methods.xClose, methods.xWrite, methods.xTruncate, methods.xSync = close, write, truncate, sync
            self._tables[address] = methods, system
        return self._tables[address]

    def _xclose(self, file: int) -> int:
        _, _, system = self._open.pop(file)
        code: int = system["close"](file)
        return code

    def _xwrite(self, file: int, data: int, amount: int, offset: int) -> int:
        return self._guarded(self._write, file, data, amount, offset)

    def _write(self, file: int, data: int, amount: int, offset: int) -> int:
        disk, image, system = self._open[file]
        disk.operate()
        if disk.full and offset + amount > image.size:
            return FULL
        code: int = system["write"](file, data, amount, offset)
        if code == OK:
            image.since.append((offset, ctypes.string_at(data, amount)))
            image.size = max(image.size, offset + amount)
        return code

    def _xtruncate(self, file: int, size: int) -> int:
        return self._guarded(self._truncate, file, size)

    def _truncate(self, file: int, size: int) -> int:
        disk, image, system = self._open[file]
        disk.operate()
        code: int = system["truncate"](file, size)
        if code == OK:
            image.since.append((size, None))
            image.size = min(image.size, size)
        return code

    def _xsync(self, file: int, flags: int) -> int:
        return self._guarded(self._sync, file)

    def _sync(self, file: int) -> int:
        disk, image, _ = self._open[file]
        disk.operate()
        image.sync()
        return OK


def _sqlite() -> Any:
    """The library that this Python's sqlite3 uses; None where it is inside of Python."""
    import _sqlite3  # noqa: F401 - loads the library

    with open("/proc/self/maps") as maps:
        found = next((line.split()[-1] for line in maps if "libsqlite3.so" in line), None)
    return ctypes.CDLL(found) if found else None
