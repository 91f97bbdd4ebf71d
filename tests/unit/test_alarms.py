"""What stands, each thing once: raised once, since its beginning, and over once."""

from __future__ import annotations

from daemon.alarms import Alarms


def test_each_is_raised_once_and_over_once():
    """Set again it has the newest text and its first moment; cleared again, or never raised, it says nothing."""
    now, told = [100.0], []
    alarms = Alarms(lambda: now[0], lambda alarm, raised: told.append((alarm.code, alarm.text, raised)))
    alarms.clear("halted")
    alarms.set("halted", "no key")
    now[0] = 200.0
    alarms.set("halted", "a wrong key")
    alarms.set("disk_low", "full")
    assert [(one.code, one.since, one.text) for one in alarms.standing()] == [
        ("halted", 100.0, "a wrong key"), ("disk_low", 200.0, "full"),
    ]  # fmt: skip
    alarms.clear("halted")
    alarms.clear("halted")
    assert told == [("halted", "no key", True), ("disk_low", "full", True), ("halted", "a wrong key", False)]
    assert [one.code for one in alarms.standing()] == ["disk_low"]
