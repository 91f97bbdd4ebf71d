"""Who we are to Connecteam: an API key from a file, or an OAuth app (oauth.py). No secret leaves here unmasked.

`Secret` hides itself in every repr, log and traceback that shows locals; `scrub` takes what is known out of texts that
came from outside (a proxy may echo our headers into its error page).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from daemon.errors import ConfigError
from daemon.timesheets.connecteam.client import Client
from daemon.timesheets.timesheet import CertificateTime, KeyRefused, NotSent, Throttled

#: Real keys have some dozens of characters; a larger file is another file.
FILE_BYTES_MAX = 4096
#: What stands in place of a secret.
MASK = "***"

#: Told every secret as soon as it is known (the log's `Secrets.add`).
Tell = Callable[[str], None]

#: Why there is nothing to show the service now. None of these means that anything was done.
Unusable = NotSent | CertificateTime | Throttled | KeyRefused


class Secret:
    """A text that shows itself only when asked by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the request that needs it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class Identity(Protocol):
    """What proves to the service who is asking."""

    async def headers(self, client: Client) -> Mapping[str, str] | Unusable:
        """What to send along now; may ask the service first."""

    def refused(self) -> bool:
        """The service refused what `headers` gave (401). True when the next `headers` brings something new."""

    def reload(self) -> bool:
        """Read the files again; True when something changed. Raises ConfigError, and keeps what it had."""

    def scrub(self, text: str) -> str:
        """The text with every secret masked."""


class ApiKey:
    """The company's API key, from a file. Read when first needed, so that a missing file stops no taps."""

    def __init__(self, file: Path, tell: Tell) -> None:
        self._file = file
        self._tell = tell
        self._key: Secret | None = None

    def __repr__(self) -> str:
        return f"ApiKey({str(self._file)!r})"

    async def headers(self, client: Client) -> Mapping[str, str] | Unusable:
        """The key's header; KeyRefused (status 0) while the file cannot be read."""
        if self._key is None:
            try:
                self.reload()
            except ConfigError as error:
                return KeyRefused(0, error.message)
        assert self._key is not None
        return {"X-API-KEY": self._key.reveal()}

    def refused(self) -> bool:
        """A key does not change by being asked again."""
        return False

    def reload(self) -> bool:
        """Read the file again; True when the key changed."""
        key = read_secret(self._file)
        changed = key != self._key
        self._key = key
        self._tell(key.reveal())
        return changed

    def scrub(self, text: str) -> str:
        """The text with the key masked."""
        return mask(text, self._key)


def mask(text: str, *secrets: Secret | None) -> str:
    """The text with these secrets masked."""
    for secret in secrets:
        if secret is not None:
            plain = secret.reveal()
            text = text.replace(plain, MASK).replace(plain.replace("/", "\\/"), MASK)  # some JSON escapes slashes
    return text


def read_secret(file: Path) -> Secret:
    """One line of printable ASCII from a file. Raises ConfigError, whose text never shows what stands there."""
    try:
        if not file.is_file():  # a pipe or a device could keep us waiting for ever
            raise ConfigError(f"cannot read the key file {file}: it is not there; create it, one line, mode 0600")
        with file.open("rb") as opened:
            raw = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read the key file {file}: {error.strerror}; let the service's user read it"
        ) from error
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError(
            f"cannot use the key file {file}: it is larger than {FILE_BYTES_MAX} bytes; put the key alone into it"
        )
    # An editor may have put a mark of its encoding in front.
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace").strip()
    if not text:
        raise ConfigError(f"cannot use the key file {file}: it is empty; put the key into it")
    # Anything else would be refused as a header, in words that show it.
    if not all("!" <= character <= "~" for character in text):
        raise ConfigError(
            f"cannot use the key file {file}: a key is one line of plain letters, digits and signs; copy it again"
        )
    return Secret(text)
