"""Who may ask: API keys and OAuth client credentials (facts 1.2), the operations hub (facts 1.1)."""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from sandbox.connecteam.errors import Refusal
from sandbox.http import Request, Response

#: The key of a sandbox nobody gave one.
SANDBOX_KEY = "sandbox-key"
#: Facts 1.2: tokens live a day and there is no refresh token.
TOKEN_LIFE_S = 86_400
#: Facts 1.2: what a kiosk asks for.
KIOSK_SCOPES = ("account_information.read", "users.read", "jobs.read", "time_clock.read", "time_clock.write")


@dataclass(slots=True)
class OAuthApp:
    """A registered client with the scopes it was made with."""

    client_id: str
    secret: str
    scopes: frozenset[str]


@dataclass(slots=True)
class Token:
    """An access token with the scopes it was asked for."""

    scopes: frozenset[str]
    expires_at: float


@dataclass(slots=True)
class Access:
    """Keys with their expiry (None: never), apps, tokens; `hub` False takes time clocks and jobs away (403)."""

    _chance: random.Random
    keys: dict[str, float | None] = field(default_factory=lambda: {SANDBOX_KEY: None})
    apps: dict[str, OAuthApp] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    hub: bool = True

    def add_app(self, client_id: str, secret: str, scopes: tuple[str, ...] = KIOSK_SCOPES) -> None:
        """Register a client for the client credentials grant."""
        self.apps[client_id] = OAuthApp(client_id, secret, frozenset(scopes))

    def revoke_all(self) -> None:
        """No key and no token works any more."""
        self.keys.clear()
        self.tokens.clear()

    def admit(self, request: Request, scope: str, now: float) -> None:
        """Raise a 401 for no or a bad credential, a 403 for a token without the scope. A key has all of them."""
        key = request.headers.get("x-api-key")
        if key is not None:
            expires_at = self.keys.get(key, 0.0)
            if expires_at is not None and expires_at <= now:
                raise Refusal(401, "Invalid API key")
            return
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.tokens.get(value) if kind.lower() == "bearer" else None
        if token is None or token.expires_at <= now:
            raise Refusal(401, "Not authenticated")
        if scope not in token.scopes:
            raise Refusal(403, f"Missing scope: {scope}")

    def grant(self, request: Request, now: float) -> Response:
        """`POST /oauth/v1/token`: HTTP Basic and a form; 400, 401 and 403 as in facts 1.2."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        if form.get("grant_type") != "client_credentials":
            raise Refusal(400, "Invalid grant type")
        app = self._client(request)
        wanted = frozenset(form.get("scope", "").split())
        if not wanted <= app.scopes:
            raise Refusal(403, f"Scopes not granted: {' '.join(sorted(wanted - app.scopes))}")
        value = f"{self._chance.getrandbits(160):040x}"
        self.tokens[value] = Token(wanted, now + TOKEN_LIFE_S)
        return Response.of(
            200,
            {
                "access_token": value,
                "token_type": "bearer",
                "expires_in": TOKEN_LIFE_S,
                "scope": " ".join(sorted(wanted)),
            },
        )

    def _client(self, request: Request) -> OAuthApp:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Refusal(401, "Invalid client") from error
        app = self.apps.get(client_id)
        if kind.lower() != "basic" or app is None or app.secret != secret:
            raise Refusal(401, "Invalid client")
        return app
