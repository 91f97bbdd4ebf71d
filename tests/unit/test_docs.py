"""What README and docs name exists: make targets, commands with their options, files, links, seams, generated pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from daemon import cli as punchd
from daemon import reasons
from daemon.control import cli as punchctl
from daemon.control.routes import ROUTES
from sandbox.__main__ import arguments

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
COMMANDS = {"punchd": punchd.root, "punchctl": punchctl.root}
ROOMS = ("daemon/", "drivers/", "sandbox/", "tests/", "docs/", "tools/")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(page: Path) -> Iterator[str]:
    """Everything a page sets as code: lines of its blocks, and spans."""
    text = page.read_text(encoding="utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if not language:
            yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def calls(page: Path) -> Iterator[list[str]]:
    """Every call of punchd or punchctl on a page, as words; those of docs/reasons.md stand in its sentences."""
    prose = page.name == "reasons.md"
    lines = page.read_text(encoding="utf-8").splitlines() if prose else code(page)
    commands = "punchctl" if prose else "punchd|punchctl"
    for line in lines:
        for found in re.finditer(rf"(?:^|[\s(/])({commands}) (?=[a-z])([^|;)#]+)", line):
            yield [found[1], *found[2].split()]


def resolve(words: list[str]) -> tuple[str, click.Command | None, list[str]]:
    """The command that words name, None where the first of them is none, and what is left of the words."""
    command: click.Command | None = COMMANDS[words[0]]
    taken, rest = [words[0]], words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command = command.commands.get(rest[0])
        taken.append(rest.pop(0))
    return " ".join(taken), command, rest


@each_page
def test_every_command_exists(page):
    """Each call of punchd or punchctl is one the real commands know, with options they know."""
    for words in calls(page):
        name, command, rest = resolve(words)
        assert command is not None, f"{page.name}: there is no {name}"
        options = {option for parameter in command.params for option in parameter.opts}
        unknown = [word for word in rest if word.startswith("--") and word not in options | {"--help"}]
        assert not unknown, f"{page.name}: {name} does not know {unknown}"


def test_the_readme_names_every_command_people_need():
    """The table of administration leaves out no command of punchctl but those for trying things."""
    named = {resolve(words)[0] for words in calls(ROOT / "README.md")}
    there = set()
    for name, command in punchctl.root.commands.items():
        there |= {f"punchctl {name} {sub}" for sub in getattr(command, "commands", {})} or {f"punchctl {name}"}
    left_out = {"punchctl employees list", "punchctl badges list", "punchctl badges remove", "punchctl review show"}
    assert there - named <= left_out


@each_page
def test_every_make_target_exists(page):
    """Each `make X` is a target of the Makefile."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for line in code(page) for found in re.findall(r"(?:^|&& )make (\w+)", line)}
    assert named <= targets


def test_the_readme_names_every_make_target():
    """What `make help` lists stands in the README."""
    helped = set(re.findall(r"'make (\w+)", (ROOT / "Makefile").read_text()))
    assert helped <= set(re.findall(r"`make (\w+)`", (ROOT / "README.md").read_text(encoding="utf-8")))


@each_page
def test_every_file_exists(page):
    """Each path into this repository that a page sets as code is there."""
    for words in code(page):
        for path in re.findall(r"(?<![\w./-])[\w./-]+", words):
            if path.startswith(ROOMS) or re.fullmatch(r"[\w.-]+\.(toml|example\.toml|md)", path):
                assert path in ("kiosk.toml",) or (ROOT / path).exists(), f"{page.name}: there is no {path}"


@each_page
def test_every_link_resolves(page):
    """Links inside the repository lead to files, and to headings that are there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{page.name}: {target}"
        titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, f"{page.name}: {target}"


def test_every_socket_route_of_the_readme_exists():
    """What README asks the sockets for is served there."""
    served = {route.path for route in ROUTES}
    assert set(re.findall(r"http://punchd(/[\w/]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) <= served


def test_the_sandbox_of_the_readme_starts_as_written():
    """Its options are known, and its ports are those that the README's other lines use."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"python -m sandbox (--files .*)", text)
    options = arguments(line.split())
    assert f"http://127.0.0.1:{options.port}" in text
    assert set(re.findall(r"http://127\.0\.0\.1:(\d+)/_sandbox", text)) == {str(options.port + 1)}


def test_the_architecture_names_every_module_it_draws_and_every_seam():
    """The rooms' modules are files, and each seam's names are defined in the file they are said to be in."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.search(r"^drivers/ .*?^```", text, re.MULTILINE | re.DOTALL)
    assert rooms is not None
    modules = {path.name for room in ("daemon", "drivers", "sandbox") for path in (ROOT / room).rglob("*.py")}
    assert set(re.findall(r"\b\w+\.py\b", rooms[0])) <= modules
    seams = re.findall(r"^\| `([\w/]+\.py)` \| (.+) \|$", text, re.MULTILINE)
    assert len(seams) > 5
    for file, names in seams:
        defined = definitions(ROOT / file)
        assert set(re.findall(r"`([\w.]+)`", names)) <= defined, file


def definitions(file: Path) -> set[str]:
    """Functions, classes and methods of a module; methods as Class.name."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inside}
    return found


def test_the_reasons_are_those_of_the_code():
    """docs/reasons.md is what `python -m daemon.reasons` prints, and has every code once."""
    text = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert text == reasons.markdown(), "write it anew: python -m daemon.reasons > docs/reasons.md"
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(reasons.REASONS)


def cited(pattern: str) -> set[str]:
    """What the code cites, over all rooms and pages."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".sql", ".md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return set(re.findall(pattern, re.sub(r"\n *(?:#:? )?", " ", text)))


def test_every_fact_that_is_cited_is_told():
    """ "facts 1.5" and "facts, U10" lead to a section and a row of docs/facts.md."""
    told = (ROOT / "docs" / "facts.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^#+ ([\d.]*\d)", told, re.MULTILINE))
    rows = set(re.findall(r"^\| (U\d+) \|", told, re.MULTILINE))
    numbers = cited(r"\b[Ff]acts ((?:\d[\d.]*\d|\d)(?:(?:,| and) \d\.\d)*)")
    assert len(numbers) > 10
    assert {one for listed in numbers for one in re.findall(r"[\d.]*\d", listed)} <= sections
    unknowns = cited(r"\b(U\d+)\b")
    assert len(unknowns) > 8
    assert {one for one in unknowns if int(one[1:]) < 30} <= rows


@pytest.mark.parametrize("name", ["delivery", "contract"])
def test_every_rule_that_is_cited_is_told(name):
    """`(delivery.md, "The clock gate")` leads to a heading of docs/delivery.md, and the contract's likewise."""
    told = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^#+ (.+)$", told, re.MULTILINE)) | set(re.findall(r"\*\*([^*]+)\*\*", told))
    called = cited(rf'\({name}(?:\.md)?,? ((?:"[^"]+"(?: and |, )?)+)')
    assert called
    assert {one for listed in called for one in re.findall(r'"([^"]+)"', listed)} <= headings
