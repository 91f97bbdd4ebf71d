"""What systemd hears: real datagrams on real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from daemon.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path):
    """A listening socket as systemd has it, at a path or abstract; with its address as systemd writes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        if request.param == "path":
            address = written = str(tmp_path / "notify")
        else:
            address, written = f"\0punchd-test-{tmp_path}", f"@punchd-test-{tmp_path}"
        sock.bind(address)
        sock.settimeout(5)
        yield sock, written


def heard(sock: socket.socket) -> list[str]:
    return sock.recv(4096).decode().split("\n")


def test_every_state_is_heard(manager):
    """Each call is one datagram in the words of sd_notify."""
    sock, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("online")
    assert heard(sock) == ["READY=1", "STATUS=online"]
    notifier.status("offline,\n3 pending")
    assert heard(sock) == ["STATUS=offline, 3 pending"]
    notifier.watchdog()
    assert heard(sock) == ["WATCHDOG=1"]
    notifier.extend(1.5)
    assert heard(sock) == ["EXTEND_TIMEOUT_USEC=1500000"]
    notifier.reloading()
    first, second = heard(sock)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert heard(sock)[0] == "STOPPING=1"


def test_a_status_cannot_smuggle_a_state_in(manager):
    """Text from elsewhere cannot add lines, and is cut to length."""
    sock, address = manager
    Notifier(address).status("x\nMAINPID=1\n" + "y" * 1000)
    (line,) = heard(sock)
    assert len(line) < 300


def test_no_manager_is_no_trouble(tmp_path):
    """Unset, empty, gone or deaf: the service goes on in silence."""
    Notifier.from_environment({}).ready("x")
    Notifier.from_environment({"NOTIFY_SOCKET": ""}).ready("x")
    Notifier(str(tmp_path / "none")).ready("x")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "full"))
        notifier = Notifier(str(tmp_path / "full"))
        for _ in range(2000):  # far beyond what the queue of an unread socket takes
            notifier.watchdog()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(environment, expected):
    """$WATCHDOG_USEC counts only where $WATCHDOG_PID names this process or nobody."""
    assert Notifier.from_environment(environment, pid=7).watchdog_s == expected
