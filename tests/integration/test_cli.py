"""punchctl as people and scripts run it: a real process against real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.control.cli import root
from daemon.control.render import columns
from tests.support.kiosk import Stage, open_kiosk, until

PUNCHCTL = (sys.executable, "-m", "daemon.control.cli")
BADGE = "04A2B3C4D5E680"
CSV = b"user_id,name,badge,job_id\n7,Ada Lovelace,04A2B3C4D5E680,\n8,Grace Hopper,,\n"


@dataclass(frozen=True)
class Ended:
    """What a run of punchctl left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        assert self.out.endswith("\n")
        return json.loads(self.out)


async def punchctl(
    *arguments: str, socket_path: Path | str | None = None, stdin: bytes | None = None, **env: str
) -> Ended:
    """Run punchctl to its end, with nothing of this process's environment that could steer it."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PUNCHD", "RUNTIME", "COLUMNS"))
    }
    if socket_path is not None:
        environment["PUNCHD_SOCKET"] = os.fspath(socket_path)
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, *arguments, env={**environment, **env},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_kiosk() as stage:
        yield stage


@pytest.fixture
async def peopled(stage: Stage) -> Stage:
    """Ada clocked in, Grace has no badge, somebody unknown tapped."""
    await stage.kiosk.directory.import_csv(CSV, by="test")
    await stage.kiosk.readers.tap("front", BADGE, None)
    await stage.kiosk.readers.tap("front", "99887766", None)
    return stage


async def only_punch(stage: Stage) -> str:
    punches = (await punchctl("punches", "list", "--json", socket_path=stage.status)).json
    assert len(punches) == 1
    return str(punches[0]["id"])


# --- exit codes


async def test_no_daemon_is_69_with_a_remedy(stage: Stage) -> None:
    """Whether the socket is missing or its daemon died; with --json the reason is a document too."""
    dead = stage.control.with_name("dead.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(os.fspath(dead))
    for path in (stage.control.with_name("none.sock"), stage.control / "below", dead):
        ended = await punchctl("status", "--json", socket_path=path)
        assert ended.code == 69
        assert "systemctl start punchd" in ended.err
        assert ended.json["code"] == "unreachable"


async def test_what_can_be_no_socket_is_78(stage: Stage) -> None:
    """A file, or a path longer than a socket's may be, is a mistake of configuration."""
    for path in ("/etc/passwd", "/tmp/" + "x" * 200):
        ended = await punchctl("status", "--json", "--socket", path)
        assert ended.code == 78
        assert ended.json["code"] == "configuration"
        assert "--socket" in ended.err


async def test_another_program_on_the_socket_is_69(stage: Stage) -> None:
    """What does not speak HTTP, or hangs up at once, is not punchd."""
    for said in (b"220 mail.example ESMTP\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat"):

        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            await reader.read(10)
            writer.write(said)
            await writer.drain()
            writer.close()

        path = stage.control.with_name("other.sock")
        async with await asyncio.start_unix_server(other, path):
            ended = await punchctl("status", "--json", socket_path=path)
        path.unlink(missing_ok=True)
        assert (ended.code, ended.json["code"]) == (69, "unreachable"), ended


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("status", "--nonsense"),
        ("tap", BADGE),
        ("tap", BADGE, "--reader", "front", "--at", "2026-11-21T08:00:00"),
        ("punches", "list", "--since", "yesterday"),
        ("punches", "list", "--until", "1795248000123"),
        ("punches", "list", "--limit", "0"),
        ("punches", "list", "--state", "lost"),
        ("review", "retry"),
        ("review", "discard", "X"),
        ("employees", "import", "/no/such/file.csv"),
        ("badges", "enroll", "7", "--timeout", "0"),
    ],
)
async def test_misuse_is_2_and_says_how(stage: Stage, arguments: tuple[str, ...]) -> None:
    """Nothing reaches the daemon; with --json even this is one document, and the sentence stands on standard error."""
    ended = await punchctl(*arguments, "--json", socket_path=stage.control)
    assert (ended.code, ended.json["code"]) == (2, "usage")
    assert "Error: " in ended.err
    assert await stage.journal() == []


async def test_a_time_without_an_offset_says_so(stage: Stage) -> None:
    """The commonest mistake gets its own sentence."""
    ended = await punchctl("tap", BADGE, "--reader", "front", "--at", "2026-11-21T08:00:00", socket_path=stage.control)
    assert "names no offset" in ended.err


async def test_a_refusal_is_1_with_its_reason(peopled: Stage) -> None:
    """The sentence on standard error, the problem document on standard output with --json, else nothing."""
    for arguments, code in (
        (("tap", BADGE, "--reader", "door"), "not_simulated"),
        (("tap", BADGE, "--reader", "nowhere"), "not_found"),
        (("punches", "show", "NOPE"), "not_found"),
        (("employees", "add", "7", "Ada"), "already_exists"),
        (("badges", "remove", "AABBCCDD"), "not_found"),
        (("review", "retry", "NOPE"), "not_found"),
    ):
        ended = await punchctl("--json", *arguments, socket_path=peopled.control)
        assert (ended.code, ended.json["code"]) == (1, code)
        plain = await punchctl(*arguments, socket_path=peopled.control)
        assert (plain.code, plain.out) == (1, "")
        assert ended.json["detail"] in plain.err


async def test_acting_through_the_status_socket_is_1(peopled: Stage) -> None:
    """The reason names the socket to use."""
    ended = await punchctl("sync", "now", socket_path=peopled.status)
    assert ended.code == 1
    assert str(peopled.control) in ended.err


async def test_a_tap_fails_only_when_refused(peopled: Stage) -> None:
    """accepted, repeat and unknown_badge are 0; refused is 1 and still answers its document."""
    expected = (
        (("99887766", "--reader", "front"), "unknown_badge", 0),
        ((BADGE, "--reader", "front"), "repeat", 0),
        ((BADGE, "--reader", "front", "--at", "2026-11-21T09:30:00+01:00"), "refused", 1),
        ((BADGE, "--reader", "front", "--at", "1795244400"), "refused", 1),
    )
    for arguments, result, code in expected:
        ended = await punchctl("tap", *arguments, "--json", socket_path=peopled.control)
        assert (ended.json["result"], ended.code) == (result, code)
        assert set(ended.json) == {"result", "reason", "punch"}
    peopled.clock.advance(3600)
    ended = await punchctl(
        "tap", BADGE, "--reader", "front", "--at", "1795250000", "--json", socket_path=peopled.control
    )
    assert (ended.code, ended.json["punch"]["occurred_at"]) == (0, "2026-11-21T08:33:20Z")


# --- output


EVERY = (
    ("status",), ("present",), ("readers",), ("punches", "list"), ("employees", "list"), ("badges", "list"),
    ("badges", "unknown"), ("review", "list"), ("key", "check"), ("sync", "now"), ("sync", "pause"), ("sync", "resume"),
    ("employees", "remove", "8"), ("employees", "add", "9", "Alan Turing"), ("badges", "assign", "AABBCCDD", "7"),
    ("badges", "block", "AABBCCDD"), ("badges", "remove", "AABBCCDD"), ("tap", BADGE, "--reader", "front"),
)  # fmt: skip


async def test_json_is_one_document_and_nothing_else(peopled: Stage) -> None:
    """For every command, wherever --json stands on the line; and standard error stays empty."""
    for arguments in EVERY:
        ended = await punchctl(*arguments, "--json", socket_path=peopled.control)
        assert (ended.code, ended.err) == (0, ""), arguments
        assert ended.json is not None
        assert ended.out.count("\n") == 1
        assert ended.out.isascii()
    for arguments in (("--json", "punches", "list"), ("punches", "--json", "list"), ("punches", "list", "--json")):
        assert (await punchctl(*arguments, socket_path=peopled.status)).json[0]["user_id"] == "7"


async def test_socket_is_taken_anywhere_on_the_line(stage: Stage) -> None:
    """As an option before or after the command, over PUNCHD_SOCKET, and from the service's runtime directory."""
    path = str(stage.control)
    for arguments in (
        ("--socket", path, "sync", "now"),
        ("sync", "--socket", path, "now"),
        ("sync", "now", "--socket", path),
    ):
        assert (await punchctl(*arguments, socket_path="/nowhere")).code == 0
    inside = await punchctl("sync", "now", RUNTIME_DIRECTORY=str(stage.control.parent))
    assert inside.code == 0
    stage.control.unlink()
    assert (await punchctl("status", RUNTIME_DIRECTORY=str(stage.control.parent))).code == 0


async def test_output_fits_80_columns_without_colour_when_piped(peopled: Stage) -> None:
    """Long names, badges, details and alarms included; ids stay whole."""
    long = "Wolfeschlegelsteinhausenbergerdorff the Elder, of 山田 and elsewhere"
    await peopled.kiosk.directory.add("9" * 12, long, badge="0123456789ABCDEF0123", by="test")
    peopled.kiosk.alarms.set(
        "plan_too_small", "The plan carries 100 requests a day, 104 are needed; ask for more. " * 3
    )
    peopled.door.tear_out("cannot use the reader: it was torn out of the wall; screw it back " * 5)
    await until(lambda: peopled.readers.status()[1].state == "lost")
    peopled.delivery.standing.detail = "the service answered something very long " * 5
    peopled.delivery.standing.budget = {
        "minute_limit": 60,
        "minute_remaining": 12,
        "day_limit": 10000,
        "day_remaining": 7,
    }
    punch_id = await only_punch(peopled)
    await peopled.delivery.review(punch_id, "overlaps_existing_shift")
    for arguments in (*EVERY, ("punches", "show", punch_id), ("review", "show", punch_id), ("--help",)):
        ended = await punchctl(*arguments, socket_path=peopled.control)
        assert ended.code == 0, ended
        assert "\x1b" not in ended.out
        assert [line for line in ended.out.splitlines() if columns(line) > 80] == [], arguments
    assert punch_id in (await punchctl("punches", "list", socket_path=peopled.status)).out


async def test_a_terminal_gets_colour_unless_it_says_no(stage: Stage) -> None:
    """Escapes on a pseudo-terminal, none with NO_COLOR."""
    for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        theirs, ours = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "PUNCHD_SOCKET": str(stage.status), **more}
        process = await asyncio.create_subprocess_exec(*PUNCHCTL, "status", stdout=ours, env=environment)
        await process.wait()
        os.close(ours)
        assert (b"\x1b[" in await asyncio.to_thread(os.read, theirs, 65536)) is coloured
        os.close(theirs)


async def test_a_terminal_in_the_c_locale_is_no_failure(peopled: Stage) -> None:
    """What its encoding lacks becomes a question mark, and --json keeps everything."""
    await peopled.kiosk.directory.add("9", "Žofie 山", by="test")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = await punchctl("employees", "list", socket_path=peopled.control, **plain)
    assert (ended.code, ended.err) == (0, "")
    ended = await punchctl("employees", "list", "--json", socket_path=peopled.control, **plain)
    assert "Žofie 山" in [one["name"] for one in ended.json]


async def test_status_says_what_to_do(peopled: Stage) -> None:
    """Its first line is the verdict, its last lines are the remedies; times stand in the kiosk's own zone."""
    well = (await punchctl("status", socket_path=peopled.status)).out
    assert well.splitlines()[0] == "front-door is online: 1 punch to deliver"
    assert "09:00:00" in well
    assert "What to do" not in well
    await peopled.delivery.review(await only_punch(peopled), "not_assigned")
    peopled.delivery.standing.state = "halted"
    peopled.kiosk.alarms.set("key_refused", "The service refuses the key; put a new one into the key file.")
    ill = (await punchctl("status", socket_path=peopled.status)).out
    assert "HALTED" in ill.splitlines()[0]
    assert "1. key_refused: The service refuses the key" in ill
    assert "punchctl review list" in ill
    assert len(ill.splitlines()) <= 24


# --- what takes time


async def test_events_are_followed_one_document_a_line(stage: Stage) -> None:
    """Each event is a line at once, also through a pipe; when the daemon stops, so does the command, with 69."""
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, "events", "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PUNCHD_SOCKET": str(stage.status), "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    await until(lambda: bool(stage.kiosk.events._watchers))
    for name in ("reader.lost", "reader.opened"):
        stage.kiosk.events.publish(name, reader="front")
        async with asyncio.timeout(60):  # for ever, if the line stays in a buffer
            assert json.loads(await process.stdout.readline())["event"] == name
    await stage.sockets.stop()
    assert b"punchd stopped" in await process.stderr.read()
    assert await process.wait() == 69


async def test_ctrl_c_and_a_closed_pipe_end_quietly(stage: Stage) -> None:
    """130 and 141, as a shell counts them, without a traceback; nor is a watcher who leaves a failure of the daemon."""
    with structlog.testing.capture_logs() as logs:
        await end_by_interrupt_and_by_pipe(stage)
    assert [log for log in logs if log["event"].startswith("control.")] == []


async def end_by_interrupt_and_by_pipe(stage: Stage) -> None:
    for how, code in (("interrupt", 130), ("close", 141)):
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *PUNCHCTL, "events", stdout=writing, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PUNCHD_SOCKET": str(stage.status)},
        )  # fmt: skip
        os.close(writing)
        await until(lambda: bool(stage.kiosk.events._watchers))
        if how == "interrupt":
            process.send_signal(signal.SIGINT)
        os.close(reading)
        stage.kiosk.events.publish("reader.lost", reader="front")
        _, err = await process.communicate()
        assert (process.returncode, err.strip()) == (code, b"")
        await until(lambda: not stage.kiosk.events._watchers)


async def test_enrolling_prompts_waits_and_gives_the_badge(peopled: Stage) -> None:
    """The prompt is on standard error; the next tap's badge is Grace's, and it was no punch."""
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, "badges", "enroll", "8", "--json", "--timeout", "600",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PUNCHD_SOCKET": str(peopled.control)},
    )  # fmt: skip
    assert process.stderr is not None
    assert b"Tap the badge for 8" in await process.stderr.readline()
    # Not found out by another wish, which would be in the way of this one.
    await until(lambda: peopled.kiosk.directory._intake.enrolments._waiting is not None)
    await peopled.kiosk.readers.tap("front", "AABBCCDD", None)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert (json.loads(out)["badge"], json.loads(out)["user_id"]) == ("AABBCCDD", "8")


async def test_an_enrolment_without_a_tap_is_refused_in_time(peopled: Stage) -> None:
    """--timeout ends it with the daemon's reason."""
    ended = await punchctl("badges", "enroll", "8", "--timeout", "1", socket_path=peopled.control)
    assert ended.code == 1
    assert "no tap came within 1 s" in ended.err


# --- what they do


async def test_a_kiosk_is_set_up_by_its_commands(stage: Stage) -> None:
    """Import (also from a pipe), assign, tap, list, review: each command's answer tells what it did."""
    ended = await punchctl("employees", "import", "-", socket_path=stage.control, stdin=CSV)
    assert ended.out == "2 added, 0 changed, 0 unchanged, 1 badge, 0 punches\n"
    await stage.kiosk.readers.tap("front", "AABBCCDD", None)
    assert "AABBCCDD" in (await punchctl("badges", "unknown", socket_path=stage.control)).out
    ended = await punchctl("badges", "assign", "AABBCCDD", "8", socket_path=stage.control)
    assert ended.out == "AABBCCDD belongs to Grace Hopper (8); 1 kept tap became a punch\n"
    punches = (await punchctl("punches", "list", "--employee", "8", "--json", socket_path=stage.control)).json
    assert [punch["occurred_at"] for punch in punches] == ["2026-11-21T08:00:00Z"]
    punch_id = punches[0]["id"]
    await stage.delivery.review(punch_id, "job_required")
    shown = (await punchctl("review", "list", socket_path=stage.control)).out
    assert punch_id in shown
    assert "Give the employee or the reader a job_id" in shown
    ended = await punchctl("review", "retry", punch_id, "NOPE", "--json", socket_path=stage.control)
    assert (ended.code, ended.json["code"], ended.json["done"]) == (1, "not_found", [punch_id])
    await stage.delivery.review(punch_id, "job_required")
    for reason, released in (("locked_days", []), ("job_required", [punch_id])):
        ended = await punchctl("review", "retry", "--reason", reason, "--json", socket_path=stage.control)
        assert [punch["id"] for punch in ended.json] == released
    assert (await punchctl("review", "retry", socket_path=stage.control)).code == 2
    await stage.delivery.review(punch_id, "job_required")
    ended = await punchctl("review", "discard", punch_id, "--reason", "a test", socket_path=stage.control)
    assert "discarded" in ended.out
    history = (await punchctl("punches", "show", punch_id, socket_path=stage.control)).out
    assert f"by uid:{os.getuid()}" in history
    assert "a test" in history


def commands() -> list[tuple[str, ...]]:
    """Every group and command there is."""
    found: list[tuple[str, ...]] = []
    for name, command in root.commands.items():
        found.append((name,))
        found += [(name, below) for below in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
async def test_every_command_has_help_with_an_example(arguments: tuple[str, ...]) -> None:
    """--help needs no daemon; a command's shows the common options and an example that begins with its own name."""
    ended = await punchctl(*arguments, "--help")
    assert ended.code == 0
    assert "--json" in ended.out
    assert "--socket PATH" in ended.out
    if not hasattr(root.commands[arguments[0]], "commands") or len(arguments) > 1:
        assert f"Example:\n    punchctl {' '.join(arguments)}" in ended.out


async def test_starting_loads_neither_the_daemons_libraries_nor_its_parts() -> None:
    """A command starts in a blink because it loads no HTTP library, no database and no logging framework."""
    script = "import sys, daemon.control.cli; print('\\n'.join(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    loaded = set(out.decode().split())
    unwanted = {
        "aiohttp",
        "httpx",
        "asyncio",
        "structlog",
        "sqlite3",
        "aiosqlite",
        "http.client",
        "zoneinfo",
        "daemon.config",
    }
    assert "daemon.control.cli" in loaded
    assert loaded & unwanted == set()
