"""OAuth apps and the jobs tree, against the sandbox over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.config import ConnecteamConfig
from daemon.timesheets.connecteam.oauth import SCOPES
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.timesheet import (
    Done,
    KeyRefused,
    LookUp,
    NotSent,
    OpenShift,
    Probe,
    Proven,
    RecordShift,
    Refused,
    Throttled,
)
from sandbox.connecteam.limits import Plan
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.server import SandboxServer

ANNA = "9170357"
SECRET = "s3cret/with+signs:and=more"
TOKEN = "/oauth/v1/token"


class Steady:
    """A clock in seconds, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def kiosk(
    tmp_path: Path,
    sandbox: Sandbox,
    *,
    clock: Steady | None = None,
    key: str | None = None,
    told: list[str] | None = None,
) -> AsyncIterator[ConnecteamTimesheet]:
    """A timesheet on this sandbox: with the OAuth app "app", or with an API key."""
    (tmp_path / "secret").write_text(SECRET if key is None else key)
    sandbox.company.add_user(ANNA, "Anna Visser")
    if "app" not in sandbox.company.access.apps:
        sandbox.company.access.add_app("app", SECRET)
    async with SandboxServer(sandbox) as server:
        credentials: dict[str, Any] = (
            {"oauth_client_id": "app", "oauth_client_secret_file": tmp_path / "secret"}
            if key is None
            else {"api_key_file": tmp_path / "secret"}
        )
        config = ConnecteamConfig(time_clock_id=TIME_CLOCK_ID, base_url=server.url, timeout_s=5, **credentials)
        made = ConnecteamTimesheet(
            config,
            kiosk="front-door",
            zone=ZoneInfo("Europe/Amsterdam"),
            on_secret=(told if told is not None else []).append,
            monotonic=clock or Steady(),
        )
        try:
            yield made
        finally:
            await made.aclose()


def asked(sandbox: Sandbox, path: str) -> int:
    return sum(entry.request.path == path for entry in sandbox.log.entries)


# --- the token ------------------------------------------------------------------------------------


async def test_one_token_serves_many_requests_and_asks_for_five_scopes(tmp_path: Path) -> None:
    """Taken when first needed, shared by requests that come together, kept."""
    sandbox = Sandbox()
    async with kiosk(tmp_path, sandbox) as made:
        replies = await asyncio.gather(*(made.carry_out(Probe()) for _ in range(3)))
        assert all(isinstance(reply.outcome, Proven) for reply in replies)
        assert isinstance((await made.carry_out(OpenShift(ANNA, int(sandbox.clock.now()) - 60))).outcome, Done)
        assert asked(sandbox, TOKEN) == 1
        (token,) = sandbox.company.access.tokens.values()
        assert token.scopes == set(SCOPES)
        assert len(SCOPES) == 5


async def test_a_token_is_renewed_before_its_end(tmp_path: Path) -> None:
    """Ten minutes before the day is over, by a clock that neither steps nor stops."""
    sandbox, clock = Sandbox(), Steady()
    async with kiosk(tmp_path, sandbox, clock=clock) as made:
        await made.carry_out(Probe())
        clock.at += 86400 - 601
        await made.carry_out(Probe())
        assert asked(sandbox, TOKEN) == 1
        clock.at += 2
        assert isinstance((await made.carry_out(Probe())).outcome, Proven)
        assert asked(sandbox, TOKEN) == 2


async def test_a_token_that_ended_early_costs_one_request_not_a_halt(tmp_path: Path) -> None:
    """A 401 for a token in use drops it: nothing was done, the next request takes a new one. A young one halts."""
    sandbox, clock = Sandbox(), Steady()
    step = OpenShift(ANNA, int(sandbox.clock.now()) - 60)
    async with kiosk(tmp_path, sandbox, clock=clock) as made:
        await made.carry_out(Probe())
        clock.at += 3600
        sandbox.company.access.tokens.clear()
        assert isinstance((await made.carry_out(step)).outcome, NotSent)
        assert sandbox.timesheet() == []
        assert isinstance((await made.carry_out(step)).outcome, Done)
        sandbox.company.access.tokens.clear()
        assert isinstance((await made.carry_out(Probe())).outcome, KeyRefused)


async def test_an_app_that_is_refused_halts(tmp_path: Path) -> None:
    """A wrong secret and missing scopes are refused keys, in the service's words; a new secret is taken on reload."""
    sandbox = Sandbox()
    sandbox.company.access.add_app("app", "another secret")
    async with kiosk(tmp_path, sandbox) as made:
        outcome = (await made.carry_out(OpenShift(ANNA, 1))).outcome
        assert isinstance(outcome, KeyRefused)
        assert "Invalid client" in outcome.detail
        assert await made.reload_key() is False
        sandbox.company.access.add_app("app", "third-secret", scopes=SCOPES[:3])
        (tmp_path / "secret").write_text("third-secret")
        assert await made.reload_key() is True
        outcome = (await made.carry_out(Probe())).outcome
        assert isinstance(outcome, KeyRefused)
        assert "time_clock.write" in outcome.detail
        sandbox.company.access.add_app("app", "third-secret")
        assert isinstance((await made.carry_out(Probe())).outcome, Proven)


async def test_a_token_with_fewer_scopes_than_asked_for_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers grant less without a word: said at once, not at the first punch."""
    sandbox = Sandbox()
    grant = sandbox.company.access.grant

    def less(*arguments: Any) -> Any:
        response = grant(*arguments)
        return type(response).of(200, response.document() | {"scope": "users.read jobs.read"})

    async with kiosk(tmp_path, sandbox) as made:
        monkeypatch.setattr(type(sandbox.company.access), "grant", lambda self, *arguments: less(*arguments))
        outcome = (await made.carry_out(Probe())).outcome
        assert isinstance(outcome, KeyRefused)
        assert "account_information.read time_clock.read time_clock.write" in outcome.detail


@pytest.mark.parametrize(
    "kind", ["drop", "reset", "status", "portal", "empty", "truncated", "torn", "redirect", "unplugged"]
)
async def test_without_a_token_nothing_was_sent(tmp_path: Path, kind: str) -> None:
    """Whatever happens to the token's request, the punch itself never left."""
    sandbox = Sandbox()
    async with kiosk(tmp_path, sandbox) as made:
        if kind == "unplugged":
            sandbox.cable.refuse()
        else:
            sandbox.faults.set(kind=kind, path=TOKEN)
        assert isinstance((await made.carry_out(OpenShift(ANNA, 1))).outcome, NotSent)
        assert asked(sandbox, f"/time-clock/v1/time-clocks/{TIME_CLOCK_ID}/clock-in") == 0
        sandbox.cable.restore()
        sandbox.faults.clear()
        assert isinstance((await made.carry_out(Probe())).outcome, Proven)


async def test_a_throttled_token_waits(tmp_path: Path) -> None:
    """The account's budget is one, whoever spends it."""
    sandbox = Sandbox()
    async with kiosk(tmp_path, sandbox) as made:
        sandbox.faults.set(kind="throttle", path=TOKEN)
        outcome = (await made.carry_out(Probe())).outcome
        assert isinstance(outcome, Throttled)
        assert outcome.until is not None


async def test_neither_secret_nor_token_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every secret is told to the log's filter, and none is in a reply, a repr or a log line."""
    caplog.set_level("DEBUG")
    sandbox, told = Sandbox(), list[str]()
    async with kiosk(tmp_path, sandbox, told=told) as made:
        replies = [await made.carry_out(Probe())]
        (token,) = sandbox.company.access.tokens
        sandbox.faults.set(kind="error", status=400, text=f"Bearer {token} of {SECRET}")
        replies.append(await made.carry_out(OpenShift(ANNA, 1)))
        shown = repr(replies) + repr(vars(made)) + repr(vars(made._identity)) + caplog.text
    assert told == [SECRET, token]
    assert "***" in shown
    assert SECRET not in shown
    assert token not in shown


# --- the jobs tree --------------------------------------------------------------------------------


def bakery(sandbox: Sandbox, others: int = 0) -> tuple[str, str, str]:
    """Counter, bakery and its ovens; the ids."""
    for number in range(others):
        sandbox.company.add_job(f"other {number}")
    counter, parent = sandbox.company.add_job("Counter"), sandbox.company.add_job("Bakery")
    return counter.id, parent.id, sandbox.company.add_job("Ovens", parent=parent).id


def recorded(sandbox: Sandbox, number: int, job_id: str | None) -> RecordShift:
    start = int(sandbox.clock.now()) - 90_000 + number * 3600
    return RecordShift(ANNA, start, start + 1800, f"REF{number}", job_id)


@pytest.mark.parametrize("others", [0, 499, 500, 1001])
async def test_a_sub_job_is_recorded_under_its_parent(tmp_path: Path, others: int) -> None:
    """Read once for all, page by page, and only when a job is named."""
    sandbox = Sandbox(plan=Plan("roomy", 10_000, 100_000))
    counter, parent, ovens = bakery(sandbox, others)
    async with kiosk(tmp_path, sandbox, key="sandbox-key") as made:
        assert isinstance((await made.carry_out(recorded(sandbox, 0, None))).outcome, Done)
        assert asked(sandbox, "/jobs/v1/jobs") == 0
        for number, job_id in ((1, counter), (2, ovens), (3, ovens)):
            outcome = (await made.carry_out(recorded(sandbox, number, job_id))).outcome
            assert isinstance(outcome, Done)
            assert outcome.record.job_id == job_id
        assert asked(sandbox, "/jobs/v1/jobs") == (others + 2) // 500 + 1
        assert [(s.job_id, s.sub_job_id) for s in sandbox.company.shifts.values()][2] == (parent, ovens)


async def test_an_unknown_job_is_asked_for_again_once_an_hour(tmp_path: Path) -> None:
    """A new job is found after an hour at the latest; until then the service judges the id."""
    sandbox, clock = Sandbox(), Steady()
    bakery(sandbox)
    async with kiosk(tmp_path, sandbox, clock=clock, key="sandbox-key") as made:
        for number in range(2):
            outcome = (await made.carry_out(recorded(sandbox, number, "no-such-job"))).outcome
            assert isinstance(outcome, Refused)
            assert outcome.reason == "invalid_request"
        assert asked(sandbox, "/jobs/v1/jobs") == 1
        clock.at += 3601
        new = sandbox.company.add_job("New")
        assert isinstance((await made.carry_out(recorded(sandbox, 2, new.id))).outcome, Done)
        assert asked(sandbox, "/jobs/v1/jobs") == 2


async def test_a_key_that_may_not_read_jobs_halts_nothing(tmp_path: Path) -> None:
    """A 403 on a look-up disables that feature only: the id goes as it is."""
    sandbox = Sandbox()
    counter, _, _ = bakery(sandbox)
    async with kiosk(tmp_path, sandbox, key="sandbox-key") as made:
        sandbox.faults.set(kind="error", status=403, text="Missing scope: jobs.read", path="/jobs/*")
        assert isinstance((await made.carry_out(recorded(sandbox, 0, counter))).outcome, Done)


@pytest.mark.parametrize("kind", ["drop", "status", "portal", "truncated", "empty"])
async def test_unread_jobs_mean_that_nothing_was_recorded(tmp_path: Path, kind: str) -> None:
    """The shift waits for its job's path; the next try reads again."""
    sandbox = Sandbox()
    _, _, ovens = bakery(sandbox)
    async with kiosk(tmp_path, sandbox, key="sandbox-key") as made:
        fault = sandbox.faults.set(kind=kind, path="/jobs/*")
        assert isinstance((await made.carry_out(recorded(sandbox, 0, ovens))).outcome, NotSent)
        assert sandbox.timesheet() == []
        sandbox.faults.clear(fault.id)
        assert isinstance((await made.carry_out(recorded(sandbox, 0, ovens))).outcome, Done)


async def test_the_look_up_serves_with_a_token_too(tmp_path: Path) -> None:
    """A read with an app's token finds what the app wrote."""
    sandbox = Sandbox()
    at = int(sandbox.clock.now()) - 60
    async with kiosk(tmp_path, sandbox) as made:
        await made.carry_out(OpenShift(ANNA, at))
        outcome = (await made.carry_out(LookUp((ANNA,), at, at))).outcome
        assert [record.start for record in outcome.records] == [at]  # type: ignore[union-attr]


async def test_only_a_step_for_which_nothing_left_cost_nothing(tmp_path: Path) -> None:
    """Without a network nothing did; a token or jobs that were asked for reached the service, the step or not."""
    sandbox, clock = Sandbox(), Steady()
    record = RecordShift(ANNA, 1_795_392_000, 1_795_395_600, "note", "job-1")
    async with kiosk(tmp_path, sandbox, clock=clock) as made:
        sandbox.cable.refuse()
        lost = await made.carry_out(Probe())
        assert (type(lost.outcome), lost.unsent) == (NotSent, True)
        sandbox.cable.restore()
        fault = sandbox.faults.set(kind="status", status=503, path=TOKEN)
        reply = await made.carry_out(Probe())
        assert (type(reply.outcome), reply.unsent) == (NotSent, False)
        sandbox.faults.clear(fault.id)
        assert not (await made.carry_out(Probe())).unsent
        sandbox.faults.set(kind="status", status=500, path="/jobs/*")
        reply = await made.carry_out(record)
        assert (type(reply.outcome), reply.unsent) == (NotSent, False)
        clock.at += 3600
        sandbox.company.access.tokens.clear()
        reply = await made.carry_out(Probe())
        assert (type(reply.outcome), reply.unsent) == (NotSent, False)
