"""Builds the service in order, runs it, and stops it in order. Alone knows concrete classes; daemon/cli.py calls it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import structlog

from daemon import __version__
from daemon.alarms import Alarm, Alarms
from daemon.clock import Clock, SystemClock, Timekeeper
from daemon.config import Config, ReaderConfig
from daemon.control.kiosk import Kiosk
from daemon.control.server import Sockets
from daemon.delivery.knowledge import View
from daemon.delivery.loop import Delivery
from daemon.delivery.policy import CLOSE_WITHIN_S, CLOSE_WITHIN_SLOW_S, Policy
from daemon.events import Events
from daemon.intake.attendance import ServerView
from daemon.intake.decisions import Decisions
from daemon.intake.directory import Directory
from daemon.intake.intake import Intake
from daemon.intake.readers import Readers
from daemon.intake.rules import Rules
from daemon.keeping import CopyWatch, SalvageWatch
from daemon.lock import InstanceLock
from daemon.log import Secrets
from daemon.notify import Notifier
from daemon.queue.database import Database
from daemon.queue.records import doubt_of, list_trusts
from daemon.queue.salvaged import Seen
from daemon.reload import Reload
from daemon.service import Orders, Parts, Service
from daemon.tallies import Tallies
from daemon.timesheets.connecteam.client import system_tls
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.counted import Counted
from daemon.upkeep import upkeep
from daemon.watches import ClockWatch, DatabaseWatch, StatusLine, Watchdog, watch_links
from drivers.pcsc import PcscReader
from drivers.reader import EvidenceSource, Reader
from drivers.scanner import ScannerReader
from drivers.simulated import SimulatedReader

T = TypeVar("T")

#: A start that takes long (a large migration, a slow card) tells systemd this often, and asks for thrice as long.
STARTING_EVERY_S = 10.0

MakeReader = Callable[[ReaderConfig, EvidenceSource], Reader]


def make_reader(config: ReaderConfig, evidence: EvidenceSource) -> Reader:
    """The reader a configuration names. What its driver needs is looked for when it is opened, not here."""
    drivers: dict[str, Callable[[str, EvidenceSource, str], Reader]] = {
        "simulated": SimulatedReader,
        "pcsc": PcscReader,
        "evdev": ScannerReader,
    }
    return drivers[config.driver](config.name, evidence, config.match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service stands on: the real machine by default; tests put simulated parts in their places.

    `outside` is whether sockets are opened and links watched.
    """

    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.SystemRandom)
    notifier: Notifier = field(default_factory=lambda: Notifier(None))
    transport: httpx.AsyncBaseTransport | None = None
    make_reader: MakeReader = make_reader
    secrets: Secrets = field(default_factory=Secrets)
    inline_database: bool = False
    outside: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A built service and the parts that are spoken to."""

    service: Service
    kiosk: Kiosk
    intake: Intake


async def run(config: Config, around: Surroundings) -> None:
    """Run one kiosk until SIGTERM or SIGINT; SIGHUP reloads.

    Raises AlreadyRunningError, StorageError, ConfigError at the start, FatalError after an orderly stop, sqlite3.Error
    where the database cannot even be closed.
    """
    orders, loop = Orders(), asyncio.get_running_loop()
    reactions = {signal.SIGTERM: orders.stop.set, signal.SIGINT: orders.stop.set, signal.SIGHUP: orders.reload.set}
    with ExitStack() as undo:
        # Before anything is opened: a stop during a long migration waits for it instead of cutting it off.
        for number, reaction in reactions.items():
            loop.add_signal_handler(number, reaction)
            undo.callback(loop.remove_signal_handler, number)
        undo.enter_context(InstanceLock(config.kiosk.state_dir))
        built = await build(config, around, orders)
        await built.service.run()


async def build(config: Config, around: Surroundings, orders: Orders) -> Built:
    """Build everything in order. The caller holds the lock of the state directory, and runs the service.

    The service closes all again. Raises StorageError and its kinds.
    """
    now = around.clock.now()
    opening = Database.open(
        config.database,
        inline=around.inline_database,
        copy=config.second_copy,
        seen=Seen(now.wall_s, known=now.synchronised),
    )
    database = await _patiently(around.notifier, opening)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(database.close)
        boot_id = around.clock.now().boot_id
        doubt = await database.read(lambda conn: doubt_of(conn, boot_id))
        timekeeper = Timekeeper(around.clock, await database.read(list_trusts), doubt=doubt)
        built = _assemble(config, around, orders, database, timekeeper)
        undo.pop_all()
        return built


def _assemble(
    config: Config, around: Surroundings, orders: Orders, database: Database, timekeeper: Timekeeper
) -> Built:
    """Every part, each from those before it."""
    started = around.clock.now()
    alarms, events, tallies = Alarms(timekeeper.now), Events(timekeeper.now), Tallies()
    events.on_event = tallies.hear
    alarms.on_change = _told(events)
    timesheet = ConnecteamTimesheet(
        config.connecteam,
        kiosk=config.kiosk.name,
        zone=config.kiosk.timezone,
        transport=around.transport,
        on_secret=around.secrets.add,
    )
    delivery = Delivery(
        db=database,
        timesheet=Counted(timesheet, tallies.note_request),
        timekeeper=timekeeper,
        policy=policy_of(config),
        alarms=alarms,
        events=events,
        rng=around.rng,
        requests_per_minute=config.connecteam.requests_per_minute,
        requests_per_day=config.connecteam.requests_per_day,
        zone=config.kiosk.timezone,
    )
    intake = Intake(
        database,
        timekeeper,
        attendance=config.attendance,
        readers=config.readers,
        alarms=alarms,
        events=events,
        chance=around.rng,
        on_punch=lambda punch: delivery.wake(punch.user_id),
        server_view=lambda user_id: server_view(delivery.seen(user_id)),
    )
    readers = Readers(
        config.readers,
        intake,
        # The bare clock: drivers read it in threads of their own, as close to the metal as possible.
        make_reader=lambda one: around.make_reader(one, around.clock.now),
        alarms=alarms,
        events=events,
        now=timekeeper.now,
        rng=around.rng,
    )
    kiosk = Kiosk(
        config=config,
        version=__version__,
        started=started,
        database=database,
        directory=Directory(database, intake, events=events, on_change=delivery.people_changed),
        readers=readers,
        delivery=delivery,
        decisions=Decisions(database, intake, timekeeper),
        alarms=alarms,
        events=events,
        timekeeper=timekeeper,
        tallies=tallies,
    )
    reload = Reload(
        config,
        notifier=around.notifier,
        events=events,
        apply=lambda changed: apply(changed, intake, delivery, around.secrets),
        reload_key=delivery.reload,
        needs_restart=kiosk.needs_restart,
    )
    hide_secrets(config, around.secrets)
    parts = Parts(
        database=database,
        timesheet=timesheet,
        delivery=delivery,
        sockets=Sockets(kiosk, admin_group=config.kiosk.admin_group) if around.outside else None,
        readers=readers,
        close_intake=intake.close,
        watches=_watches(kiosk, intake, delivery, around, readers, lambda: reload.run(orders.reload)),
        alarms=alarms,
        events=events,
    )
    return Built(service=Service(parts, orders, notifier=around.notifier, rng=around.rng), kiosk=kiosk, intake=intake)


def apply(config: Config, intake: Intake, delivery: Delivery, secrets: Secrets) -> None:
    """Put what a reload may change into force."""
    intake.rules = Rules.of(config.attendance, config.readers)
    delivery.change_rules(policy_of(config))
    delivery.pacer.requests_per_minute = config.connecteam.requests_per_minute
    delivery.pacer.requests_per_day = config.connecteam.requests_per_day
    hide_secrets(config, secrets)


def hide_secrets(config: Config, secrets: Secrets) -> None:
    """Keep the key out of the log, whoever would write it there. A file that cannot be read holds nothing to hide."""
    service = config.connecteam
    for path in (service.api_key_file, service.oauth_client_secret_file, config.alerts.secret_file):
        if path is not None:
            with suppress(OSError, UnicodeDecodeError):
                secrets.add(path.read_text().strip())


def server_view(seen: tuple[View, float | None] | None) -> ServerView | None:
    """What the service last said of a person, as the intake asks for it."""
    if seen is None:
        return None
    view, settled_at = seen
    return ServerView(
        requested_at=view.requested_at,
        settled_at=settled_at,
        open_since=max((r.start for r in view.records if r.end is None), default=None),
        auto_ended_start=max((r.start for r in view.records if r.auto_ended and r.started_by == "api"), default=None),
    )


def policy_of(config: Config) -> Policy:
    """The planner's rules, from the configuration."""
    return Policy(
        max_shift_s=config.attendance.max_shift_s,
        lookback_s=config.connecteam.lookback_s,
        margin_s=config.connecteam.lookback_margin_s,
        settle_s=config.connecteam.settle_s,
        after_auto_clock_out=config.attendance.after_auto_clock_out,
        close_late_by_update=config.connecteam.close_late_by_update,
        backoff_max_s=config.connecteam.backoff_max_s,
        close_within_s=CLOSE_WITHIN_S if config.connecteam.requests_per_minute > 1 else CLOSE_WITHIN_SLOW_S,
        answer_s=config.connecteam.timeout_s,
        batch_pairs=config.connecteam.batch_pairs,
        snapshots=any(reader.direction.fixed is None for reader in config.readers),
    )


Watch = tuple[str, Callable[[], Awaitable[None]]]


def _watches(
    kiosk: Kiosk,
    intake: Intake,
    delivery: Delivery,
    around: Surroundings,
    readers: Readers,
    reload: Callable[[], Awaitable[None]],
) -> tuple[Watch, ...]:
    """What is looked after beside the work, by name."""
    clock = ClockWatch(
        database=kiosk.database,
        timekeeper=kiosk.timekeeper,
        alarms=kiosk.alarms,
        events=kiosk.events,
        settle_times=intake.settle_times,
        wake=delivery.wake,
    )
    kiosk.timekeeper.on_change = clock.changed
    status = StatusLine(
        notifier=around.notifier,
        database=kiosk.database,
        events=kiosk.events,
        state=lambda: delivery.status().state,
    )
    watchdog = Watchdog(notifier=around.notifier, database=kiosk.database, stuck=readers.stuck)
    database = DatabaseWatch(database=kiosk.database, alarms=kiosk.alarms, events=kiosk.events)
    copy = CopyWatch(database=kiosk.database, alarms=kiosk.alarms)
    always: tuple[Watch, ...] = (
        ("clock", clock.run),
        ("database_check", database.run),
        ("copy", copy.run),
        ("salvage", SalvageWatch(database=kiosk.database, alarms=kiosk.alarms).run),
        ("reload", reload),
    )
    if not around.outside:
        return always
    return (
        *always,
        *upkeep(kiosk.config, kiosk.database, kiosk.timekeeper, kiosk.alarms, around.rng, system_tls, readers.status),
        ("status_line", status.run),
        ("event_loop", kiosk.tallies.watch_lag),
        ("watchdog", watchdog.run),
        ("links", lambda: watch_links(delivery.network_changed)),
    )


async def _patiently(notifier: Notifier, opening: Coroutine[object, object, T]) -> T:
    """Wait for the database to open, and let systemd wait as well."""
    task = asyncio.ensure_future(opening)
    while not (await asyncio.wait([task], timeout=STARTING_EVERY_S))[0]:
        notifier.status("opening the database")
        notifier.extend(3 * STARTING_EVERY_S)
    return task.result()


def _told(events: Events) -> Callable[[Alarm, bool], None]:
    """Alarms are events and lines in the log, each once."""
    log = structlog.get_logger()

    def tell(alarm: Alarm, raised: bool) -> None:
        events.publish("alarm.raised" if raised else "alarm.cleared", code=alarm.code, text=alarm.text)
        if raised:
            log.warning("alarm.raised", code=alarm.code, text=alarm.text)
        else:
            log.info("alarm.cleared", code=alarm.code)

    return tell
