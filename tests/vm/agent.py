"""Runs in the virtual kiosk: carries out what the test asks, over a virtual serial port, one JSON document a line.

Python's own library only; the disk it lies on is mounted at /run/payload.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

PORT = "/dev/virtio-ports/kiosk.agent"
#: How long to wait when nobody is at the other end of the port.
NOBODY_S = 0.2


def carry_out(request: dict[str, Any]) -> dict[str, Any]:
    """One command to its end: exit code (124: it took too long) and what it said."""
    try:
        done = subprocess.run(
            request["argv"],
            input=request.get("stdin", ""),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=request["timeout_s"],
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return {"id": request["id"], "code": 124, "out": str(late.stdout), "err": str(late.stderr)}
    except OSError as error:
        return {"id": request["id"], "code": 127, "out": "", "err": str(error)}
    return {"id": request["id"], "code": done.returncode, "out": done.stdout, "err": done.stderr}


def say(port: int, document: dict[str, Any]) -> None:
    """Send one document."""
    data = json.dumps(document).encode() + b"\n"
    while data:
        data = data[os.write(port, data) :]


def main() -> None:
    """Say which boot this is, then answer for ever."""
    port = os.open(PORT, os.O_RDWR)
    say(port, {"hello": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
    pending = b""
    while True:
        piece = os.read(port, 65536)
        if not piece:
            time.sleep(NOBODY_S)
            continue
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            say(port, carry_out(json.loads(line)))


if __name__ == "__main__":
    main()
