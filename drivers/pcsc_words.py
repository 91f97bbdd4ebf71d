"""What PC/SC's error codes mean to the person who has to mend it. PURE (facts 4.2)."""

from __future__ import annotations

COMM_ERROR = 0x80100013
CANCELLED = 0x80100002
UNKNOWN_READER = 0x80100009
TIMEOUT = 0x8010000A
READER_UNAVAILABLE = 0x80100017
NO_SERVICE = 0x8010001D
SERVICE_STOPPED = 0x8010001E
NO_READERS = 0x8010002E
SECURITY_VIOLATION = 0x8010006A

#: Longer than any message of the library or name of a reader.
_SHOWN_MAX = 200

NO_LIBRARY = (
    "cannot use NFC readers: the Python library pyscard is not installed;"
    " apt-get install python3-pyscard, or pip install 'punchd[nfc]'"
)

HANGS = (
    "cannot read cards any more: pcscd gives no sign of life; systemctl restart pcscd; if that does not help, unplug"
    " the reader and plug it in again"
)

_MEANINGS = {
    NO_SERVICE: "pcscd is not running; apt-get install pcscd, then systemctl enable --now pcscd.socket",
    COMM_ERROR: "pcscd ended while it was in use; see journalctl -u pcscd",
    SERVICE_STOPPED: (
        "pcscd is stopping, or is of another version than the library libpcsclite that pyscard was built with;"
        " systemctl restart pcscd, and install both, and pyscard, from the same distribution"
    ),
    SECURITY_VIOLATION: (
        "polkit forbids it to this user; allow org.debian.pcsc-lite.access_pcsc and .access_card to the service's user"
        " in /etc/polkit-1/rules.d (the package ships 50-punchd.rules), then systemctl restart polkit"
    ),
}


def unsigned(code: int) -> int:
    """A result as it stands in the manuals, whatever sign the binding gave it."""
    return code & 0xFFFFFFFF


def trouble(code: int, own_words: str = "") -> str:
    """One sentence for a failed call: what cannot be done, why, and the remedy. `own_words` are the library's."""
    meaning = _MEANINGS.get(code)
    if meaning is None:
        words = _shown(own_words).rstrip(".") or "PC/SC failed"
        meaning = f"{words} (0x{code:08X}); systemctl restart pcscd, and replug the reader"
    return f"cannot use NFC readers: {meaning}"


def nothing_there(match: str, names: list[str]) -> str:
    """No reader that could be used is connected; `names` are those that are."""
    if not names:
        return (
            "cannot use an NFC reader: pcscd sees none; plug it in; if it is, see lsusb, and that the kernel modules"
            " pn533_usb and nfc are blacklisted and libccid is installed"
        )
    return (
        f"cannot use an NFC reader: none has {match!r} in its name; connected: {', '.join(map(_shown, names))};"
        " correct `match` of this reader in the configuration"
    )


def _shown(text: str) -> str:
    """Words of the library or of a device (its name is whatever it says) as one short line that can be shown."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_SHOWN_MAX]
