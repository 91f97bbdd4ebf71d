"""The README typed in as it stands there: its walk-through line by line, and every command of its table once."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.support.punchd_process import PATIENCE_S
from tests.support.sandbox_process import SandboxProcess, sandbox_process

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = "Trying it without an account"
#: The chapter that leads to a first punch.
BOX = "On a Raspberry Pi"
INSTALLED = "needs root and a box of its own: tests/integration/test_install.py, make test-vm"
#: What is not typed here: why, and who types it.
ELSEWHERE = {
    "make demo": "tests/acceptance/test_demo.py runs the demo",
    "make test": "is what runs this",
    ".venv/bin/python -m sandbox --files sandbox-files": "served here on free ports",
    "git clone … && cd punchd && sudo make install": INSTALLED,
    "sudo apt-get update": INSTALLED,
    "sudo apt-get install git make tzdata python3-aiohttp python3-aiosqlite python3-click python3-httpx "
    "python3-structlog": INSTALLED,
    "sudo apt-get install pcscd libccid python3-pyscard polkitd python3-evdev": INSTALLED,
    "sudo reboot": INSTALLED,
    "sudo sh -c 'umask 077; cat > /etc/punchd/connecteam.key'": INSTALLED,
    "sudo chown punchd /etc/punchd/connecteam.key": INSTALLED,
    "sudo systemctl enable --now punchd": INSTALLED,
    "sudo apt-get install git make python3-venv gcc python3-dev swig libpcsclite-dev pkg-config pcscd": "needs root",
    "git clone … && cd punchd && make setup": "needs the network for its libraries; make test has run it",
    ".venv/bin/python -m pip install --editable '.[nfc,scanner]'": "needs the network; make test has run it",
}
ADA, GRACE, BADGE = "9170357", "9170358", "04A1B2C3D4E580"
HOUR = 3600


def section(name: str) -> str:
    """One chapter."""
    return README.split(f"## {name}\n")[1].split("\n## ")[0]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Its fenced blocks: language and content."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[str]:
    """The lines of its blocks that somebody types, without comments; drawings have no command in front."""
    lines = [line.split("  #")[0].rstrip() for kind, block in blocks(text) if not kind for line in block.splitlines()]
    return [line for line in lines if re.match(r"(\.venv/bin/|make |git |sudo |curl |export |punch\w+ )", line)]


def table_commands() -> list[str]:
    """The commands of "Running a kiosk", options included, without those that only explain another."""
    rows = [row for row in section("Running a kiosk").splitlines() if row.startswith("|")]
    return [command for row in rows for command in re.findall(r"`(?:eval \"\$\()?(punchctl [^`)]*)", row)]


class Desk:
    """A folder somebody types in, with punchd serving there, against a sandbox of its own."""

    def __init__(self, folder: Path, sandbox: SandboxProcess) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def command(self, line: str) -> list[str]:
        """A line as a command: the tools by their modules, for a checkout without commands of its own."""
        modules = {"punchctl": "daemon.control.cli", "punchd": "daemon.cli"}
        first, *rest = shlex.split(line.replace("http://127.0.0.1:8100", self.sandbox.admin_url))
        name = first.removeprefix(".venv/bin/")
        return [sys.executable, "-m", modules[name], *rest] if name in modules else [first, *rest]

    def type(self, line: str, *, ends: tuple[int, ...] = (0,)) -> str:
        """Type it; what it prints. It must end, and in one of these ways."""
        done = subprocess.run(
            self.command(line),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode in ends, f"{line}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    @contextmanager
    def typing(self, line: str) -> Iterator[subprocess.Popen[str]]:
        """Type something that goes on until it is stopped."""
        going = subprocess.Popen(
            self.command(line),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield going
        finally:
            going.terminate()
            going.communicate(timeout=PATIENCE_S)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """In a folder with a short name, because sockets are in it; the README's configuration, as kiosk.toml."""
    with tempfile.TemporaryDirectory(prefix="readme") as name, sandbox_process(Path(name) / "sandbox-files") as sandbox:
        toml = next(block for kind, block in blocks(section(WALK)) if kind == "toml")
        (Path(name) / "kiosk.toml").write_text(toml.replace("http://127.0.0.1:8099", sandbox.url))
        yield Desk(Path(name), sandbox)


def heard(going: subprocess.Popen[str], words: str) -> None:
    """Read on until a line has these words."""
    assert going.stdout is not None
    assert any(words in said for said in going.stdout), f"{words!r} was never said"


def test_no_line_is_passed_over():
    """Every line that the README has people type is typed here, or it says where else, or why it cannot be."""
    lines = command_lines(README)
    here = [*command_lines(section(WALK)), *command_lines(section("Running a kiosk")), *first_punch_lines()]
    assert [line for line in lines if line not in here and line not in ELSEWHERE] == []
    assert [line for line in ELSEWHERE if line not in lines] == [], "no such line any more"
    assert len(here) > 10


def test_the_walk_through_works_as_written(desk: Desk):
    """Line by line: the configuration is valid, the tap stands on the sandbox's timesheet, and the cable is cut."""
    with desk_serving(desk, [line for line in command_lines(section(WALK)) if line not in ELSEWHERE]):
        for line in command_lines(section("Running a kiosk")):  # the sockets of this kiosk stand in its own folder
            assert desk.type(line.replace("/run/punchd/", "kiosk-run/").replace("curl ", "curl --silent --fail "))


def first_punch_lines() -> list[str]:
    """What is typed on a new box once punchd is installed and started."""
    return [line for line in command_lines(section(BOX)) if line.startswith("sudo punch")]


def test_a_bare_box_comes_to_its_first_punch_as_written(desk: Desk) -> None:
    """The chapter's configuration and lines, with people from the service and no file of them: Ada is in."""
    (toml,) = [block for kind, block in blocks(section(BOX)) if kind == "toml"]
    ours = {
        "/etc/punchd/connecteam.key": "sandbox-files/connecteam.key",
        "[connecteam]\n": f'[connecteam]\nbase_url = "{desk.sandbox.url}"\n',
        "[kiosk]\n": '[kiosk]\nstate_dir = "state"\nruntime_dir = "run"\n',
        'driver = "pcsc"': 'driver = "simulated"',
    }
    for theirs, mine in ours.items():
        assert theirs in toml
        toml = toml.replace(theirs, mine)
    (desk.folder / "punchd.toml").write_text(toml)
    desk.environment["PUNCHD_SOCKET"] = "run/control.sock"
    told: dict[str, str] = {}
    with desk.typing("punchd run --config punchd.toml") as going:
        heard(going, "service.started")
        for line in first_punch_lines():
            if line == "sudo punchctl present":  # the hand of the enrolment may have tapped once more already
                answer = json.loads(desk.type(f"punchctl tap {BADGE} --reader front --json"))
                assert answer["result"] in ("accepted", "repeat")
            typed = line.removeprefix("sudo ").replace("/etc/punchd/", "")
            with tapping(desk) if "enroll" in line else nullcontext():
                told[typed] = desk.type(typed, ends=(0, 1) if "doctor" in line else (0,))
    assert "no problems found" in told["punchd check --config punchd.toml"]
    assert "5 added" in told["punchctl employees sync"]
    assert ADA in told["punchctl employees list"]
    assert ADA in told["punchctl present"]
    assert "Anna Visser" in told["punchctl punches list"]


@contextmanager
def tapping(desk: Desk) -> Iterator[None]:
    """Hold a badge to the reader again and again, until somebody took it."""
    over = threading.Event()

    def on() -> None:
        while not over.is_set():
            desk.type(f"punchctl tap {BADGE} --reader front --json", ends=(0, 1))

    hand = threading.Thread(target=on)
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join()


@contextmanager
def desk_serving(desk: Desk, lines: list[str]) -> Iterator[None]:
    """Type these lines, in order; what runs on runs beside them."""
    going = None
    try:
        for line in lines:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                desk.environment[name] = value
            elif " run " in line:
                going = desk.typing(line)
                heard(going.__enter__(), "service.started")
            else:
                if "/timesheet" in line:
                    desk.sandbox.admin.wait(path="*/clock-in", state="processed")
                told = desk.type(line.replace("curl ", "curl --silent --fail "))
                if "/timesheet" in line:
                    assert [row["user_id"] for row in json.loads(told)] == [ADA]
        yield
    finally:
        if going is not None:
            going.__exit__(None, None, None)


#: The table's commands in an order that makes sense, as somebody types them, and how they end where not with 0.
DAYS: list[tuple[str, str, tuple[int, ...]]] = [
    ("punchctl employees import FILE.csv", "punchctl employees import sandbox-files/people.csv", (0,)),
    ("punchctl employees sync", "punchctl employees sync", (0, 1)),  # 1: no badge_field is configured
    ("punchctl employees add", "punchctl employees add 77 'New Person' --badge 04FFEE01", (0,)),
    ("punchctl employees remove", "punchctl employees remove 77", (0,)),
    ("punchctl badges unknown", "punchctl badges unknown", (0,)),
    ("punchctl badges assign BADGE USER_ID", "punchctl badges assign 04DD0001 {ada}", (0,)),
    ("punchctl badges block BADGE", "punchctl badges block 04DD0001", (0,)),
    ("punchctl sync pause", "punchctl sync pause", (0,)),
    ("punchctl sync resume", "punchctl sync resume", (0,)),
    ("punchctl sync now", "punchctl sync now", (0,)),
    ("punchctl review list", "punchctl review list", (0,)),
    ("punchctl review show ID", "punchctl review show {first}", (0,)),
    ("punchctl review resolve ID", "punchctl review resolve {first} --clock-out {left}", (0,)),
    ("punchctl review retry ID", "punchctl review retry {second}", (0,)),
    ("punchctl review discard ID --reason TEXT", "punchctl review discard {third} --reason 'tapped for fun'", (0,)),
    ("punchctl punches list", "punchctl punches list", (0,)),
    ("punchctl punches show ID", "punchctl punches show {first}", (0,)),
    ("punchctl present", "punchctl present", (0,)),
    ("punchctl readers", "punchctl readers", (0,)),
    ("punchctl status", "punchctl status", (0,)),
    ("punchctl key check", "punchctl key check", (0,)),
    ("punchctl verify", "punchctl verify", (0,)),
    ("punchctl doctor", "punchctl doctor", (0, 1)),  # 1: it finds what is to be found on this machine
    ("punchctl audit --since T", "punchctl audit --since {since}", (0, 1)),  # 1: it finds the discarded punch
    (
        "punchctl export --since T --until T --output FILE",
        "punchctl export --since {since} --until {now} --output march.csv",
        (0,),
    ),
    (
        "punchctl export --undelivered --database FILE --output FILE",
        "punchctl export --undelivered --database kiosk-state/punchd.db --output rescue.csv",
        (0,),
    ),
    ("punchctl completion bash", "punchctl completion bash", (0,)),
    ("punchctl completion --help", "punchctl completion --help", (0,)),
]
#: What goes on until it is stopped, and what it shows first.
GOING_ON = {"punchctl status --watch": "front-door", "punchctl events": "tap.unknown"}
#: Waits for a tap that is made meanwhile.
ENROLLING = "punchctl badges enroll USER_ID"


def test_every_command_of_the_table_works(desk: Desk):
    """An owner's days with the kiosk: each command of the table is typed, with a person's decisions in between."""
    assert sorted(table_commands()) == sorted([*(command for command, _, _ in DAYS), *GOING_ON, ENROLLING])
    lines = command_lines(section(WALK))
    start = [line for line in lines if "punchctl" not in line and "curl" not in line and line not in ELSEWHERE]
    with desk_serving(desk, start):
        now = int(time.time())
        words: dict[str, object] = {"ada": ADA, "now": now, "since": now - 50 * HOUR, "left": now - 33 * HOUR}
        for command, line, ends in DAYS:
            if "review" in command and "first" not in words:
                words |= in_review(desk, now)
            desk.type(line.format(**words), ends=ends)
        with desk.typing(ENROLLING.replace("USER_ID", GRACE)) as going:
            while going.poll() is None:  # a tap that comes too early is an unknown badge's, and kept
                desk.type("punchctl tap 04DD0002 --reader front", ends=(0,))
            assert going.returncode == 0
        with desk.typing("punchctl status --watch") as going:
            heard(going, GOING_ON["punchctl status --watch"])
        with desk.typing("punchctl events") as going:
            listening = threading.Thread(target=heard, args=(going, GOING_ON["punchctl events"]))
            listening.start()
            while listening.is_alive():
                desk.type("punchctl tap 04DD0003 --reader front", ends=(0,))
            listening.join()
    assert (desk.folder / "march.csv").read_text().count("\n") >= 4
    assert (desk.folder / "rescue.csv").exists()


def in_review(desk: Desk, now: int) -> dict[str, object]:
    """Three people forgot to clock out the day before yesterday: the ids of their punches, once they are in review."""
    for number in range(1, 4):
        desk.type(f"punchctl tap 04A1B2C3D4E58{number} --reader front --at {now - 40 * HOUR - number}")
    ids: list[object] = []
    while len(ids) < 3:
        ids = [review["id"] for review in json.loads(desk.type("punchctl review list --json"))]
    return dict(zip(("first", "second", "third"), ids, strict=True))
