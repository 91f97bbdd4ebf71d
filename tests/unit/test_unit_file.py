"""systemd/: what the unit promises, read as systemd reads it, and what systemd itself says of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ROOT / "systemd"
#: As `systemd-analyze security` counts; docs/kiosk.md tells what stays open.
EXPOSURE_MAX = 1.8


def directives() -> list[tuple[str, str, str]]:
    """(section, key, value) of each line."""
    found, section = [], ""
    for line in (FILES / "punchd.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def values(key: str, section: str = "Service") -> list[str]:
    return [value for where, name, value in directives() if (where, name) == (section, key)]


def value(key: str, section: str = "Service") -> str:
    (only,) = values(key, section)
    return only


def test_it_is_started_again_for_ever_with_growing_pauses():
    """No start limit, a pause that grows to a limit people can bear, and only exit 78 is final."""
    assert value("StartLimitIntervalSec", "Unit") == "0"
    assert value("Restart") == "always"
    first, steps, most = (int(value(key)) for key in ("RestartSec", "RestartSteps", "RestartMaxDelaySec"))
    assert 0 < first < most <= 60
    assert steps > 1
    assert value("RestartPreventExitStatus") == "78"


def test_the_watchdog_is_patient():
    """A busy SD card must not look like a hang: two minutes at least."""
    assert value("Type") == "notify"
    assert int(value("WatchdogSec")) >= 120


def test_it_waits_neither_for_the_network_nor_for_the_time():
    """An offline kiosk starts like any other: nothing in the unit names these targets."""
    order = " ".join(
        text for _, key, text in directives() if key in ("After", "Requires", "Wants", "BindsTo", "Requisite")
    )
    assert re.findall(r"time-sync|time-set|network", order) == []


def test_it_runs_as_a_user_of_its_own_with_closed_directories():
    """The database is for nobody else; the sockets' directory can be looked into, for their own modes decide."""
    assert value("User") == value("Group") == value("StateDirectory") == value("RuntimeDirectory") == "punchd"
    assert value("StateDirectoryMode") == "0700"
    assert value("RuntimeDirectoryMode") == "0755"
    assert value("UMask") == "0077"
    sysusers = (FILES / "sysusers.conf").read_text()
    assert re.search(r"^u punchd ", sysusers, re.MULTILINE)
    assert re.search(rf"^g {value('SupplementaryGroups')} ", sysusers, re.MULTILINE)


def test_the_key_is_optional_and_has_the_name_the_configuration_looks_for():
    """A credential by name alone: systemd goes on without the file (with a path it would refuse to start)."""
    from daemon.config_secrets import CREDENTIAL

    assert value("LoadCredential") == CREDENTIAL


def test_nothing_of_the_memory_is_left_behind():
    """No core dumps: badges and the key are in there."""
    assert value("LimitCORE") == "0"


def test_what_the_service_needs_stays_open():
    """adjtimex, boot id, peers' uids, scanners, netlink: each is a feature that hardening once broke."""
    keys = {key for _, key, _ in directives()}
    assert keys.isdisjoint({"ProtectClock", "PrivateNetwork", "DynamicUser", "RootDirectory"})
    assert value("PrivateUsers") == "identity"
    assert value("ProcSubset") != "pid" or value("Environment") == "PUNCHD_BOOT_ID=%b", "or taps have no boot"
    assert value("PrivateDevices") != "yes" or value("BindPaths") == "-/dev/input", "or no scanner is ever seen"
    assert "d /dev/input 0755 root root -" in (FILES / "tmpfiles.conf").read_text(), "or not one plugged in later"
    assert value("DeviceAllow") == "char-input rw"
    assert {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"} == set(value("RestrictAddressFamilies").split())
    filters = values("SystemCallFilter")
    denied = next(number for number, text in enumerate(filters) if text.startswith("~@privileged"))
    assert {"adjtimex", "clock_adjtime"} <= set(" ".join(filters[denied + 1 :]).split()), "given back after the denial"


def test_pcscd_lets_exactly_this_user_in():
    """The polkit rule names both of pcscd's actions and the unit's user."""
    rule = (FILES / "polkit.rules").read_text()
    assert "org.debian.pcsc-lite.access_pcsc" in rule
    assert "org.debian.pcsc-lite.access_card" in rule
    assert f'subject.user == "{value("User")}"' in rule


def test_the_kernel_leaves_readers_to_pcscd():
    """The modules that take an ACR122U away are kept out."""
    assert {"blacklist pn533_usb", "blacklist pn533", "blacklist nfc"} <= set(
        (FILES / "modprobe.conf").read_text().split("\n")
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    place = tmp_path / "punchd.service"
    place.write_text((FILES / "punchd.service").read_text().replace("/usr/bin/punchd", sys.executable))
    return place


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=120, check=False)


def version() -> int:
    return int(analyze("--version").stdout.split()[1])


def test_systemd_understands_the_unit(unit):
    """`systemd-analyze verify` finds nothing but what is newer than this systemd and named here."""
    newer = {254: ("RestartSteps", "RestartMaxDelaySec"), 257: ("PrivateUsers=", "identity")}
    unknown = [word for since, words in newer.items() if version() < since for word in words]
    done = analyze("verify", "--man=no", str(unit))
    complaints = [line for line in done.stderr.splitlines() if "punchd.service" in line]
    assert [line for line in complaints if not any(word in line for word in unknown)] == []
    assert done.returncode == 0


def test_the_exposure_stays_low(unit):
    """systemd's own measure of what the service could do, as docs/kiosk.md states it."""
    told = analyze("security", "--offline=true", "--no-pager", str(unit)).stdout
    found = re.search(r"exposure level for \S+: (\d+\.\d)", told)
    assert found is not None, told
    assert float(found[1]) <= EXPOSURE_MAX
