"""docs/museum.md says what the scenarios say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.museum import FOLDER, HALLS, exhibits, markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "museum.md"


def test_the_index_is_up_to_date():
    """The page is what the docstrings make: python -m tests.support.museum > docs/museum.md."""
    assert PAGE.read_text(encoding="utf-8") == markdown()


def test_every_hall_is_indexed_and_every_failure_has_a_scenario_of_its_own():
    """No file is left out, no scenario's name stands twice, and there are more than seventy of them."""
    found = list(exhibits())
    assert {file.stem for file in FOLDER.glob("test_museum_of_*.py")} == {f"test_museum_of_{hall}" for hall in HALLS}
    assert max(Counter(one.test for one in found).values()) == 1
    assert len(found) > 70
