"""An OAuth app's access token: in memory only, renewed before its end, its scopes checked (facts 1.2).

While no token can be had nothing was sent, so every failure here is an outcome that says so.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import ConfigError
from daemon.timesheets.connecteam import answers, wire
from daemon.timesheets.connecteam.client import Answer, Client, Request
from daemon.timesheets.connecteam.keys import Secret, Tell, Unusable, mask, read_secret
from daemon.timesheets.connecteam.refusals import words
from daemon.timesheets.timesheet import KeyRefused, NotSent, Throttled

#: What the kiosk needs, and nothing more (facts 1.2).
SCOPES = ("account_information.read", "users.read", "jobs.read", "time_clock.read", "time_clock.write")
#: A token is renewed this long before its end, or at nine tenths of a shorter life: a request must not outlive it.
RENEW_BEFORE_S = 600.0
#: A token refused when younger than this was refused for what it is, not for its age.
YOUNG_S = 60.0
#: Lives are a day (facts 1.2); nothing longer is believed.
_LIFE_MAX_S = 30 * 86400.0


def boottime() -> float:
    """Seconds that neither step nor stop in suspend: a token's life is the server's, not our clock's."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class _Token:
    text: Secret
    taken_at: float
    renew_at: float


class OAuthApp:
    """Client credentials: an id from the configuration, a secret from a file."""

    def __init__(
        self, client_id: str, secret_file: Path, tell: Tell, *, monotonic: Callable[[], float] = boottime
    ) -> None:
        self._client_id = client_id
        self._file = secret_file
        self._tell = tell
        self._monotonic = monotonic
        self._secret: Secret | None = None
        self._token: _Token | None = None
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"OAuthApp({self._client_id!r}, {str(self._file)!r})"

    async def headers(self, client: Client) -> Mapping[str, str] | Unusable:
        """The token's header; asks for a new token where there is none or it nears its end."""
        async with self._asking:  # several requests share one new token
            if self._token is None or self._monotonic() >= self._token.renew_at:
                token = await self._ask(client)
                if not isinstance(token, _Token):
                    return token
                self._token = token
                self._tell(token.text.reveal())
            return {"Authorization": f"Bearer {self._token.text.reveal()}"}

    def refused(self) -> bool:
        """Drop the token. True when it had been in use for a while: it may have ended early, a new one may do."""
        token, self._token = self._token, None
        return token is not None and self._monotonic() - token.taken_at > YOUNG_S

    def reload(self) -> bool:
        """Read the secret again; a new secret drops the token of the old one."""
        secret = read_secret(self._file)
        if secret == self._secret:
            return False
        self._secret, self._token = secret, None
        self._tell(secret.reveal())
        return True

    def scrub(self, text: str) -> str:
        """The text with secret, token and what was made of them masked."""
        return mask(text, self._basic(), self._secret, self._token.text if self._token else None)

    def _basic(self) -> Secret | None:
        if self._secret is None:
            return None
        # As they are: the reference has plain HTTP Basic, not RFC 6749's form-encoding before it.
        pair = f"{self._client_id}:{self._secret.reveal()}"
        return Secret(base64.b64encode(pair.encode()).decode())

    async def _ask(self, client: Client) -> _Token | Unusable:
        if self._secret is None:
            try:
                self.reload()
            except ConfigError as error:
                return KeyRefused(0, error.message)
        basic = self._basic()
        assert basic is not None
        form = {"grant_type": "client_credentials", "scope": " ".join(SCOPES)}
        asked_at = self._monotonic()
        answer = await client.send(
            Request("POST", "/oauth/v1/token", form=form), {"Authorization": f"Basic {basic.reveal()}"}
        )
        if not isinstance(answer, Answer):
            return answer
        return _judge_token(answer, asked_at)


def _judge_token(answer: Answer, asked_at: float) -> _Token | Unusable:
    """What the token endpoint's answer means. A lost token is no loss: the next request takes another."""
    told = wire.parse(answer.body)
    if answer.status == 429:
        return Throttled(answers.throttled_until(answer.headers))
    if answer.fault is not None or told is None or answer.status is None:
        return NotSent(f"no access token: {answer.fault or f'status {answer.status}'}")
    if answer.status in (400, 401, 403):
        return KeyRefused(answer.status, f"the OAuth app was refused: {words(told)}")
    token, life_s, scope = told.get("access_token"), told.get("expires_in"), told.get("scope")
    if answer.status != 200 or not isinstance(token, str) or not all("!" <= c <= "~" for c in token) or not token:
        return NotSent(f"no access token: status {answer.status}")
    # Absent, the scopes are those asked for (RFC 6749, 5.1).
    missing = sorted(set(SCOPES) - set(scope.replace(",", " ").split())) if isinstance(scope, str) else []
    if missing:
        return KeyRefused(403, f"the OAuth app lacks scopes: {' '.join(missing)}; make an app with all five")
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not 0 < life_s < _LIFE_MAX_S:
        life_s = 3600.0
    return _Token(Secret(token), asked_at, asked_at + max(life_s - RENEW_BEFORE_S, life_s * 0.9))
