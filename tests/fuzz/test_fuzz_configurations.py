"""Whatever stands in the configuration file: a configuration, or every problem with its key and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import examine
from tests.fuzz.configurations import FILES, GOOD, SECRET
from tests.support.fuzzing import fuzzed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file is, with a good key beside it."""
    made = tmp_path_factory.mktemp("configuration")
    (made / "key").write_text("k-123")
    (made / "key").chmod(0o600)
    return made


@fuzzed("configurations", short=150, long=15_000, data=FILES)
def test_a_file_is_a_configuration_or_problems_with_remedies(folder: Path, data: bytes) -> None:
    """Nothing is raised; each problem names the file, what is wrong and what mends it; a secret is not repeated."""
    path = folder / "punchd.toml"
    path.write_bytes(data)
    examined = examine(path, {})
    assert (examined.config is None) == bool(examined.problems)
    for problem in examined.problems:
        assert problem.file
        assert problem.text
        assert problem.remedy
        assert SECRET not in str(problem)
        str(problem).encode()
    if examined.config is not None:
        assert examined.config.connecteam.api_key_file == folder / "key"
        assert len(examined.config.readers) == len({reader.name for reader in examined.config.readers})


def test_the_good_sections_are_good(folder: Path) -> None:
    """The ground the others are built on is a configuration by itself."""
    (folder / "punchd.toml").write_text(GOOD)
    assert examine(folder / "punchd.toml", {}).problems == ()
