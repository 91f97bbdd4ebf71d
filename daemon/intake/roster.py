"""Pure: the employees' CSV file, checked as a whole: every problem with its line, or people.

Header `user_id,name,badge,job_id`, UTF-8 with or without a byte order mark; badge and job_id may be empty; several
rows with one user_id give several badges.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from daemon.errors import InvalidInputError
from drivers.badge import InvalidBadge, canonical

COLUMNS = ("user_id", "name", "badge", "job_id")
#: A company's whole staff fits in a tenth of this; more is a wrong file, and would hold up taps while it is stored.
BYTES_MAX = 5 * 1024 * 1024
ROWS_MAX = 100_000
#: A wrong file has a problem in every line; nobody reads on after so many.
PROBLEMS_MAX = 1000
#: Ids of the services are short numbers or UUIDs.
ID_MAX = 64
NAME_MAX = 200


@dataclass(slots=True)
class Person:
    """One employee of the file. `badges` (canonical) and `line` say where each stands; `job_id` None where empty."""

    user_id: str
    name: str
    job_id: str | None
    line: int
    badges: dict[str, int] = field(default_factory=dict)


def parse(data: bytes) -> list[Person]:
    """The people of a file, in its order. Raises InvalidInputError with all problems, one a line of its message."""
    problems: list[str] = []
    people: dict[str, Person] = {}
    owners: dict[str, Person] = {}
    text = _text(data)
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, None)
        order = _columns(header)
        count = 0
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            count += 1
            if count > ROWS_MAX:
                problems.append(f"line {rows.line_num}: more than {ROWS_MAX:,} rows; split the file")
                break
            _take(row, rows.line_num, order, people, owners, problems)
    except csv.Error as error:
        problems.append(f"line {rows.line_num}: not readable as CSV ({error}); check its quotation marks")
    if problems:
        raise refusal(problems)
    return list(people.values())


def refusal(problems: list[str]) -> InvalidInputError:
    """The error that tells all problems."""
    told = problems[:PROBLEMS_MAX]
    if len(problems) > PROBLEMS_MAX:
        told.append(f"… and {len(problems) - PROBLEMS_MAX} more")
    return InvalidInputError("cannot import the employees; nothing was changed:\n" + "\n".join(told))


def id_problem(what: str, text: str) -> str | None:
    """What is wrong with a user_id or job_id, None when nothing is."""
    if not text:
        return f"{what} is empty"
    if len(text) > ID_MAX:
        return f"{what} has {len(text)} characters, more than {ID_MAX}"
    if not text.isprintable() or any(character.isspace() for character in text):
        return f"{what} {text!r} has spaces or unprintable characters"
    return None


def name_problem(text: str) -> str | None:
    """What is wrong with a name, None when nothing is."""
    if not text:
        return "name is empty"
    if len(text) > NAME_MAX:
        return f"name has {len(text)} characters, more than {NAME_MAX}"
    return None if text.isprintable() else f"name {text!r} has unprintable characters"


def _text(data: bytes) -> str:
    if len(data) > BYTES_MAX:
        raise refusal([f"the file has {len(data):,} bytes, more than {BYTES_MAX:,}; split it"])
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal(["line 1: the file is UTF-16; save it as UTF-8 (in Excel: “CSV UTF-8”)"])
    if b"\0" in data:
        raise refusal([f"line {_line(data, data.index(0))}: there is a NUL byte; save the file as CSV, UTF-8"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line(data, error.start)
        raise refusal([f"line {line}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from error


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _columns(header: list[str] | None) -> list[int]:
    """Where each of COLUMNS stands. Raises InvalidInputError."""
    names = [cell.strip().lower() for cell in header or []]
    problems = [f"line 1: column {name} is missing" for name in COLUMNS if name not in names]
    problems += [f"line 1: column {name!r} is unknown" for name in names if name not in COLUMNS]
    problems += [f"line 1: column {name} stands there twice" for name in COLUMNS if names.count(name) > 1]
    if problems:
        hint = "separated by commas, not semicolons" if header and ";" in header[0] else "in any order"
        raise refusal([*problems, f"the header must be {','.join(COLUMNS)}, {hint}"])
    return [names.index(name) for name in COLUMNS]


def _take(
    row: list[str],
    line: int,
    order: list[int],
    people: dict[str, Person],
    owners: dict[str, Person],
    problems: list[str],
) -> None:
    """Add one row to the people, or what is wrong with it to the problems."""
    if len(row) != len(COLUMNS):
        problems.append(f"line {line}: {len(row)} fields instead of {len(COLUMNS)}")
        return
    user_id, name, badge, job_id = (row[place].strip() for place in order)
    found = [id_problem("user_id", user_id), name_problem(name), id_problem("job_id", job_id) if job_id else None]
    wrong = [problem for problem in found if problem is not None]
    person = people.setdefault(user_id, Person(user_id, name, job_id or None, line))
    if person.name != name:
        wrong.append(f"user_id {user_id} is {name!r} here and {person.name!r} in line {person.line}")
    if job_id and person.job_id not in (None, job_id):
        wrong.append(f"user_id {user_id} has job_id {job_id} here and {person.job_id} in line {person.line}")
    person.job_id = person.job_id or job_id or None
    if badge:
        wrong += _take_badge(badge, line, person, owners)
    problems += [f"line {line}: {problem}" for problem in wrong]


def _take_badge(text: str, line: int, person: Person, owners: dict[str, Person]) -> list[str]:
    try:
        badge = canonical(text)
    except InvalidBadge as error:
        return [f"badge {text!r}: {error}"]
    other = owners.setdefault(badge, person)
    if badge in other.badges:
        return [f"badge {badge} stands in line {other.badges[badge]} already"]
    person.badges[badge] = line
    return []
