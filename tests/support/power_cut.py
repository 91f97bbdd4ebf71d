"""What a disk holds when the power goes: of a traced punchd, only what was synced, file by file and name by name.

`prefix` runs punchd under strace; `Disk` goes through the trace. A write counts once a sync of its file that began
after it has returned, and a new name, a rename or a removal once the directory was synced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "trace=openat,pwrite64,sendto,sendmsg,fdatasync,fsync,ftruncate,unlink,unlinkat,/^rename"
#: Longer than any single write of a database of small pages.
SHOWN_MAX = 20_000
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"\(\d+<((?:\\x[0-9a-f]{2})*)>")


def prefix(trace: Path) -> tuple[str, ...]:
    """The command under which punchd is traced to a file. -D: signals reach punchd itself."""
    shown = ("-f", "-y", "-xx", "-s", str(SHOWN_MAX), "--seccomp-bpf")
    return ("strace", "-D", *shown, "-e", CALLS, "-o", str(trace))


@dataclass
class File:
    """One file: its content, and the content that survives."""

    live: bytearray = field(default_factory=bytearray)
    kept: bytes = b""


@dataclass
class Disk:
    """One directory of a traced process. `names` is what programs see, `kept_names` what survives."""

    directory: Path
    names: dict[str, File] = field(default_factory=dict)
    kept_names: dict[str, File] = field(default_factory=dict)

    def go_through(self, trace: Path) -> Iterator[bytes]:
        """Carry the trace out, call by call; yields what each call sent to others, b"" for all that are no sending."""
        syncing: dict[str, str] = {}
        for line in trace.read_text().splitlines():
            pid, _, call = line.partition(" ")
            call = call.strip()
            if call.startswith("<... f") and "sync resumed" in call and pid in syncing:
                self._synced(syncing.pop(pid))
            elif re.match(r"f(data)?sync\(", call):
                if call.endswith("<unfinished ...>"):
                    syncing[pid] = _path(call)
                else:
                    self._synced(_path(call))
            elif call.startswith("send"):
                yield b"".join(map(_bytes, _TEXT.findall(call)))
                continue
            elif not re.search(r"\) += -1 ", call):
                self._changed(call)
            yield b""

    def image(self, folder: Path, *, killed: bool = False) -> None:
        """Put what is left into a folder: after a power cut, or (`killed`) after the process alone died."""
        folder.mkdir(parents=True)
        for name, file in (self.names if killed else self.kept_names).items():
            if not name.endswith("-shm"):  # of shared memory nothing goes through calls; it is made anew
                (folder / name).write_bytes(file.live if killed else file.kept)

    def _changed(self, call: str) -> None:
        texts = [_bytes(text).decode(errors="replace") for text in _TEXT.findall(call)[:2]]
        if call.startswith("openat(") and "O_CREAT" in call and (name := self._name(texts[0])):
            self.names.setdefault(name, File())
        elif call.startswith("pwrite64(") and (name := self._name(_path(call))):
            data, offset = _bytes(_TEXT.findall(call)[0]), int(re.findall(r", (\d+)(?:\)| <)", call)[-1])
            live = self.names[name].live
            live.extend(bytes(max(0, offset + len(data) - len(live))))
            live[offset : offset + len(data)] = data
        elif call.startswith("ftruncate(") and (name := self._name(_path(call))):
            size = int(re.findall(r", (0x[0-9a-f]+|\d+)", call)[-1], 0)
            live = self.names[name].live
            live.extend(bytes(max(0, size - len(live))))
            del live[size:]
        elif call.startswith("unlink") and (name := self._name(texts[-1])):
            self.names.pop(name, None)
        elif call.startswith("rename") and (name := self._name(texts[0])):
            self.names[Path(texts[1]).name] = self.names.pop(name)

    def _synced(self, path: str) -> None:
        if path == str(self.directory):
            self.kept_names = dict(self.names)
        elif (name := self._name(path)) and name in self.names:
            self.names[name].kept = bytes(self.names[name].live)

    def _name(self, path: str) -> str:
        """The name of a file of this directory; "" for any other."""
        return Path(path).name if path.startswith(f"{self.directory}/") else ""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _path(call: str) -> str:
    found = _FD.search(call)
    return _bytes(found[1]).decode(errors="replace") if found else ""
