"""What is advised of a configuration that works, and that a sound one gets no advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.config import AttendanceConfig, Config, ConnecteamConfig, KioskConfig, ReaderConfig
from daemon.config_advice import advise
from daemon.config_alerts import AlertsConfig
from daemon.model import ReaderDirection

IN, OUT = ReaderDirection.CLOCK_IN, ReaderDirection.CLOCK_OUT
SOUND = Config(
    kiosk=KioskConfig("door", ZoneInfo("Europe/Amsterdam"), Path("/var/lib/punchd"), Path("/run/punchd")),
    connecteam=ConnecteamConfig(12345, api_key_file=Path("/etc/punchd/key")),
    readers=(ReaderConfig("in", "pcsc", direction=IN), ReaderConfig("out", "evdev", direction=OUT)),
    alerts=AlertsConfig(command=("/bin/true",)),
    path=Path("/etc/punchd/punchd.toml"),
)


def test_a_sound_configuration_gets_no_advice():
    """Fixed directions, alarms that leave the box, a disk, a year of punches."""
    assert advise(SOUND) == ()


@pytest.mark.parametrize(
    ("config", "key", "words", "remedy"),
    [
        (replace(SOUND, readers=(ReaderConfig("door", "pcsc"),)), "readers.direction", "door: where another kiosk",
         "fixed directions are safer"),
        (replace(SOUND, readers=()), "readers", "nobody can tap", "[[readers]]"),
        (replace(SOUND, readers=(ReaderConfig("door", "simulated", direction=IN),)), "readers.driver", "for anybody",
         "pcsc"),
        (replace(SOUND, attendance=AttendanceConfig(repeat_tap_s=0)), "attendance.repeat_tap_seconds", "two punches",
         "at least"),
        (replace(SOUND, alerts=AlertsConfig()), "alerts", "nobody is told", "command"),
        (replace(SOUND, delivered_days=30), "retention.delivered_days", "30 days", "at least 62"),
        (replace(SOUND, kiosk=replace(SOUND.kiosk, state_dir=Path("/tmp/punchd"))), "kiosk.state_dir", "power cut",
         "on a disk"),
    ],
)  # fmt: skip
def test_each_is_told_by_itself_with_place_and_remedy(config, key, words, remedy):
    """One piece of advice, at its key, with what may come of it and what is safer."""
    (one,) = advise(config)
    assert (one.file, one.key) == (SOUND.path, key)
    assert words in one.text
    assert remedy in one.remedy
    assert str(one) == f"/etc/punchd/punchd.toml: {key}: {one.text}; {one.remedy}"


@pytest.mark.parametrize(
    "config",
    [
        replace(SOUND, delivered_days=0),
        replace(SOUND, delivered_days=62),
        replace(SOUND, alerts=AlertsConfig(url="https://example.org")),
        # A model of the service on loopback is what a simulated reader is for.
        replace(SOUND, readers=(ReaderConfig("door", "simulated", direction=IN),),
                connecteam=replace(SOUND.connecteam, base_url="http://127.0.0.1:8099")),
        replace(SOUND, kiosk=replace(SOUND.kiosk, state_dir=Path("/tmpfiles/punchd"))),
    ],
)  # fmt: skip
def test_what_is_well_on_the_edge_is_left_alone(config):
    """0 keeps all; a url is as good as a command; two months suffice."""
    assert advise(config) == ()
