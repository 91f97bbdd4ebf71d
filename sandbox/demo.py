"""`punchd demo`: people tap while the network breaks, and the timesheet is held against what they tapped.

The sandbox's store is read directly and the taps are written down by whoever makes them: punchd has no say in whether
the two agree. Exit codes: 0 they agree; 1 they do not, or the demo could not go on; 130 and the like: a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from zoneinfo import ZoneInfo

from sandbox.faults import When
from sandbox.handle import Sandbox
from sandbox.sample import BADGES, PEOPLE
from sandbox.screen import Screen
from sandbox.stage import REPEAT_S, ZONE, DemoError, Stage, open_stage
from sandbox.tally import Meaning, Tapped, compare

#: Between two people at the door: time enough to read a line.
BEAT_S = 0.7
#: A little more than a repeat is, so that who leaves is not taken for somebody who taps twice.
_STAY_S = REPEAT_S + 0.2
_FAILED = 1
_DOING = {Meaning.COMES: "comes, and taps", Meaning.LEAVES: "leaves, and taps", Meaning.AGAIN: "taps once more"}


def main() -> int:
    """Play on standard output; the exit code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    screen = Screen(sys.stdout, os.environ, ZoneInfo(ZONE))
    try:
        return asyncio.run(_until_signalled(screen))
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


async def play(screen: Screen, *, meddle: Callable[[Sandbox], None] | None = None, beat_s: float = BEAT_S) -> int:
    """The whole story; the exit code. `meddle` is let at the sandbox just before the timesheet is compared."""
    began = time.monotonic()
    screen.say("Nothing here leaves this computer. A model of Connecteam answers on 127.0.0.1, and punchd runs "
               "beside it with a simulated badge reader. So that a working day fits half a minute, this punchd "
               f"takes a second tap for a new one after {REPEAT_S} s (else 60 s), looks a lost answer up after 0.5 s "
               "(else 5 s), and tries a dead network again every second (else up to 5 min).", "dim")  # fmt: skip
    try:
        async with open_stage() as stage:
            story = Story(stage, screen, beat_s)
            await story.morning()
            await story.lost_request()
            await story.lost_answer()
            await story.closing_time()
            if meddle is not None:
                meddle(stage.sandbox)
            agree = story.compare()
    except DemoError as error:
        screen.chapter("The demo could not go on")
        for line in str(error).splitlines():
            screen.say(line, "bad")
        return _FAILED
    screen.say(f"Took {time.monotonic() - began:.0f} s. punchd is stopped, and its files are removed.", "dim")
    return 0 if agree else _FAILED


class Story:
    """What happens, chapter by chapter. `taps` is the tapper's own list."""

    def __init__(self, stage: Stage, screen: Screen, beat_s: float) -> None:
        self._stage = stage
        self._screen = screen
        self._beat_s = beat_s
        self.taps: list[Tapped] = []

    async def morning(self) -> None:
        """All is well; somebody taps twice."""
        self._screen.chapter("1. The network is fine")
        for person in (0, 1):
            await self._tap(person, Meaning.COMES)
        await self._tap(1, Meaning.AGAIN)
        await self._all_sent()
        self._screen.say("Both are on the timesheet; the second tap of one person changed nothing.")

    async def lost_request(self) -> None:
        """The cable is cut before the service has seen a request."""
        self._screen.chapter("2. The cable is pulled while a punch is on its way to Connecteam")
        await self._catch(2, When.BEFORE)
        self._screen.say("Pulled: Connecteam never got it, and punchd cannot know.", "bad")
        await self._tap(3, Meaning.COMES)
        await self._show_waiting()
        await self._plug()
        self._tell_requests(
            2, 2, "punchd asked what had become of it, learnt that it never arrived, and sent it again."
        )

    async def lost_answer(self) -> None:
        """The cable is cut after the service has recorded a punch; then people go on tapping."""
        self._screen.chapter("3. Pulled again, and this time Connecteam has written the punch down already")
        await self._catch(4, When.AFTER)
        self._screen.say("Pulled: it stands on the timesheet, and the answer is lost. Sending it again would count "
                         "it twice.", "bad")  # fmt: skip
        await self._stage.kiosk.until(lambda status: status["state"] == "offline", "punchd did not notice the outage")
        self._screen.say("People come and go all the same; each sees that the tap is safe.")
        for person, meaning in (
            (0, Meaning.LEAVES),
            (1, Meaning.LEAVES),
            (2, Meaning.LEAVES),
            (3, Meaning.LEAVES),
            (1, Meaning.COMES),
            (0, Meaning.COMES),
        ):
            await self._tap(person, meaning)
            await self._show_waiting()
        await self._plug()
        self._tell_requests(4, 1, "punchd found the punch on the timesheet and did not send it again.")

    async def closing_time(self) -> None:
        """Everybody leaves."""
        self._screen.chapter("4. Closing time")
        for person in (4, 1, 0):
            await self._tap(person, Meaning.LEAVES)
        await self._all_sent()
        for punch in await self._stage.kiosk.reviews():
            self._screen.say(f"For {punch['name']} a person must decide ({punch['reason']}): {punch['text']}", "bad")

    def compare(self) -> bool:
        """Show what was tapped beside the timesheet; whether they agree."""
        self._screen.chapter("What was tapped, and what Connecteam's timesheet says")
        names = {str(user_id): name for user_id, name in PEOPLE}
        lines = compare(self.taps, self._stage.sandbox.timesheet(), names)
        self._screen.table(lines)
        self._screen.chapter("The verdict")
        counted = sum(tap.meaning is not Meaning.AGAIN for tap in self.taps)
        if lines and all(line.agrees for line in lines):
            text = f"{self._screen.good} They agree: {counted} punches, each there once, each at the second of its tap."
            self._screen.say(text, "good")
            return True
        self._screen.say(f"{self._screen.bad} They differ:", "bad")
        self._screen.differences(lines)
        return False

    async def _tap(self, person: int, meaning: Meaning) -> None:
        """One person taps and sees what the reader shows; the tapper writes it down."""
        user_id, name = PEOPLE[person]
        if meaning is not Meaning.AGAIN:
            await self._stayed(str(user_id))
        began = time.time()
        answer = await self._stage.kiosk.tap(BADGES[person])
        self.taps.append(Tapped(str(user_id), name, meaning, int(began), int(time.time())))
        shown, style = self._shown(answer)
        self._screen.tap(began, name, _DOING[meaning], shown, style)
        await asyncio.sleep(self._beat_s)

    def _shown(self, answer: dict[str, object]) -> tuple[str, str]:
        """What the reader shows the person, in words, and its style."""
        match answer:
            case {"result": "accepted", "punch": {"direction": "clock_in"}}:
                return f"{self._screen.good} welcome, clocked in", "good"
            case {"result": "accepted"}:
                return f"{self._screen.good} goodbye, clocked out", "good"
            case {"result": "repeat"}:
                return "already counted", "warn"
            case _:
                raise DemoError(f"The reader turned a tap away: {answer.get('result')}, {answer.get('reason')}")

    async def _stayed(self, user_id: str) -> None:
        """Wait until a tap of this person is sure to be a new one."""
        last = next((tap.latest + 1 for tap in reversed(self.taps) if tap.user_id == user_id), 0)
        await asyncio.sleep(max(0.0, last + _STAY_S - time.time()))

    async def _catch(self, person: int, when: When) -> None:
        """Somebody comes, and their request is caught under way: then the cable is pulled."""
        user_id = str(PEOPLE[person][0])
        self._stage.sandbox.faults.set(path="*/clock-in", user_id=user_id, hold=True, when=when, count=1)
        await self._tap(person, Meaning.COMES)
        await self._stage.held(user_id)
        await self._stage.pull_cable()

    def _tell_requests(self, person: int, fitting: int, moral: str) -> None:
        """How often the service was asked to clock somebody in, by its own log, and what that shows."""
        user_id, name = PEOPLE[person]
        seen = [entry.request.path for entry in self._stage.sandbox.log.entries if str(user_id) in entry.user_ids]
        asked = sum(path.endswith("/clock-in") for path in seen)
        said = f"Connecteam was asked to clock {name} in {'once' if asked == 1 else f'{asked} times'}"
        if asked == fitting:
            self._screen.say(f"{said}: {moral}")
        else:
            self._screen.say(f"{said}, where {fitting} would have done.", "bad")

    async def _plug(self) -> None:
        self._screen.say("The cable is back.", "good")
        self._stage.plug_cable()
        await self._all_sent()

    async def _all_sent(self) -> None:
        """Watch the queue drain."""
        before = -1

        def drained(status: dict[str, object]) -> bool:
            nonlocal before
            waiting = _waiting(status)
            if waiting != before:
                before = waiting
                self._screen.waiting(waiting)
            return not waiting or _stuck(status)

        await self._stage.kiosk.until(drained, "The queue did not drain")

    async def _show_waiting(self) -> None:
        self._screen.waiting(_waiting(await self._stage.kiosk.status()))


def _waiting(status: dict[str, object]) -> int:
    """Punches that are neither on the timesheet nor with a person."""
    match status:
        case {"queue": {"pending": int(pending), "held": int(held), "in_flight": int(in_flight)}}:
            return pending + held + in_flight
        case _:
            raise DemoError("punchd's status does not say what is in its queue")


def _stuck(status: dict[str, object]) -> bool:
    """Whether only a person can bring the queue on: what is left is held behind a punch in review."""
    match status:
        case {"queue": {"pending": 0, "in_flight": 0, "review": int(review)}}:
            return review > 0
        case _:
            return False


async def _until_signalled(screen: Screen) -> int:
    """Play until the end or a signal. A signal ends the story, once: cleaning up is not cut short by a second one."""
    loop, playing = asyncio.get_running_loop(), asyncio.ensure_future(play(screen))
    heard: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not heard:
            heard.append(number)
            playing.cancel()

    with ExitStack() as undo:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
            undo.callback(loop.remove_signal_handler, number)
        await asyncio.wait([playing])
    if playing.cancelled():
        return 128 + heard[0]
    return playing.result()
