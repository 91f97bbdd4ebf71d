"""The sockets from the other end, for punchctl and for scripts: one method a feature, JSON in and out.

Standard library alone, and http.client only when something is asked: a command starts in a blink.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

#: An answer that takes longer will not come; the daemon itself gives up on bodies after this.
TIMEOUT_S = 30.0
#: Several heartbeats of an event stream (daemon/control/server.py): silence beyond this is a dead daemon.
SILENCE_S = 60.0
#: What asks the service person by person takes its time on a small plan; a daemon that dies ends it at once.
PACED_S = 4 * 3600.0
RUNTIME_DIR = Path("/run/punchd")


class UnreachableError(Exception):
    """The daemon cannot be reached, or what answers is not punchd. The message ends with the remedy."""


class SocketPathError(Exception):
    """What was given as a socket can be none. The message ends with the remedy."""


class RefusedByDaemonError(Exception):
    """The daemon answered with a problem document."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"))
        self.problem = problem


def default_socket(environment: Mapping[str, str]) -> Path:
    """PUNCHD_SOCKET; else control.sock where it may be used, else status.sock, of the service's runtime directory."""
    if environment.get("PUNCHD_SOCKET"):
        return Path(environment["PUNCHD_SOCKET"])
    # systemd lists several directories with colons; the sockets are in the first.
    inside = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    directory = Path(inside) if inside else RUNTIME_DIR
    control, status = directory / "control.sock", directory / "status.sock"
    if os.access(control, os.R_OK | os.W_OK) or not os.access(status, os.R_OK | os.W_OK):
        return control
    return status


class Client:
    """One socket. After each answer `zone` names the kiosk's time zone and `now` its best known time (Unix seconds)."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self.path = path
        self.zone = "UTC"
        self.now = time.time()
        self._timeout_s = timeout_s

    # --- reading

    def status(self) -> Any:
        """One look at everything."""
        return self._ask("GET", "/v1/status")

    def present(self) -> Any:
        """Who is in."""
        return self._ask("GET", "/v1/present")

    def punches(self, **filters: Any) -> Any:
        """Punches, oldest first; filters: state, employee, since, until, limit."""
        return self._ask("GET", "/v1/punches", query=filters)

    def punch(self, punch_id: str) -> Any:
        """One punch with its history."""
        return self._ask("GET", f"/v1/punches/{_segment(punch_id)}")

    def readers(self) -> Any:
        """Each reader."""
        return self._ask("GET", "/v1/readers")

    def employees(self) -> Any:
        """The directory."""
        return self._ask("GET", "/v1/employees")

    def badges(self) -> Any:
        """All assigned and blocked badges."""
        return self._ask("GET", "/v1/badges")

    def badges_unknown(self) -> Any:
        """Badges nobody owns yet."""
        return self._ask("GET", "/v1/badges/unknown")

    def review(self) -> Any:
        """What needs a person."""
        return self._ask("GET", "/v1/review")

    def review_one(self, punch_id: str, *, read_now: bool = False) -> Any:
        """One punch in review; the timesheet is read for it where `read_now` and the daemon allow it."""
        target = f"/v1/review/{_segment(punch_id)}"
        if read_now:
            try:
                return self._ask("GET", target, query={"read": "now"})
            except RefusedByDaemonError as error:
                if error.problem.get("code") != "read_only":
                    raise
        return self._ask("GET", target)

    def events(self) -> Iterator[Any]:
        """Every event from now on, until the daemon stops."""
        with self._open("GET", "/v1/events", timeout_s=SILENCE_S) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield _parsed(line[6:])

    def export(self, *, since: float | None, until: float | None, undelivered: bool) -> Generator[bytes, None, None]:
        """The CSV of the punches asked for, in pieces as they come. Raises UnreachableError where it breaks off."""
        query = {"since": since, "until": until, "undelivered": "true" if undelivered else None}
        given = urlencode({name: value for name, value in query.items() if value is not None})
        with self._open("GET", f"/v1/export?{given}" if given else "/v1/export") as response:
            while piece := response.read1(65536):
                yield piece

    def verify(self) -> Any:
        """Whether every punch agrees with the chain of digests."""
        return self._ask("GET", "/v1/verify", timeout_s=PACED_S)

    # --- acting

    def tap(self, badge: str, reader: str, at: float | None = None) -> Any:
        """A simulated tap."""
        return self._ask("POST", "/v1/taps", {"badge": badge, "reader": reader, "at": at})

    def employees_import(self, csv_text: bytes) -> Any:
        """Merge a CSV into the directory."""
        return self._ask("POST", "/v1/employees/import", csv_text)

    def employees_sync(self, assignments: str) -> Any:
        """Take the service's people into the directory; `assignments` some, all or none."""
        return self._ask("POST", "/v1/employees/sync", {"assignments": assignments}, timeout_s=PACED_S)

    def audit(self, **filters: Any) -> Iterator[Any]:
        """What was punched held against the timesheet, line by line as it is read; filters: since, until, employee."""
        given = {name: value for name, value in filters.items() if value is not None}
        with self._open("GET", f"/v1/audit?{urlencode(given)}", timeout_s=PACED_S) as response:
            text = b""
            for text in response:
                if text.strip() not in (b"[", b"]", b"[]"):
                    yield _parsed(text.strip().removesuffix(b","))
            if not text.strip().endswith(b"]"):
                raise UnreachableError("cannot read the whole audit: the answer broke off; see journalctl -u punchd")

    def employees_add(self, user_id: str, name: str, badge: str | None = None, job_id: str | None = None) -> Any:
        """Add one employee."""
        return self._ask("POST", "/v1/employees", {"user_id": user_id, "name": name, "badge": badge, "job_id": job_id})

    def employees_remove(self, user_id: str, *, forget: bool = False) -> Any:
        """Remove one employee; `forget` erases their name and badges too."""
        query = {"forget": "true"} if forget else None
        return self._ask("DELETE", f"/v1/employees/{_segment(user_id)}", query=query)

    def badges_assign(self, badge: str, user_id: str, since: float | None = None) -> Any:
        """Give a badge to an employee."""
        return self._ask("POST", "/v1/badges", {"badge": badge, "user_id": user_id, "since": since})

    def badges_enroll(self, user_id: str, timeout_s: int) -> Any:
        """Give the next tap's badge to an employee; waits for it."""
        body = {"user_id": user_id, "timeout_s": timeout_s}
        return self._ask("POST", "/v1/badges/enroll", body, timeout_s=timeout_s + self._timeout_s)

    def badges_block(self, badge: str) -> Any:
        """Block a badge."""
        return self._ask("POST", f"/v1/badges/{_segment(badge)}/block")

    def badges_remove(self, badge: str) -> Any:
        """Free a badge."""
        return self._ask("DELETE", f"/v1/badges/{_segment(badge)}")

    def review_retry(self, punch_id: str) -> Any:
        """Take a punch out of review."""
        return self._ask("POST", f"/v1/review/{_segment(punch_id)}/retry")

    def review_discard(self, punch_id: str, reason: str) -> Any:
        """Decide that a punch is never sent."""
        return self._ask("POST", f"/v1/review/{_segment(punch_id)}/discard", {"reason": reason})

    def review_resolve(self, punch_id: str, decision: dict[str, Any]) -> Any:
        """Decide on a punch: one of clock_out, clock_in, time (Unix seconds), or accept_server (true)."""
        return self._ask("POST", f"/v1/review/{_segment(punch_id)}/resolve", decision)

    def key_check(self) -> Any:
        """Prove the key by one request to the service."""
        return self._ask("POST", "/v1/key/check")

    def sync(self, what: str) -> Any:
        """`now`, `pause` or `resume` the delivery."""
        return self._ask("POST", f"/v1/sync/{what}")

    # --- how

    def _ask(
        self,
        method: str,
        target: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        with self._open(method, f"{target}?{urlencode(given)}" if given else target, body, timeout_s) as response:
            return _parsed(response.read())

    @contextmanager
    def _open(
        self, method: str, target: str, body: dict[str, Any] | bytes | None = None, timeout_s: float | None = None
    ) -> Iterator[HTTPResponse]:
        """One request; the response, if it is no problem. Raises the three errors above."""
        from http.client import HTTPException

        headers = {"Content-Type": "text/csv; charset=utf-8"}
        if not isinstance(body, bytes):
            headers = {"Content-Type": "application/json"}
            body = json.dumps(body).encode() if body is not None else None
        connection = self._connect(timeout_s or self._timeout_s)
        try:
            # A refusal may come, and the connection close, before the whole body has left.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, headers)
            response = connection.getresponse()
            self.zone = response.headers.get("Punchd-Timezone", self.zone)
            self.now = float(response.headers.get("Punchd-Now", self.now))
            if response.status >= 400:
                raise RefusedByDaemonError(_problem(response.status, response.read()))
            yield response
        except TimeoutError as error:
            raise UnreachableError(
                f"cannot wait longer for punchd at {self.path}: no answer; see journalctl -u punchd"
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            raise UnreachableError(
                f"cannot understand what answers at {self.path}: {error or type(error).__name__}; "
                "is it punchd's socket? See journalctl -u punchd"
            ) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> HTTPConnection:
        from http.client import HTTPConnection

        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(os.fspath(self.path))
        except OSError as error:
            sock.close()
            raise self._unconnected(error) from error
        connection = HTTPConnection("punchd", timeout=timeout_s)
        connection.sock = sock
        return connection

    def _unconnected(self, error: OSError) -> Exception:
        path = self.path
        if isinstance(error, PermissionError):
            return UnreachableError(f"cannot use {path}: permission denied; use sudo, or join the socket's group")
        if os.path.exists(path) and not path.is_socket():
            return SocketPathError(f"cannot use {path}: it is no socket; set --socket or PUNCHD_SOCKET to punchd's")
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            return UnreachableError(
                f"cannot reach punchd at {path}: it is not running there; "
                "start it (systemctl start punchd) or name its socket (--socket, PUNCHD_SOCKET)"
            )
        if isinstance(error, TimeoutError | BlockingIOError):
            return UnreachableError(f"cannot reach punchd at {path}: it does not answer; see journalctl -u punchd")
        return SocketPathError(f"cannot use {path} as a socket: {error}; set --socket or PUNCHD_SOCKET to punchd's")


def _segment(text: str) -> str:
    return quote(text, safe="")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise UnreachableError("cannot understand the answer: it is not JSON; is it punchd's socket?") from error


def _problem(status: int, body: bytes) -> dict[str, Any]:
    """The problem document of an answer; one made up from the status where the body is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "code" in problem:
        return problem
    return {"status": status, "code": "unknown_answer", "detail": f"the answer was {status} without a reason"}
