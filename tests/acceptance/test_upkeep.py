"""A running punchd tells its alarms outside, forgets a person when told to, and leaves no core file."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
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


def test_a_person_is_forgotten_by_command(tmp_path: Path) -> None:
    """`employees remove --forget` says what it erased, kept and cannot reach; a word it does not know is refused."""
    kiosk = Kiosk(tmp_path)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", "7", "Anna", "--badge", "04A2B3C4")
        kiosk.ctl("tap", "04A2B3C4", "--reader", "front")
        control = ["--socket", str(kiosk.runtime / "control.sock")]
        command = [sys.executable, "-m", "daemon.control.cli", *control, "employees", "remove", "7", "--forget"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
        assert "erased: the name, 1 badges" in told
        assert "kept: 1 punches" in told
        assert "1 of them are still to be delivered" in told
        assert "docs/privacy.md" in told
        (punch,) = kiosk.ctl("punches", "list")
        assert (punch["user_id"], punch["name"], punch["badge"]) == ("7", "(forgotten)", None)
        assert kiosk.ctl("employees", "list") == []
        again = kiosk.ctl("employees", "remove", "7", "--forget")
        assert (again["user_id"], again["forgotten"]["badges"]) == ("7", 0)
        ask = ["curl", "-s", "--unix-socket", str(kiosk.runtime / "control.sock"), "-X", "DELETE"]
        answer = subprocess.run([*ask, "http://punchd/v1/employees/7?forget=yes"], capture_output=True, check=True)
        assert json.loads(answer.stdout)["status"] == 422
        assert punchd.stopped() == 0
