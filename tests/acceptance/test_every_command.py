"""Every command and every route there is, walked through on a running kiosk: what a script and a person may rely on.

The walk follows the tree of commands and the table of routes themselves: one that is added fails until it is in WALK.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import click
import pytest

from daemon import __version__
from daemon.control.cli import main, root
from daemon.control.render import columns
from daemon.control.routes import ROUTES, Access, Route
from tests.support.door import Control, door, people_csv
from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import sandbox_process

ANNA, ANNAS = "9170357", "04A1B2C3D4E580"
LONG = "Wolfeschlegelsteinhausenbergerdorff the Elder, of 山田太郎 and of elsewhere"
#: Ghosts are people the service does not know: what they tap needs a person.
GHOSTS, CROWD, STRANGERS = 12, 60, 30

#: What the outside is promised, word for word; more may come, nothing may go.
COMMANDS = {
    "status", "present", "tap", "employees import", "employees list", "employees add", "employees remove",
    "badges assign", "badges enroll", "badges block", "badges remove", "badges list", "badges unknown",
    "punches list", "punches show", "review list", "review show", "review retry", "review resolve", "review discard",
    "sync now", "sync pause", "sync resume", "readers", "events", "doctor", "export",
}  # fmt: skip
PATHS = {
    "GET /v1/status", "GET /v1/present", "GET /v1/punches", "GET /v1/punches/{id}", "GET /v1/readers",
    "GET /v1/employees", "GET /v1/badges", "GET /v1/review", "GET /v1/events", "GET /metrics", "POST /v1/taps",
    "POST /v1/employees", "POST /v1/employees/import", "POST /v1/badges", "POST /v1/badges/enroll",
    "POST /v1/review/{id}/retry", "POST /v1/review/{id}/resolve", "POST /v1/review/{id}/discard", "POST /v1/sync/now",
    "POST /v1/sync/pause", "POST /v1/sync/resume", "DELETE /v1/employees/{id}", "DELETE /v1/badges/{badge}",
}  # fmt: skip
PUNCH = {
    "id", "user_id", "name", "direction", "occurred_at", "occurred_at_unix", "raw_at", "time_error_s", "reader",
    "badge", "source", "state", "reason", "detail", "attempts", "remote_id", "recorded_as",
}  # fmt: skip
STATUS = {
    "state": None, "queue": {"pending", "held", "in_flight", "review", "oldest_pending_at"},
    "readers": {"name", "driver", "state"}, "clock": {"trusted", "source", "error_s"}, "budget": None,
    "snapshot_at": None, "last_delivery_at": None, "alarms": {"code", "since", "text"}, "version": None,
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A command of the walk. In `line`, {words} are filled anew each time it is run.

    `codes` are those it may end with here; `acts` changes something; `alone` needs no daemon; `follows` does not end
    by itself, `prompts` says on standard error what it waits for.
    """

    line: str
    codes: tuple[int, ...] = (0,)
    acts: bool = False
    alone: bool = False
    follows: bool = False
    prompts: bool = False


WALK = {
    "status": Step("status"),
    "present": Step("present"),
    "readers": Step("readers"),
    "events": Step("events", follows=True),
    "tap": Step("tap {anyones} --reader front", acts=True),
    "employees import": Step("employees import {csv}", acts=True),
    "employees list": Step("employees list"),
    "employees add": Step("employees add {new} {long} --badge {free}", acts=True),
    "employees sync": Step("employees sync --assignments none", acts=True),
    "employees remove": Step("employees remove {removable}", acts=True),
    "badges assign": Step("badges assign {strangers} 7000", acts=True),
    "badges enroll": Step("badges enroll 7000", acts=True, prompts=True),
    "badges block": Step("badges block {free}", acts=True),
    "badges remove": Step("badges remove {removable_badge}", acts=True),
    "badges list": Step("badges list"),
    "badges unknown": Step("badges unknown"),
    "punches list": Step("punches list --state review --state delivered --limit 500"),
    "punches show": Step("punches show {punch}"),
    "review list": Step("review list"),
    "review show": Step("review show {punch}"),
    "review retry": Step("review retry {ghost}", acts=True),
    "review resolve": Step("review resolve {ghost} --clock-out {later}", acts=True),
    "review discard": Step("review discard {ghost} --reason {long}", acts=True),
    "sync now": Step("sync now", acts=True),
    "sync pause": Step("sync pause", acts=True),
    "sync resume": Step("sync resume", acts=True),
    "export": Step("export --since 2026-01-01T00:00:00Z --until 2100-01-01T00:00:00Z --undelivered"),
    # The ghosts' punches are not on the timesheet; it reads the service, which costs requests.
    "audit": Step("audit --since {today}", codes=(1,), acts=True),
    "verify": Step("verify"),
    # The ghosts need a person; and this is no unit of systemd.
    "doctor": Step("doctor", codes=(1,), alone=True),
    "key check": Step("key check", acts=True),
    "completion": Step("completion bash", alone=True),
}


def leaves(group: click.Group, before: str = "") -> Iterator[str]:
    """Every command that does something, by its words."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield before + name


EVERY = tuple(leaves(root))
READING = tuple(name for name in EVERY if name in WALK and not WALK[name].acts and not WALK[name].follows)


@dataclass
class Scene:
    """A running kiosk with many people of long names, and things that are used up by the walk."""

    kiosk: Kiosk
    control: Control
    ghosts: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0

    def words(self, name: str) -> list[str]:
        """A command's line with everything in it that is needed once only."""
        self.taken += 1
        ghost = self.ghosts.pop() if "{ghost}" in WALK[name].line else self.ghosts[0]
        fillings = {
            "anyones": f"0C{self.taken % CROWD:06X}", "new": f"3{self.taken:05}", "long": LONG,
            "free": f"0F{self.taken:06X}", "csv": str(self.kiosk.folder / "more.csv"),
            "strangers": f"0D{self.taken % STRANGERS:06X}", "removable": f"8{self.taken % CROWD:03}",
            "removable_badge": f"0E{self.taken % CROWD:06X}", "punch": ghost["id"], "ghost": ghost["id"],
            "later": str(ghost["occurred_at_unix"] + 1800), "today": str(int(time.time()) - 86400),
        }  # fmt: skip
        return [word.format(**fillings) for word in WALK[name].line.split()]

    def path(self, name: str = "control") -> str:
        """A socket."""
        return str(self.kiosk.runtime / f"{name}.sock")

    def hidden(self) -> list[str]:
        """Every badge there is."""
        employees, unknown = self.control.get("employees"), self.control.get("badges/unknown")
        return [badge for one in employees for badge in one["badges"]] + [one["badge"] for one in unknown]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Anna, whom the service knows; ghosts, each with a punch in review; a crowd that is never seen; strangers."""
    folder = tmp_path_factory.mktemp("walk")
    people = [(ANNA, "Anna Visser", ANNAS)]
    people += [(f"7{n:03}", f"{LONG} {n}", f"0C{n:06X}") for n in range(CROWD)]
    people += [(f"8{n:03}", f"{LONG} {n}", f"0E{n:06X}") for n in range(CROWD)]
    with ExitStack() as stack:
        sandbox = stack.enter_context(sandbox_process(folder / "service"))
        kiosk = door(folder / "kiosk", sandbox.url)
        kiosk.key.write_text(sandbox.key_file.read_text())
        (kiosk.folder / "more.csv").write_text(people_csv([("4000", LONG.replace(",", ""), "0B000001")]))
        punchd = stack.enter_context(kiosk.running())
        punchd.heard("READY=1")
        control = stack.enter_context(Control(kiosk))
        control.import_csv(people_csv([(user, f'"{name}"', badge) for user, name, badge in people]))
        assert control.tap(ANNAS)["result"] == "accepted"
        ghosts = [control.tap(f"0C{CROWD - 1 - n:06X}", int(time.time()) - 7200)["punch"] for n in range(GHOSTS)]
        for n in range(STRANGERS):
            assert control.tap(f"0D{n:06X}")["result"] == "unknown_badge"
        assert control.settled()["queue"]["review"] == GHOSTS
        yield Scene(kiosk, control, ghosts)
        assert punchd.stopped() == 0


def clean(**more: str) -> dict[str, str]:
    """This environment without what steers punchctl."""
    steers = ("PUNCHD", "RUNTIME", "COLUMNS", "LINES", "NO_COLOR", "TERM")
    return {name: value for name, value in os.environ.items() if not name.startswith(steers)} | more


@dataclass(frozen=True)
class Ended:
    """What a run left behind; of one that follows, its first line."""

    code: int
    out: str
    err: str


def ran(scene: Scene, name: str, *more: str, **environment: str) -> Ended:
    """Run a command to its end, and do meanwhile what it waits for."""
    step = WALK[name]
    command = [sys.executable, "-m", "daemon.control.cli", *scene.words(name), *more]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean(**environment)) as process:
        try:
            if step.follows:
                return Ended(0, _after_something_happened(scene, process), "")
            if step.prompts:
                scene.taken += 1
                while process.poll() is None:
                    scene.control.tap(f"0A{scene.taken:06X}")
            out, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    return Ended(process.returncode, out, err)


def _after_something_happened(scene: Scene, process: subprocess.Popen[str]) -> str:
    """Make things happen until the command shows a line."""
    assert process.stdout is not None
    shown = b""
    while b"\n" not in shown:
        assert process.poll() is None
        scene.control.post("sync/pause")
        scene.control.post("sync/resume")
        if select.select([process.stdout], [], [], 0)[0]:
            shown += os.read(process.stdout.fileno(), 65536)
    return shown.decode().splitlines(keepends=True)[0]


def test_nothing_that_was_promised_has_gone() -> None:
    """Each command and each route of the outside is there; each command that is there is in the walk."""
    assert set(EVERY) >= COMMANDS
    assert {f"{route.method} {route.path}" for route in ROUTES} >= PATHS
    assert set(WALK) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_json_is_one_document(scene: Scene, name: str) -> None:
    """One document of ASCII on standard output, nothing on standard error; a punch has its fields and no others."""
    ended = ran(scene, name, "--json", "--socket", scene.path())
    assert ended.code in WALK[name].codes, ended
    assert ended.err == "" or WALK[name].prompts
    # The export is as long as the database: its document comes in lines.
    assert ended.out.count("\n") == 1 or name == "export"
    assert ended.out.isascii()
    document = json.loads(ended.out)
    assert document is not None
    for punch in punches_in(document):
        assert set(punch) >= PUNCH
        assert (set(punch) == PUNCH) or name in ("punches show", "review list", "review show", "review resolve")
        assert isinstance(punch["occurred_at_unix"], int)
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", punch["occurred_at"])
        for word in ("id", "user_id", "badge", "remote_id"):
            assert punch[word] is None or isinstance(punch[word], str)


def punches_in(document: Any) -> Iterator[dict[str, Any]]:
    """All punches, wherever they stand in a document."""
    if isinstance(document, list):
        for one in document:
            yield from punches_in(one)
    elif isinstance(document, dict):
        if "occurred_at_unix" in document:
            yield document
        for value in document.values():
            yield from punches_in(value)


@pytest.mark.parametrize("name", EVERY)
def test_text_is_for_people(scene: Scene, name: str) -> None:
    """Found by PUNCHD_SOCKET; no colour where nobody looks; 80 columns, with names of 90 and tables of a hundred rows.

    What goes to another program is as long as it is: the CSV, a shell's script, an event, which is one line.
    """
    ended = ran(scene, name, PUNCHD_SOCKET=scene.path())
    assert ended.code in WALK[name].codes, ended
    assert ended.out.strip()
    assert "\x1b" not in ended.out
    if name not in ("export", "completion", "events"):
        assert [line for line in ended.out.splitlines() if columns(line) > 80] == []


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize("name", READING)
def test_colour_is_for_terminals(scene: Scene, name: str, no_color: bool) -> None:
    """On a terminal what has a table or a verdict is coloured, never with NO_COLOR; it fits there as well."""
    environment = clean(TERM="xterm", PUNCHD_SOCKET=scene.path(), **({"NO_COLOR": "1"} if no_color else {}))
    shown = on_terminal(scene.words(name), environment)
    assert ("\x1b[" in shown) is (not no_color and name not in ("export", "completion", "verify"))
    if name not in ("export", "completion"):
        plain = re.sub(r"\x1b\[\d+m", "", shown)
        assert [line for line in plain.splitlines() if columns(line) > 80] == []


def on_terminal(words: list[str], environment: dict[str, str]) -> str:
    """What a command shows on a terminal of 80 columns."""
    theirs, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.control.cli", *words], stdout=ours, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(ours)
    shown = b""
    try:
        while piece := os.read(theirs, 65536):
            shown += piece
    except OSError:  # a terminal that nobody holds any more
        pass
    os.close(theirs)
    process.wait(PATIENCE_S)
    return shown.decode()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """punchctl within this process, with nothing in the environment that steers it."""
    for name in set(os.environ) - set(clean()):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", EVERY)
def test_each_refuses_in_its_own_way(
    scene: Scene, name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """2 for misuse, 69 without a daemon, 78 for what is no socket, 1 for acting on status.sock; each with a word."""
    (tmp_path / "file").touch()
    used = scene.words(name) if "{ghost}" not in WALK[name].line else [*name.split(), "NONE", "--reason", "none"]
    if name == "review resolve":
        used = ["review", "resolve", "NONE", "--accept-server"]
    if name == "review retry":
        used = ["review", "retry", "NONE"]
    expected = [(2, "usage", ["--nonsense"])]
    if not WALK[name].alone:
        expected += [
            (69, "unreachable", ["--socket", str(tmp_path / "none.sock")]),
            (78, "configuration", ["--socket", str(tmp_path / "file")]),
        ]
    if WALK[name].acts:
        expected.append((1, "read_only", ["--socket", scene.path("status")]))
    for code, word, more in expected:
        assert main([*used, *more, "--json"]) == code
        told = capfd.readouterr()
        assert json.loads(told.out)["code"] == word
        assert told.out.count("\n") == 1
        assert main([*used, *more]) == code
        told = capfd.readouterr()
        assert told.out == ""
        assert len(told.err.strip()) > 20


def test_the_process_ends_with_that_code(scene: Scene, tmp_path: Path) -> None:
    """All five, as a shell sees them."""
    (tmp_path / "file").touch()
    for code, path, words in (
        (0, scene.path(), ["status"]), (1, scene.path("status"), ["sync", "now"]), (2, scene.path(), ["status", "x"]),
        (69, str(tmp_path / "none"), ["status"]), (78, str(tmp_path / "file"), ["status"]),
    ):  # fmt: skip
        command = [sys.executable, "-m", "daemon.control.cli", *words]
        done = subprocess.run(
            command, env=clean(PUNCHD_SOCKET=path), capture_output=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == code
    command = [sys.executable, "-m", "daemon.cli", "check", "--config", str(tmp_path / "file")]
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode == 78


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", READING)
def test_whoever_reads_sees_no_badge(scene: Scene, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Through status.sock every reading command works, and no badge stands in what it shows, nor in its JSON."""
    hidden = scene.hidden()
    assert len(hidden) > 100
    for more in ([], ["--json"]):
        assert main([*scene.words(name), "--socket", scene.path("status"), *more]) in WALK[name].codes
        shown = capfd.readouterr().out
        assert [badge for badge in hidden if badge in shown] == []


@pytest.mark.parametrize("name", EVERY)
def test_help_shows_an_example_and_fits(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Within 80 columns, and without a daemon; the example begins with the command itself."""
    assert main([*name.split(), "--help"]) == 0
    shown = capfd.readouterr().out
    assert f"Example:\n    punchctl {name}" in shown
    assert "--json" in shown
    assert "--socket PATH" in shown
    assert [line for line in shown.splitlines() if columns(line) > 80] == []


@pytest.mark.parametrize("group", ["", *sorted({name.split()[0] for name in EVERY if " " in name})])
def test_the_list_of_commands_tells_each_to_its_end(group: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What a list of commands says of each fits its line: nothing is cut off in the middle."""
    assert main([*group.split(), "--help"]) == 0
    listed = capfd.readouterr().out.split("Commands:\n")[1].splitlines()
    assert [line for line in listed if line.endswith("...") or not line.endswith((".", ":"))] == []


def test_version_is_told_without_a_daemon(capfd: pytest.CaptureFixture[str]) -> None:
    """As any command does."""
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"punchctl, version {__version__}\n"


def test_status_and_tap_have_their_fields(scene: Scene) -> None:
    """Those of the promise at least, and every answer of a tap with the code it has."""
    status = scene.control.get("status")
    for name, inside in STATUS.items():
        assert name in status
        for one in status[name] if isinstance(status[name], list) else [status[name]]:
            assert inside is None or inside <= set(one), name
    assert status["state"] in ("online", "offline", "halted", "paused")
    seen = set()
    for words, code in (
        ("04FFFFFFFF", 0),
        (f"{ANNAS} --at {int(time.time()) + 4000}", 1),
        (ANNAS, 0),
        (ANNAS, 0),
        ("0C000030", 0),
    ):
        command = [sys.executable, "-m", "daemon.control.cli", "tap", *words.split(), "--reader", "front", "--json"]
        done = subprocess.run(command, env=clean(PUNCHD_SOCKET=scene.path()), capture_output=True, check=False)
        answer = json.loads(done.stdout)
        assert (set(answer), done.returncode) == ({"result", "reason", "punch"}, code), answer
        seen.add(answer["result"])
    assert seen == {"accepted", "repeat", "unknown_badge", "refused"}


@contextmanager
def asked(path: str, method: str, target: str, body: bytes = b"") -> Iterator[Any]:
    """One request on a socket; its answer while a block lasts."""
    connection = HTTPConnection("punchd", timeout=PATIENCE_S)
    connection.sock = socket(AF_UNIX)
    connection.sock.settimeout(PATIENCE_S)
    connection.sock.connect(path)
    connection.request(method, target, body or None, {"Content-Type": "application/json"})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_on_status_sock(scene: Scene, route: Route) -> None:
    """What reads answers without a badge; what acts is a problem document that says so, and nothing happened.

    A method no route has is a problem document too, on either socket.
    """
    target = re.sub(r"{\w+}", scene.ghosts[0]["id"], route.path)
    before = scene.control.get("employees"), scene.control.get("badges")
    with asked(scene.path("status"), route.method, target) as answer:
        if route.access is Access.ACT:
            assert_problem(answer, 403, "read_only")
        elif route.path == "/v1/events":
            assert (answer.status, answer.readline()) == (200, b": watching\n")
        else:
            text = answer.read().decode()
            assert answer.status == 200, text
            assert [badge for badge in scene.hidden() if badge in text] == []
    assert (scene.control.get("employees"), scene.control.get("badges")) == before
    for name in ("status", "control"):
        with asked(scene.path(name), "PATCH", target) as answer:
            assert_problem(answer, 405, "wrong_method")


def assert_problem(answer: Any, status: int, code: str) -> None:
    """RFC 9457, whole."""
    assert answer.headers.get_content_type() == "application/problem+json"
    problem = json.loads(answer.read())
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert set(problem) == {"type", "title", "status", "code", "detail", "remedy"}
    assert all(problem.values())
