"""A kiosk's intake on a database file of its own."""

from __future__ import annotations

import pytest

from tests.support.intake_kit import open_kit


@pytest.fixture
async def kit(tmp_path):
    """An intake with a synchronised clock, Ann and Bob."""
    async with open_kit(tmp_path / "punchd.db") as made:
        yield made
