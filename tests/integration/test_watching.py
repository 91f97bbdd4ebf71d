"""Screens that stay, completion in real shells, and the check of the key."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.delivery.key_check import KeyCheck, key_check, unreadable
from daemon.timesheets.timesheet import (
    CertificateTime,
    KeyRefused,
    Misconfigured,
    NotSent,
    Outcome,
    Proven,
    Reply,
    Throttled,
    Uncertain,
)
from tests.integration.test_cli import PUNCHCTL, punchctl
from tests.integration.test_sockets import curl
from tests.support.delivery_bench import ANNA, KEY, Bench, on_bench
from tests.support.kiosk import Stage, open_kiosk

BADGE = "04A2B3C4D5E680"
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_kiosk() as stage:
        await stage.kiosk.directory.add("7", "Ada Lovelace", badge=BADGE, by="test")
        yield stage


# --- --watch


@pytest.mark.parametrize("arguments", [("status",), ("present",), ("readers",), ("punches", "list")], ids=" ".join)
async def test_what_is_watched_is_shown_again_and_again(stage: Stage, arguments: tuple[str, ...]) -> None:
    """With --json one document each time, also through a pipe; what changes between is in the next; Ctrl-C is 130."""
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, *arguments, "--watch", "0.1", "--json", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PUNCHD_SOCKET": str(stage.status), "PYTHONUNBUFFERED": ""},
    )  # fmt: skip
    assert process.stdout is not None
    before = steady(json.loads(await process.stdout.readline()))
    await stage.kiosk.readers.tap("front", BADGE, None)
    async with asyncio.timeout(60):  # for ever, if it shows the same again
        while steady(json.loads(await process.stdout.readline())) == before:
            pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err.strip()) == (130, b"")


def steady(document: object) -> str:
    """A document without the ages that change by themselves."""
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name not in ("now", "uptime_s")}
    return json.dumps(document)


async def test_a_terminal_is_redrawn_in_place(stage: Stage) -> None:
    """Each screen begins with clearing the last one."""
    theirs, ours = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, "status", "--watch", "0.1", stdout=ours,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "PUNCHD_SOCKET": str(stage.status)},
    )  # fmt: skip
    os.close(ours)
    seen = b""
    while seen.count(b"\x1b[H\x1b[2J") < 3:
        seen += await asyncio.to_thread(os.read, theirs, 65536)
    process.send_signal(signal.SIGINT)
    await process.wait()
    os.close(theirs)


async def test_watching_ends_with_the_daemon(stage: Stage) -> None:
    """69 with a remedy, like any command that finds nobody."""
    process = await asyncio.create_subprocess_exec(
        *PUNCHCTL, "status", "--watch", "0.1", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PUNCHD_SOCKET": str(stage.status)},
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    await stage.sockets.stop()
    _, err = await process.communicate()
    assert process.returncode == 69
    assert b"systemctl start punchd" in err


async def test_watch_alone_means_every_two_seconds() -> None:
    """The help says so; too small a number is a matter of usage."""
    assert "(default 2 s)" in " ".join((await punchctl("status", "--help")).out.split())
    assert (await punchctl("status", "--watch", "0")).code == 2


# --- completion


async def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """A real bash that read the script completes what was typed, without any daemon."""
    (tmp_path / "punchctl").write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m daemon.control.cli "$@"\n')
    (tmp_path / "punchctl").chmod(0o755)
    script = (
        'eval "$(punchctl completion bash)"; complete -p punchctl >/dev/null || exit 9; '
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _punchctl_completion punchctl; '
        'echo "${COMPREPLY[@]}"; }; ask punchctl rev; ask punchctl review re; ask punchctl punches list --st'
    )
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, stdout=asyncio.subprocess.PIPE, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines() == ["review", "resolve retry", "--state"]


@pytest.mark.parametrize(("shell", "says"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
async def test_each_shell_has_its_script(shell: str, says: str) -> None:
    """It calls punchctl back by the variable that click looks at; a shell that is here finds no mistake in it."""
    ended = await punchctl("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert says in ended.out
    assert f"_PUNCHCTL_COMPLETE={shell}_complete" in ended.out
    assert (await punchctl("completion", shell, "--json")).json["script"].rstrip("\n") == ended.out.rstrip("\n")
    if shutil.which(shell):
        process = await asyncio.create_subprocess_exec(shell, "-n", stdin=asyncio.subprocess.PIPE)
        await process.communicate(ended.out.encode())
        assert process.returncode == 0


async def test_another_shell_is_misuse() -> None:
    """The known ones are named."""
    ended = await punchctl("completion", "tcsh")
    assert ended.code == 2
    assert "fish" in ended.err


# --- the key


async def test_the_key_is_checked_by_command_and_by_curl(stage: Stage) -> None:
    """Exit 0 with the account's name for a good one; who asked is journalled; nothing of it through status.sock."""
    good = await punchctl("key", "check", socket_path=stage.control)
    assert (good.code, good.out) == (0, "The service takes the key of Acme.\n")
    status, told = await curl(stage.control, "/v1/key/check", "-X", "POST")
    assert (status, told["valid"], told["account"]) == (200, True, "Acme")
    assert (f"uid:{os.getuid()}", "key.checked") in await stage.journal()
    assert (await curl(stage.status, "/v1/key/check", "-X", "POST"))[0] == 403


@pytest.mark.parametrize(
    ("checked", "says"),
    [
        (key_check(Reply(KeyRefused(401, "Invalid API key"), status=401), changed=True), "refuses the key (401)"),
        (key_check(Reply(NotSent("no route")), changed=False), "was not reached: no route"),
        (unreadable("cannot read the key file /k: it is not there"), "cannot read the key file"),
    ],
)
async def test_a_key_that_is_not_proven_is_1_with_a_remedy(stage: Stage, checked: KeyCheck, says: str) -> None:
    """Refused, unread, or not answered for: nobody may take it for good."""
    stage.delivery.key = checked
    ended = await punchctl("key", "check", socket_path=stage.control)
    assert ended.code == 1
    assert says in " ".join(ended.out.split())
    assert "->" in ended.out
    assert ("another one than before" in ended.out) is checked.changed
    assert (await punchctl("key", "check", "--json", socket_path=stage.control)).json["valid"] is checked.valid


@pytest.mark.parametrize(
    ("outcome", "valid"),
    [
        (Proven("Acme"), True), (Proven(), True), (KeyRefused(403, "x"), False), (NotSent("x"), None),
        (CertificateTime("x"), None), (Throttled(), None), (Misconfigured(404, "x"), None), (Uncertain("x", 502), None),
    ],
)  # fmt: skip
def test_only_the_service_says_that_a_key_is_good_or_bad(outcome: Outcome, valid: bool | None) -> None:
    """Everything else leaves it open, and says what to look at."""
    checked = key_check(Reply(outcome), changed=False)
    assert checked.valid is valid
    assert checked.text
    assert bool(checked.remedy) is (valid is not True)


def test_a_check_takes_up_a_new_key_and_lifts_the_halt(tmp_path: Path) -> None:
    """On the real loop and client: refused, then a new file and one check, and what waited goes at once."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.access.revoke_all()
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(30)
        refused = await bench.delivery.check_key()
        assert (refused.valid, refused.status, bench.delivery.status().state) == (False, 401, "halted")
        assert KEY not in refused.text
        bench.sandbox.company.access.keys["new-key"] = None
        bench.key_file.write_text("new-key")
        good = await bench.delivery.check_key()
        assert (good.valid, good.changed, good.status) == (True, True, 200)
        assert bench.delivery.status().state == "online"
        await asyncio.sleep(1)
        assert (await bench.state(punch))[0] == "delivered"
        bench.key_file.unlink()
        gone = await bench.delivery.check_key()
        assert (gone.valid, str(bench.key_file) in gone.text) == (False, True)

    on_bench(tmp_path, story)


def test_a_check_while_paused_sends_no_punch(tmp_path: Path) -> None:
    """A person asked about the key, not for the punches."""

    async def story(bench: Bench) -> None:
        await bench.delivery.pause("uid:0")
        punch = await bench.punch(ANNA, "clock_in")
        assert (await bench.delivery.check_key()).valid
        await asyncio.sleep(60)
        assert (await bench.state(punch))[0] == "pending"
        assert bench.delivery.status().state == "paused"

    on_bench(tmp_path, story)
