"""Builds what looks after the state directory, and what tells alarms outside, from the configuration."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Sequence

from daemon.alarms import Alarm, Alarms
from daemon.alerts.alerts import Alerts
from daemon.alerts.channel import Channel
from daemon.alerts.command import Command
from daemon.alerts.deciding import Quiet, Rules
from daemon.alerts.webhook import Webhook
from daemon.clock import Timekeeper
from daemon.config import Config
from daemon.keeping import DiskWatch, QueueWatch, RetentionWatch
from daemon.queue.database import Database
from daemon.silence import Listening, SilenceWatch

Watch = tuple[str, Callable[[], Awaitable[None]]]


def upkeep(
    config: Config,
    database: Database,
    timekeeper: Timekeeper,
    alarms: Alarms,
    rng: random.Random,
    tls: Callable[[], ssl.SSLContext],
    readers: Callable[[], Sequence[Listening]],
) -> tuple[Watch, ...]:
    """The watches by name; they hear of alarms beside whoever heard of them before. `tls` is asked only for a url."""
    disk = DiskWatch(config.kiosk.state_dir, alarms=alarms)
    queue = QueueWatch(config.alerts.queue_hours, database=database, timekeeper=timekeeper, alarms=alarms)
    retention = RetentionWatch(config.delivered_days, database=database, timekeeper=timekeeper)
    silence = SilenceWatch(
        config.alerts.silent_reader_hours, readers=readers, database=database, timekeeper=timekeeper, alarms=alarms
    )
    watches: list[Watch] = [("disk", disk.run), ("queue_age", queue.run), ("retention", retention.run)]
    watches.append(("silence", silence.run))
    listeners = [alarms.on_change, disk.heard]
    channels = _channels(config, tls)
    if channels:
        quiet = None if config.alerts.quiet is None else Quiet(*config.alerts.quiet, config.kiosk.timezone)
        alerts = Alerts(
            channels,
            Rules(config.alerts.gap_s, quiet),
            kiosk=config.kiosk.name,
            database=database,
            timekeeper=timekeeper,
            alarms=alarms,
            rng=rng,
        )
        watches.append(("alerts", alerts.run))
        listeners.append(alerts.heard)

    def tell(alarm: Alarm, raised: bool) -> None:
        for listener in listeners:
            listener(alarm, raised)

    alarms.on_change = tell
    return tuple(watches)


def _channels(config: Config, tls: Callable[[], ssl.SSLContext]) -> dict[str, Channel]:
    """The ways out that are configured, by the names of their keys."""
    channels: dict[str, Channel] = {}
    if config.alerts.url is not None and config.alerts.secret_file is not None:
        channels["url"] = Webhook(config.alerts.url, config.alerts.secret_file, tls=tls())
    if config.alerts.command:
        channels["command"] = Command(config.alerts.command)
    return channels
