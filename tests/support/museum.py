"""The museum: what went wrong in other programs of this kind, each remembered by a scenario of its own.

The first paragraph of such a test's docstring is `WHERE: what failed there.`, the second what is proved here.
`python -m tests.support.museum > docs/museum.md` prints the index.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.town import Town, in_town

HALLS = ("durability", "corrupt_state", "time", "order", "direction", "readers", "network", "operators")
FOLDER = Path(__file__).resolve().parents[1] / "museum"
HOUR = 3600
DAY = 24 * HOUR

Story = Callable[[Town], Awaitable[None]]


def told_in_town(**settings: Any) -> Callable[[Story], Callable[..., None]]:
    """Make a test of a story: it is told in a town of its own, in virtual time. `settings` are the town's."""

    def make(story: Story) -> Callable[..., None]:
        _, *others = inspect.signature(story).parameters.values()

        def run(tmp_path: Path, **given: Any) -> None:
            in_town(tmp_path, lambda town: story(town, **given), **settings)

        own = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([own, *others])  # type: ignore[attr-defined]
        run.__name__, run.__doc__, run.__module__ = story.__name__, story.__doc__, story.__module__
        return run

    return make


@dataclass(frozen=True)
class Exhibit:
    """One remembered failure: where it was and what it was, and the test that proves it cannot happen here."""

    hall: str
    test: str
    where: str
    failed: str
    proved: str


def exhibits() -> Iterator[Exhibit]:
    """All of them, hall by hall, as they stand in the files. Raises ValueError for a test that does not say it all."""
    for hall in HALLS:
        tree = ast.parse((FOLDER / f"test_museum_of_{hall}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                memory, _, proved = (ast.get_docstring(node) or "").partition("\n\n")
                where, colon, failed = " ".join(memory.split()).partition(": ")
                if not (colon and failed.endswith(".") and proved.endswith(".")):
                    raise ValueError(f"{node.name} does not say where what failed, and what it proves")
                yield Exhibit(hall, node.name, where, failed, " ".join(proved.split()))


def markdown() -> str:
    """docs/museum.md, whole."""
    lines = [_HEAD]
    hall = None
    for number, one in enumerate(exhibits(), 1):
        if one.hall != hall:
            hall = one.hall
            lines += [
                "",
                f"## {hall.replace('_', ' ').capitalize()}",
                "",
                f"In `tests/museum/test_museum_of_{hall}.py`.",
                "",
                "| # | where | what failed there | what is proved here, and by which test |",
                "| --- | --- | --- | --- |",
            ]
        told = " | ".join(text.replace("|", "\\|") for text in (one.where, one.failed, one.proved))
        lines.append(f"| {number} | {told} `{one.test}` |")
    return "\n".join(lines) + "\n"


_HEAD = """\
# The museum of failures

What went wrong in other programs that take, keep and deliver events, as their public issue trackers and sources tell
it, and for each of these failures the scenario that shows that it cannot happen here. Printed by
`python -m tests.support.museum`."""


if __name__ == "__main__":
    print(markdown(), end="")
