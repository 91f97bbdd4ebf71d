"""`python -m tests.crashes.faults --rounds 60 --seed 1`: the disk fills up, breaks, turns read-only; needs root.

People tap at a real punchd whose state lies on an ext4 of its own, in one history of many rounds. In each the disk
fails in one way while people tap and while punchd delivers, sometimes punchd is killed meanwhile, and the disk works
again. Taps must have been refused, and taken again, by itself where the kernel allows it. After many a round the power
goes, and everything that was answered must be there: this is what a failed sync must not undo. In the end the timesheet
must say what was tapped. What the disk did may never have damaged the database: no start had anything to salvage.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.crashes.disk import in_a_room_of_our_own
from tests.crashes.notebook import of_punches, of_timesheet
from tests.crashes.people import Crowd, people
from tests.crashes.plug import Plug, stop
from tests.crashes.settling import all_delivered, all_punches, evidence, kept
from tests.crashes.surroundings import hire, lossy_sandbox
from tests.support.door import Control, rows
from tests.support.nursery import Nursery
from tests.support.punchd_process import PATIENCE_S

#: How a disk fails, with its weight. `broken`: every block that the file system takes into use.
KINDS = {"full": 35, "read_only": 25, "broken": 40}
#: Of the rounds: killed while the disk fails; the power goes after it.
KILLED, CUT = 0.3, 0.6
#: How long people tap before the disk fails, and while it does, at most.
WORK_S = 0.8
#: A disk of this size is filled at once and has room for thousands of taps.
DISK_MB = 24
#: Where nothing is refused for so long there was still room in what the disk had given before.
REFUSED_WAIT_S = 4.0
#: Exit code of a start that may work later (daemon/cli.py); systemd starts it again.
TRY_AGAIN = 75


class Rounds:
    """One history."""

    def __init__(self, folder: Path, undo: ExitStack, seed: int) -> None:
        self.chance, self.folder = random.Random(seed), folder
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        everybody = people(live=250, stated=60, chance=self.chance)
        self.sandbox = undo.enter_context(lossy_sandbox(folder / "sandbox", everybody, seed))
        self.nursery = Nursery()
        undo.callback(self.nursery.close)
        self.plug = Plug.of(folder / "kiosk", self.sandbox.url, self.nursery, self.chance, undo, size_mb=DISK_MB)
        self.crowd = Crowd(self.plug.kiosk, everybody, seed, pause_s=0.03)
        self.punchd = self.plug.ready()
        hire(self.plug.kiosk, everybody)
        self.crowd.gate.open()
        self.crowd.start()

    def one(self, kind: str) -> None:
        """The disk fails in one way, works again, and all that was answered is there."""
        self._work()
        refused = self.crowd.counts["cannot_store"]
        repair: Callable[[], None] = getattr(self, f"_{kind}")()
        if self.crowd.until(lambda: self.crowd.counts["cannot_store"] > refused, REFUSED_WAIT_S):
            self.seen[f"{kind}: taps were refused"] += 1
        self._work()
        if killed := self.chance.random() < KILLED:
            self._kill_and_try_to_start(kind)
        repair()
        if self.plug.disk.is_read_only():
            # The kernel could not write what it keeps of its own, and stopped there.
            self.seen[f"{kind}: the kernel made it read-only"] += 1
            self._mount_again()
            again = True
        else:
            again = killed or kind == "read_only"
        if again:
            self._start()
        stored = self.crowd.counts["accepted"]
        if not self.crowd.until(lambda: self.crowd.counts["accepted"] > stored + 5, PATIENCE_S):
            self.wrong.append(f"{kind}: the disk works again, and no taps are taken")
        elif not again:
            self.seen[f"{kind}: taps were taken again by themselves"] += 1
        self.crowd.refused_may_count = False
        self._no_alarm_left(kind)
        self.wrong += [f"{kind}: a start had to salvage: {one}" for one in self.plug.salvaged()]
        if self.chance.random() < CUT:
            self.plug.pull(self.punchd, self.crowd)
            self._start()
            self.seen[f"{kind}: the power went afterwards"] += 1

    # --- how it fails; each returns what mends it

    def _full(self) -> Callable[[], None]:
        filler = self.plug.disk.fill()
        return filler.unlink

    def _broken(self) -> Callable[[], None]:
        stop(self.punchd)  # or what it takes into use meanwhile is broken as well
        self.plug.disk.break_free_space()
        self.punchd.go_on()
        return self.plug.disk.mend

    def _read_only(self) -> Callable[[], None]:
        self.plug.disk.turn_read_only()
        return self._mount_again

    def _mount_again(self) -> None:
        """What the kernel made read-only after an error is only writable once it was mounted again: a restart."""
        self._kill()
        self.crowd.refused_may_count = True
        self.plug.disk.unmount()
        self.plug.disk.check(error_noted=True)
        self.plug.disk.mount(self.plug.disk.options)

    # --- the service

    def _work(self) -> None:
        time.sleep(self.chance.uniform(0.1, WORK_S))

    def _kill(self) -> None:
        self.crowd.gate.close()
        self.punchd.killed()
        self.crowd.quiet()

    def _kill_and_try_to_start(self, kind: str) -> None:
        """Killed while the disk fails: a start takes taps, refuses them, or ends with the code that is tried again."""
        self._kill()
        self.punchd = self.plug.begin()
        code = self.punchd.ready_or_ended()
        self.seen[f"{kind}: a start meanwhile " + ("was ready" if code is None else f"ended with {code}")] += 1
        if code not in (None, TRY_AGAIN):
            self.wrong.append(
                f"{kind}: a start on the failing disk ended with {code}, which systemd does not try again"
            )
        self.punchd.killed()

    def _start(self) -> None:
        """Start on a disk that works, and count."""
        self.punchd = self.plug.ready()
        self.wrong += self.plug.missing(self.crowd.notes)
        self.crowd.gate.open()

    def _no_alarm_left(self, kind: str) -> None:
        try:
            with Control(self.plug.kiosk) as control:
                alarms = [alarm["code"] for alarm in control.get("status")["alarms"]]
        except httpx.HTTPStatusError as error:
            self.wrong.append(f"{kind}: taps are taken, but nothing can be read: {error.response.text}")
            return
        if "cannot_store" in alarms or "database_damaged" in alarms:
            self.wrong.append(f"{kind}: taps are taken, and still there is an alarm: {alarms}")

    def finish(self) -> list[str]:
        """Everything is delivered, and all of it is counted; what is wrong."""
        self.crowd.finish()
        self.sandbox.admin.clear_faults()
        wrong = [*self.wrong, *self.crowd.problems, *self.plug.problems, *all_delivered(self.plug.kiosk)]
        notes = self.crowd.notes
        on_paper = of_timesheet([note.tapped for note in notes], rows(self.sandbox.admin.timesheet()))
        stored = of_punches(notes, all_punches(self.plug.kiosk))
        if wrong or not (on_paper.good and stored.good):
            evidence(self.folder, self.plug.kiosk, self.sandbox)
        self.punchd.stopped()
        print(*(f"  {count:5}  {what}" for what, count in sorted(self.seen.items())), sep="\n")
        print(f"answers: {', '.join(f'{count} {what}' for what, count in self.crowd.counts.most_common())}")
        print(f"taps in the notebook: {len(notes)}\nthe timesheet: {on_paper}\nthe kiosk:     {stored}")
        return wrong + on_paper.words + stored.words


def run(rounds: int, seed: int, folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> list[str]:
    """The whole history; what is wrong, in words."""
    with ExitStack() as undo:
        history, began = Rounds(folder, undo, seed), time.monotonic()
        for number, kind in enumerate(history.chance.choices(kinds, [KINDS[kind] for kind in kinds], k=rounds), 1):
            history.one(kind)
            if history.wrong or history.crowd.problems or history.plug.problems:
                print(f"  something is wrong after round {number}, {kind}: {history.wrong}", flush=True)
                evidence(folder, history.plug.kiosk, history.sandbox)
                return [*history.wrong, *history.crowd.problems, *history.plug.problems]
            if number % 5 == 0:
                took_s = time.monotonic() - began
                print(f"  {number} rounds, {len(history.crowd.notes)} taps, {took_s:.0f} s", flush=True)
        return history.finish()


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing that was answered is gone; 77 where it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="decides how the disk fails, when, and what else happens")
    parser.add_argument("--kinds", nargs="*", choices=sorted(KINDS), default=list(KINDS))
    options = parser.parse_args(argv)
    in_a_room_of_our_own("tests.crashes.faults")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"failing disks: {options.rounds} rounds, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        wrong = run(options.rounds, options.seed, Path(name), options.kinds)
        if wrong:
            print(f"what is left lies in {kept(Path(name))}")
    print("nothing that was answered is gone" if not wrong else "\n  ".join(["WRONG", *wrong[:40]]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
