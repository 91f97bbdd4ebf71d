"""`python -m tests.crashes.powercuts --cuts 200 --seed 1`: the plug is pulled at random moments; needs root.

The state directory lies on an ext4 of its own. At a random moment punchd is stopped, what had reached the disk is
copied, and life goes on from the copy: the journal is carried out, e2fsck finds nothing, every tap that had been
answered is in the database and in the second copy, each looked at alone, punchd starts without having anything to
salvage, and they must be there, once, at their second. The control is the same run, with its
deliveries and all its kinds of cuts, of a punchd with SQLite's synchronous = NORMAL and a second copy without syncs: a
start mends either by the other (set from outside: punchd has no such switch). It must lose taps, or this looks in the
wrong place.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.crashes.disk import in_a_room_of_our_own
from tests.crashes.kills import OLD_PUNCHES, make_old, old_punches
from tests.crashes.notebook import of_punches, of_timesheet
from tests.crashes.people import Crowd, people
from tests.crashes.plug import MOUNTS, Plug, wait_stopped
from tests.crashes.settling import all_delivered, all_punches, evidence, kept
from tests.crashes.surroundings import copied, hire, lossy_sandbox
from tests.support.door import rows
from tests.support.nursery import Nursery

#: Kinds of cuts, and how many of a hundred go to each: on one history with deliveries, in the middle of one of its
#: checkpoints, in the first moments of a new kiosk, while an old database is migrated.
KINDS = {"day": 55, "checkpoint": 15, "new": 20, "migration": 10}
#: How long people tap before a cut, at most.
WORK_S = 1.0
#: How many pages of a checkpoint are written before the cut, at most. (A larger one is cut by time.)
CHECKPOINT_PAGES = 150
CHECKPOINT_WAIT_S = 6.0
#: So many of the cuts are made once more without the syncs: about half of them lose something.
CONTROL_PART = 0.2
#: How probably a new kiosk's cut comes before its first tap, while the database is made.
EARLY = 0.3
PROGRESS_EVERY = 10
NOWHERE = "http://127.0.0.1:9"


class Cuts:
    """One campaign. `unsynced`: the control, of which only is counted what is gone from both records."""

    def __init__(self, folder: Path, undo: ExitStack, seed: int, *, unsynced: bool = False) -> None:
        self.chance = random.Random(seed)
        self.folder, self.seed = folder, seed
        self.made: Counter[str] = Counter()
        self.lost: list[str] = []
        everybody = people(live=150, stated=40, chance=self.chance)
        self.sandbox = undo.enter_context(lossy_sandbox(folder / "sandbox", everybody, seed))
        self.unsynced = unsynced
        self.nursery = Nursery("--unsynced") if unsynced else Nursery()
        undo.callback(self.nursery.close)
        self.day = Plug.of(folder / "day", self.sandbox.url, self.nursery, self.chance, undo, size_mb=192)
        self.aside = Plug.of(folder / "aside", NOWHERE, self.nursery, self.chance, undo)
        make_old(self.aside.kiosk)
        self.crowd = Crowd(self.day.kiosk, everybody, seed, pause_s=0.1)
        self.tapped_aside = 0
        self.punchd = self.day.ready()
        hire(self.day.kiosk, everybody)
        if unsynced:
            os.sync()  # the people stay; where they are gone nobody's tap is taken that could be lost
        self.crowd.gate.open()
        self.crowd.start()

    def one(self, kind: str) -> None:
        """One cut, and the recount after it."""
        getattr(self, f"_{kind}")()
        self.made[f"{kind}"] += 1
        self.made[(self.day if kind in ("day", "checkpoint") else self.aside).disk.options] += 1

    def _day(self) -> None:
        time.sleep(self.chance.uniform(0, WORK_S))
        self._cut_and_count()

    def _checkpoint(self) -> None:
        """The process stands still in the middle of a checkpoint: strace stops it at its n-th page."""
        database, page = self.day.kiosk.state / "punchd.db", self.chance.randint(1, CHECKPOINT_PAGES)
        inject = ("-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=STOP:when={page}")
        threads = [f"--attach={thread}" for thread in self.punchd.threads()]
        command = ["strace", "-P", str(database), *inject, "-o", "/dev/null", *threads]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
            if wait_stopped(self.punchd.pid, CHECKPOINT_WAIT_S):
                self.made["stopped inside a checkpoint"] += 1
            self._cut_and_count()
            tracer.terminate()

    def _cut_and_count(self) -> None:
        self.day.pull(self.punchd, self.crowd)
        apart = [] if self.unsynced else self.day.alone(self.crowd.notes)
        self.punchd = self.day.ready()
        salvaged = [] if self.unsynced else self.day.salvaged()
        self.lost += apart + self.day.missing(self.crowd.notes) + salvaged
        self.crowd.gate.open()

    def _new(self) -> None:
        taps, lost = new_kiosk(self.aside, self.chance, unsynced=self.unsynced)
        self.tapped_aside += taps
        self.lost += lost

    def _migration(self) -> None:
        plug = self.aside
        plug.disk.format(self.chance.choice(MOUNTS))
        shutil.copytree(plug.kiosk.folder / "before", plug.kiosk.state)
        os.sync()
        punchd = plug.begin()
        time.sleep(self.chance.uniform(0, WORK_S))
        plug.pull(punchd)
        punchd = plug.ready()
        code = punchd.stopped()
        with copied(plug.kiosk.state / "punchd.db") as conn:
            found = old_punches(conn)
        if (code, found) != (0, OLD_PUNCHES):
            self.lost.append(f"a migration that was cut off left {found} of {OLD_PUNCHES} punches, exit {code}")

    def finish(self) -> list[str]:
        """Everything is delivered, and all of it is counted; what is wrong."""
        self.crowd.finish()
        self.sandbox.admin.clear_faults()
        wrong = [
            *self.lost,
            *self.crowd.problems,
            *self.day.problems,
            *self.aside.problems,
            *all_delivered(self.day.kiosk),
        ]
        notes = self.crowd.notes
        on_paper = of_timesheet([note.tapped for note in notes], rows(self.sandbox.admin.timesheet()))
        stored = of_punches(notes, all_punches(self.day.kiosk))
        if wrong or not (on_paper.good and stored.good):
            evidence(self.folder, self.day.kiosk, self.sandbox)
        self.punchd.stopped()
        print(f"taps in the notebook: {len(notes)}, and {self.tapped_aside} at new kiosks")
        print(f"answers: {', '.join(f'{count} {what}' for what, count in self.crowd.counts.most_common())}")
        print(f"the timesheet: {on_paper}\nthe kiosk:     {stored}")
        return wrong + on_paper.words + stored.words


def new_kiosk(plug: Plug, chance: random.Random, *, unsynced: bool = False) -> tuple[int, list[str]]:
    """A new disk, a new database, its first taps, and a cut: how many taps were answered, which of them are gone.

    `unsynced` counts only what is gone from both records.
    """
    plug.disk.format(chance.choice(MOUNTS))
    everybody = people(live=60, stated=20, chance=chance)
    crowd = Crowd(plug.kiosk, everybody, chance.randrange(1 << 30), pause_s=0.02)
    punchd = plug.begin()
    if chance.random() < EARLY:
        time.sleep(chance.uniform(0, WORK_S / 2))
    else:
        punchd.heard("READY=1")
        hire(plug.kiosk, everybody)
        crowd.gate.open()
        crowd.start()
        time.sleep(chance.uniform(0.2, 1.5 * WORK_S))
    crowd.abandon()
    plug.pull(punchd, crowd)
    apart = [] if unsynced else plug.alone(crowd.notes)
    punchd = plug.ready()
    lost = plug.missing(crowd.notes)
    punchd.stopped()
    return len(crowd.notes), lost + apart


@dataclass
class Control:
    """What the same run loses without syncs: of so many answered taps so many, by kind in so many of its cuts."""

    answered: int
    gone: int
    cuts: Counter[str]
    lossy: Counter[str]

    def __str__(self) -> str:
        told = ", ".join(f"{self.lossy[kind]} of {count} ({kind})" for kind, count in self.cuts.items())
        cuts = f"{self.lossy.total()} of {self.cuts.total()} cuts"
        return f"{self.gone} of {self.answered} answered taps gone, in {cuts}: {told}"


def control(folder: Path, undo: ExitStack, cuts: int, seed: int) -> Control:
    """So many cuts of the whole campaign without syncs, the kinds drawn as there, each at least once where they fit."""
    folder.mkdir()
    campaign = Cuts(folder, undo, seed, unsynced=True)
    drawn = campaign.chance.choices(list(KINDS), list(KINDS.values()), k=cuts)
    made, lossy, gone = Counter[str](), Counter[str](), set[str]()
    for kind in [*KINDS, *drawn][:cuts]:
        campaign.lost.clear()
        campaign.one(kind)
        made[kind] += 1
        lossy[kind] += bool(set(campaign.lost) - gone)  # what an earlier cut took stays gone
        gone |= set(campaign.lost)
    campaign.crowd.abandon()
    campaign.punchd.killed()
    return Control(len(campaign.crowd.notes) + campaign.tapped_aside, len(gone), made, lossy)


def run(cuts: int, seed: int, folder: Path) -> list[str]:
    """The whole campaign and its control; what is wrong, in words."""
    with ExitStack() as undo:
        campaign, began = Cuts(folder, undo, seed), time.monotonic()
        kinds = campaign.chance.choices(list(KINDS), list(KINDS.values()), k=cuts)
        for number, kind in enumerate(kinds, 1):
            campaign.one(kind)
            if campaign.lost or campaign.crowd.problems or campaign.day.problems or campaign.aside.problems:
                break
            if number % PROGRESS_EVERY == 0:
                taps, took_s = len(campaign.crowd.notes) + campaign.tapped_aside, time.monotonic() - began
                print(f"  {number} cuts, {taps} taps answered, {took_s:.0f} s", flush=True)
        print("cuts:", *(f"  {count:5}  {what}" for what, count in campaign.made.most_common()), sep="\n")
        wrong = campaign.finish()
        tried = max(3, int(cuts * CONTROL_PART))
        lost = control(folder / "control", undo, tried, seed)
        print(f"control, synchronous = NORMAL: {lost}")
        return wrong if lost.gone else [*wrong, "the control lost nothing: this run proves nothing"]


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing that was answered is gone, and the control lost something; 77 where it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes.powercuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=1, help="decides the kinds of cuts, the mounts, and how long each lasts"
    )
    options = parser.parse_args(argv)
    in_a_room_of_our_own("tests.crashes.powercuts")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"power cuts: {options.cuts}, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cuts") as name:
        wrong = run(options.cuts, options.seed, Path(name))
        if wrong:
            print(f"what is left lies in {kept(Path(name))}")
    print("nothing that was answered is gone" if not wrong else "\n  ".join(["WRONG", *wrong[:40]]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
