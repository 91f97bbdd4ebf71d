"""A way out over HTTP: a POST, signed with a shared secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from pathlib import Path
from typing import Final

import httpx
import structlog

from daemon import __version__
from daemon.alerts.book import Message
from daemon.alerts.channel import Sent

_log = structlog.get_logger()

#: A receiver that takes longer is treated as away; nothing else waits for it.
TIMEOUT_S: Final = 15.0
SIGNATURE: Final = "Punchd-Signature"
#: They say "not now", not "not this".
_LATER: Final = frozenset({408, 425, 429})


class Webhook:
    """Posts to one address. The secret's file is read for each message, so a new secret needs no restart.

    The environment is not asked for a proxy, redirects are not followed, and the answer's body is not read.
    """

    def __init__(
        self, url: str, secret_file: Path, *, tls: ssl.SSLContext | bool = True, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url, self._secret_file, self._timeout_s = url, secret_file, timeout_s
        self._tls = tls

    async def send(self, message: Message, body: bytes) -> Sent:
        """One POST; the address is never logged, there may be a secret in it."""
        try:
            headers = {
                "Content-Type": "application/json",
                "User-Agent": f"punchd/{__version__}",
                SIGNATURE: signature(self._secret_file.read_bytes().strip(), body),
            }
            # A drip of bytes keeps each phase alive: the whole has a limit of its own.
            async with (
                asyncio.timeout(2 * self._timeout_s),
                # Alarms are rare: a kept connection would only be found closed.
                httpx.AsyncClient(
                    verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._timeout_s
                ) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            _log.warning("alert.failed", code=message.code, channel="url", error=f"{type(error).__name__}: {error}")
            return Sent.FAILED
        if 200 <= status < 300:
            return Sent.DONE
        _log.warning("alert.failed", code=message.code, channel="url", status=status)
        return Sent.REFUSED if 400 <= status < 500 and status not in _LATER else Sent.FAILED


def signature(secret: bytes, body: bytes) -> str:
    """The value of the header: `sha256=` and the HMAC in hexadecimal."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
