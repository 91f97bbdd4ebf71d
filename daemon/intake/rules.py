"""Pure: what the configuration says for one tap: policy, direction and job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daemon.config import AttendanceConfig, ReaderConfig
from daemon.intake.attendance import Policy
from daemon.model import Employee, ReaderDirection

#: Taps kept for an unknown badge that lie closer together than this are one (delivery.md, "Unknown badges").
KEPT_REPEAT_S = 300.0


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of the configuration that the intake goes by."""

    attendance: AttendanceConfig
    readers: Mapping[str, ReaderConfig]

    @classmethod
    def of(cls, attendance: AttendanceConfig, readers: Iterable[ReaderConfig]) -> Rules:
        """From [attendance] and [[readers]]."""
        return cls(attendance, {reader.name: reader for reader in readers})

    def policy(self, employee: Employee | None, *, kept: bool = False) -> Policy:
        """For one person; `kept` for taps of a badge that was unknown when it was tapped."""
        own = employee.max_shift_s if employee is not None else None
        repeat_s = self.attendance.repeat_tap_s
        return Policy(max(repeat_s, KEPT_REPEAT_S) if kept else repeat_s, own or self.attendance.max_shift_s)

    def direction(self, reader: str | None) -> ReaderDirection:
        """How a reader decides; one that is no longer configured decides nothing."""
        config = self.readers.get(reader or "")
        return config.direction if config is not None else ReaderDirection.TOGGLE

    def job(self, employee: Employee, reader: str | None) -> str | None:
        """The person's own job, else the reader's default."""
        config = self.readers.get(reader or "")
        return employee.job_id or (config.job_id if config is not None else None)

    def is_nfc(self, reader: str) -> bool:
        """Whether a reader reads cards' own UIDs, some of which are made up anew at each tap."""
        config = self.readers.get(reader)
        return config is not None and config.driver == "pcsc"
