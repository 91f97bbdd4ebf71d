"""Doctor: every finding provoked, for real where this machine allows it; with and without the daemon."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.control.client import Client
from daemon.control.doctor.examination import examined
from daemon.control.doctor.findings import KNOWN, Finding, Severity, markdown
from daemon.control.doctor.machine import Machine, may_read
from drivers import pcsc_words
from tests.integration.test_cli import punchctl
from tests.support.kiosk import Stage, open_kiosk, until
from tests.support.many_punches import fill
from tests.support.punchd_process import Kiosk

NOBODY = 65534
BADGE = "04A2B3C4D5E680"


@dataclass
class Visit:
    """A doctor's visit to a running kiosk whose machine is healthy, until a provocation changes something."""

    stage: Stage
    folder: Path
    kiosk: Kiosk
    machine: Machine
    config: Path | None = field(default=None)
    client: Client | None = None

    async def findings(self) -> list[Finding]:
        client = self.client or Client(self.stage.status)
        return await asyncio.to_thread(examined, client, self.config or self.kiosk.config, self.machine)

    async def review(self, reason: str) -> None:
        """Ada's punch is in review."""
        await self.stage.kiosk.directory.add("7", "Ada", badge=BADGE, by="test")
        answer = await self.stage.kiosk.readers.tap("front", BADGE, None)
        assert answer.punch is not None
        await self.stage.delivery.review(answer.punch.id, reason)

    async def tear_out(self, detail: str) -> None:
        """The reader `door` is lost, with its driver's words."""
        self.stage.door.tear_out(detail)
        await until(lambda: self.stage.readers.status()[1].state == "lost")


@pytest.fixture
async def visit(tmp_path: Path) -> AsyncIterator[Visit]:
    (tmp_path / "modules").write_text("snd_bcm2835 24576 0 - Live 0x0\nnfcx 1 0 - Live 0x0\n")
    (tmp_path / "kiosk").mkdir()
    with socket.socket(socket.AF_UNIX) as pcscd:
        pcscd.bind(os.fspath(tmp_path / "pcscd.comm"))
        pcscd.listen()
        proc = tmp_path / "proc" / str(os.getpid())
        proc.mkdir(parents=True)
        (proc / "cgroup").write_text("0::/system.slice/punchd.service\n")
        (tmp_path / "mounts").write_text("27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n")
        machine = Machine(
            modules=tmp_path / "modules", pcscd_socket=tmp_path / "pcscd.comm", proc=tmp_path / "proc",
            mounts=tmp_path / "mounts", disk_full_bytes=0, disk_low_bytes=0,
        )  # fmt: skip
        async with open_kiosk() as stage:
            yield Visit(stage, tmp_path, Kiosk(tmp_path / "kiosk"), machine)


async def test_a_healthy_kiosk_has_only_oks(visit: Visit) -> None:
    """Nothing is cried over, and at least fifteen things were looked at."""
    findings = await visit.findings()
    assert [finding for finding in findings if finding.severity is not Severity.OK] == []
    assert len(findings) >= 15
    assert all(finding.text and not finding.remedy for finding in findings)


# --- one provocation a code


Provocation = Callable[[Visit], Awaitable[None]]


async def unreachable(visit: Visit) -> None:
    visit.client = Client(visit.folder / "nobody.sock")


async def without_systemd(visit: Visit) -> None:
    (visit.folder / "proc" / str(os.getpid()) / "cgroup").write_text("0::/user.slice/session-1.scope\n")


async def open_sockets(visit: Visit) -> None:
    visit.stage.status.chmod(0o666)


async def wrong_key_in_file(visit: Visit) -> None:
    visit.kiosk.write(more='colour = "red"')


async def no_config(visit: Visit) -> None:
    visit.config = visit.folder / "missing.toml"


async def wrong_zone(visit: Visit) -> None:
    visit.kiosk.config.write_text(visit.kiosk.config.read_text().replace("Europe/Amsterdam", "Mars/Olympus"))


async def open_key_file(visit: Visit) -> None:
    visit.kiosk.key.chmod(0o644)


def alarm(code: str) -> Provocation:
    async def provoke(visit: Visit) -> None:
        visit.stage.kiosk.alarms.set(code, "It is so. Mend it.")

    return provoke


async def halted(visit: Visit) -> None:
    visit.stage.delivery.standing.state = "halted"
    visit.stage.delivery.standing.detail = "401: Invalid API key"


def standing(state: str) -> Provocation:
    async def provoke(visit: Visit) -> None:
        visit.stage.delivery.standing.state = state

    return provoke


def review_for(reason: str) -> Provocation:
    async def provoke(visit: Visit) -> None:
        await visit.review(reason)

    return provoke


def torn_out(detail: str) -> Provocation:
    async def provoke(visit: Visit) -> None:
        await visit.tear_out(detail)

    return provoke


async def doubted(visit: Visit) -> None:
    keeper = visit.stage.kiosk.timekeeper
    seen = keeper.evidence()
    keeper.note_server_date(seen.wall_s + 300, seen, seen)


async def untrusted(visit: Visit) -> None:
    visit.stage.clock.reboot()


async def no_readers(visit: Visit) -> None:
    visit.stage.kiosk.readers.status = list  # type: ignore[method-assign]


async def no_pcscd(visit: Visit) -> None:
    visit.machine = replace(visit.machine, pcscd_socket=visit.folder / "none.comm")


async def modules(visit: Visit) -> None:
    visit.machine.modules.write_text("pn533_usb 20480 0 - Live 0x0\nnfc 1 1 pn533, Live 0x0\n")


async def no_permission(visit: Visit) -> None:
    event = visit.folder / "event7"
    event.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(visit.stage.kiosk.database.path.parent, NOBODY, -1)
    else:
        event.chmod(0)
    config = visit.kiosk.config
    config.write_text(config.read_text() + f'[[readers]]\nname = "scan"\ndriver = "evdev"\nmatch = "{event}"\n')
    status = visit.stage.kiosk.readers.status
    scanner = SimpleNamespace(
        name="scan", driver="evdev", direction="toggle", state="lost", since=None, taps=0, errors=1, detail="gone"
    )
    visit.stage.kiosk.readers.status = lambda: [*status(), scanner]  # type: ignore[method-assign,list-item]


async def full_disk(visit: Visit) -> None:
    visit.machine = replace(visit.machine, disk_full_bytes=1 << 62, disk_low_bytes=1 << 62)


async def low_disk(visit: Visit) -> None:
    visit.machine = replace(visit.machine, disk_low_bytes=1 << 62)


async def damaged(visit: Visit) -> None:
    """A database of a daemon that is down, with a third of it overwritten."""
    visit.kiosk.state.mkdir()
    path = visit.kiosk.state / "punchd.db"
    fill(path, 2000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(os.urandom(path.stat().st_size // 3))
    await unreachable(visit)


async def foreign(visit: Visit) -> None:
    visit.kiosk.state.mkdir()
    (visit.kiosk.state / "punchd.db").write_text("not ours " * 100)
    await unreachable(visit)


async def in_memory(visit: Visit) -> None:
    """The kernel's own table of mounts, and its own tmpfs."""
    visit.machine = replace(visit.machine, mounts=Path("/proc/self/mountinfo"))
    visit.kiosk.state = Path("/dev/shm")
    visit.kiosk.write()
    await unreachable(visit)


async def small_plan(visit: Visit) -> None:
    for number in range(26):
        await visit.stage.kiosk.directory.add(f"{number}", f"Person {number}", by="test")
    visit.stage.delivery.standing.budget = {"day_limit": 100, "day_remaining": 90}


async def old_punch(visit: Visit) -> None:
    await visit.stage.kiosk.directory.add("7", "Ada", badge=BADGE, by="test")
    await visit.stage.kiosk.readers.tap("front", BADGE, None)
    visit.stage.clock.advance(2 * 3600)


async def unknown_tap(visit: Visit) -> None:
    await visit.stage.kiosk.readers.tap("front", BADGE, None)


async def altered(visit: Visit) -> None:
    """A punch that changed behind the daemon's back."""
    visit.client = None
    await visit.stage.kiosk.directory.add("1", "Ann", badge=BADGE, by="test")
    await visit.stage.kiosk.readers.tap("front", BADGE, None)

    def change(conn: sqlite3.Connection) -> None:
        conn.execute("DROP TRIGGER punches_are_facts")
        conn.execute("UPDATE punches SET raw_at = raw_at + 1")

    await visit.stage.kiosk.database.write(change)


PROVOCATIONS: dict[str, tuple[Provocation, ...]] = {
    "daemon_unreachable": (unreachable,),
    "not_under_systemd": (without_systemd,),
    "socket_modes": (open_sockets,),
    "config_problem": (wrong_key_in_file,),
    "config_unseen": (no_config,),
    "zone_unknown": (wrong_zone,),
    "key_file_open": (open_key_file,),
    "key_refused": (alarm("halted"), halted),
    "time_clock_unknown": (alarm("misconfigured"),),
    "look_up_refused": (alarm("look_up_refused"),),
    "people_not_assigned": (review_for("not_assigned"),),
    "review_waiting": (review_for("job_required"),),
    "service_unreachable": (standing("offline"),),
    "delivery_paused": (standing("paused"),),
    "clock_doubted": (doubted, alarm("clock_doubted")),
    "clock_untrusted": (untrusted, alarm("clock_untrusted")),
    "certificate_time": (alarm("certificate_time"),),
    "alarm": (alarm("alerts_unsent:url"),),
    "no_readers": (no_readers,),
    "reader_lost": (torn_out("cannot use the reader: it was torn out of the wall; screw it back"),),
    "polkit_refused": (torn_out(pcsc_words.trouble(pcsc_words.SECURITY_VIOLATION, "")),),
    "pcscd_absent": (no_pcscd, torn_out(pcsc_words.trouble(pcsc_words.NO_SERVICE, ""))),
    "nfc_modules_loaded": (modules,),
    "input_denied": (no_permission,),
    "cannot_store": (alarm("cannot_store"),),
    "disk_full": (full_disk,),
    "disk_low": (low_disk,),
    "database_damaged": (damaged, alarm("database_damaged")),
    "database_salvaged": (alarm("database_salvaged"),),
    "copy_failing": (alarm("copy_failing"),),
    "punches_altered": (altered,),
    "database_unseen": (foreign,),
    "database_volatile": (in_memory,),
    "budget_too_small": (small_plan, alarm("plan_too_small")),
    "undelivered_old": (old_punch, alarm("queue_old")),
    "unknown_taps": (unknown_tap,),
}


@pytest.mark.parametrize(
    ("code", "provoke"),
    [(code, provoke) for code, several in PROVOCATIONS.items() for provoke in several],
    ids=[f"{code}-{number}" for code, several in PROVOCATIONS.items() for number in range(len(several))],
)
async def test_each_finding_is_made_when_it_is_so(visit: Visit, code: str, provoke: Provocation) -> None:
    """A healthy kiosk does not have it; after the provocation it has it once, with its severity and a remedy."""
    assert code not in {finding.code for finding in await visit.findings()}
    await provoke(visit)
    made = [finding for finding in await visit.findings() if finding.code == code]
    assert len(made) == 1
    assert made[0].severity is KNOWN[code][0]
    assert made[0].text
    assert made[0].remedy


#: What doctor must be able to find, whatever else it finds.
NEVER_MISSED = {
    "pcscd_absent", "polkit_refused", "nfc_modules_loaded", "input_denied", "clock_untrusted", "clock_doubted",
    "key_refused", "look_up_refused", "time_clock_unknown", "people_not_assigned", "disk_low", "disk_full",
    "database_damaged", "socket_modes", "budget_too_small", "zone_unknown", "not_under_systemd",
}  # fmt: skip


def test_every_published_code_is_provoked() -> None:
    """The list of codes and the provocations are the same; the page in docs is the list."""
    assert set(PROVOCATIONS) == set(KNOWN)
    assert set(KNOWN) >= NEVER_MISSED
    assert (Path(__file__).parents[2] / "docs" / "doctor.md").read_text() == markdown()


# --- details


async def test_a_punch_past_the_look_back_is_a_problem(visit: Visit) -> None:
    """Two hours are a warning; twelve have cost it its live clock-in."""
    await old_punch(visit)
    visit.stage.clock.advance(10 * 3600)
    (made,) = [finding for finding in await visit.findings() if finding.code == "undelivered_old"]
    assert (made.severity, "12 h ago" in made.text) == (Severity.PROBLEM, True)


async def test_people_are_named_and_badges_are_not(visit: Visit) -> None:
    """Five names at most, so that it stays a line; badges stand in no finding."""
    for number in range(7):
        badge = f"04A2B3C4D5E6{number:02}"
        await visit.stage.kiosk.directory.add(f"{number}", f"Person {number}", badge=badge, by="test")
        answer = await visit.stage.kiosk.readers.tap("front", badge, None)
        assert answer.punch is not None
        await visit.stage.delivery.review(answer.punch.id, "not_assigned")
    findings = await visit.findings()
    (made,) = [finding for finding in findings if finding.code == "people_not_assigned"]
    assert made.text.endswith("Person 4 and 2 more")
    assert not any("04A2B3C4" in finding.text for finding in findings)


def test_who_may_read_a_file(tmp_path: Path) -> None:
    """By owner, group or others, as the kernel would decide; root always, a missing file never."""
    path = tmp_path / "event0"
    path.touch()
    for mode, uid, expected in ((0o600, NOBODY, False), (0o604, NOBODY, True), (0o600, 0, True)):
        path.chmod(mode)
        assert may_read(path, uid) is expected
    assert may_read(path, path.stat().st_uid)
    assert not may_read(tmp_path / "missing", NOBODY)


async def test_without_the_daemon_the_database_tells_what_waits(visit: Visit) -> None:
    """Unknown taps, reviews and people not assigned are found in the file; the file is as it was."""
    visit.kiosk.state.mkdir()
    path = visit.kiosk.state / "punchd.db"
    await visit.review("not_assigned")
    await unknown_tap_of(visit, "99887766")
    await visit.stage.kiosk.database.close()
    path.write_bytes(visit.stage.kiosk.database.path.read_bytes())
    before = path.read_bytes()
    await unreachable(visit)
    codes = {finding.code for finding in await visit.findings() if finding.severity is not Severity.OK}
    assert codes == {"daemon_unreachable", "people_not_assigned", "review_waiting", "unknown_taps"}
    assert path.read_bytes() == before


async def unknown_tap_of(visit: Visit, badge: str) -> None:
    assert (await visit.stage.kiosk.readers.tap("front", badge, None)).result == "unknown_badge"


def test_a_directory_is_on_the_nearest_mount(tmp_path: Path) -> None:
    """Neither the order of the table nor a like name decides; the later of two on one place covers the other."""
    mounts = tmp_path / "mounts"
    state = tmp_path / "state dir"
    state.mkdir()
    written = str(state).replace(" ", "\\040")
    card, memory = "27 1 8:1 / {} rw shared:1 - ext4 /dev/mmcblk0p2 rw", "28 1 0:5 / {} rw - tmpfs tmpfs rw"
    for lines, code in (
        ((card.format("/"), memory.format(written)), "database_volatile"),
        ((memory.format(written), card.format("/")), "database_volatile"),
        ((memory.format("/"), card.format(written)), "file_system"),
        ((card.format("/"), memory.format(f"{written}2")), "file_system"),
        ((memory.format(written), card.format(written)), "file_system"),
    ):
        mounts.write_text("\n".join(lines))
        assert [finding.code for finding in Machine(mounts=mounts).disk(state)][1:] == [code]


async def test_a_scanner_by_name_needs_one_device_that_can_be_read(visit: Visit) -> None:
    """Where none is named by path, a single readable one will do."""
    devices = visit.folder / "input"
    devices.mkdir()
    machine = replace(visit.machine, input_devices=devices)
    assert [finding.severity for finding in machine.scanners([""], NOBODY)] == [Severity.OK]
    (devices / "event0").touch(mode=0o600)
    assert [finding.code for finding in machine.scanners(["honey"], NOBODY)] == ["input_denied"]
    (devices / "event1").touch()
    (devices / "event1").chmod(0o644)
    assert [finding.severity for finding in machine.scanners(["honey"], NOBODY)] == [Severity.OK]


# --- the command


async def test_the_command_shows_problems_first_and_fits(visit: Visit) -> None:
    """Exit 1 with a problem, 0 with warnings alone; each finding has its remedy below it, in 80 columns."""
    arguments = ("doctor", "--config", str(visit.kiosk.config))
    env = {"PCSCLITE_CSOCK_NAME": str(visit.machine.pcscd_socket)}
    await visit.stage.kiosk.readers.tap("front", BADGE, None)
    warned = await punchctl(*arguments, socket_path=visit.stage.status, **env)
    assert (warned.code, warned.err) == (0, "")
    assert "warning: unknown_taps" in warned.out
    visit.stage.kiosk.alarms.set("halted", "Nothing can be delivered: 401. Give punchd a valid key.")
    ill = await punchctl(*arguments, socket_path=visit.stage.status, **env)
    assert ill.code == 1
    assert ill.out.startswith("problem: key_refused\n  halted: Nothing can be delivered")
    assert ill.out.index("problem: key_refused") < ill.out.index("warning: unknown_taps") < ill.out.index("ok: ")
    # A path is never broken, and how long this run's are is no matter of the command's.
    lines = ill.out.replace(str(visit.kiosk.config.parent), "/etc/punchd").splitlines()
    assert [line for line in lines if len(line) > 80] == []
    told = (await punchctl(*arguments, "--json", socket_path=visit.stage.status, **env)).json
    assert all(set(finding) == {"code", "severity", "text", "remedy"} for finding in told)
    assert "key_refused" in {finding["code"] for finding in told if finding["severity"] == "problem"}


async def test_a_daemon_that_is_down_is_a_finding_not_an_exit(visit: Visit) -> None:
    """Exit 1, and all that can be looked at without it was."""
    ended = await punchctl(
        "doctor", "--config", str(visit.kiosk.config), "--json", socket_path=visit.folder / "nobody.sock"
    )
    assert ended.code == 1
    assert {"daemon_unreachable", "configuration", "database"} <= {finding["code"] for finding in ended.json}


async def test_the_daemon_names_its_files(tmp_path: Path) -> None:
    """Without --config the running daemon's own configuration is looked at, wherever it is."""
    async with open_kiosk() as stage:
        kiosk = Kiosk(tmp_path)
        object.__setattr__(stage.kiosk.config, "path", kiosk.config)
        kiosk.write(more='colour = "red"')
        ended = await punchctl("doctor", "--json", socket_path=stage.status)
        (told,) = [finding for finding in ended.json if finding["code"] == "config_problem"]
        assert str(kiosk.config) in told["text"]


async def test_a_database_being_written_is_no_finding(visit: Visit) -> None:
    """Taps go on while the check reads; neither sees the other."""
    await visit.stage.kiosk.directory.add("7", "Ada", badge=BADGE, by="test")
    checking = asyncio.create_task(visit.findings())
    result = await visit.stage.kiosk.readers.tap("front", BADGE, None)
    assert result.result == "accepted"
    assert not [finding for finding in await checking if finding.code.startswith("database_")]
