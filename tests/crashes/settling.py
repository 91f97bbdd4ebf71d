"""Waiting until a kiosk has delivered what it can, and asking it what it has."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.door import Control
from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import SandboxProcess

#: A queue of thousands takes minutes; nothing on its way for so long is a fault.
DELIVERED_MAX_S = 900.0


def all_delivered(kiosk: Kiosk) -> list[str]:
    """Wait until nothing waits; what needs a person although it should not, or never came to an end."""
    with Control(kiosk) as control:
        control.post("sync/now")
        try:
            status = control.settled(DELIVERED_MAX_S)
        except AssertionError as never:
            return [f"it never came to rest: {never}"]
        if not status["queue"]["review"]:
            return []
        reviews = control.get("punches", state="review")
    return [f"in review: {one['id']} of {one['user_id']}: {one['reason']} {one.get('detail')}" for one in reviews]


def all_punches(kiosk: Kiosk) -> list[dict[str, Any]]:
    """Every punch the kiosk has."""
    transport = httpx.HTTPTransport(uds=str(kiosk.runtime / "control.sock"))
    with httpx.Client(transport=transport, base_url="http://punchd", timeout=PATIENCE_S) as client:
        answer = client.get("/v1/punches", params={"limit": 1_000_000}).raise_for_status()
        found: list[dict[str, Any]] = json.loads(answer.text)
    return found


def evidence(folder: Path, kiosk: Kiosk, sandbox: SandboxProcess) -> None:
    """Lay beside the logs what the kiosk and the service know, for whoever looks into what went wrong."""
    with suppress(httpx.HTTPError):
        (folder / "punches.json").write_text(json.dumps(all_punches(kiosk), indent=1))
    (folder / "requests.json").write_text(json.dumps(sandbox.admin.requests(), indent=1))
    (folder / "timesheet.json").write_text(json.dumps(sandbox.admin.timesheet(), indent=1))
    shutil.copytree(kiosk.state, folder / "state", dirs_exist_ok=True)


def kept(folder: Path) -> Path:
    """A copy of a campaign's folder that stays."""
    to = Path(tempfile.mkdtemp(prefix=f"{folder.name}-failed-"))
    skip = shutil.ignore_patterns("*.sock", "memory", "disk", "before")
    return Path(shutil.copytree(folder, to, dirs_exist_ok=True, ignore=skip))
