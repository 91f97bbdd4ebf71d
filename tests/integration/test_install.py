"""`make install`: what lands where, and that it works from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An installation under a prefix that can be run from where it is."""
    prefix = tmp_path_factory.mktemp("install") / "opt"
    subprocess.run(
        ["make", "install", f"PREFIX={prefix}", "DESTDIR=/", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        check=True,
        timeout=300,
        capture_output=True,
    )
    return prefix


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/")


def test_everything_is_in_its_place(installed):
    """The sources in a directory of their own, two commands, and the files of systemd, udev, polkit and modprobe."""
    found = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {
        "bin/punchd",
        "bin/punchctl",
        "lib/punchd/daemon/queue/schema/0001_first.sql",
        "lib/systemd/system/punchd.service",
        "lib/sysusers.d/punchd.conf",
        "lib/tmpfiles.d/punchd.conf",
        "lib/modprobe.d/punchd.conf",
        "lib/udev/rules.d/72-punchd.rules",
        "share/polkit-1/rules.d/50-punchd.rules",
        "share/doc/punchd/config.example.toml",
        "share/doc/punchd/kiosk.md",
    } <= found
    assert not [name for name in found if name.startswith("lib/python")], "nothing where other packages are"


def test_the_commands_run_the_installed_code(installed):
    """Both commands work from anywhere, and what they import is what was installed, never the checkout."""
    told = run(installed / "bin" / "punchd", "--version")
    assert (told.returncode, told.stdout.split()[-1]) == (0, __version__)
    assert run(installed / "bin" / "punchctl", "--help").returncode == 0
    assert run(installed / "bin" / "punchctl", "status", "--socket", "/nowhere").returncode == 69
    traced = run(sys.executable, "-I", "-v", installed / "bin" / "punchd", "--version").stderr
    assert str(installed / "lib/punchd/daemon/cli.py") in traced
    assert str(ROOT / "daemon") not in traced
    example = installed / "share/doc/punchd/config.example.toml"
    checked = run(installed / "bin" / "punchd", "check", "--config", example)
    assert "connecteam.key" in checked.stdout
    assert checked.returncode == 78  # only the key file that the example names is not there


def test_bytecode_is_made_now(installed):
    """The service may not write to its own sources: what Python would remember is there already."""
    sources = list((installed / "lib/punchd").rglob("*.py"))
    assert len(list((installed / "lib/punchd").rglob("*.pyc"))) == len(sources) > 50


def test_the_unit_starts_what_was_installed(installed):
    """The unit names the command where it was put."""
    unit = (installed / "lib/systemd/system/punchd.service").read_text()
    assert f"ExecStart={installed}/bin/punchd run --config /etc/punchd/punchd.toml\n" in unit


def test_with_destdir_nothing_else_is_touched(tmp_path):
    """DESTDIR only stages: files speak of the prefix, lie under DESTDIR, and a second run replaces the first."""
    command = ["make", "install", "PREFIX=/usr", f"DESTDIR={tmp_path}", f"PYTHON={sys.executable}"]
    for _ in range(2):
        subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
        stale = tmp_path / "usr/lib/punchd/daemon/stale.py"
        assert not stale.exists()
        stale.write_text("")
    assert 'sys.path.insert(0, "/usr/lib/punchd")' in (tmp_path / "usr/bin/punchd").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"usr"}
