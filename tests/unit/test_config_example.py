"""config.example.toml and the table of keys say the same, both ways."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from daemon.config import examine
from daemon.config_spec import KEYS, REQUIRED, example

FILE = Path(__file__).parents[2] / "config.example.toml"
KEY_LINE = re.compile(r"^(?:# )?([a-z_]+) = ", re.MULTILINE)


def test_the_example_is_the_table():
    """The file is what the table prints (`python -m daemon.config_spec`), to the letter."""
    assert FILE.read_text() == example()


def test_every_key_stands_once_in_its_section():
    """Read as TOML with the commented keys switched on, the file holds every key of the table, and no other."""
    text = re.sub(r"^# ([a-z_]+ = )", r"\1", FILE.read_text(), flags=re.MULTILINE)
    document = tomllib.loads(text)
    tables = {name: content[0] if isinstance(content, list) else content for name, content in document.items()}
    assert {(section, key) for section, table in tables.items() for key in table} == {(k.section, k.name) for k in KEYS}
    assert len(KEY_LINE.findall(FILE.read_text())) == len(KEYS)


def test_every_value_is_the_default():
    """What the file shows is what holds without it, wherever there is a default."""
    document = tomllib.loads(re.sub(r"^# ([a-z_]+ = )", r"\1", FILE.read_text(), flags=re.MULTILINE))
    for key in KEYS:
        table = document[key.section][0] if key.section == "readers" else document[key.section]
        if key.default is not REQUIRED and key.default is not None:
            assert table[key.name] == key.default, key.name


def test_every_key_is_explained_with_limits_and_default():
    """Above each key stands what it means, and a line with unit, limits and default."""
    lines = FILE.read_text().splitlines()
    for key in KEYS:
        at = next(i for i, line in enumerate(lines) if re.match(rf"(# )?{key.name} = ", line))
        assert lines[at - 1] == f"# ({key.limits()})"
        assert lines[at - 2].startswith("# ")
        assert key.unit in lines[at - 1]
        assert "default" in lines[at - 1] or "required" in lines[at - 1]


def test_the_example_is_accepted(tmp_path):
    """With a key file of one's own the example works as it stands."""
    key = tmp_path / "key"
    key.write_text("abc")
    key.chmod(0o600)
    path = tmp_path / "punchd.toml"
    path.write_text(FILE.read_text().replace("/etc/punchd/connecteam.key", str(key)))
    assert examine(path, {"STATE_DIRECTORY": str(tmp_path)}).problems == ()
