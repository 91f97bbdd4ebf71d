"""A kiosk with people at its door: its configuration, its control socket, and a list of what was tapped.

The list is the tapper's own. It is held against the sandbox's store (sandbox/tally.py), never against the daemon.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import Row
from sandbox.tally import Tapped, compare, difference
from tests.support.punchd_process import PATIENCE_S, Kiosk

READER = "front"
#: As quick as tests are: nothing is waited for that nobody needs.
QUICK = "settle_seconds = 0.1\nbackoff_max_seconds = 0.2\ntimeout_seconds = 5\nrequests_per_minute = 10000"


def door(folder: Path, url: str, *, more: str = QUICK, attendance: str = "") -> Kiosk:
    """A kiosk that delivers to a sandbox, and does not wait as long as it would at a real door."""
    folder.mkdir(exist_ok=True)
    kiosk = Kiosk(folder)
    kiosk.key.write_text(SANDBOX_KEY)
    kiosk.write(base_url=url, more=more, attendance=attendance)
    return kiosk


class EndedError(Exception):
    """punchd ended."""


class Control:
    """The control socket."""

    def __init__(self, kiosk: Kiosk) -> None:
        # Certificates, which nobody needs here, take longer to load than a tap takes.
        transport = httpx.HTTPTransport(uds=str(kiosk.runtime / "control.sock"), verify=False)
        self._http = httpx.Client(transport=transport, base_url="http://punchd", timeout=PATIENCE_S)

    def get(self, path: str, **query: Any) -> Any:
        """A document."""
        return self._http.get(f"/v1/{path}", params=query).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        """Act; the answer. Raises httpx.HTTPError where none came."""
        return self._http.post(f"/v1/{path}", json=body).raise_for_status().json()

    def import_csv(self, text: str) -> Any:
        """Import employees; what became of them."""
        return self.post("employees/import", csv=text)

    def tap(self, badge: str, at: float | None = None) -> dict[str, Any]:
        """One tap; its answer. Raises httpx.HTTPError where none came."""
        answer: dict[str, Any] = self.post("taps", badge=badge, reader=READER, at=at)
        return answer

    def settled(self, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until nothing is on its way any more; the status. Looks again at each thing that happens."""
        on_its_way = ("pending", "held", "in_flight")
        return self.until(lambda status: not any(status["queue"][state] for state in on_its_way), patience_s)

    def until(self, condition: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the status satisfies a condition; it is looked at again whenever something happened."""
        patient_until = time.monotonic() + patience_s
        with self._http.stream("GET", "/v1/events") as events:
            for line in events.iter_lines():
                if not line.startswith((":", "data:")):
                    continue
                status: dict[str, Any] = self.get("status")
                if condition(status):
                    return status
                # The stream breathes every now and then also where nothing happens any more.
                assert time.monotonic() < patient_until, f"it did not come to this: {status}"
        raise EndedError("punchd ended while it was waited for")

    def after(self, do: Callable[[], None], *names: str) -> dict[str, Any]:
        """Do something and wait for one of these events to come of it; the event."""
        with self._http.stream("GET", "/v1/events") as events:
            for line in events.iter_lines():
                if line.startswith(": watching"):
                    do()
                elif line.startswith("data:"):
                    event: dict[str, Any] = json.loads(line.removeprefix("data:"))
                    if event["event"] in names:
                        return event
        raise EndedError("punchd ended while it was waited for")

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def second() -> int:
    """The second it is now."""
    return int(time.time())


def rows(found: Sequence[dict[str, Any]]) -> list[Row]:
    """The timesheet as a sandbox process tells it."""
    return [Row(**row) for row in found]


def disagreements(taps: Sequence[Tapped], timesheet: Sequence[Row]) -> list[str]:
    """Every difference between what was tapped and the timesheet, in words."""
    lines = compare(sorted(taps, key=lambda tap: tap.earliest), timesheet, {})
    told = [difference(line, lambda at: time.strftime("%H:%M:%S", time.gmtime(at))) for line in lines]
    return [words for words in told if words is not None]


def people_csv(people: Sequence[tuple[str, str, str]]) -> str:
    """(user_id, name, badge) as `punchctl employees import` takes them."""
    return "user_id,name,badge,job_id\n" + "".join(f"{user},{name},{badge},\n" for user, name, badge in people)
