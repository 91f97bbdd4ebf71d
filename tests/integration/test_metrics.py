"""The numbers, as a monitoring system reads them: through both sockets and on the loopback port."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from daemon.control.openmetrics import CONTENT_TYPE
from daemon.tallies import Tallies
from daemon.timesheets.counted import Counted
from daemon.timesheets.timesheet import Capabilities, OpenShift, Probe, Proven, Reply, Step
from tests.support.kiosk import Stage, open_kiosk

BADGE = "04A2B3C4D5E680"
Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_kiosk() as stage:
        yield stage


async def scrape(path: Path) -> tuple[str, str]:
    """The content type and the text."""
    connector = aiohttp.UnixConnector(os.fspath(path))
    async with aiohttp.ClientSession("http://punchd", connector=connector) as http, http.get("/metrics") as response:
        assert response.status == 200
        return response.headers["Content-Type"], await response.text()


def numbers(text: str) -> Numbers:
    """Every sample by name and labels, read by the reference parser, which raises for whatever is not OpenMetrics."""
    assert text.endswith("# EOF\n")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(found: Numbers, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


async def test_both_sockets_serve_valid_openmetrics(stage: Stage) -> None:
    """The exact content type, and a text that the strict reference parser accepts whole."""
    for path in (stage.status, stage.control):
        content_type, text = await scrape(path)
        assert content_type == CONTENT_TYPE == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert one(numbers(text), "punchd_build_info", version="9.9.9", python=os.sys.version.split()[0]) == 1


async def test_curl_reads_them_and_is_told_of_what_it_may_not_ask(stage: Stage) -> None:
    """curl with nothing but the socket; a parameter is refused like everywhere."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (apt-get install curl)")
    for target, status, last in (("/metrics", b"200", b"# EOF"), ("/metrics?name=x", b"422", None)):
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "-w", "%{http_code}", "--unix-socket", os.fspath(stage.status), f"http://punchd{target}",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert out.endswith(status)
        assert last is None or last in out


async def test_they_tell_what_happened(stage: Stage) -> None:
    """Queue, taps by result and reason, moves by reason, readers, budget, clock, alarms, delivery's state, sizes."""
    await stage.kiosk.directory.add("7", "Ada Lovelace", badge=BADGE, by="test")
    await stage.kiosk.directory.block("11223344", by="test")
    for badge in (BADGE, BADGE, "99887766", "11223344"):
        await stage.kiosk.readers.tap("front", badge, None)
    stage.clock.advance(120)
    stage.kiosk.events.publish("punch.review", punch_id="x", user_id="7", reason="not_assigned")
    stage.kiosk.events.publish("punch.delivered", punch_id="y", user_id="7", reason=None)
    stage.kiosk.tallies.note_request("open_shift", "done")
    stage.kiosk.alarms.set("review_waiting", "1 punch needs a person.")
    now = stage.kiosk.timekeeper.now()
    standing = stage.delivery.standing
    standing.budget = {"minute_limit": 60, "minute_remaining": 12, "day_limit": None, "day_remaining": None}
    standing.snapshot_at, standing.state = now - 5, "halted"
    found = numbers((await scrape(stage.status))[1])
    assert one(found, "punchd_queue_punches", state="pending") == 1
    assert one(found, "punchd_queue_punches", state="review") == 0
    assert one(found, "punchd_queue_oldest_pending_age_seconds") == 120
    assert one(found, "punchd_taps_total", result="accepted", reason="") == 1
    assert one(found, "punchd_taps_total", result="repeat", reason="repeat_tap") == 1
    assert one(found, "punchd_taps_total", result="unknown_badge", reason="unknown_badge") == 1
    assert one(found, "punchd_taps_total", result="refused", reason="badge_blocked") == 1
    assert one(found, "punchd_punch_moves_total", state="review", reason="not_assigned") == 1
    assert one(found, "punchd_punch_moves_total", state="delivered", reason="") == 1
    assert one(found, "punchd_requests_total", step="open_shift", outcome="done") == 1
    assert one(found, "punchd_reader_taps_total", reader="front", driver="simulated") == 4
    assert one(found, "punchd_reader_errors_total", reader="door", driver="pcsc") == 0
    assert one(found, "punchd_reader_state", reader="front", driver="simulated", state="open") == 1
    assert one(found, "punchd_budget_remaining", window="minute") == 12
    assert ("punchd_budget_remaining", (("window", "day"),)) not in found
    assert one(found, "punchd_snapshot_age_seconds") == 5
    assert one(found, "punchd_delivery_state", state="halted") == 1
    assert one(found, "punchd_clock_trusted") == 1
    assert one(found, "punchd_clock_error_seconds") == 0.5
    assert one(found, "punchd_alarms") == 1
    assert one(found, "punchd_alarm_since_seconds", code="review_waiting") == now
    assert one(found, "punchd_database_size_bytes", file="main") > 0
    assert one(found, "punchd_disk_free_bytes") > 0
    assert one(found, "punchd_event_loop_lag_seconds") >= 0


async def test_no_badge_and_nobodys_name_is_in_them(stage: Stage) -> None:
    """Not of known people, not of unknown badges, on either socket."""
    await stage.kiosk.directory.add("9170357", "Ada Lovelace", badge=BADGE, by="test")
    for badge in (BADGE, "99887766554433"):
        await stage.kiosk.readers.tap("front", badge, None)
    for path in (stage.status, stage.control):
        text = (await scrape(path))[1]
        assert not [word for word in (BADGE, "99887766554433", "Lovelace", "9170357") if word in text]


async def test_a_reader_may_have_any_name(stage: Stage) -> None:
    """Quotes, backslashes and line ends in a label are escaped, so that one name does not spoil the rest."""
    nasty = 'a"b\\c\nd'
    stage.kiosk.alarms.set(nasty, "x")
    assert one(numbers((await scrape(stage.status))[1]), "punchd_alarm_since_seconds", code=nasty) > 0


async def test_a_closed_database_is_503(stage: Stage) -> None:
    """A scrape that cannot be whole fails as a whole."""
    await stage.kiosk.database.close()
    connector = aiohttp.UnixConnector(os.fspath(stage.status))
    async with aiohttp.ClientSession("http://punchd", connector=connector) as http, http.get("/metrics") as response:
        assert response.status == 503


# --- the port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(port: int, target: str, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.request(method, f"http://127.0.0.1:{port}{target}") as response:
        return response.status, await response.text()


async def test_the_port_serves_metrics_and_nothing_else() -> None:
    """Whoever reaches it learns the numbers; people, punches and everything that acts are not there."""
    port = free_port()
    async with open_kiosk(metrics_listen=f"127.0.0.1:{port}") as stage:
        assert stage.sockets.metrics.address == ("127.0.0.1", port)
        status, text = await get(port, "/metrics")
        assert status == 200
        assert one(numbers(text), "punchd_alarms") == 0
        for method, target, expected in (
            ("GET", "/v1/status", 404), ("GET", "/v1/punches", 404), ("GET", "/", 404), ("POST", "/v1/sync/pause", 404),
            ("POST", "/metrics", 405),
        ):  # fmt: skip
            assert (await get(port, target, method))[0] == expected
        assert stage.delivery.asked == []
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(port, "/metrics")


async def test_no_port_is_open_unless_asked_for(stage: Stage) -> None:
    """Off by default."""
    assert stage.sockets.metrics.address is None


async def test_a_taken_port_stops_nobody_from_tapping() -> None:
    """It is an alarm with its remedy; the sockets serve, and taps are taken."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        async with open_kiosk(metrics_listen=f"127.0.0.1:{other.getsockname()[1]}") as stage:
            assert [alarm.code for alarm in stage.kiosk.alarms.standing()] == ["metrics_unavailable"]
            assert "[metrics]" in stage.kiosk.alarms.standing()[0].text
            assert (await stage.kiosk.readers.tap("front", BADGE, None)).result == "unknown_badge"


# --- counting


class Service:
    """A timesheet that proves itself, or fails."""

    capabilities = Capabilities(live=True, lookback_s=None, close_late=False)
    closed = False

    async def carry_out(self, step: Step) -> Reply:
        if isinstance(step, Probe):
            return Reply(Proven())
        raise RuntimeError("a fault of ours")

    def abandon(self) -> bool:
        return True

    async def reload_key(self) -> bool:
        return True

    async def aclose(self) -> None:
        self.closed = True


async def test_requests_are_counted_by_what_came_of_them() -> None:
    """Also one that broke off: it may have left. Everything else passes through."""
    tallies, service = Tallies(), Service()
    counted = Counted(service, tallies.note_request)
    await counted.carry_out(Probe())
    with pytest.raises(RuntimeError):
        await counted.carry_out(OpenShift("7", 1))
    assert dict(tallies.requests) == {("probe", "proven"): 1, ("open_shift", "unanswered"): 1}
    assert (counted.capabilities, await counted.reload_key()) == (service.capabilities, True)
    await counted.aclose()
    assert service.closed


async def test_a_burst_larger_than_any_backlog_is_counted_whole(stage: Stage) -> None:
    """Counters do not go through a queue that may drop."""
    before = stage.kiosk.tallies.moves["held", "clock_untrusted"]
    for _ in range(5000):
        stage.kiosk.events.publish("punch.held", reason="clock_untrusted")
    assert stage.kiosk.tallies.moves["held", "clock_untrusted"] == before + 5000


async def test_the_lag_is_the_worst_of_the_last_minute() -> None:
    """A stall is seen at the next scrape, and forgotten when a minute has passed."""
    tallies, now = Tallies(), 0.0
    stalls = [0.25, *[0.0] * 11, 0.0]
    seen: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        if seen:
            seen.append(tallies.lag_s)
        if not stalls:
            raise asyncio.CancelledError
        seen[:] = seen or [tallies.lag_s]
        now += seconds + stalls.pop(0)

    with pytest.raises(asyncio.CancelledError):
        await tallies.watch_lag(lambda: now, sleep)
    assert seen == [0.0, *[0.25] * 12, 0.0]
