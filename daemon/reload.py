"""SIGHUP: take up what can change while taps go on, and say plainly what needs a restart.

At once: the key (its file is read again), requests_per_minute and _day, [attendance], and each reader's direction and
job_id. Everything else needs `systemctl restart punchd`. A file with problems changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace

import structlog

from daemon.config import Config, examine
from daemon.config_spec import KEYS
from daemon.errors import ConfigError
from daemon.events import Events
from daemon.notify import Notifier

_log = structlog.get_logger()


class Reload:
    """Reloads on request. `apply` takes the configuration that is in force from then on; `reload_key` reads the key.

    `needs_restart` is filled with the keys that changed in the file and are not in force.
    """

    def __init__(
        self,
        config: Config,
        *,
        notifier: Notifier,
        events: Events,
        apply: Callable[[Config], None],
        reload_key: Callable[[], Awaitable[None]],
        needs_restart: list[str],
    ) -> None:
        self._config = config
        self._notifier, self._events = notifier, events
        self._apply, self._reload_key = apply, reload_key
        self._needs_restart = needs_restart

    async def run(self, asked: asyncio.Event) -> None:
        """One reload a request, one after the other, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Take up what can be taken up; the rest is named in the log, in `needs_restart` and to systemd."""
        self._notifier.reloading()
        self._config = self._changed()
        try:
            await self._reload_key()
        except ConfigError as error:
            _log.error("key.unreadable", error=error.message)
        self._events.publish("config.reloaded")
        waiting = " ".join(self._needs_restart)
        self._notifier.ready(f"reloaded; a restart is needed for {waiting}" if waiting else "reloaded")

    def _changed(self) -> Config:
        if self._config.path is None:
            return self._config
        examined = examine(self._config.path)
        if examined.config is None:
            for problem in examined.problems:
                _log.error("config.refused", key=problem.key, problem=problem.text, remedy=problem.remedy)
            return self._config
        config = merged(self._config, examined.config)
        self._needs_restart[:] = differences(config, examined.config)
        _log.info(
            "config.reloaded",
            changed=" ".join(differences(self._config, config)) or "nothing",
            needs_restart=" ".join(self._needs_restart) or "nothing",
        )
        self._apply(config)
        return config


def merged(now: Config, wanted: Config) -> Config:
    """The running configuration with those wanted values that can change while it runs."""
    readers = {reader.name: reader for reader in wanted.readers}
    return replace(
        now,
        attendance=wanted.attendance,
        connecteam=replace(
            now.connecteam,
            requests_per_minute=wanted.connecteam.requests_per_minute,
            requests_per_day=wanted.connecteam.requests_per_day,
        ),
        readers=tuple(
            replace(old, direction=readers[old.name].direction, job_id=readers[old.name].job_id)
            if old.name in readers
            else old
            for old in now.readers
        ),
    )


def differences(one: Config, other: Config) -> list[str]:
    """The keys in which two configurations differ, as the file names them, such as "connecteam.timeout_seconds"."""
    left, right = asdict(one), asdict(other)
    found = []
    for part, value in left.items():
        if isinstance(value, dict):
            found += [_key(part, name) for name in value if value[name] != right[part][name]]
        elif value != right[part]:
            found.append(_key("", part))
    return found


def _key(section: str, field: str) -> str:
    """The key that a field of Config comes from: a unit (`_s`) has a word there, and a lone field its section."""
    for key in KEYS:
        names = {key.name, f"{key.section}_{key.name}"} if not section else {key.name}
        if field.endswith("_s"):
            names.add(f"{key.name.rpartition('_')[0]}_s")
        if section in ("", key.section) and field in names:
            return f"{key.section}.{key.name}"
    return f"{section}.{field}" if section else field
