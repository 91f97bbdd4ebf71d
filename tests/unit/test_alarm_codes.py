"""docs/alarms.md lists every alarm the code can raise, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from daemon import alarm_codes
from daemon.alarm_codes import CODES, Leaves, find

ROOT = Path(__file__).resolve().parents[2]


def raised(tree: ast.Module) -> Iterator[ast.expr]:
    """The code of every call of `….alarms.set(code, text)` in a module, however the alarms are called there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "set":
            holder = node.func.value
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if name.lstrip("_") == "alarms":
                yield node.args[0]


def codes(value: ast.expr, tree: ast.Module) -> set[str]:
    """What an expression can be: text as it is, parts that are not known as NAME, names by what they are set to."""
    match value:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=parts):
            return {"".join(part.value if isinstance(part, ast.Constant) else "NAME" for part in parts)}
        case ast.Name(id=name):
            return {code for found in _meanings(name, tree) for code in codes(found, tree)}
        case ast.Attribute(attr=name):
            functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
            returned = (n.value for one in functions for n in ast.walk(one) if isinstance(n, ast.Return))
            return {code for found in returned if found is not None for code in codes(found, tree)}
    return set()


def _meanings(name: str, tree: ast.Module) -> Iterator[ast.expr]:
    """What a name is assigned to, or the keys of the table it runs over."""
    tables = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            tables[node.targets[0].id] = node.value
            if node.targets[0].id == name:
                yield node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and name in {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}:
            for inner in ast.walk(node.iter):
                table = tables.get(inner.id) if isinstance(inner, ast.Name) else None
                if isinstance(table, ast.Dict):
                    yield from (key for key in table.keys if key is not None)


def all_raised() -> dict[str, str]:
    """Every alarm the daemon can raise, with a module that does."""
    found = {}
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for value in raised(tree):
            meant = codes(value, tree)
            assert meant, f"{path}:{value.lineno}: cannot tell which alarm that is; use a text, or a name for one"
            found |= dict.fromkeys(meant, str(path.relative_to(ROOT)))
    return found


def test_every_alarm_is_in_the_table_and_no_other():
    """Whoever adds an alarm says what it means, what mends it, and whether it leaves the box."""
    there = all_raised()
    assert set(there) == {one.code for one in CODES}, there


def test_the_page_is_the_table():
    """docs/alarms.md is what `python -m daemon.alarm_codes` prints."""
    text = (ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
    assert text == alarm_codes.markdown(), "write it anew: python -m daemon.alarm_codes > docs/alarms.md"


def test_codes_are_found_with_their_names():
    """A reader's name may be anything; what is not in the table is not found."""
    assert find("reader_lost:front: door.*").code == "reader_lost:NAME"
    assert find("queue_age_failing").code == "NAME_failing"
    assert find("halted").leaves is Leaves.YES
    assert find("halted2") is None
    assert find("reader_lost:") is None
