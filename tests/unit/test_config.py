"""The configuration: what is accepted, and that everything wrong is said at once, with key and remedy."""

from __future__ import annotations

import grp
import os
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.config import Config, ConfigProblems, Problem, examine, load
from daemon.model import ReaderDirection

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
    """Write a configuration beside a good key file; the path of it."""
    key = tmp_path / "key"
    key.write_text("k-123\n")
    key.chmod(0o600)

    def _write(text: str | bytes) -> Path:
        path = tmp_path / "punchd.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def problems(path: Path, **environment: str) -> list[Problem]:
    return list(examine(path, environment).problems)


def only(path: Path, **environment: str) -> Problem:
    found = problems(path, **environment)
    assert len(found) == 1, found
    return found[0]


def test_a_minimal_file_gets_every_default(write):
    """What is not written has the default of the published list."""
    config = load(write(MINIMAL), {})
    assert config.kiosk.timezone == ZoneInfo("Europe/Amsterdam")
    assert config.kiosk.state_dir == Path("/var/lib/punchd")
    assert config.kiosk.runtime_dir == Path("/run/punchd")
    assert config.attendance.max_shift_s == 14 * 3600
    assert config.connecteam.lookback_s == 12 * 3600
    assert config.connecteam.lookback_margin_s == 600
    assert config.connecteam.base_url == "https://api.connecteam.com"
    assert config.delivered_days == 400
    assert config.readers == ()


def test_every_key_arrives(write, tmp_path):
    """Each key of the file reaches the field that stands for it, in its unit."""
    state = tmp_path / "state"
    config = load(
        write(
            f"""
[kiosk]
name = "back"
timezone = "America/St_Johns"
state_dir = "{state}"
runtime_dir = "sockets"
[attendance]
repeat_tap_seconds = 30
max_shift_hours = 36
after_auto_clock_out = "correct"
[connecteam]
base_url = "http://127.0.0.1:8080/"
time_clock_id = 7
api_key_file = "key"
lookback_hours = 1.5
lookback_margin_minutes = 5
requests_per_minute = 4
timeout_seconds = 3.5
settle_seconds = 0
backoff_max_seconds = 60
close_late_by_update = false
batch_pairs = "never"
badge_field = "Badge number"
[[readers]]
name = "a"
driver = "pcsc"
match = "ACR122U"
direction = "clock_out"
job_id = "j-1"
[[readers]]
name = "b"
driver = "simulated"
[metrics]
listen = "[::1]:9464"
[retention]
delivered_days = 0
"""
        ),
        {"STATE_DIRECTORY": "/elsewhere"},
    )
    assert (config.kiosk.state_dir, config.kiosk.runtime_dir) == (state, tmp_path / "sockets")
    assert config.attendance.repeat_tap_s == 30
    assert config.attendance.max_shift_s == 36 * 3600
    assert config.attendance.after_auto_clock_out == "correct"
    c = config.connecteam
    assert (c.base_url, c.time_clock_id, c.api_key_file) == ("http://127.0.0.1:8080", 7, tmp_path / "key")
    assert (c.lookback_s, c.lookback_margin_s, c.requests_per_minute, c.timeout_s) == (5400, 300, 4, 3.5)
    assert (c.settle_s, c.backoff_max_s, c.close_late_by_update, c.batch_pairs) == (0, 60, False, "never")
    assert c.badge_field == "Badge number"
    a, b = config.readers
    assert (a.name, a.driver, a.match, a.direction, a.job_id) == (
        "a", "pcsc", "ACR122U", ReaderDirection.CLOCK_OUT, "j-1",
    )  # fmt: skip
    assert (b.match, b.direction, b.job_id) == ("", ReaderDirection.TOGGLE, None)
    assert (config.metrics_listen, config.delivered_days) == ("[::1]:9464", 0)


def test_directories_come_from_systemd_where_not_written(write, tmp_path):
    """$STATE_DIRECTORY and $RUNTIME_DIRECTORY count; of several the first."""
    config = load(write(MINIMAL), {"STATE_DIRECTORY": f"{tmp_path}:/other", "RUNTIME_DIRECTORY": "/run/p"})
    assert (config.kiosk.state_dir, config.kiosk.runtime_dir) == (tmp_path, Path("/run/p"))


def test_all_problems_are_told_at_once(write):
    """Eleven mistakes of different sorts give eleven problems, each with the file, its key and a remedy."""
    path = write(
        """
[kiosk]
nme = "front"
timezone = "Europe/Amsterdm"
[attendance]
max_shift_hours = 37
repeat_tap_seconds = "60"
[connecteam]
base_url = "http://example.org"
time_clock_id = 1.5
api_key_file = "missing"
requests_per_minute = true
[[readers]]
name = "front"
driver = "psc"
[retentoin]
delivered_days = 3
"""
    )
    found = problems(path)
    assert sorted(problem.key for problem in found) == [
        "attendance.max_shift_hours", "attendance.repeat_tap_seconds", "connecteam.api_key_file",
        "connecteam.base_url", "connecteam.requests_per_minute", "connecteam.time_clock_id",
        "kiosk.name", "kiosk.nme", "kiosk.timezone", "readers[1].driver", "retentoin",
    ]  # fmt: skip
    assert all(problem.file and problem.text and problem.remedy for problem in found)
    with pytest.raises(ConfigProblems) as caught:
        load(path, {})
    assert all(str(problem) in str(caught.value) for problem in found)


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("[attendance]\nmax_shift_hour = 3", "attendance.max_shift_hour", "max_shift_hours"),
        ("[attendance]\ntimeout_seconds = 3", "attendance.timeout_seconds", "[connecteam]"),
        ("[attendance]\ntimeout_second = 3", "attendance.timeout_second", "timeout_seconds in [connecteam]"),
        ("[[readers]]\nname='a'\ndriver='simulated'\ndirecton='toggle'", "readers[1].directon", "direction"),
        ("[attendence]\nx = 3", "attendence", "[attendance]"),
        ("[reader]\nname='a'", "reader", "[[readers]]"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(write, text, key, near):
    """A slip of the keyboard is answered with the key that was meant, also when it belongs elsewhere."""
    problem = only(write(MINIMAL + text))
    assert problem.key == key
    assert near in problem.remedy


def test_a_key_before_any_section_is_sent_home(write):
    """A known key above the first section is told which section it belongs to."""
    problem = only(write("settle_seconds = 3\n" + MINIMAL))
    assert (problem.key, problem.remedy) == ("settle_seconds", "move it under [connecteam]")


@pytest.mark.parametrize("name", ["api_key", "oauth_client_secret", "token", "password"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(write, name):
    """The remedy says where secrets go, and the message does not spread the secret further."""
    problem = only(write(MINIMAL + f'{name} = "hunter2-hunter2"'))
    assert problem.key == f"connecteam.{name}"
    assert "api_key_file" in problem.remedy
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ("[attendance]\nmax_shift_hours = 0", "attendance.max_shift_hours", "out of range"),
        ("[attendance]\nmax_shift_hours = nan", "attendance.max_shift_hours", "not a number"),
        ("[attendance]\nmax_shift_hours = 36.01", "attendance.max_shift_hours", "out of range"),
        ("[attendance]\nrepeat_tap_seconds = false", "attendance.repeat_tap_seconds", "false, not a number"),
        ('[attendance]\nafter_auto_clock_out = "reviw"', "attendance.after_auto_clock_out", '"reviw"'),
        ("[retention]\ndelivered_days = 2026-01-01", "retention.delivered_days", "a date"),
        ("[metrics]\nlisten = 9464", "metrics.listen", "the number 9464"),
        ('[metrics]\nlisten = "9464"', "metrics.listen", "address"),
        ('[metrics]\nlisten = "127.0.0.1:99999"', "metrics.listen", "no port"),
        ('[metrics]\nlisten = "example.org:80"', "metrics.listen", "address"),
        ('[metrics]\nlisten = "0.0.0.0:9464"', "metrics.listen", "from outside"),
        ('[metrics]\nlisten = "[::]:9464"', "metrics.listen", "from outside"),
        ('[metrics]\nlisten = "192.168.1.7:9464"', "metrics.listen", "from outside"),
        ('[[readers]]\nname = ""\ndriver = "simulated"', "readers[1].name", "is empty"),
        ('[[readers]]\nname = "a\\u0007"\ndriver = "simulated"', "readers[1].name", "printed"),
        ('[[readers]]\nname = "a"\ndriver = "simulated"\nmatch = []', "readers[1].match", "a list"),
        ('[readers]\nname = "a"', "readers", "not a list"),
        ("[[metrics]]\nlisten = ''", "metrics", "not a table"),
    ],
)
def test_wrong_types_and_ranges(write, line, key, says):
    """A value of the wrong type or out of its range is one problem at its key."""
    problem = only(write(MINIMAL + line))
    assert problem.key == key
    assert says in problem.text


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://api-au.connecteam.com", True),
        ("http://localhost:80", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8080", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
        ("https://", False),
        ("ftp://127.0.0.1", False),
        ("https://user:word@api.connecteam.com", False),
        ("https://api.connecteam.com/?x=1", False),
        ("https://[::1", False),
        ("https://api.connecteam.com:port", False),
        ("api.connecteam.com", False),
    ],
)
def test_plain_http_is_for_loopback_only(write, url, accepted):
    """The key leaves this box only inside TLS."""
    found = problems(write(MINIMAL + f'base_url = "{url}"'))
    assert [problem.key for problem in found] == ([] if accepted else ["connecteam.base_url"])
    assert "word" not in str(found) or "password" in str(found)


def test_readers_must_be_told_apart(write):
    """Two readers of one name, and two that would open the same hardware, are problems; two simulated ones are not."""
    found = problems(
        write(
            MINIMAL
            + """
[[readers]]
name = "a"
driver = "simulated"
[[readers]]
name = "a"
driver = "simulated"
[[readers]]
name = "b"
driver = "pcsc"
[[readers]]
name = "c"
driver = "pcsc"
[[readers]]
name = "d"
driver = "pcsc"
match = "Omnikey"
"""
        )
    )
    assert [problem.key for problem in found] == ["readers[2].name", "readers[4].match"]


def test_the_margin_must_leave_something_of_the_lookback(write):
    """A margin that eats the whole look-back would send nothing live."""
    problem = only(write(MINIMAL + "lookback_hours = 0.5\nlookback_margin_minutes = 30"))
    assert problem.key == "connecteam.lookback_margin_minutes"


# --- the file itself ------------------------------------------------------------------------------


def test_broken_toml_names_its_line(write):
    """A syntax error says in which line."""
    assert only(write("[kiosk]\nname = front\n")).key == "line 2"
    assert only(write('[kiosk]\nname = """front')).key == "last line"


def test_other_files_that_are_none(write, tmp_path):
    """A missing file, a directory, bytes that are no text, and something huge are problems, not tracebacks."""
    assert "No such file" in only(tmp_path / "none.toml").text
    assert "directory" in only(tmp_path).text
    assert "UTF-8" in only(write(b"\xff\xfe")).text
    assert "longer" in only(write("#" * 1_000_001)).text
    assert {problem.key for problem in problems(write(""))} == {
        "kiosk.name", "kiosk.timezone", "connecteam.time_clock_id", "connecteam.api_key_file",
    }  # fmt: skip


def test_a_state_dir_that_is_a_file(write, tmp_path):
    """A file where the directory should be is named."""
    assert only(write(MINIMAL), STATE_DIRECTORY=str(tmp_path / "key")).key == "kiosk.state_dir"


def test_a_config_is_whole_or_not_there(write):
    """There is a Config exactly when there are no problems."""
    assert isinstance(examine(write(MINIMAL), {}).config, Config)
    assert examine(write("[kiosk]"), {}).config is None


def test_an_admin_group_must_exist(write):
    """A group that is there is taken; one that is not is told before the service starts, with how to make it."""
    own = grp.getgrgid(os.getgid()).gr_name
    assert load(write(MINIMAL.replace("[kiosk]", f'[kiosk]\nadmin_group = "{own}"')), {}).kiosk.admin_group == own
    assert load(write(MINIMAL), {}).kiosk.admin_group is None
    problem = only(write(MINIMAL.replace("[kiosk]", '[kiosk]\nadmin_group = "nobody-has-this"')))
    assert (problem.key, problem.remedy) == ("kiosk.admin_group", "groupadd --system nobody-has-this")


@pytest.mark.parametrize("name", ["closed", "x" * 300])
def test_what_may_not_even_be_looked_at_is_a_problem_and_no_fault(name):
    """A path in a directory that is closed to this user, or no path at all: named, each with its remedy."""
    user = os.geteuid()
    # pytest's own folders are closed to everybody else.
    with tempfile.TemporaryDirectory() as folder:
        place, path = Path(folder) / name, Path(folder) / "punchd.toml"
        paths = (
            f'state_dir = "{place / "state"}"\n[copy]\npath = "{place / "c"}"\n[alerts]\ncommand = ["{place / "a"}"]'
        )
        zone = 'timezone = "Europe/Amsterdam"'
        path.write_text(MINIMAL.replace(zone, f"{zone}\n{paths}").replace('api_key_file = "key"', ""))
        path.chmod(0o644)
        Path(folder).chmod(0o755)
        if name == "closed":
            place.mkdir(mode=0o700 if user == 0 else 0)
        try:
            if user == 0:
                os.seteuid(65534)
            found = {one.key: one for one in problems(path, CREDENTIALS_DIRECTORY=str(place / "credentials"))}
        finally:
            os.seteuid(user)
            if name == "closed":
                place.chmod(0o700)
    assert set(found) == {"alerts.command", "credential connecteam-api-key"}
    assert all(one.text and one.remedy for one in found.values())
