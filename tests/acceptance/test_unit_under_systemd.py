"""The real unit under a real systemd: what it closes costs no function, and how it ends and starts again.

A whole machine, with USB readers and pcscd, is tests/vm; this is what can be had within seconds.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_process import sandbox_process
from tests.support.systemd_manager import ADMIN_UID, PUNCHD_UID, Manager, systemd_manager, why_not

CONFIG = """
[kiosk]
name = "front-door"
timezone = "Europe/Amsterdam"
admin_group = "punchd-admin"
[connecteam]
base_url = "{url}"
time_clock_id = 12345
[[readers]]
name = "front"
driver = "simulated"
"""
NOBODY = 65534
ADA, BADGE = "9170357", "04A1B2C3D4E580"


@pytest.fixture(scope="module")
def manager() -> Iterator[Manager]:
    """A systemd that has started punchd, which delivers to a sandbox."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            sandbox_process(folder / "service") as sandbox,
            systemd_manager(folder / "kiosk", CONFIG.format(url=sandbox.url), sandbox.key_file.read_text()) as manager,
        ):
            if manager is None:
                pytest.skip("this machine lets no systemd of one's own run (namespaces, cgroup2)")
            started = manager.inside("systemctl", "start", "punchd")  # Type=notify: it returns once taps are taken
            assert started.returncode == 0, started.stderr + log(manager)
            yield manager


def log(manager: Manager) -> str:
    return (manager.root / "srv/log").read_text()


def ctl(manager: Manager, *words: str, uid: int = 0) -> Any:
    """What punchctl answers."""
    done = manager.inside("/srv/punchctl", "--json", *words, uid=uid)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def main_pid(manager: Manager) -> int:
    """The service's process, by its id here."""
    inner = manager.show("punchd", "MainPID")["MainPID"]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        ids = next((line.split()[1:] for line in text.splitlines() if line.startswith("NSpid:")), [])
        if ids[1:] == [inner] and f"Uid:\t{PUNCHD_UID}\t" in text:
            return int(ids[0])
    raise AssertionError(f"no process is {inner} in there")


def test_it_runs_as_its_own_user_with_sockets_for_their_groups(manager: Manager) -> None:
    """status.sock is of its group, control.sock of the group the configuration names; the database is its own alone."""
    modes = {}
    for name in ("run/punchd/status.sock", "run/punchd/control.sock", "var/lib/punchd", "var/lib/punchd/punchd.db"):
        seen = (manager.root / name).stat()
        modes[name.rpartition("/")[2]] = (seen.st_uid, seen.st_gid, oct(stat.S_IMODE(seen.st_mode)))
    assert modes == {
        "status.sock": (PUNCHD_UID, PUNCHD_UID, "0o660"),
        "control.sock": (PUNCHD_UID, PUNCHD_UID + 1, "0o660"),
        "punchd": (PUNCHD_UID, PUNCHD_UID, "0o700"),
        "punchd.db": (PUNCHD_UID, PUNCHD_UID, "0o600"),
    }
    assert manager.inside("/srv/punchctl", "status", uid=NOBODY).returncode == 69


def test_clock_boot_and_peer_are_seen_through_what_is_closed(manager: Manager) -> None:
    """The key is systemd's credential, the clock is trusted, the boot is the kernel's word, and who acted is known."""
    ctl(manager, "employees", "add", ADA, "Ada", "--badge", BADGE, uid=ADMIN_UID)
    punch = ctl(manager, "tap", BADGE, "--reader", "front", uid=ADMIN_UID)["punch"]
    shown = ctl(manager, "punches", "show", punch["id"])
    assert shown["history"]["journal"][0]["by"] == f"uid:{ADMIN_UID}"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert ctl(manager, "status")["clock"]["trusted"]
    assert f"boot_id={boot}" in log(manager)


def test_it_sees_input_devices_also_later_ones_and_no_others(manager: Manager) -> None:
    """What is plugged in after the start is there; disks, memory and the kernel's own settings are not."""
    view = Path(f"/proc/{main_pid(manager)}/root")
    os.mknod(manager.root / "dev/input/event7", 0o600 | stat.S_IFCHR, os.makedev(13, 71))
    try:
        assert stat.S_ISCHR((view / "dev/input/event7").stat().st_mode)
    finally:
        (manager.root / "dev/input/event7").unlink()
    kinds = {path.name for path in (view / "dev").iterdir() if not path.is_symlink() and not path.is_dir()}
    assert kinds <= {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
    assert not [path.name for path in (view / "proc").iterdir() if path.name in ("sys", "kallsyms", "kcore", "modules")]


def test_it_is_started_again_after_a_kill_and_has_everything(manager: Manager) -> None:
    """SIGKILL: systemd starts it again by itself, and what was punched is there."""
    before = ctl(manager, "punches", "list")
    count = int(manager.show("punchd", "NRestarts")["NRestarts"])
    assert manager.inside("systemctl", "kill", "--signal=KILL", "punchd").returncode == 0
    manager.until("punchd", NRestarts=str(count + 1), ActiveState="active", SubState="running")
    assert [one["id"] for one in ctl(manager, "punches", "list")] == [one["id"] for one in before]


def test_a_stop_is_in_order_and_a_wrong_configuration_final(manager: Manager) -> None:
    """SIGTERM ends it with 0; with a mistake in the configuration it ends with 78 and is not tried again."""
    assert manager.inside("systemctl", "stop", "punchd").returncode == 0
    assert manager.show("punchd", "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    config = manager.root / "srv/etc/punchd.toml"
    config.write_text(config.read_text().replace("Europe/Amsterdam", "Europe/Amsterdm"))
    assert manager.inside("systemctl", "start", "punchd").returncode != 0
    manager.until("punchd", ActiveState="failed", ExecMainStatus="78", NRestarts="0")
    assert 'the nearest known one is "Europe/Amsterdam"' in log(manager)
