"""One request over HTTP and what is known of it afterwards. Knows HTTP, nothing of time clocks.

The one question that matters is whether the request can have reached the service: every lower failure becomes NotSent,
CertificateTime or an Answer whose `fault` says why its outcome is open. Nothing is ever sent twice.

httpx.HTTPError
├── ConnectError, ConnectTimeout, PoolTimeout, ProxyError, UnsupportedProtocol   before anything was sent: NotSent
│   └── caused by a certificate "not yet valid" or "expired"                     CertificateTime
└── all others, and what slips through below httpx (OSError)                     fault; NotSent where the trace shows
                                                                                 that sending never began
A kept connection that the server closed while idle shows as RemoteProtocolError after sending: a fault like any other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import certifi
import httpx

from daemon import __version__
from daemon.errors import ConfigError
from daemon.timesheets.timesheet import CertificateTime, NotSent

#: One request at a time is the rule of delivery; whoever comes second waits for the connection, at most timeout_s.
_CONNECTIONS_MAX = 1
#: Shorter than the shortest common patience of servers with idle connections (5 s; balancers have 60): a request on a
#: connection that is just being closed has an unknown outcome and costs a look-up, a new connection costs a handshake.
_KEEPALIVE_S = 4.0
#: A drip of bytes keeps every single phase alive; the whole may take this many times the time-out.
_OVERALL = 2.0
#: Error texts from below are for people; this much is enough.
_WHY_MAX = 200

#: Raised before the request itself is written.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_CERTIFICATE_TIME = frozenset({9, 10})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `json` or `form` is the body; `body_max` bounds the answer's, in bytes, packed and unpacked."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    body_max: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. With a `fault` it is not a whole answer: what it means is open.

    `status` is None when no answer began. Header names are lower-case.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str | None = None


class Client:
    """HTTP/1.1 to one service, over verified TLS or to loopback.

    The environment is not asked (`trust_env` is off): a stray variable or a .netrc must neither redirect punches nor
    replace the key. A proxy is an argument, `proxy` ("http://host:port"); through it the key travels inside TLS.
    Certificates are checked against the system's store, where companies add their own authority, else certifi's;
    `tls` replaces that. `transport` replaces the network.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._base = _checked(base_url)
        self._overall_s = timeout_s * _OVERALL
        self._out: set[_Sending] = set()
        #: How many requests were sent, or may have been, since the beginning.
        self.sent = 0
        _hush()
        # Connecting and sending are quick or broken; the service may think for the whole time.
        limits = httpx.Timeout(timeout_s, connect=timeout_s * 2 / 3, write=timeout_s * 2 / 3)
        self._root, self._timeout = str(self._base).rstrip("/"), limits.as_dict()
        self._http = httpx.AsyncClient(
            base_url=self._base,
            transport=transport,
            # Reading a store of authorities takes a while, and what replaces the network asks none of them.
            verify=tls or (system_tls() if transport is None else True),
            proxy=proxy if transport is None and self._base.scheme == "https" else None,
            trust_env=False,
            follow_redirects=False,  # the key goes nowhere but where it was configured to go
            limits=httpx.Limits(
                max_connections=_CONNECTIONS_MAX,
                max_keepalive_connections=_CONNECTIONS_MAX,
                keepalive_expiry=_KEEPALIVE_S,
            ),
            timeout=limits,
            headers={"User-Agent": f"punchd/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"},
        )
        self._fixed = dict(self._http.headers)
        # No request shall depend on an earlier one: cookies are not kept.
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __repr__(self) -> str:
        return f"Client({str(self._base)!r})"

    @property
    def believable(self) -> bool:
        """Whether the answers' Date may be believed: they come over verified TLS, or from this machine."""
        return self._base.scheme == "https" or is_loopback(self._base.host)

    async def send(self, request: Request, headers: Mapping[str, str]) -> Answer | NotSent | CertificateTime:
        """Send it once. Never raises for what the network or the service does."""
        answer = await self._send(request, headers)
        self.sent += isinstance(answer, Answer)
        return answer

    def abandon(self) -> bool:
        """End every request at once that surely changes nothing: one that has not left, or only reads. Whether any."""
        given_up = [sending for sending in self._out if sending.abandon()]
        return bool(given_up)

    async def aclose(self) -> None:
        """Drop kept connections."""
        await self._http.aclose()

    async def _send(self, request: Request, headers: Mapping[str, str]) -> Answer | NotSent | CertificateTime:
        sending = _Sending(changes=request.method != "GET")
        try:
            async with asyncio.timeout(self._overall_s) as sending.limit:
                self._out.add(sending)
                return await self._exchange(request, headers, sending)
        except TimeoutError:
            waited = f"no whole answer within {self._overall_s:g} s"
            error: Exception = httpx.ReadTimeout("given up: the network changed" if sending.abandoned else waited)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as failed:
            error = failed
        finally:
            self._out.discard(sending)
        return self._failed(error, sending)

    async def _exchange(self, request: Request, headers: Mapping[str, str], sending: _Sending) -> Answer:
        # What the client would put together anew for each request, and merge from both, is known once and for all.
        built = httpx.Request(
            request.method,
            f"{self._root}/{request.path.lstrip('/')}{'?' if request.query else ''}{urlencode(request.query)}",
            json=request.json,
            data=request.form,
            headers=self._fixed | dict(headers),
            extensions={"timeout": self._timeout, "trace": sending.note},
        )
        response = await self._http.send(built, stream=True)
        try:
            sending.answer = Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()})
            body, fault = await _read(response, request.body_max)
            return Answer(sending.answer.status, sending.answer.headers, body, fault)
        finally:
            await response.aclose()

    def _failed(self, error: Exception, sending: _Sending) -> Answer | NotSent | CertificateTime:
        why = _why(error)
        if sending.answer is not None:
            return Answer(sending.answer.status, sending.answer.headers, fault=f"the answer was cut off: {why}")
        if isinstance(error, _NEVER_SENT) or sending.surely_not:
            if _is_certificate_time(error):
                return CertificateTime(why)
            return NotSent(f"cannot reach {self._base.host}: {why}")
        return Answer(fault=f"no answer: {why}")


class _Sending:
    """How far a request came, by the trace of the layer that writes it (other transports leave none)."""

    def __init__(self, *, changes: bool) -> None:
        self.answer: Answer | None = None
        #: Its time limit, once it is under way.
        self.limit: asyncio.Timeout | None = None
        self.abandoned = False
        self._changes = changes
        self._traced = False
        self._began = False

    async def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear one event. A CONNECT to a proxy is not yet our request."""
        self._traced = True
        if event.endswith("send_request_headers.started") and getattr(info.get("request"), "method", b"") != b"CONNECT":
            self._began = True

    def abandon(self) -> bool:
        """Let its time be up, unless it may change something. (What begins to be written meanwhile counts as sent.)"""
        if self.limit is None or (self._changes and not self.surely_not) or self.limit.expired():
            return False
        self.abandoned = True
        self.limit.reschedule(asyncio.get_running_loop().time())
        return True

    @property
    def surely_not(self) -> bool:
        """Whether it is certain that no byte of the request was written."""
        return self._traced and not self._began


async def _read(response: httpx.Response, body_max: int) -> tuple[bytes, str | None]:
    """The unpacked body and what is wrong with it. Both the packed and the unpacked bytes are bounded."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        return b"", f"an encoding nobody asked for ({encoding[:20]!r})"
    packed = bytearray()
    async for chunk in response.aiter_raw():
        packed += chunk
        if len(packed) > body_max:
            return b"", f"an answer of more than {body_max} bytes"
    if encoding in ("identity", ""):
        return bytes(packed), None
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        body = unpacker.decompress(bytes(packed), body_max + 1)
    except zlib.error:
        return b"", "a damaged gzip body"
    if len(body) > body_max:
        return b"", f"an answer of more than {body_max} bytes, unpacked"
    return (body, None) if unpacker.eof else (b"", "a gzip body that was cut off")


# --- failures -------------------------------------------------------------------------------------


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything below it, each once."""
    pending, seen = [error], set[int]()
    while pending:
        error = pending.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        pending += [below for below in (error.__cause__, error.__context__) if below is not None]
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions


def _is_certificate_time(error: Exception) -> bool:
    return any(
        isinstance(below, ssl.SSLCertVerificationError) and below.verify_code in _CERTIFICATE_TIME
        for below in _causes(error)
    )


def _why(error: Exception) -> str:
    """What failed, in the words of the system where it has some."""
    if isinstance(error, httpx.LocalProtocolError):  # its text may show a header
        return type(error).__name__
    system = [below for below in _causes(error) if isinstance(below, OSError) and below.strerror]
    text = (system[-1].strerror if system else None) or str(error)
    return f"{type(error).__name__}: {text}"[:_WHY_MAX] if text else type(error).__name__


# --- set-up ---------------------------------------------------------------------------------------


def system_tls() -> ssl.SSLContext:
    """Verified TLS with the system's authorities, or certifi's where the system has none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _checked(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigError(f"cannot use base_url {base_url!r}: {error}; give https://host") from error
    if url.userinfo or url.query or url.fragment or not url.host:
        raise ConfigError(
            "cannot use base_url: it must be https://host and nothing else; secrets stand in the key file"
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
        raise ConfigError(f"cannot use base_url {base_url!r}: the key goes only over https, or http to loopback")
    return url


def _hush() -> None:
    """Keep headers out of the log: below WARNING the libraries write every answer's, and a proxy may echo ours."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
