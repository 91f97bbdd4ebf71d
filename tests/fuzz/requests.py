"""What may arrive on the sockets: requests with any method, path, query and JSON; torn and malformed HTTP; noise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from daemon.control.routes import ROUTES

#: These ask the service itself, which nobody plays here; the others are all there are.
_ASKING = ("/v1/employees/sync", "/v1/audit")
_PATHS = [route.path for route in ROUTES if route.path not in _ASKING]
#: The method of each path that has none of the caller's words in it.
_ROUTED = {route.path: route.method for route in ROUTES if "{" not in route.path}
_TRICKS = [
    "/", "//", "*", "/v1", "/v1/", "/v1/status/", "//v1/status", "/v1/./status", "/v1/../v1/status", "/v1/%2e%2e/taps",
    "/v1/status%2f..%2ftaps", "/v1/status%00", "/V1/status", "/v1/status;x=1", "/v1/punches/../../etc/passwd",
    "/v1/punches/%", "/v1/punches/%zz", "/v1/employees/" + "a" * 3000, "http://punchd/v1/status", "http://[::1",
    "/v1/badges/%F0%9F%92%A9", "/v1/badges/\\x", "/metrics/../v1/status", "/v1/punches/" + "%2e" * 500, "?", "/?#",
]  # fmt: skip
_WORDS = st.sampled_from(["7", "04A2B3C4", "front", "held", "2026-11-21T08:00:00Z", "-1", "0", "1e400", "", "%00"])
_TEXTS = _WORDS | st.text(max_size=10)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    ["user_id", "name", "badge", "reader", "at", "job_id", "reason", "since", "clock_out", "clock_in", "time", "csv",
     "accept_server", "timeout_s", "force", "forget", "x"]
)  # fmt: skip
_METHODS = st.sampled_from(
    ["GET"] * 4 + ["POST"] * 6 + ["DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "X"]
)


@dataclass(frozen=True)
class Sent:
    """What is written to a socket. `whole`: a request that is complete, so that an answer must come."""

    pieces: tuple[bytes, ...]
    whole: bool

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


@st.composite
def targets(draw: st.DrawFn) -> str:
    """A path of ours with something in its place, a trick, or any text; and a query."""
    path = draw(
        st.sampled_from(_PATHS) | st.sampled_from(_TRICKS) | st.text(max_size=15).map(lambda text: f"/v1/{text}")
    )
    for name in ("{id}", "{badge}"):
        path = path.replace(name, draw(_TEXTS))
    query = draw(
        st.lists(st.tuples(st.sampled_from(["state", "since", "limit", "undelivered", "x"]), _TEXTS), max_size=3)
    )
    if query:
        path += "?" + "&".join(f"{name}={value}" for name, value in query)
    kept = path.encode("utf-8", "replace")
    # A space or a line end would end the request line: those are the malformed ones' matter.
    return kept.translate(None, b" \r\n\t\x00\x0b\x0c").decode("latin-1") or "/"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON that could be meant, any JSON, or no JSON."""
    document: Any = draw(st.dictionaries(_FIELDS, _JSON, max_size=4) | _JSON)
    good = json.dumps(document).encode()
    return draw(st.sampled_from([good, good, good, good[: len(good) // 2], b"[" * 3000]) | st.binary(max_size=30))


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A complete request: well formed as HTTP, whatever it asks for."""
    method, target, body = draw(_METHODS), draw(targets()), draw(bodies())
    if draw(st.integers(0, 2)):
        method = _ROUTED.get(target.partition("?")[0], method)
    kind = draw(st.sampled_from(["application/json", "text/csv", "text/plain", "", "multipart/form-data", "\u00e9"]))
    more = draw(
        st.lists(st.sampled_from(["Expect: nothing", "Range: bytes=0-", "X: " + "y" * 3000, "Cookie: a=b"]), max_size=3)
    )
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", f"Content-Type: {kind}", *more]
    if draw(st.booleans()):
        lines.append(f"Content-Length: {len(body)}")
        content = body
    else:
        lines.append("Transfer-Encoding: chunked")
        content = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return Sent((head, content), whole=True)


@st.composite
def torn(draw: st.DrawFn) -> Sent:
    """A request in pieces that ends too early, or with something written over, or too large a head; and noise."""
    whole = draw(requests()).data
    first, second = sorted((draw(st.integers(0, len(whole))), draw(st.integers(0, len(whole)))))
    return draw(
        st.sampled_from(
            [
                Sent((whole[:first], whole[first:second]), whole=False),
                Sent((whole[:first], b"\x00\xff\r\n", whole[first:]), whole=False),
                Sent((b"GET /v1/status HTTP/1.1\r\n" + b"X: " + b"y" * 70_000,), whole=False),
                Sent((b"POST /v1/taps HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", whole), whole=False),
                Sent((b"POST /v1/taps HTTP/1.1\r\nContent-Length: 7\r\nContent-Length: 9\r\n\r\n", whole), whole=False),
                Sent((whole.replace(b"HTTP/1.1", b"HTTP/9.9"),), whole=False),
                Sent((whole, whole), whole=False),
            ]
        )
        | st.binary(max_size=200).map(lambda noise: Sent((noise,), whole=False))
    )
