"""`python -m tests.crashes.kills --kills 500 --seed 1`: SIGKILL at random moments, on one state directory throughout.

People tap at a real punchd while it is killed: under taps, while it delivers, at its start, at a stop, while a list of
people is imported, and while a large old database is migrated; meanwhile the service loses requests and answers. In the
end the people's notebooks are held against the sandbox's store and against the kiosk's own punches. Exit 1 where they
differ.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.crashes.notebook import of_punches, of_timesheet
from tests.crashes.people import ATTENDANCE, Crowd, people
from tests.crashes.settling import all_delivered, all_punches, evidence, kept
from tests.crashes.surroundings import copied, crowd_csv, hire, lossy_sandbox, versions
from tests.support.door import Control, EndedError, door, rows
from tests.support.nursery import Newborn, Nursery
from tests.support.punchd_process import Kiosk
from tests.support.sandbox_process import SandboxProcess

#: Kinds of moments, and how many of a hundred kills go to each.
KINDS = {"work": 60, "start": 15, "stop": 12, "import": 8, "migration": 5}
#: How long people tap before a kill, at most.
WORK_S = 1.2
IMPORTED = 1500
OLD = Path(__file__).parents[1] / "integration" / "old_databases" / "0001.db"
OLD_PUNCHES = 20_000
PROGRESS_EVERY = 25


@dataclass
class Campaign:
    """One run."""

    kiosk: Kiosk
    old: Kiosk
    nursery: Nursery
    crowd: Crowd
    chance: random.Random
    log: Path
    killed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    ready_s: float = 1.0
    _version: int = 0

    # --- the service

    def ready(self) -> Newborn:
        """Start it and let people in; a start that fails is a problem, not the end of the run."""
        began = time.monotonic()
        punchd = self.nursery.start(self.kiosk.config, self.log)
        self.ready_s = time.monotonic() - began
        self.crowd.gate.open()
        return punchd

    def kill(self, punchd: Newborn, what: str) -> None:
        """SIGKILL, and note what was under way."""
        waiting = self.crowd.waiting
        punchd.killed()
        self.crowd.gate.close()
        if punchd.code != -9:
            if punchd.code != 0 or what != "stop":
                self.problems.append(f"punchd ended by itself with {punchd.code} in {what}; see {self.log}")
            return
        if what == "work":
            with copied(self.kiosk.state / "punchd.db") as conn:
                ((out,),) = conn.execute("SELECT count(*) FROM deliveries WHERE state = 'in_flight'")
            what = " and ".join(["tap"] * bool(waiting) + ["request out"] * bool(out)) or "idle"
        self.killed[what] += 1

    # --- moments

    def one(self, kind: str) -> None:
        """One kill."""
        getattr(self, f"_{kind}")()

    def _work(self) -> None:
        punchd = self.ready()
        time.sleep(self.chance.uniform(0, WORK_S))
        self.kill(punchd, "work")

    def _start(self) -> None:
        punchd = self.nursery.begin(self.kiosk.config, self.log)
        time.sleep(self.chance.uniform(0, self.ready_s))
        self.kill(punchd, "start")

    def _stop(self) -> None:
        punchd = self.ready()
        time.sleep(self.chance.uniform(0.1, WORK_S / 2))
        punchd.terminate()
        time.sleep(self.chance.uniform(0, 0.05))
        self.kill(punchd, "stop")

    def _import(self) -> None:
        punchd = self.ready()
        self._version += 1
        importing = threading.Thread(target=self._send, args=(crowd_csv(IMPORTED, self._version),))
        importing.start()
        time.sleep(self.chance.uniform(0, 0.3))
        self.kill(punchd, "import")
        importing.join()
        with copied(self.kiosk.state / "punchd.db") as conn:
            if len(found := versions(conn)) > 1 or any(count != IMPORTED for _, count in found):
                self.problems.append(f"an import that was killed is there in parts: {found}")

    def _send(self, csv: str) -> None:
        with suppress(httpx.HTTPError), Control(self.kiosk) as control:
            control.import_csv(csv)

    def _migration(self) -> None:
        """A kill while a large database of the first schema is opened; then all of it must be there."""
        shutil.rmtree(self.old.state, ignore_errors=True)
        shutil.copytree(self.old.folder / "before", self.old.state)
        punchd = self.nursery.begin(self.old.config, self.log)
        time.sleep(self.chance.uniform(0, 1.5 * self.ready_s))
        self.kill(punchd, "migration")
        punchd = self.nursery.start(self.old.config, self.log)
        code = punchd.stopped()
        with copied(self.old.state / "punchd.db") as conn:
            found = old_punches(conn)
        if (code, found) != (0, OLD_PUNCHES):
            self.problems.append(f"a migration that was killed left {found} of {OLD_PUNCHES} punches, exit {code}")


def old_punches(conn: sqlite3.Connection) -> int:
    """How many of them are there and whole."""
    ((count,),) = conn.execute("SELECT count(*) FROM punches JOIN deliveries ON seq = punch_seq WHERE id LIKE 'P0%'")
    ((found,),) = conn.execute("PRAGMA integrity_check(1)")
    return int(count) if found == "ok" else 0


def make_old(kiosk: Kiosk) -> None:
    """A database of the first schema with many delivered punches, as it stands before its migration."""
    before = kiosk.folder / "before"
    before.mkdir()
    shutil.copy(OLD, before / "punchd.db")
    with closing(sqlite3.connect(before / "punchd.db", isolation_level=None)) as conn:
        conn.execute("BEGIN")
        conn.executemany(
            "INSERT INTO punches (id, user_id, direction, occurred_at, raw_at, time_error_s, time_known, order_at,"
            " boot_id, boottime_s, synchronised, reader, badge, source)"
            " VALUES (?1, '7', 'clock_in', ?2, ?2, 0.5, 1, ?2, 'boot', ?2, 1, 'front', '04A1', 'decision')",
            ((f"P{number:07}", 1_000_000_000 + number) for number in range(OLD_PUNCHES)),
        )
        conn.execute(
            "INSERT INTO deliveries (punch_seq, user_id, order_at, state, recorded_as, changed_at)"
            " SELECT seq, user_id, order_at, 'delivered', 'clock_in', 0 FROM punches WHERE id LIKE 'P0%'"
        )
        conn.execute("COMMIT")


def run(kills: int, seed: int, folder: Path) -> list[str]:
    """The whole campaign; what is wrong, in words."""
    chance = random.Random(seed)
    crowd_of = people(live=200, stated=40, chance=chance)
    with ExitStack() as undo:
        sandbox = undo.enter_context(lossy_sandbox(folder / "sandbox", crowd_of, seed))
        kiosk, old = (
            door(folder / "kiosk", sandbox.url, attendance=ATTENDANCE),
            door(folder / "old", "http://127.0.0.1:9"),
        )
        make_old(old)
        nursery = Nursery()
        undo.callback(nursery.close)
        campaign = Campaign(kiosk, old, nursery, Crowd(kiosk, crowd_of, seed), chance, folder / "log")
        return _carried_out(campaign, sandbox, kills)


def _carried_out(campaign: Campaign, sandbox: SandboxProcess, kills: int) -> list[str]:
    crowd, began = campaign.crowd, time.monotonic()
    first = campaign.ready()
    hire(campaign.kiosk, crowd.people)
    assert first.stopped() == 0
    crowd.gate.close()
    crowd.start()
    kinds = campaign.chance.choices(list(KINDS), list(KINDS.values()), k=10 * kills)
    while (done := campaign.killed.total()) < kills and not crowd.problems and not campaign.problems:
        campaign.one(kinds.pop())
        if campaign.killed.total() % PROGRESS_EVERY == 0 and campaign.killed.total() > done:
            print(f"  {done + 1} kills, {len(crowd.notes)} taps stored, {time.monotonic() - began:.0f} s", flush=True)
    punchd = campaign.ready()
    try:
        crowd.finish()
        sandbox.admin.clear_faults()
        wrong = [*campaign.problems, *crowd.problems]
        with suppress(EndedError):
            wrong += all_delivered(campaign.kiosk)
        on_paper = of_timesheet([note.tapped for note in crowd.notes], rows(sandbox.admin.timesheet()))
        stored = of_punches(crowd.notes, all_punches(campaign.kiosk))
        if wrong or not (on_paper.good and stored.good):
            evidence(campaign.log.parent, campaign.kiosk, sandbox)
        if punchd.stopped() != 0:
            wrong.append(f"the last stop ended with {punchd.code}")
    finally:
        punchd.killed()
    wrong += [f"a start had to salvage: {folder}" for folder in campaign.kiosk.state.glob("damaged-*")]
    with copied(campaign.kiosk.state / "punchd.db") as conn:
        wrong += [line for (line,) in conn.execute("PRAGMA integrity_check(9)") if line != "ok"]
    print(f"killed {campaign.killed.total()} times:")
    for what, count in campaign.killed.most_common():
        print(f"  {count:5}  {what}")
    print(f"answers: {', '.join(f'{count} {what}' for what, count in crowd.counts.most_common())}")
    print(f"taps in the notebook: {len(crowd.notes)}; requests: {len(sandbox.admin.requests())}")
    print(f"the timesheet: {on_paper}")
    print(f"the kiosk:     {stored}")
    return wrong + on_paper.words + stored.words


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing is missing, doubled or misdated."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument(
        "--seed", type=int, default=1, help="decides who taps, the kinds of moments and how long each lasts"
    )
    options = parser.parse_args(argv)
    print(f"kills: {options.kills}, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kills") as name:
        wrong = run(options.kills, options.seed, Path(name))
        if wrong:
            print(f"WRONG; what is left lies in {kept(Path(name))}", *wrong[:40], sep="\n  ")
    print("nothing lost, nothing doubled, nothing misdated" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
