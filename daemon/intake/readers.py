"""All readers of the kiosk, each at a post of its own: what one of them does never stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from daemon.alarms import Alarms
from daemon.config import ReaderConfig
from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.events import Events
from daemon.intake.post import Limits, Post, ReaderState, ReaderStatus, Surroundings, TakesTaps
from daemon.model import TapAnswer, TapResult
from daemon.supervisor import FatalError, Sleep, Uniform, supervise
from drivers.reader import Reader, ReaderUnavailable, Tap

__all__ = ["Limits", "ReaderState", "ReaderStatus", "Readers"]


@runtime_checkable
class Simulated(Protocol):
    """A reader whose badges are presented by calls."""

    async def present(self, badge: str, stated_at: float | None = None, by: str | None = None) -> Tap:
        """Present a badge; the tap that `taps` will yield. Raises ReaderUnavailable, and ValueError for no badge."""


class Readers:
    """Opens, watches and reopens all readers, and shows people what became of their taps."""

    def __init__(
        self,
        configs: Sequence[ReaderConfig],
        intake: TakesTaps,
        *,
        make_reader: Callable[[ReaderConfig], Reader],
        alarms: Alarms,
        events: Events,
        now: Callable[[], float],
        rng: Uniform,
        limits: Limits | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._around = Surroundings(intake, alarms, events, now, rng, sleep, limits or Limits())
        self._posts = {config.name: Post(config, make_reader(config), self._around) for config in configs}
        self._awaited: dict[Tap, asyncio.Future[TapAnswer]] = {}
        for post in self._posts.values():
            post.on_answer = self._answered

    async def run(self) -> None:
        """Work until cancelled. Raises FatalError when the intake or the queue fails as only a bug makes them."""
        fatal: FatalError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for name, post in self._posts.items():
                    group.create_task(self._watch(f"reader_{name}", post))
                    group.create_task(self._serve(post))
                # Without any reader there is still somebody to run: the sockets may be all that is wanted.
                await asyncio.get_running_loop().create_future()
        except* FatalError as failed:
            fatal = next(error for error in failed.exceptions if isinstance(error, FatalError))
        finally:
            for future in self._awaited.values():
                if not future.done():
                    future.set_result(TapAnswer(TapResult.REFUSED, "stopping"))
            self._awaited.clear()
        if fatal is not None:
            raise fatal

    async def tap(self, reader: str, badge: str, at: float | None, by: str | None = None) -> TapAnswer:
        """Present a badge on a simulated reader, now or as if at `at` (Unix seconds); the answer after the commit.

        `by` is who asked, for the journal.

        Raises NotFoundError for an unknown reader, InvalidInputError for what is no badge, RefusedError for a reader
        that is not simulated (`not_simulated`) or does not take taps now (`reader_lost`).
        """
        post = self._posts.get(reader)
        if post is None:
            raise NotFoundError(f"cannot tap on reader {reader!r}: there is none of that name; see punchctl readers")
        simulated = post.reader
        if not isinstance(simulated, Simulated):
            raise RefusedError(
                f"cannot tap on reader {reader!r}: its driver is {post.config.driver}; only a simulated reader can be "
                "tapped by command",
                code="not_simulated",
            )
        try:
            tap = await simulated.present(badge, at, by)
        except ReaderUnavailable as error:
            raise RefusedError(str(error), code="reader_lost") from error
        except ValueError as error:
            raise InvalidInputError(f"cannot tap badge {badge!r}: {error}") from error
        # Nothing was awaited in between that gives way: the tap cannot have been answered yet.
        future: asyncio.Future[TapAnswer] = asyncio.get_running_loop().create_future()
        self._awaited[tap] = future
        try:
            return await future
        finally:
            self._awaited.pop(tap, None)

    def status(self) -> list[ReaderStatus]:
        """All readers, in the order of the configuration."""
        return [post.status() for post in self._posts.values()]

    def stuck(self) -> list[str]:
        """The readers whose own tasks give no sign of life, by name; none when all is well.

        A reader that is lost, or silent because nobody taps, is not stuck: starting punchd again would mend neither.
        """
        return [name for name, post in self._posts.items() if not (post.watching.alive and post.serving.alive)]

    async def _watch(self, name: str, post: Post) -> None:
        around = self._around
        # A driver that fails is started again after a pause: that is life too.
        with post.watching.running():
            await supervise(
                name,
                post.watch,
                alarms=around.alarms,
                events=around.events,
                backoff=around.limits.backoff,
                rng=around.rng,
                sleep=around.sleep,
            )

    async def _serve(self, post: Post) -> None:
        with post.serving.running():
            await post.serve()

    def _answered(self, tap: Tap, answer: TapAnswer) -> None:
        future = self._awaited.get(tap)
        if future is not None and not future.done():
            future.set_result(answer)
