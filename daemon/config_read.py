"""From the text of a TOML file to checked values, with every problem named: what, where, and how to mend it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.config_spec import KEYS, REQUIRED, SECTIONS, Section, keys_of, toml
from daemon.config_values import Wrong, check, likeness, nearest

#: A configuration is a page or two; more is not one.
_BYTES_MAX = 1_000_000
#: What people call a secret; such a key is never shown with its value, and never accepted in the file.
_SECRET_NAMES = re.compile(r"(^|_)(key|token|secret|password|passwd|credential)s?$")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of a configuration: in which file, at which key, what it is, and its remedy."""

    file: Path
    key: str
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{located(self.file, self.key)}: {self.text}; {self.remedy}"


class Problem(Remark):
    """One thing that is wrong: in which file, at which key ("" for the file itself), what, and what mends it."""


def located(file: Path, key: str) -> str:
    """Where something stands, as people are shown it."""
    return f"{file}: {key}" if key else str(file)


@dataclass(slots=True)
class Raw:
    """A file that was read. A key whose value was wrong or missing without a default holds no value."""

    path: Path
    parsed: bool = False
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    readers: list[dict[str, Any]] = field(default_factory=list)
    written: dict[str, set[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def section(self, name: str) -> Mapping[str, Any]:
        """The checked values of one section."""
        return self.sections.get(name, {})

    def given(self, section: str) -> set[str]:
        """The keys of a section that stand in the file, right or wrong."""
        return self.written.get(section, set())

    def problem(self, key: str, text: str, remedy: str) -> Problem:
        """A problem of this file."""
        return Problem(self.path, key, text, remedy)


def read(path: Path) -> Raw:
    """Read and check a file; never raises for what stands there."""
    raw = Raw(path)
    document = _parse(raw)
    if document is None:
        return raw
    raw.parsed = True
    known = {section.name: section for section in SECTIONS}
    for name, content in document.items():
        if name not in known:
            raw.problems.append(_unknown_section(raw, name, content))
    for section in SECTIONS:
        _read_section(raw, section, document.get(section.name))
    return raw


def _parse(raw: Raw) -> dict[str, Any] | None:
    """The file as TOML, None after naming what is wrong."""
    try:
        with raw.path.open("rb") as file:
            text = file.read(_BYTES_MAX + 1)
        if len(text) > _BYTES_MAX:
            raw.problems.append(raw.problem("", "the file is longer than a megabyte", "name a configuration file"))
            return None
        return tomllib.loads(text.decode())
    except OSError as error:
        remedy = "name the file with --config, and let the user of the service read it"
        raw.problems.append(raw.problem("", f"cannot be read: {error.strerror}", remedy))
    except UnicodeDecodeError as error:
        raw.problems.append(raw.problem("", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$", str(error), re.DOTALL)
        line = f"line {found[2]}" if found and found[2] else "last line"
        what = found[1] if found else str(error)
        remedy = 'mend the line: texts stand in "quotes", true and false in small letters'
        raw.problems.append(raw.problem(line, f"is not TOML: {what}", remedy))
    return None


# --- sections and keys ----------------------------------------------------------------------------


def _read_section(raw: Raw, section: Section, content: object) -> None:
    written = f"[[{section.name}]]" if section.repeated else f"[{section.name}]"
    if section.repeated:
        tables = [] if content is None else content
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raw.problems.append(raw.problem(section.name, "is not a list of tables", f"begin each with {written}"))
            return
        for number, table in enumerate(tables, 1):
            raw.readers.append(_read_table(raw, section.name, f"{section.name}[{number}]", table))
        return
    if content is not None and not isinstance(content, dict):
        raw.problems.append(raw.problem(section.name, "is not a table", f"begin it with a line {written}"))
        return
    table = {} if content is None else content
    raw.written[section.name] = set(table)
    raw.sections[section.name] = _read_table(raw, section.name, section.name, table)


def _read_table(raw: Raw, section: str, where: str, table: Mapping[str, object]) -> dict[str, Any]:
    """The checked values of one table; keys with a wrong value are left out (optional ones stand as None)."""
    values: dict[str, Any] = {}
    keys = keys_of(section)
    for name in table:
        if name not in keys:
            raw.problems.append(_unknown_key(raw, section, f"{where}.{name}", name))
    for name, key in keys.items():
        if name not in table:
            if key.default is REQUIRED:
                remedy = f"add it, such as {name} = {toml(key.example)} ({key.limits()})"
                raw.problems.append(raw.problem(f"{where}.{name}", "is missing", remedy))
            else:
                values[name] = key.default
            continue
        checked = check(key, table[name])
        if isinstance(checked, Wrong):
            raw.problems.append(raw.problem(f"{where}.{name}", checked.text, checked.remedy))
            if key.default is None:
                values[name] = None
        else:
            values[name] = (raw.path.parent / checked) if isinstance(checked, Path) else checked
    return values


def _unknown_key(raw: Raw, section: str, where: str, name: str) -> Problem:
    if _SECRET_NAMES.search(name.lower()):
        remedy = "remove it, change the secret, and name a file that holds it: api_key_file or oauth_client_secret_file"
        return raw.problem(where, "a secret must not stand in this file", remedy)
    homes = [key.section for key in KEYS if key.name == name]
    if homes:
        return raw.problem(where, f"is unknown in [{section}]", f"move it to [{homes[0]}]")
    near = nearest(name, list(keys_of(section)))
    far = nearest(name, [key.name for key in KEYS])
    if likeness(name, far) > max(likeness(name, near), 0.8):
        home = next(key.section for key in KEYS if key.name == far)
        return raw.problem(where, "is unknown", f"the nearest known key is {far} in [{home}]")
    return raw.problem(where, "is unknown", f"the nearest known key is {near}")


def _unknown_section(raw: Raw, name: str, content: object) -> Problem:
    homes = [key.section for key in KEYS if key.name == name]
    if not isinstance(content, dict | list) and homes:
        return raw.problem(name, "stands before any section", f"move it under [{homes[0]}]")
    if not isinstance(content, dict | list) and _SECRET_NAMES.search(name.lower()):
        return _unknown_key(raw, "connecteam", name, name)
    near = nearest(name, [section.name for section in SECTIONS])
    brackets = f"[[{near}]]" if next(s for s in SECTIONS if s.name == near).repeated else f"[{near}]"
    return raw.problem(name, "is no known section", f"the nearest known one is {brackets}")
