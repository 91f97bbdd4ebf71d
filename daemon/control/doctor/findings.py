"""What doctor can find: a stable code each, how bad it is, and what mends it. A code never changes its meaning."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any, Final


class Severity(enum.StrEnum):
    """How bad a finding is: a problem keeps punches from being taken or delivered, or will."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is "" exactly when all is well."""

    code: str
    severity: Severity
    text: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """As it is shown with --json."""
        return asdict(self)


_W, _P = Severity.WARNING, Severity.PROBLEM

#: Every code that is not "ok", with its severity and remedy.
KNOWN: Final[dict[str, tuple[Severity, str]]] = {
    "daemon_unreachable": (_P, "systemctl start punchd; why it stopped: journalctl -u punchd"),
    "not_under_systemd": (_W, "Run it as the unit punchd.service, which starts it again after a fault: systemctl "
                              "enable --now punchd"),
    "socket_modes": (_P, "systemctl restart punchd; it sets them right; and see who changed them"),
    "config_problem": (_P, "Mend that key, then: punchd check --config FILE"),
    "config_unseen": (_W, "Run doctor as root, or name the file: punchctl doctor --config FILE"),
    "zone_unknown": (_P, "Give [kiosk] timezone an IANA name such as Europe/Amsterdam; apt-get install tzdata"),
    "key_file_open": (_P, "chmod 640 the key file, and change the key if others use this box"),
    "key_refused": (_P, "Make a new key in Connecteam and write it into the key file; then: punchctl sync now"),
    "time_clock_unknown": (_P, "Compare time_clock_id with the time clock's address in Connecteam, and see that the "
                               "key is of that account; then restart punchd"),
    "look_up_refused": (_P, "Give the key the scope time_clock.read; then: punchctl sync now"),
    "people_not_assigned": (_P, "Assign them to the time clock in Connecteam; then: punchctl review retry ID"),
    "review_waiting": (_W, "punchctl review list"),
    "service_unreachable": (_W, "Look at the network: cable, Wi-Fi, DNS, proxy; it goes on by itself"),
    "delivery_paused": (_W, "punchctl sync resume"),
    "clock_doubted": (_P, "Set the clock right, or find out which of the two is wrong: timedatectl"),
    "clock_untrusted": (_P, "Let the kiosk reach a time server (timedatectl) or the service"),
    "certificate_time": (_P, "Let the kiosk reach a time server: timedatectl"),
    "alarm": (_W, "See punchctl status"),
    "no_readers": (_W, "Add [[readers]] to the configuration"),
    "reader_lost": (_P, "Check its cable and plug; punchctl readers"),
    "polkit_refused": (_P, "Install 50-punchd.rules in /etc/polkit-1/rules.d, then: systemctl restart polkit"),
    "pcscd_absent": (_P, "apt-get install pcscd libccid; systemctl enable --now pcscd.socket"),
    "nfc_modules_loaded": (_P, "Blacklist nfc, pn533 and pn533_usb in /etc/modprobe.d, then: modprobe -r pn533_usb "
                               "pn533 nfc; replug the reader"),
    "input_denied": (_P, "Mark the scanner for punchd by a udev rule (docs/kiosk.md), then plug it in again"),
    "cannot_store": (_P, "Free some space or replace the disk; until then taps are refused"),
    "disk_full": (_P, "Free some space now: taps are refused when nothing can be stored; journalctl --vacuum-size=50M"),
    "disk_low": (_W, "Free some space: journalctl --vacuum-size=50M, apt-get clean"),
    "database_damaged": (_P, "Replace the card; what is intact comes back by itself at the next start, or with: punchd "
                             "salvage --config FILE"),
    "database_salvaged": (_W, "See who is named; replace the card if it comes again; then move that folder away"),
    "punches_altered": (_P, "Stop the service, keep a copy of the state directory, then: punchd salvage --config FILE"),
    "copy_failing": (_W, "Give the second copy its medium again, or room on it, or name another: [copy] path"),
    "database_unseen": (_W, "Run doctor as root"),
    "database_volatile": (_P, "Put [kiosk] state_dir on a disk: what is there now is gone after a power cut"),
    "budget_too_small": (_W, "Ask Connecteam for a plan with more API requests a day"),
    "undelivered_old": (_W, "See why they wait: punchctl status, punchctl punches list --state pending"),
    "unknown_taps": (_W, "punchctl badges unknown; then: punchctl badges assign BADGE USER_ID"),
}  # fmt: skip


def found(code: str, text: str, remedy: str | None = None, *, severity: Severity | None = None) -> Finding:
    """A finding of a known code; severity and remedy are those of its code where not given."""
    usual, mends = KNOWN[code]
    return Finding(code, severity or usual, text, remedy or mends)


def fine(subject: str, text: str) -> Finding:
    """Something that was looked at and is well."""
    return Finding(subject, Severity.OK, text)


def markdown() -> str:
    """docs/doctor.md, whole."""
    lines = [
        "# What doctor finds",
        "",
        "Generated by `python -m daemon.control.doctor.findings`; do not edit. A code never changes its meaning. Where",
        "all is well a finding has the severity `ok`, an empty remedy, and a code that names what was looked at.",
        "",
        "| code | severity | remedy |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*lines, *(f"| `{code}` | {how} | {mends} |" for code, (how, mends) in KNOWN.items())]) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
