"""A real systemd of one's own, in namespaces: it starts the real unit, and nothing of it stays on this machine.

It needs root. Everything it writes to lies in file systems of its own; only the network is this machine's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
#: Only ever waited for when something is broken.
PATIENCE_S = 60.0
#: A manager with nothing to start is there within a second or two.
BOOT_S = 20.0
ADMIN_UID, PUNCHD_UID = 4711, 990

#: $1: a folder with what the kiosk brings along. Python may lie where the unit cannot look (/root, /home, /tmp): it is
#: shown at /srv, as is punchd.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /srv
cp -r "$1/." /srv/
chmod -R a+rX /srv
mkdir /srv/python /srv/site
mount --bind "{prefix}" /srv/python
mount --bind "{site}" /srv/site
for file in passwd group; do
    cat "/etc/$file" "/srv/etc/$file.more" > "/srv/etc/$file"
    mount --bind "/srv/etc/$file" "/etc/$file"
done
cp /etc/machine-id /srv/etc/ 2>/dev/null && mount --bind /srv/etc/machine-id /etc/machine-id
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd /run/dev && mv /srv/units /run/systemd/system
mkdir -m 700 /run/credstore && mv /srv/etc/key /run/credstore/connecteam-api-key
mount -t tmpfs tmpfs /run/dev
for node in null zero full random urandom tty ptmx; do cp -a "/dev/$node" /run/dev/; done
mknod /run/dev/sda b 8 0
mkdir /run/dev/pts /run/dev/shm /run/dev/mqueue /run/dev/hugepages /run/dev/input
mount --bind /run/dev /dev
# As a machine's systemd makes it: a service's credentials are mounted in a namespace of their own, and come from there.
mount --make-rshared /
export container=lxc
exec {systemd} --system --unit=nothing.target --log-target=null --show-status=no
"""

WRAPPER = """#!/bin/sh
export PYTHONHOME={home} LD_LIBRARY_PATH=/srv/python/lib PYTHONPATH=/srv:/srv/site PYTHONDONTWRITEBYTECODE=1
exec {python} -m {module} "$@"
"""


def why_not() -> str | None:
    """What this machine lacks for it; None where nothing is known to."""
    if os.geteuid() != 0:
        return "a systemd of one's own needs root"
    if not SYSTEMD.exists() or any(
        shutil.which(tool) is None for tool in ("unshare", "nsenter", "setpriv", "systemctl")
    ):
        return "systemd or util-linux is not installed"
    return None


class Manager:
    """A running systemd; `pid` is its id here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.root = Path(f"/proc/{pid}/root")

    def inside(self, *command: str, uid: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command beside the service, as that user with their groups, to its end."""
        user = () if uid == 0 else ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--init-groups")
        words = ["nsenter", "-t", str(self.pid), "-m", "-p", *user, *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """What systemd says of a unit."""
        told = self.inside("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout
        return dict(line.split("=", 1) for line in told.splitlines())

    def until(self, unit: str, **wanted: str) -> None:
        """Wait until a unit's properties are these."""
        deadline = time.monotonic() + PATIENCE_S
        while (seen := self.show(unit, *wanted)) != wanted:
            assert time.monotonic() < deadline, seen


@contextmanager
def systemd_manager(folder: Path, config: str, key: str) -> Iterator[Manager | None]:
    """Boot a manager that knows the real unit as `punchd.service`; None where this machine does not let it run."""
    _lay_out(folder, config, key)
    script = BOOT.format(prefix=sys.base_prefix, site=sysconfig.get_path("purelib"), systemd=SYSTEMD)
    words = ["unshare", "-fpmiuC", "--kill-child", "sh", "-c", script, "sh", str(folder)]
    with (folder / "boot.log").open("wb") as log:
        unshare = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        pid = _booted(unshare)
        yield None if pid is None else Manager(pid)
    finally:
        # With the manager all that it started ends; unshare then ends by itself.
        children = _children(unshare.pid)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        if not children:
            unshare.kill()
        unshare.wait(PATIENCE_S)
        _sweep()


def _lay_out(folder: Path, config: str, key: str) -> None:
    for name in ("daemon", "drivers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("etc", "units/punchd.service.d"):
        (folder / name).mkdir(parents=True)
    python = f"/srv/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    home = "/srv/python"
    for name, module in (("punchd", "daemon.cli"), ("punchctl", "daemon.control.cli")):
        (folder / name).write_text(WRAPPER.format(home=home, python=python, module=module))
        (folder / name).chmod(0o755)
    (folder / "etc/punchd.toml").write_text(config)
    (folder / "etc/key").write_text(key)
    (folder / "etc/passwd.more").write_text(
        f"punchd:x:{PUNCHD_UID}:{PUNCHD_UID}::/:/bin/false\nboss:x:{ADMIN_UID}:{ADMIN_UID}::/:/bin/false\n"
    )
    (folder / "etc/group.more").write_text(f"punchd:x:{PUNCHD_UID}:\npunchd-admin:x:{PUNCHD_UID + 1}:boss\n")
    unit = (ROOT / "systemd/punchd.service").read_text()
    unit = unit.replace("/usr/bin/punchd run --config /etc/punchd/", "/srv/punchd run --config /srv/etc/")
    # Neither pcscd nor what a machine starts before its services is here.
    (folder / "units/punchd.service").write_text(unit.replace("pcscd.socket", ""))
    (folder / "units/punchd.service.d/here.conf").write_text(
        "[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=append:/srv/log\nStandardError=append:/srv/log\n"
    )
    (folder / "units/nothing.target").write_text("[Unit]\nDefaultDependencies=no\n")


def _booted(unshare: subprocess.Popen[bytes]) -> int | None:
    """The manager's process id once it takes commands; None where it ended, or never does."""
    deadline = time.monotonic() + BOOT_S
    while unshare.poll() is None and time.monotonic() < deadline:
        for pid in _children(unshare.pid):
            if Path(f"/proc/{pid}/root/run/systemd/private").exists():
                return pid
    return None


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _sweep() -> None:
    """Take away the control groups it made below ours; those that are in use stay."""
    for top in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        own = Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip().lstrip("/")
        for name in ("system.slice/punchd.service", "system.slice", "init.scope"):
            with suppress(OSError):
                (top / own / name).rmdir()
