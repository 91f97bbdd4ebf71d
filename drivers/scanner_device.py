"""Finds a scanner among the input devices, grabs it, and puts its events on a clock that cannot step."""

from __future__ import annotations

import errno
import fcntl
import re
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from drivers.keymap import KEY_ENTER
from drivers.reader import ReaderUnavailable

#: _IOW('E', 0xa0, int) of <linux/input.h>: which clock the events' times are of.
EVIOCSCLOCKID = 0x400445A0
_KEY_1, _KEY_0 = 2, 11

NO_LIBRARY = (
    "cannot use badge scanners: the Python library evdev is not installed;"
    " apt-get install python3-evdev, or pip install 'punchd[scanner]'"
)


class Candidate(NamedTuple):
    """One input device: its path, name, vendor and product."""

    path: str
    name: str
    ids: str


class GrabbedDevice:
    """An evdev device that only we hear."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.fd: int = device.fd
        self.on_boottime = _set_boottime(device.fd)

    def close(self) -> None:
        """Close it; the kernel ends the grab. Safe after an unplugging."""
        self._device.close()


def open_device(match: str) -> GrabbedDevice:
    """Open and grab the one device that `match` names. Raises ReaderUnavailable."""
    try:
        import evdev
    except ImportError as error:
        raise ReaderUnavailable(NO_LIBRARY) from error
    path = match if match.startswith("/") else choose(match, _candidates(evdev)).path
    try:
        device = evdev.InputDevice(path)
    except OSError as error:
        raise ReaderUnavailable(_why_not(path, error)) from error
    try:
        device.grab()
    except OSError as error:
        device.close()
        raise ReaderUnavailable(_why_not(path, error)) from error
    return GrabbedDevice(device)


def choose(match: str, candidates: list[Candidate]) -> Candidate:
    """The one candidate that `match` names: vendor:product (hex), part of a name, or "" for the only one. PURE.

    Raises ReaderUnavailable when none or several do: the wrong keyboard would be grabbed.
    """
    if not match:
        fitting = candidates
    elif re.fullmatch(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}", match):
        fitting = [c for c in candidates if c.ids == match.lower()]
    else:
        fitting = [c for c in candidates if match.casefold() in c.name.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    seen = "; ".join(f"{c.path} {c.ids} {c.name!r}" for c in candidates) or "none that types digits"
    wanted = f"fits match {match!r}" if match else "can be the scanner"
    if not fitting:
        raise ReaderUnavailable(
            f"cannot use a badge scanner: no input device {wanted}; plug it in, or let this user read it"
            f" (udev rule, or group input). There are: {seen}"
        )
    raise ReaderUnavailable(
        f"cannot use a badge scanner: {len(fitting)} input devices {wanted}; name one by its path under"
        f" /dev/input/by-id in `match`. There are: {seen}"
    )


def _candidates(evdev: Any) -> list[Candidate]:
    """Every device we may open that types digits and Enter."""
    found = []
    for path in evdev.list_devices():
        try:
            device = evdev.InputDevice(path)
        except OSError:  # it went, or is not ours to read
            continue
        try:
            keys = set(device.capabilities().get(evdev.ecodes.EV_KEY, ()))
            if {_KEY_1, _KEY_0, KEY_ENTER} <= keys:
                ids = f"{device.info.vendor:04x}:{device.info.product:04x}"
                found.append(Candidate(path, device.name, ids))
        except OSError:
            continue
        finally:
            device.close()
    return found


def _set_boottime(fd: int) -> bool:
    try:
        fcntl.ioctl(fd, EVIOCSCLOCKID, struct.pack("@i", time.CLOCK_BOOTTIME))
    except OSError:
        return False
    return True


def _why_not(path: str, error: OSError) -> str:
    match error.errno:
        case errno.EBUSY:
            why = "another program has grabbed it; stop that program"
        case errno.EACCES | errno.EPERM:
            why = "this user may not read it; add a udev rule, or the user to group input"
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            there = ", ".join(sorted(p.name for p in Path("/dev/input/by-id").glob("*"))) or "nothing"
            why = f"it is not there; plug it in, or correct `match`; in /dev/input/by-id: {there}"
        case _:
            why = f"{error.strerror or error}; replug it"
    return f"cannot use the badge scanner {path}: {why}"
