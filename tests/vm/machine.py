"""One virtual kiosk: QEMU by software emulation, what can be plugged into it, and commands carried out inside it.

Everything waits with a limit, and QEMU is always ended by its own process id.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

#: Emulated and on a busy machine; reached only when something is broken.
PATIENCE_S = 240.0
BOOT_PATIENCE_S = 600.0
#: How often something in the kiosk is asked for again: asking costs it time, too.
ASK_AGAIN_S = 1.0
SCANNER = {"driver": "usb-kbd", "id": "scanner", "bus": "xhci.0"}
READER = {"driver": "usb-ccid", "id": "nfc", "bus": "xhci.0"}
CARD = {"driver": "ccid-card-passthru", "id": "card", "bus": "nfc.0", "chardev": "cards"}


@dataclass(frozen=True, slots=True)
class Done:
    """A command carried out in the kiosk."""

    code: int
    out: str
    err: str


class Lines:
    """JSON documents, one a line, over a Unix socket that may take a moment to be there."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._pending = b""

    def send(self, document: dict[str, Any]) -> None:
        """Send one."""
        self._socket.sendall(json.dumps(document).encode() + b"\n")

    def receive(self, patience_s: float) -> dict[str, Any]:
        """The next one. Raises TimeoutError, and EOFError when the other side hung up."""
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._pending:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            piece = self._socket.recv(65536)
            if not piece:
                raise EOFError("QEMU hung up")
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Machine:
    """The kiosk. `folder` (a short path) keeps its disk from one `start` to the next."""

    def __init__(self, folder: Path, image: Path, payload: Path) -> None:
        self.folder, self._image, self._payload = folder, image, payload
        self.cards = folder / "cards"
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.boot_id = ""
        # `cp` keeps the holes, and shares the blocks where the file system can.
        subprocess.run(
            ["cp", "--reflink=auto", "--sparse=always", str(image / "disk.img"), str(folder / "disk.img")], check=True
        )

    def start(self, *more: str) -> None:
        """Power on, and wait until it carries out commands. `more` is added to QEMU's arguments."""
        for name in ("qmp", "agent", "cards"):
            (self.folder / name).unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(*more), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._qmp, self._agent = Lines(self.folder / "qmp"), Lines(self.folder / "agent")
        self._qmp.receive(PATIENCE_S)
        self.qmp("qmp_capabilities")
        self.boot_id = self._agent.receive(BOOT_PATIENCE_S)["hello"]

    def _command(self, *more: str) -> list[str]:
        disk = "if=virtio,format=raw,cache=none"
        place = self.folder
        return [
            *("nice", "-n", "10", "qemu-system-x86_64", "-machine", "q35,i8042=off", "-accel", "tcg,thread=multi"),
            *("-cpu", "max", "-m", "1024", "-smp", "2", "-display", "none", "-nodefaults", "-no-user-config"),
            *("-serial", f"file:{place}/serial.log", "-qmp", f"unix:{place}/qmp,server=on,wait=off"),
            *("-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd.img")),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=no"),
            *("-drive", f"file={place}/disk.img,{disk}"),
            *("-drive", f"file={self._payload},{disk},readonly=on"),
            *("-netdev", "user,id=cable", "-device", "virtio-net-pci,netdev=cable,id=nic"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={place}/agent,server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=kiosk.agent"),
            *("-device", "qemu-xhci,id=xhci", "-device", _words(SCANNER), "-device", _words(READER)),
            *("-chardev", f"socket,id=cards,path={place}/cards,server=on,wait=off", "-device", _words(CARD)),
            *more,
        ]

    # --- power

    def cut_power(self) -> None:
        """End it at once: what the kiosk had not put on its disk is lost."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._process = None
        self._qmp.close()
        self._agent.close()

    def close(self) -> None:
        """Let nothing stay behind but the folder."""
        if self._process is not None:
            self.cut_power()

    # --- inside

    def run(self, *argv: str, stdin: str = "", timeout_s: float = PATIENCE_S) -> Done:
        """Carry out a command in the kiosk, as root."""
        number = next(self._numbers)
        self._agent.send({"id": number, "argv": argv, "stdin": stdin, "timeout_s": timeout_s})
        while True:
            answer = self._agent.receive(timeout_s + PATIENCE_S)
            if answer.get("id") == number:
                return Done(answer["code"], answer["out"], answer["err"])

    def told(self, *argv: str, stdin: str = "") -> str:
        """What a command printed; fails where it did."""
        done = self.run(*argv, stdin=stdin)
        assert done.code == 0, f"{argv} ended with {done.code}:\n{done.out}\n{done.err}"
        return done.out

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file, and have it on disk."""
        self.told("sh", "-c", 'mkdir -p "${0%/*}" && cat >"$0" && chmod "$1" "$0" && sync', path, mode, stdin=text)

    def until(self, what: str, look: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
        """Ask again and again until there is an answer. Raises TimeoutError with what was waited for."""
        deadline = time.monotonic() + patience_s
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {patience_s:g} s for {what}")
            time.sleep(ASK_AGAIN_S)

    # --- outside

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Ask QEMU itself."""
        self._qmp.send({"execute": command, "arguments": arguments})
        while True:
            answer = self._qmp.receive(PATIENCE_S)
            assert "error" not in answer, f"{command}: {answer['error']}"
            if "return" in answer:
                return answer["return"]

    def unplug(self, device: dict[str, str]) -> None:
        """Pull a USB device out."""
        self.qmp("device_del", id=device["id"])
        deadline = time.monotonic() + PATIENCE_S
        while any(entry["name"] == device["id"] for entry in self.qmp("qom-list", path="/machine/peripheral")):
            assert time.monotonic() < deadline, f"{device['id']} was never gone"
            time.sleep(0.1)

    def plug_in(self, device: dict[str, str]) -> None:
        """Put a USB device in."""
        self.qmp("device_add", **device)

    def cable(self, *, up: bool) -> None:
        """Put the network cable in, or pull it out."""
        self.qmp("set_link", name="nic", up=up)

    def type(self, text: str) -> None:
        """Type on the scanner, and Enter."""
        for key in [*(character.lower() for character in text), "ret"]:
            for down in (True, False):
                code = {"type": "qcode", "data": key}
                self.qmp("input-send-event", events=[{"type": "key", "data": {"down": down, "key": code}}])
                time.sleep(0.02)


def make_disk(folder: Path, path: Path, label: str) -> None:
    """A file system with the content of a folder."""
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    command: Sequence[str] = ("mke2fs", "-q", "-t", "ext4", "-L", label, "-d", str(folder), str(path), "64M")
    subprocess.run(command, check=True, env=environment)


def _words(device: dict[str, str]) -> str:
    others = ",".join(f"{key}={value}" for key, value in device.items() if key != "driver")
    return f"{device['driver']},{others}"
