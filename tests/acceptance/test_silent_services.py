"""A network that takes and never gives: taps are acknowledged, sockets answer, and the service stops when told."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.control.client import Client
from tests.support.punchd_process import PATIENCE_S, Kiosk

BADGES = [f"04A1B2C3D4E5{number:02X}" for number in range(12)]
#: systemd kills what does not end within this (systemd/punchd.service).
STOP_S = 30.0


@contextmanager
def listening(serve: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """A TCP port of loopback; `serve` gets each connection, None: they are accepted and never looked at again."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                if serve is not None:
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


def portal(connection: socket.socket) -> None:
    """A captive portal: everything is answered with a page."""
    page = b"<html><body>Welcome to our Wi-Fi. Accept the terms.</body></html>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    try:
        while connection.recv(65536):
            connection.sendall(head + page)
    except OSError:
        return


def waiting(client: Client) -> int:
    """How many punches wait for the service; none needs a person."""
    queue = client.status()["queue"]
    assert queue["review"] == 0
    return int(queue["pending"] + queue["held"] + queue["in_flight"])


def works_meanwhile(client: Client) -> None:
    """People tap, one after the other, and each is answered; status answers; nothing is lost."""
    for number, badge in enumerate(BADGES):
        client.employees_add(str(700 + number), f"Person {number}", badge)
    for number, badge in enumerate(BADGES):
        assert client.tap(badge, "front")["result"] == "accepted"
        assert waiting(client) == number + 1
    while client.status()["state"] != "offline":
        pass
    assert waiting(client) == len(BADGES)


@pytest.mark.parametrize("serve", [None, portal], ids=["accepts and never answers", "answers for everyone"])
def test_a_service_that_is_none_holds_up_nobody(tmp_path: Path, serve: Callable[[socket.socket], None] | None) -> None:
    """A half-open connection, and a portal: taps, sockets and the stop go on as ever."""
    with listening(serve) as port:
        kiosk = Kiosk(tmp_path)
        kiosk.write(base_url=f"http://127.0.0.1:{port}", more="timeout_seconds = 1")
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            client = Client(kiosk.runtime / "control.sock", timeout_s=PATIENCE_S)
            works_meanwhile(client)
            assert punchd.stopped() == 0


@contextmanager
def resolver() -> Iterator[tuple[str, socket.socket]]:
    """A name server on an address of loopback that hears every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        address = f"127.{os.getpid() % 250 + 2}.77.53"
        heard.bind((address, 53))
        heard.settimeout(PATIENCE_S)
        yield address, heard


def may_mount() -> bool:
    """Whether this machine lets a test have a mount namespace of its own, and a name server's port."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="needs root and a mount namespace")
def test_a_name_server_that_never_answers_holds_up_nobody(tmp_path: Path) -> None:
    """Look-ups hang in threads of their own: taps, sockets, the check of the database; and the stop waits for none."""
    with resolver() as (address, heard):
        resolv = tmp_path / "resolv.conf"
        resolv.write_text(f"nameserver {address}\noptions timeout:30 attempts:5\n")
        kiosk = Kiosk(tmp_path)
        kiosk.write(base_url="https://api.example.com", more="timeout_seconds = 0.5")
        mount = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
        with kiosk.running(prefix=["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"]) as punchd:
            punchd.heard("READY=1")
            client = Client(kiosk.runtime / "control.sock", timeout_s=PATIENCE_S)
            works_meanwhile(client)
            for _ in range(12):  # more look-ups than a thread pool has threads
                heard.recvfrom(512)
                client.sync("now")
            assert client.tap(BADGES[0], "front")["result"] == "repeat"
            began = time.monotonic()
            assert punchd.stopped() == 0
            assert time.monotonic() - began < STOP_S  # else systemd would have killed it
