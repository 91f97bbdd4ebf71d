"""[alerts]: what is accepted, and what is said of what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config import examine, load
from daemon.config_alerts import AlertsConfig

MINIMAL = """
[kiosk]
name = "front-door"
timezone = "Europe/Amsterdam"
[connecteam]
time_clock_id = 12345
api_key_file = "key"
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write a configuration with this [alerts] beside good secret files; the path of it."""
    for name in ("key", "secret"):
        (tmp_path / name).write_text("k-123\n")
        (tmp_path / name).chmod(0o600)

    def _write(alerts: str) -> Path:
        path = tmp_path / "punchd.toml"
        path.write_text(f"{MINIMAL}[alerts]\n{alerts}")
        return path

    return _write


def test_without_a_word_nothing_leaves(write):
    """By default there is no receiver; the queue's age is watched all the same."""
    assert load(write(""), {}).alerts == AlertsConfig(None, None, (), None, 900, 6)


def test_every_key_arrives(write, tmp_path):
    """Each key reaches its field, in its unit; the address to the letter."""
    alerts = load(
        write(
            'url = "https://example.org/hook/?a=1&b="\nsecret_file = "secret"\n'
            'command = ["/bin/cat", "-", "a b"]\nquiet = "22:00-06:30"\ngap_minutes = 0\nqueue_hours = 0.5\n'
        ),
        {},
    ).alerts
    assert alerts == AlertsConfig(
        "https://example.org/hook/?a=1&b=", tmp_path / "secret", ("/bin/cat", "-", "a b"), (1320, 390), 0, 0.5
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:8080/"])
def test_loopback_may_be_plain(write, url):
    """On this machine nobody listens in."""
    assert load(write(f'url = "{url}"\nsecret_file = "secret"'), {}).alerts.url == url


WRONG = {
    'url = "https://example.org/x"': ("alerts.secret_file", "missing beside url"),
    'secret_file = "secret"': ("alerts.url", "missing beside secret_file"),
    'secret_file = "none"\nurl = "https://example.org/"': ("alerts.secret_file", "does not exist"),
    'url = "http://example.org/x"\nsecret_file = "secret"': ("alerts.url", "plain http"),
    'url = "https://me:pw@example.org/"\nsecret_file = "secret"': ("alerts.url", "user or password"),
    'url = "ftp://example.org/"\nsecret_file = "secret"': ("alerts.url", "not a web address"),
    'url = "https://example.org/#top"\nsecret_file = "secret"': ("alerts.url", "not a web address"),
    'url = "https://[::1"\nsecret_file = "secret"': ("alerts.url", "not an address"),
    'url = 5\nsecret_file = "secret"': ("alerts.url", "the number 5"),
    'command = "/bin/cat"': ("alerts.command", "not a list of texts"),
    "command = []": ("alerts.command", "names no program"),
    'command = ["/bin/cat", 5]': ("alerts.command", "not a list of texts"),
    'command = ["cat"]': ("alerts.command", "not a whole path"),
    'command = ["/nowhere/cat"]': ("alerts.command", "does not exist"),
    'command = ["/etc/passwd"]': ("alerts.command", "cannot be executed"),
    'quiet = "22-06"': ("alerts.quiet", "22-06"),
    'quiet = "24:00-06:00"': ("alerts.quiet", "24:00"),
    'quiet = "06:00-06:00"': ("alerts.quiet", "begins where it ends"),
    "quiet = 22": ("alerts.quiet", "the number 22"),
    "gap_minutes = -1": ("alerts.gap_minutes", "out of range"),
    'secret = "s3cret"': ("alerts.secret", "must not stand in this file"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_used_is_said(write, text):
    """One problem each, at its key, with a remedy, and no secret in it."""
    (found,) = examine(write(text), {}).problems
    key, words = WRONG[text]
    assert found.key == key
    assert words in found.text
    assert found.remedy
    assert "s3cret" not in str(found)
    assert "pw@" not in str(found)


def test_a_secret_open_to_all_is_refused(write, tmp_path):
    """As for every other secret."""
    os.chmod(tmp_path / "secret", 0o644)
    (found,) = examine(write('url = "https://example.org/"\nsecret_file = "secret"'), {}).problems
    assert (found.key, "open to others" in found.text) == ("alerts.secret_file", True)
