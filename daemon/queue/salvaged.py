"""What a salvage is told, and what it tells: the clock it may believe, and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

#: The report of the last salvage, in the settings: the alarm about it stands while its folder is there.
REPORT: Final = "salvage.report"
#: So many of each kind are named; the report says how many there are.
NAMED_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """What this machine's clock says. Only where something vouches for it (`known`) is it taken as when requests that
    nobody knows the outcome of may have been out; otherwise the newest punch is."""

    wall_s: float
    known: bool


@dataclass
class Salvage:
    """What came of it. Lists hold at most NAMED_MAX; the numbers beside them count all. `altered` and `lost` name
    punches, and kept taps as such; of those, an altered one was left out."""

    why: str
    at: str | None = None
    folder: str = ""
    copy_folder: str = ""
    copy_name: str = ""
    punches: int = 0
    from_copy: int = 0
    kept_taps: int = 0
    in_doubt: int = 0
    to_review: int = 0
    database_unreadable: str = ""
    places_unreadable: dict[str, int] = field(default_factory=dict)
    copy_lines: int = 0
    copy_lines_unreadable: int = 0
    copy_end_unreadable: bool = False
    altered: list[str] = field(default_factory=list)
    altered_total: int = 0
    lost: list[str] = field(default_factory=list)
    lost_total: int = 0
    rows_refused: int = 0
    nameless: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As it is shown with --json, and kept."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """For people."""
        said = [
            f"The database was damaged: {self.why}",
            f"{self.punches} punches are there ({self.from_copy} of them from the second copy), and {self.kept_taps} "
            "kept taps of unknown badges.",
            f"{self.in_doubt} are looked up on the timesheet before anything is sent; {self.to_review} went to review.",
        ]
        if self.database_unreadable:
            said.append(f"Nothing of the damaged database could be read: {self.database_unreadable}.")
        if self.places_unreadable:
            where = ", ".join(f"{table} in {count} place(s)" for table, count in self.places_unreadable.items())
            said.append(f"Could not be read: {where}.")
        if self.copy_lines_unreadable:
            said.append(f"{self.copy_lines_unreadable} of {self.copy_lines} lines of the copy could not be read (a "
                        "power cut may leave one).")  # fmt: skip
        if self.copy_end_unreadable and self.database_unreadable:
            said.append("The copy's end is among them: of what came last nothing may be left that tells of it.")
        if self.altered_total:
            said.append(f"{self.altered_total} punches or kept taps are not as they were stored, and the copy has them "
                        f"no better: {listed(self.altered, self.altered_total)}.")  # fmt: skip
        if self.nameless:
            said.append(f"The names of these people are lost; import them again: {', '.join(self.nameless)}.")
        if self.rows_refused:
            said.append(f"{self.rows_refused} rows of other kinds made no sense any more and were left out.")
        if self.lost_total:
            said.append(f"LOST: {self.lost_total} punch(es) or kept tap(s): {listed(self.lost, self.lost_total)}.")
        else:
            said.append("No punch is known to be lost.")
        if self.folder:
            said.append(f"The damaged files lie in {self.folder}"
                        + (f", the old copy in {self.copy_folder}" if self.copy_folder else "") + ".")  # fmt: skip
        return said


def add(names: list[str], name: str) -> None:
    """Name one more, as long as there is room."""
    if len(names) < NAMED_MAX:
        names.append(name)


def listed(names: list[str], total: int) -> str:
    """The first of them, and how many more."""
    return ", ".join(names[:20]) + (f" and {total - 20} more" if total > 20 else "")
