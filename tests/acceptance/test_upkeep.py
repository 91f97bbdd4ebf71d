"""A running punchd tells its alarms outside, and leaves nothing of its memory behind."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon.alerts.webhook import SIGNATURE, signature
from tests.support.punchd_process import PATIENCE_S, Kiosk

SECRET = "a-secret-for-tests"


@pytest.fixture
def receiver() -> Iterator[tuple[int, queue.Queue[dict]]]:
    """A port on loopback that takes signed messages and no key, and what came."""
    got: queue.Queue[dict] = queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"detail": "Invalid API key"}'
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.headers[SIGNATURE] == signature(SECRET.encode(), body)
            self.send_response(204 if right else 401)
            self.end_headers()
            if right:
                got.put(json.loads(body))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], got
        server.shutdown()
        thread.join()


def test_an_alarm_leaves_the_box(tmp_path: Path, receiver) -> None:
    """A kiosk whose key the service refuses tells so, signed; the secret is in no log."""
    port, got = receiver
    secret, out = tmp_path / "secret", tmp_path / "out"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    kiosk = Kiosk(tmp_path)
    kiosk.write(
        base_url=f"http://127.0.0.1:{port}",
        more=f'[alerts]\nurl = "http://127.0.0.1:{port}/hook"\nsecret_file = "{secret}"\n'
        f'command = ["/usr/bin/tee", "{out}"]\n',
    )
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        limits = Path(f"/proc/{punchd.process.pid}/limits").read_text()
        (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        message = got.get(timeout=PATIENCE_S)
        assert punchd.stopped() == 0
        assert SECRET not in punchd.log
    assert got.empty()
    assert set(message) == {"id", "code", "raised", "since", "kiosk", "text"}
    assert (message["kiosk"], message["raised"], message["code"]) == ("front-door", True, "halted")
