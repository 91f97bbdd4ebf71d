"""The rooms import one way, SQL and the services' names stay in theirs, and heavy libraries load late: over `ast`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import daemon
import drivers
import sandbox

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("daemon", "drivers", "sandbox")

#: What of `drivers` everybody may know: the seam, and a badge's canonical form.
SEAM = ("drivers.reader", "drivers.badge")
LEAVES = "(a leaf)"
#: Room → rooms it may import, itself, the leaves and the seam aside. A module is in the room of the longest prefix.
ROOMS: dict[str, tuple[str, ...]] = {
    "daemon.queue": (),
    "daemon.watches": ("daemon.queue",),
    "daemon.keeping": ("daemon.queue",),
    "daemon.silence": ("daemon.queue",),
    "daemon.alerts": ("daemon.queue",),
    "daemon.upkeep": ("daemon.keeping", "daemon.silence", "daemon.alerts", "daemon.queue"),
    "daemon.rescue": ("daemon.queue",),
    "daemon.timesheets.timesheet": (),
    "daemon.timesheets": ("daemon.timesheets.timesheet", "daemon.queue"),
    "daemon.delivery": ("daemon.queue", "daemon.timesheets.timesheet"),
    "daemon.intake": ("daemon.queue",),
    "daemon.control": ("daemon.intake", "daemon.delivery", "daemon.queue", "daemon.timesheets.timesheet"),
}
#: These build everything and alone know concrete classes; only a command line may import them.
BUILDERS = re.compile(r"daemon\.(app|cli|__main__)(\.|$)")
BUILDERS_CALLERS = re.compile(r"daemon\.control\.(cli|commands)(\.|$)")
#: Libraries that bring C libraries or hardware with them.
HEAVY = ("smartcard", "evdev")
SQL = re.compile(r"\s*(SELECT\b.+\bFROM|INSERT\b.+\bINTO|UPDATE\b.+\bSET|DELETE\s+FROM|CREATE\s+TABLE|PRAGMA)\b", re.S)
EXECUTES = {"execute", "executemany", "executescript"}


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path
    tree: ast.Module


@dataclass(frozen=True)
class Import:
    """One name imported; `late` inside a function, `typing` under TYPE_CHECKING."""

    name: str
    line: int
    late: bool


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the product."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name, path, ast.parse(path.read_text(), str(path))))
    return tuple(found)


@cache
def names() -> frozenset[str]:
    """The dotted names of all modules."""
    return frozenset(module.name for module in modules())


def imports(module: Module) -> Iterator[Import]:
    """What a module imports, each as the module that is loaded."""
    late = {
        id(inner)
        for outer in ast.walk(module.tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in late)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in names() else base, node.lineno, id(node) in late)


def within(name: str, room: str) -> bool:
    """Whether a module is that module or inside that package."""
    return name == room or name.startswith(room + ".")


def room_of(name: str) -> str:
    """The room of a module of the daemon: the longest prefix in ROOMS, else a leaf."""
    return max((room for room in ROOMS if within(name, room)), key=len, default=LEAVES)


def allowed(importer: str, imported: str) -> bool:
    """Whether a module of the daemon (none of the builders) may import one of ours."""
    if imported in SEAM or imported == "daemon":
        return True
    if BUILDERS.match(imported):
        return BUILDERS_CALLERS.match(importer) is not None
    if not within(imported, "daemon"):
        return False
    ours, theirs = room_of(importer), room_of(imported)
    if theirs == LEAVES:
        return True
    if ours == theirs == "daemon.timesheets":  # one service knows nothing of another
        return importer.split(".")[:3] == imported.split(".")[:3]
    return ours == theirs or theirs in ROOMS.get(ours, ())


@pytest.mark.parametrize("package", PACKAGES)
def test_ours_is_the_package_that_is_imported(package: str) -> None:
    """Another distribution has a `daemon` too: the one imported is the one in this tree."""
    modules_by_name = {"daemon": daemon, "drivers": drivers, "sandbox": sandbox}
    assert modules_by_name[package].__file__ == str(ROOT / package / "__init__.py")


def test_imports_of_the_daemon_point_one_way() -> None:
    """cli → app → control, intake, delivery, timesheets → queue and the timesheet protocol → leaves."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{found.line} imports {found.name}"
        for module in modules()
        if within(module.name, "daemon") and not BUILDERS.match(module.name)
        for found in imports(module)
        if found.name.split(".")[0] in ("daemon", "drivers") and not allowed(module.name, found.name)
    ]
    assert wrong == []


def test_drivers_know_nothing_of_the_daemon() -> None:
    """A driver imports drivers and libraries only."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{found.line} imports {found.name}"
        for module in modules()
        if within(module.name, "drivers")
        for found in imports(module)
        if found.name.split(".")[0] in ("daemon", "sandbox", "tests")
    ]
    assert wrong == []


def test_the_sandbox_is_imported_by_the_demo_alone_and_late() -> None:
    """Nothing in the daemon imports sandbox, but one import inside a function: the demo command's."""
    found = [
        (module.name, found.late)
        for module in modules()
        if within(module.name, "daemon")
        for found in imports(module)
        if within(found.name, "sandbox")
    ]
    assert len(found) <= 1
    assert all(late for _, late in found)


def test_nobody_imports_tests() -> None:
    """What is shipped does not lean on tests."""
    assert [m.name for m in modules() for found in imports(m) if within(found.name, "tests")] == []


def test_heavy_libraries_load_late_and_in_drivers_alone() -> None:
    """smartcard and evdev are imported inside functions of drivers: a kiosk without them starts."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{found.line}"
        for module in modules()
        for found in imports(module)
        if found.name.split(".")[0] in HEAVY and not (found.late and within(module.name, "drivers"))
    ]
    assert wrong == []


def test_sql_stands_in_the_queue_alone() -> None:
    """No SQL text and no execute() in daemon or drivers outside daemon/queue."""
    wrong = [
        f"{module.path.relative_to(ROOT)}:{node.lineno}"
        for module in modules()
        if within(module.name, "drivers") or (within(module.name, "daemon") and not within(module.name, "daemon.queue"))
        for node in ast.walk(module.tree)
        if _is_sql(node)
    ]
    assert wrong == []


def _is_sql(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return SQL.match(node.value) is not None
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in EXECUTES


@pytest.mark.parametrize(
    ("importer", "imported", "may"),
    [
        ("daemon.intake.intake", "daemon.queue.queue", True),
        ("daemon.queue.queue", "daemon.intake.intake", False),
        ("daemon.queue.queue", "drivers.reader", True),
        ("daemon.intake.post", "drivers.pcsc", False),
        ("daemon.delivery.loop", "daemon.timesheets.connecteam.client", False),
        ("daemon.timesheets.toggl.client", "daemon.timesheets.connecteam.client", False),
        ("daemon.timesheets.connecteam.client", "daemon.timesheets.connecteam.wire", True),
        ("daemon.control.cli", "daemon.app", True),
        ("daemon.control.server", "daemon.app", False),
        ("daemon.model", "daemon.queue.queue", False),
        ("daemon.model", "daemon.errors", True),
    ],
)
def test_the_rules_themselves(importer: str, imported: str, may: bool) -> None:
    """The rule says yes and no where it should: a rule that allows everything would pass for ever."""
    assert allowed(importer, imported) is may
