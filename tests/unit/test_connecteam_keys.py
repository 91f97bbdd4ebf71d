"""Keys: read carefully, shown to nobody."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.config import ConnecteamConfig
from daemon.errors import ConfigError
from daemon.timesheets.connecteam.client import Client
from daemon.timesheets.connecteam.keys import ApiKey, Secret, mask, read_secret
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.timesheet import KeyRefused

KEY = "ck_live_0123456789abcdef"


def deaf(secret: str) -> None:
    pass


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"  {KEY}\r\n\n", f"\ufeff{KEY}\n"])
def test_a_key_file_holds_one_line(tmp_path: Path, content: str) -> None:
    """Line ends, blanks around and an editor's mark in front are no part of the key."""
    file = tmp_path / "key"
    file.write_text(content, encoding="utf-8")
    assert read_secret(file).reveal() == KEY


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (f"{KEY}\n{KEY}".encode(), "one line"),
        (f"{KEY} {KEY}".encode(), "one line"),
        (f"{KEY}é".encode(), "one line"),
        (KEY.encode("utf-16"), "one line"),
        (KEY.encode() + b"\x00", "one line"),
        (KEY.encode() * 500, "larger than"),
    ],
)
def test_an_unusable_key_file_is_refused_without_showing_it(tmp_path: Path, content: bytes, words: str) -> None:
    """The message names the file and the remedy; nothing of the content is in it or behind it."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_secret(file)
    assert str(file) in caught.value.message
    assert KEY[:8] not in repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


def test_a_key_file_that_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A missing file, a directory and a pipe are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(ConfigError, match="cannot read the key file"):
            read_secret(tmp_path / name)


def test_a_secret_shows_itself_to_nobody() -> None:
    """Not by repr, str, format, in a container, nor pickled."""
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret == Secret(KEY)
    assert secret != Secret("another")
    assert secret != KEY


def test_masking_finds_a_secret_also_where_json_escaped_its_slashes() -> None:
    """A token may hold slashes, and some servers escape them."""
    secret = Secret("ab/cd+ef==")
    assert mask("x ab/cd+ef== y ab\\/cd+ef== z", secret, None) == "x *** y *** z"


async def test_a_key_file_may_come_later_and_change(tmp_path: Path) -> None:
    """Missing: refused with the remedy, nothing raised, and taken as soon as it is there. Reload tells changes."""
    file = tmp_path / "key"
    told: list[str] = []
    key = ApiKey(file, told.append)
    client = Client("https://localhost", timeout_s=1)
    refused = await key.headers(client)
    assert isinstance(refused, KeyRefused)
    assert str(file) in refused.detail
    with pytest.raises(ConfigError):
        key.reload()
    file.write_text(KEY)
    assert await key.headers(client) == {"X-API-KEY": KEY}
    assert key.reload() is False
    file.write_text("another-key")
    assert key.reload() is True
    assert told[-1] == "another-key"
    file.unlink()
    with pytest.raises(ConfigError):
        key.reload()
    assert await key.headers(client) == {"X-API-KEY": "another-key"}  # what it had, it keeps
    assert KEY not in repr(key)
    await client.aclose()


def test_without_any_key_configured_it_says_which_are_possible() -> None:
    """A programmer may build it from a bare configuration."""
    with pytest.raises(ConfigError, match="api_key_file"):
        ConnecteamTimesheet(ConnecteamConfig(time_clock_id=1), kiosk="k", zone=ZoneInfo("UTC"))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.connecteam.com",
        "http://10.0.0.1:8080",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "ftp://localhost",
        "localhost",
        "",
        "https://user:word@localhost",
        "https://localhost?x=1",
        "https://[::1",
    ],
)
def test_the_key_goes_only_over_tls_or_to_this_machine(url: str) -> None:
    """Plain http to anything but loopback, and addresses with more than a host, are refused."""
    with pytest.raises(ConfigError, match="cannot use base_url") as caught:
        Client(url, timeout_s=1)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://api.connecteam.com", "http://localhost:1", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1/x"],
)
async def test_loopback_may_be_plain(url: str) -> None:
    """For the sandbox and for tests."""
    client = Client(url, timeout_s=1)
    assert client.believable
    await client.aclose()
