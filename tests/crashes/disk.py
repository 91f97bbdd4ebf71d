"""An ext4 of our own on a loop device over a file in memory: it can lose power, fill up, and break.

Everything is mounted in a mount namespace of this process alone (`in_a_room_of_our_own`), so that mounts and loop
devices are gone with the process, however it ends.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOOLS = ("mkfs.ext4", "e2fsck", "dumpe2fs", "losetup", "mount", "umount", "unshare", "findmnt", "fallocate")
MEMORY = Path("/dev/shm")
MB = 1024 * 1024
BLOCK = 4096
_INSIDE = "PUNCHD_CRASHES_INSIDE"
#: The disk rests as soon as the kernel has nothing left to write; it is looked at this often, this many times.
LOOK_S, LOOKS_MAX = 0.002, 2000


def why_not() -> str | None:
    """Why no such disk can be made here; None where it can."""
    if os.geteuid() != 0:
        return "making a file system and mounting it needs root"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"missing: {', '.join(missing)} (apt-get install e2fsprogs util-linux)"
    if not MEMORY.is_dir():
        return f"{MEMORY} is no memory to put a disk in"
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        image, where = Path(name) / "image", Path(name) / "mounted"
        where.mkdir()
        _new_image(image, 4)
        script = f"mount -o loop {image} {where} && umount {where}"
        tried = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no loop device can be mounted: {tried.stderr.strip()}"


def in_a_room_of_our_own(module: str) -> None:
    """Run this command once more, in a mount namespace that ends with it; returns there. Exit 77 where it cannot."""
    if os.environ.get(_INSIDE):
        return
    if (reason := why_not()) is not None:
        print(f"cannot run here: {reason}")
        sys.exit(77)
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", module, *sys.argv[1:]]
    os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})


class Disk:
    """One disk, mounted at `where`. `image` is what has reached it."""

    def __init__(self, folder: Path, *, size_mb: int = 24, options: str = "data=ordered") -> None:
        self.where = folder / "disk"
        self.where.mkdir(exist_ok=True)
        self._memory = folder / "memory"
        self._memory.mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(self._memory))
        self._number, self._size_mb = 0, size_mb
        self.image = self._memory / "0"
        _new_image(self.image, size_mb)
        self.mount(options)

    def mount(self, options: str) -> None:
        """Mount it; a journal that was left is carried out."""
        self.options = options
        _run("mount", "-t", "ext4", "-o", f"loop,{options}", str(self.image), str(self.where))

    def unmount(self) -> None:
        """Let go of it, whoever still has files open there."""
        _run("umount", "--lazy", str(self.where))

    def lose_power(self, options: str) -> None:
        """From now on there is only what had reached the disk; whoever writes there was stopped before."""
        self._number += 1
        after = self._memory / str(self._number)
        self._frozen_copy(after)
        self.unmount()
        self.image.unlink()
        self.image = after
        # Mounted once to carry the journal out, then looked at, as a start after a power cut does.
        self.mount(options)
        _run("umount", str(self.where))
        self.check()
        self.mount(options)

    def check(self, *, error_noted: bool = False) -> None:
        """e2fsck finds nothing (but an error that the kernel noted, and forgets it). Nothing may be mounted."""
        if error_noted:
            _run("e2fsck", "-f", "-p", str(self.image), good=(0, 1))
        _run("e2fsck", "-f", "-n", str(self.image))

    def format(self, options: str) -> None:
        """A new and empty one."""
        self.unmount()
        self.image.unlink()
        _new_image(self.image, self._size_mb)
        self.mount(options)

    def _frozen_copy(self, to: Path) -> None:
        """A copy of one moment: taken again when the kernel wrote something meanwhile."""
        for _ in range(LOOKS_MAX):
            before = self._writes()
            if before is not None:
                shutil.copyfile(self.image, to)
                if self._writes() == before:
                    return
            time.sleep(LOOK_S)
        raise AssertionError("the kernel never stops writing to a disk that nobody uses")

    def _writes(self) -> int | None:
        """How many writes the device has done; None while some are on their way."""
        fields = Path(f"/sys/block/{Path(self.device).name}/stat").read_text().split()
        return int(fields[4]) if fields[8] == "0" else None

    @property
    def device(self) -> str:
        """The loop device it is on."""
        return _run("findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", str(self.where)).strip()

    # --- broken

    def break_free_space(self) -> None:
        """Every block that is not in use yet cannot be written from now on: the device reports an I/O error.

        Nobody may write meanwhile.
        """
        # The loop device reports success for a request of which only the first blocks could be written: a disk that
        # lies, which no sync can help. Requests of one block each either succeed or fail.
        Path(f"/sys/block/{Path(self.device).name}/queue/max_sectors_kb").write_text(str(BLOCK // 1024))
        # It also reports what failed long ago, once.
        _run("sync", "--file-system", str(self.where), good=(0, 1))
        for ranges in re.findall(r"^  Free blocks: (.*)$", _run("dumpe2fs", self.device), re.MULTILINE):
            for one in filter(None, ranges.split(", ")):
                first, _, last = one.partition("-")
                start, count = int(first), int(last or first) - int(first) + 1
                place = ("--offset", str(start * BLOCK), "--length", str(count * BLOCK))
                _run("fallocate", "--punch-hole", *place, str(self.image))
        # What the holes would need is not there. (Whoever writes meanwhile needs some of it: then once more.)
        for _ in range(LOOKS_MAX):
            use = os.statvfs(self._memory)
            size = f"remount,size={(use.f_blocks - use.f_bfree) * use.f_frsize}"
            if (
                subprocess.run(["mount", "-o", size, str(self._memory)], capture_output=True, check=False).returncode
                == 0
            ):
                return
        raise AssertionError("the memory under the disk cannot be made as small as what is in it")

    def mend(self) -> None:
        """Every block can be written again."""
        _run("mount", "-o", "remount,size=1g", str(self._memory))

    def is_read_only(self) -> bool:
        """Whether the kernel has stopped writing to it."""
        options = _run("findmnt", "--noheadings", "--output", "OPTIONS", "--mountpoint", str(self.where)).split(",")
        return bool({"ro", "emergency_ro"} & {option.strip() for option in options})

    def turn_read_only(self) -> None:
        """As the kernel does when it finds an error in the file system; only a new mount undoes it."""
        _run("mount", "-o", "remount,errors=remount-ro", str(self.where))
        Path(f"/sys/fs/ext4/{Path(self.device).name}/trigger_fs_error").write_text("a test")

    def fill(self) -> Path:
        """Use up all the room there is; the file that took it."""
        filler = self.where / "filler"
        with filler.open("ab", buffering=0) as file:
            for size in (MB, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        return filler


@contextmanager
def disk(folder: Path, **options: object) -> Iterator[Disk]:
    """A disk for the length of a block."""
    one = Disk(folder, **options)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        for place in (one.where, one._memory):
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


def _new_image(image: Path, size_mb: int) -> None:
    draft = image.with_name("draft")
    with draft.open("wb") as file:
        file.truncate(size_mb * MB)
    features = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    _run("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-m", "0", "-E", features, str(draft))
    # mkfs leaves holes. Here every block is there from the beginning: only what `break_free_space` takes is missing.
    shutil.copyfile(draft, image)
    draft.unlink()


def _run(*command: str, good: Sequence[int] = (0,)) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in good, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
