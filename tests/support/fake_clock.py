"""A machine's clocks under a test's control."""

from __future__ import annotations

from drivers.reader import Evidence

#: Saturday, 2026-11-21 08:00:00 UTC: where fake clocks begin.
START = 1_795_248_000.0


class FakeClock:
    """Implements daemon.clock.Clock; `clock.now` is an EvidenceSource for drivers too.

    All four readings may be set freely: `wall` (Unix seconds), `boottime` (seconds since boot), `boot_id`,
    `synchronised`. Time moves only by the methods.
    """

    def __init__(
        self, wall: float = START, boottime: float = 1000.0, boot_id: str = "boot-1", synchronised: bool = True
    ) -> None:
        self.wall = wall
        self.boottime = boottime
        self.boot_id = boot_id
        self.synchronised = synchronised
        self._boots = 1

    def now(self) -> Evidence:
        """What the machine knows of the time now."""
        return Evidence(self.wall, self.boottime, self.boot_id, self.synchronised)

    def advance(self, seconds: float) -> None:
        """Time passes: both clocks go on."""
        self.wall += seconds
        self.boottime += seconds

    def step(self, seconds: float) -> None:
        """The wall clock is set by so much; no time passes."""
        self.wall += seconds

    def reboot(self, *, wall: float | None = None, off_s: float = 0.0, synchronised: bool = False) -> None:
        """The machine was off for `off_s` seconds; a box without a clock chip comes up at `wall` (default: as it was).

        The new boot has a new id and a boot clock near zero, and is not synchronised unless said otherwise.
        """
        self._boots += 1
        self.boot_id = f"boot-{self._boots}"
        self.boottime = 5.0
        self.wall = self.wall + off_s if wall is None else wall
        self.synchronised = synchronised
