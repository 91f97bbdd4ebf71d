"""What may come back for a request: any status, headers and bytes, true answers that were changed, and near proofs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from hypothesis import strategies as st

_NUMBERS = st.sampled_from(
    ["0", "1", "5", "-1", "60", "1795400000", "1795500000", "9999999999", "1e12", "nan", "", "x"]
)
_HEADERS = {
    "x-ratelimit-minute-limit": _NUMBERS,
    "x-ratelimit-minute-remaining": _NUMBERS,
    "x-ratelimit-minute-reset": _NUMBERS,
    "x-ratelimit-day-limit": _NUMBERS,
    "x-ratelimit-day-remaining": _NUMBERS,
    "x-ratelimit-day-reset": _NUMBERS,
    "retry-after": _NUMBERS | st.just("Mon, 23 Nov 2026 08:00:00 GMT"),
    "date": st.sampled_from(
        ["Mon, 23 Nov 2026 07:00:09 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "soon", "0"]
    ),
    "age": _NUMBERS,
    "content-type": st.sampled_from(["application/json", "text/html", "", "\u00e9"]),
    "content-encoding": st.sampled_from(["gzip", "br", "identity", "GZIP ", "gzip, gzip"]),
    "location": st.sampled_from(["https://evil.example/", "/me", "::"]),
    "set-cookie": st.just("a=b"),
}
HEADERS = st.dictionaries(st.sampled_from(sorted(_HEADERS)), st.none(), max_size=5).flatmap(
    lambda chosen: st.fixed_dictionaries({name: _HEADERS[name] for name in chosen})
)
STATUSES = st.sampled_from(
    [200] * 5 + [201, 204, 206, 301, 302, 400, 401, 403, 404, 405, 407, 408, 409, 422, 425, 429, 500, 503]
) | st.integers(200, 599)
#: Of an answer that is nearly true.
OFTEN_GOOD = st.integers(0, 7).flatmap(
    lambda number: STATUSES if number == 7 else st.sampled_from([200] * 5 + [201, 206])
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "detail", "error", "shift", "id", "userId", "code", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
_WORDS = st.sampled_from(
    [
        "Too many requests",
        "NO_OPEN_SHIFT",
        "INVALID_TIMESTAMP_TOO_OLD",
        "User already has an open shift",
        "HAS_LOCKED_DAYS",
    ]
)
BODIES = (
    st.binary(max_size=40)
    | _JSON.map(lambda document: json.dumps(document).encode())
    | _WORDS.map(lambda words: json.dumps({"detail": words}).encode())
    | st.just(b"<html>Welcome to the guest network</html>")
    | st.just(b"[" * 20_000)
    | st.just(b'{"data": {"shift": {"id": "x", "userId": 101, "start": {"timestamp": 1')
    | _JSON.map(lambda document: gzip.compress(json.dumps(document).encode()))
)
FAILURES = st.sampled_from(
    [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.ReadTimeout, httpx.WriteError,
     httpx.RemoteProtocolError, httpx.PoolTimeout, httpx.DecodingError, OSError, ConnectionResetError]
)  # fmt: skip
#: A client that raises one of these has not begun to send.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Hostile:
    """What becomes of one request. `processed`: the service acts on it all the same.

    `failure` instead of an answer; else `status`, `headers` and a body: `body` as it is, or, where it is None, the
    true answer with `spoil` done to it (`near proofs` are made of the request where it was not processed).
    """

    processed: bool
    failure: type[Exception] | None = None
    status: int = 200
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    spoil: str = "nothing"

    def body_for(self, request: httpx.Request, true: bytes | None) -> bytes:
        """The bytes that come back."""
        if self.body is not None:
            return self.body
        if true is None:
            return near_proof(request, self.spoil)
        match self.spoil:
            case "cut":
                return true[: len(true) // 2]
            case "twice":
                return true + true
            case "padded":
                return b" \n" * 500 + true
            case "renamed":
                return true.replace(b"userId", b"user_id").replace(b"timestamp", b"time")
        return true


def near_proof(request: httpx.Request, spoil: str) -> bytes:
    """An answer that looks like the proof of a request that was never carried out: one vital thing is not right."""
    try:
        asked: dict[str, Any] = json.loads(request.content)
        user, at = asked["userId"], asked["timestamp"]
    except (ValueError, KeyError, httpx.RequestNotRead):
        return b'{"data": {}}'
    shift: dict[str, Any] = {"id": "5f0c", "userId": user, "start": {"timestamp": at}, "end": {"timestamp": at}}
    match spoil:
        case "cut":
            del shift["id"]
        case "twice":
            shift["userId"] = user + 1
        case "padded":
            shift["start"] = shift["end"] = {"timestamp": str(at)}
        case "renamed":
            shift["start"] = shift["end"] = {"time": at}
        case _:
            shift["id"] = None
    return json.dumps({"requestId": "x", "data": {"shift": shift}}).encode()


@st.composite
def hostile(draw: st.DrawFn) -> Hostile:
    """One of all these."""
    processed = draw(st.booleans())
    spoil = draw(st.sampled_from(["nothing", "cut", "twice", "padded", "renamed"]))
    if draw(st.integers(0, 3)) == 0:
        return Hostile(processed=False, spoil=spoil)  # a near proof
    if draw(st.integers(0, 5)) == 0:
        failure = draw(FAILURES)
        return Hostile(processed and failure not in _BEFORE_SENDING, failure=failure)
    status, body = draw(STATUSES), draw(BODIES)
    if draw(st.booleans()):
        status, body = draw(st.sampled_from([200] * 6 + [201, 206, 500])), None
    # Who says in so many words that it was not done is believed: 429, and a refusal in JSON. That is no lie here.
    refuses = status == 429 or (body is not None and (400 <= status < 500 or b"Too many requests" in body))
    return Hostile(processed and not refuses, status=status, headers=draw(HEADERS), body=body, spoil=spoil)
