"""Where the key comes from: one source, one file that holds it alone and is not open to others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config import examine
from daemon.config_secrets import as_the_unit_sees

BASE = """
[kiosk]
name = "front-door"
timezone = "Europe/Amsterdam"
[connecteam]
time_clock_id = 12345
"""


@pytest.fixture
def place(tmp_path: Path):
    """Put a file into the temporary directory; its path."""

    def _place(name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return _place


def keys(path: Path, **environment: str) -> list[str]:
    return [problem.key for problem in examine(path, environment).problems]


def test_a_key_file(place):
    """A key file that only its owner and group can read is accepted."""
    key = place("key", "abc\n", 0o640)
    config = examine(place("c.toml", BASE + f'api_key_file = "{key}"'), {}).config
    assert config is not None
    assert config.connecteam.api_key_file == key


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602, 0o620, 0o601])
def test_an_open_key_file_is_a_problem(place, mode):
    """A key that others can read, or replace, is told with the command that closes it."""
    key = place("key", "abc\n", mode)
    (problem,) = examine(place("c.toml", BASE + 'api_key_file = "key"'), {}).problems
    assert (problem.file, problem.key) == (key, "connecteam.api_key_file")
    assert f"{mode:03o}" in problem.text
    assert "chmod" in problem.remedy


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("two words", "alone"),
        ("one\ntwo\n", "alone"),
        ("clé", "alone"),
        (b"\xff\xfe", "alone"),
        ("a\0b", "alone"),
        ("x" * 5000, "alone"),
    ],
)
def test_a_file_without_one_secret_is_a_problem(place, content, says):
    """What could not be sent as a key is told before anything is sent, and never shown."""
    place("key", content)
    (problem,) = examine(place("c.toml", BASE + 'api_key_file = "key"'), {}).problems
    assert says in problem.text
    assert "two words" not in str(problem)


def test_missing_files_and_directories(place, tmp_path):
    """A key file that is not there, or no file, is told with its path."""
    assert keys(place("c.toml", BASE + 'api_key_file = "none"')) == ["connecteam.api_key_file"]
    assert keys(place("c.toml", BASE + f'api_key_file = "{tmp_path}"')) == ["connecteam.api_key_file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_key_file(place):
    """A key file this user may not read is told with whom to ask."""
    place("key", "abc", 0o000)
    (problem,) = examine(place("c.toml", BASE + 'api_key_file = "key"'), {}).problems
    assert "cannot be read" in problem.text


def test_the_systemd_credential(place, tmp_path):
    """With a credential nothing needs to stand in the file; its mode is systemd's affair."""
    credential = place("credentials/connecteam-api-key", "abc", 0o444)
    config = examine(place("c.toml", BASE), {"CREDENTIALS_DIRECTORY": str(credential.parent)}).config
    assert config is not None
    assert config.connecteam.api_key_file == credential
    credential.write_text("")
    found = keys(place("c.toml", BASE), CREDENTIALS_DIRECTORY=str(credential.parent))
    assert found == ["credential connecteam-api-key"]


def test_a_credentials_directory_with_other_credentials_is_no_key(place, tmp_path):
    """Only the credential of the published name counts."""
    place("credentials/other", "abc")
    found = keys(place("c.toml", BASE), CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"))
    assert found == ["connecteam.api_key_file"]


def test_the_oauth_pair(place):
    """Client id and secret file together are a key; one alone is a problem at the other."""
    secret = place("secret", "s3cr3t")
    both = BASE + 'oauth_client_id = "me"\noauth_client_secret_file = "secret"\n'
    config = examine(place("c.toml", both), {}).config
    assert config is not None
    assert (config.connecteam.oauth_client_id, config.connecteam.oauth_client_secret_file) == ("me", secret)
    assert config.connecteam.api_key_file is None
    assert keys(place("c.toml", BASE + 'oauth_client_id = "me"')) == ["connecteam.oauth_client_secret_file"]
    assert keys(place("c.toml", BASE + 'oauth_client_secret_file = "secret"')) == ["connecteam.oauth_client_id"]


def test_two_sources_are_one_too_many(place, tmp_path):
    """Which key would be used must not be a matter of luck."""
    place("key", "abc")
    place("secret", "def")
    place("credentials/connecteam-api-key", "ghi")
    folder = str(tmp_path / "credentials")
    with_file = BASE + 'api_key_file = "key"\n'
    pair = 'oauth_client_id = "me"\noauth_client_secret_file = "secret"\n'
    assert keys(place("c.toml", with_file), CREDENTIALS_DIRECTORY=folder) == ["connecteam"]
    assert keys(place("c.toml", with_file + pair)) == ["connecteam"]
    assert keys(place("c.toml", BASE + pair), CREDENTIALS_DIRECTORY=folder) == ["connecteam"]
    assert keys(place("c.toml", with_file + pair), CREDENTIALS_DIRECTORY=folder) == ["connecteam"]


def test_a_command_typed_beside_the_unit_sees_its_credential(tmp_path):
    """What the running unit has, else what it will get; what the environment says itself goes first."""
    runs, stored = tmp_path / "run", tmp_path / "store"
    places = (runs, stored)
    assert as_the_unit_sees({"A": "b"}, places) == {"A": "b"}
    for place in (stored, runs):
        place.mkdir()
        assert as_the_unit_sees({}, places) == ({} if place is stored else {"CREDENTIALS_DIRECTORY": str(stored)})
        (place / "connecteam-api-key").write_text("k-123")
        assert as_the_unit_sees({}, places) == {"CREDENTIALS_DIRECTORY": str(place)}
    assert as_the_unit_sees({"CREDENTIALS_DIRECTORY": "/own"}, places) == {"CREDENTIALS_DIRECTORY": "/own"}
