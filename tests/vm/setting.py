"""What the virtual kiosk stands in: the sandbox behind TLS, and a disk that brings punchd's sources along."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import TIME_CLOCK_ID
from sandbox.sample import BADGES, PEOPLE
from tests.support.sandbox_process import ROOT, SandboxAdmin, sandbox_process
from tests.vm.machine import Machine, make_disk
from tests.vm.tls_front import tls_front

SERVICE_NAME = "connecteam.test"
#: The host's loopback, as QEMU's own network shows it to the guest.
HOST = "10.0.2.2"
#: Anna and her colleagues: user id to badge.
BADGE_OF = {str(user_id): badge for (user_id, _), badge in zip(PEOPLE, BADGES, strict=True)}
SCANNER_RULE = (
    'SUBSYSTEM=="input", KERNEL=="event*", ATTRS{idVendor}=="0627", ATTRS{idProduct}=="0001", TAG+="punchd_scanner"\n'
)
SOURCES = ("daemon", "drivers", "sandbox", "systemd", "tools", "docs", "config.example.toml")


def config(port: int, *, more: str = "") -> str:
    """The kiosk's configuration."""
    return f"""
[kiosk]
name = "front-door"
timezone = "Europe/Amsterdam"
admin_group = "punchd-admin"
[attendance]
repeat_tap_seconds = 0
[connecteam]
base_url = "https://{SERVICE_NAME}:{port}"
time_clock_id = {TIME_CLOCK_ID}
settle_seconds = 1
backoff_max_seconds = 5
{more}
[[readers]]
name = "nfc"
driver = "pcsc"
[[readers]]
name = "scanner"
driver = "evdev"
match = "0627:0001"
"""


@dataclass
class Setting:
    """A running kiosk and what it is connected with."""

    machine: Machine
    sandbox: SandboxAdmin
    port: int
    authority: str

    # --- the kiosk's own words

    def ctl(self, *arguments: str, user: str = "root") -> Any:
        """What `punchctl … --json` answers, asked by this user."""
        return json.loads(
            self.machine.told("runuser", "-u", user, "--", "/usr/local/bin/punchctl", *arguments, "--json")
        )

    def punches(self) -> list[dict[str, Any]]:
        """All punches, oldest first."""
        found: list[dict[str, Any]] = self.ctl("punches", "list")
        return found

    def unit(self, name: str) -> str:
        """One property of the unit."""
        return self.machine.told("systemctl", "show", "punchd", "--value", "-p", name).strip()

    def journal(self, *matches: str) -> str:
        """What the unit logged in this boot."""
        return self.machine.told("journalctl", "-b", "-u", "punchd", "-o", "cat", "--no-pager", *matches)

    def until_active(self) -> None:
        """Until systemd has heard READY."""
        self.machine.until("punchd to be ready", lambda: self.unit("ActiveState") == "active")

    def until_readers(self, *names: str) -> None:
        """Until these readers take taps (both, where none is named)."""
        wanted = set(names or ("nfc", "scanner"))

        def look() -> bool:
            return wanted <= {one["name"] for one in self.ctl("readers") if one["state"] == "open"}

        self.machine.until(f"{wanted} to be open", look)

    def until_punch_beyond(self, known: set[str]) -> dict[str, Any]:
        """Until there is a punch that is not among these ids."""
        return self.machine.until("a punch", lambda: next((p for p in self.punches() if p["id"] not in known), None))

    def until_delivered(self) -> None:
        """Until every punch is delivered."""

        def look() -> bool:
            return all(one["state"] == "delivered" for one in self.punches())

        try:
            self.machine.until("all deliveries", look)
        except TimeoutError:
            raise AssertionError(json.dumps(self.punches(), indent=1) + self.journal("-n", "40")) from None


def install(setting: Setting) -> None:
    """What docs/kiosk.md tells a kiosk's owner to do, in the same order."""
    machine = setting.machine
    machine.write("/etc/hosts", f"127.0.0.1 localhost kiosk\n{HOST} {SERVICE_NAME}\n")
    # A company's own authority, where Debian keeps them.
    machine.write("/usr/local/share/ca-certificates/test.crt", setting.authority)
    machine.told("update-ca-certificates")
    machine.told("/run/payload/source/tools/install")
    machine.write("/etc/udev/rules.d/71-punchd-local.rules", SCANNER_RULE)
    machine.told("sh", "-c", "udevadm control --reload && udevadm trigger --subsystem-match=input && udevadm settle")
    machine.write("/etc/punchd/punchd.toml", config(setting.port))
    machine.write("/etc/credstore/connecteam-api-key", SANDBOX_KEY + "\n", mode="600")
    machine.told("systemctl", "enable", "--now", "punchd")
    setting.until_active()
    rows = [f"{user_id},{name},{BADGE_OF[str(user_id)]}," for user_id, name in PEOPLE]
    people = "\n".join(["user_id,name,badge,job_id", *rows])
    machine.write("/root/people.csv", people)
    setting.ctl("employees", "import", "/root/people.csv")
    machine.told("sync")


@contextmanager
def standing() -> Iterator[Setting]:
    """A kiosk that is switched on, with nothing installed yet; everything is gone afterwards."""
    made = subprocess.run([str(ROOT / "tools" / "vm-image")], stdout=subprocess.PIPE, text=True, check=True)
    # A short path: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="pk-") as name, sandbox_process(Path(name) / "sandbox") as sandbox:
        folder = Path(name)
        sandbox_port = int(sandbox.url.rpartition(":")[2])
        with tls_front("127.0.0.1", sandbox_port, SERVICE_NAME) as (port, authority):
            machine = Machine(folder, Path(made.stdout.strip()), _payload(folder))
            try:
                machine.start()
                yield Setting(machine, sandbox.admin, port, authority)
            finally:
                machine.close()


def _payload(folder: Path) -> Path:
    source = folder / "payload" / "source"
    source.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    shutil.copy(ROOT / "tests" / "vm" / "agent.py", folder / "payload" / "agent.py")
    make_disk(folder / "payload", folder / "payload.img", "payload")
    return folder / "payload.img"
