"""A small company to try things with, and how to point punchd at its sandbox."""

from __future__ import annotations

from pathlib import Path

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import TIME_CLOCK_ID, Sandbox

PEOPLE = (
    (9170357, "Anna Visser"),
    (9170358, "Bram Kuipers"),
    (9170359, "Chidi Okafor"),
    (9170360, "Dewi Lestari"),
    (9170361, "Emre Yılmaz"),
)
#: Made-up badges for the same people, in that order.
BADGES = ("04A1B2C3D4E580", "04A1B2C3D4E581", "04A1B2C3D4E582", "04A1B2C3D4E583", "04A1B2C3D4E584")


def populate(sandbox: Sandbox) -> None:
    """Add the sample people, two jobs, one of them with sub-jobs, and a lunch break."""
    for user_id, name in PEOPLE:
        sandbox.company.add_user(user_id, name)
    sandbox.company.add_job("Counter")
    bakery = sandbox.company.add_job("Bakery")
    sandbox.company.add_job("Ovens", parent=bakery)
    sandbox.company.add_job("Decoration", parent=bakery)
    sandbox.company.add_break_kind("Lunch")


def employees_csv() -> str:
    """The sample people as `punchctl employees import` takes them."""
    rows = [f"{user_id},{name},{badge}," for (user_id, name), badge in zip(PEOPLE, BADGES, strict=True)]
    return "\n".join(["user_id,name,badge,job_id", *rows]) + "\n"


def write_files(folder: Path) -> tuple[Path, Path]:
    """Write the key file (0600) and the people's CSV into a folder, made when missing; both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    key_file, people_file = folder / "connecteam.key", folder / "people.csv"
    key_file.touch(mode=0o600)
    key_file.chmod(0o600)
    key_file.write_text(SANDBOX_KEY + "\n", encoding="utf-8")
    people_file.write_text(employees_csv(), encoding="utf-8")
    return key_file, people_file


def config_snippet(url: str, key_file: Path) -> str:
    """The part of punchd's configuration that points at the sandbox."""
    return f"""[connecteam]
base_url = "{url}"
time_clock_id = {TIME_CLOCK_ID}
api_key_file = "{key_file}"
"""
