"""Whatever comes back for a token, the jobs or a step: nothing is raised, nothing is sent without a token."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import strategies as st

from daemon.config import ConnecteamConfig
from daemon.timesheets.connecteam import client
from daemon.timesheets.connecteam.jobs import PAGES_MAX
from daemon.timesheets.connecteam.keys import MASK
from daemon.timesheets.connecteam.timesheet import BODY_CHARS_MAX, ConnecteamTimesheet
from daemon.timesheets.timesheet import (
    CertificateTime,
    KeyRefused,
    NotSent,
    RecordShift,
    Reply,
    Step,
    Throttled,
)
from tests.fuzz.answers import BODIES, FAILURES, HEADERS, OFTEN_GOOD, Hostile
from tests.fuzz.documents import AT, JOBS, SETTINGS, STEPS, TOKEN, TOKENS, spoiled, true_answer
from tests.fuzz.proofs import SUCCESSES, is_proved, may_use
from tests.support.between import answer
from tests.support.fuzzing import fuzzed

#: With a job, of which the tree is asked first.
WITH_JOB = RecordShift("101", AT - 3600, AT, "ref", "j2")
TOKEN_PATH, JOBS_PATH = "/oauth/v1/token", "/jobs/v1/jobs"


def given(body: st.SearchStrategy[bytes]) -> st.SearchStrategy[Hostile]:
    """What becomes of a request: nearly always an answer with such a body, now and then another, or a failure."""
    # Drawn by number: what is joined by | is flattened, and then each of its parts is as likely as the whole.
    bodies = st.integers(0, 7).flatmap(lambda number: BODIES if number == 7 else body)
    answered = st.builds(Hostile, st.just(False), status=OFTEN_GOOD, headers=HEADERS, body=bodies)
    failed = st.builds(Hostile, st.just(False), failure=FAILURES)
    return st.integers(0, 9).flatmap(lambda number: failed if number == 9 else answered)


class Given(httpx.AsyncBaseTransport):
    """Answers each request by its kind: for a token, for the jobs, or for the step; tells what was asked."""

    def __init__(self, token: Hostile, jobs: Hostile, step: Hostile) -> None:
        self._given = {TOKEN_PATH: token, JOBS_PATH: jobs}
        self._step = step
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one."""
        self.asked.append(request)
        what = self._given.get(request.url.path, self._step)
        if what.failure is not None:
            raise what.failure("hostile")
        assert what.body is not None
        return answer(what.status, what.body, what.headers)

    def asked_for(self, path: str) -> int:
        """How many went there."""
        return sum(request.url.path == path for request in self.asked)


async def carried_out(folder: Path, wire: Given, step: Step) -> Reply:
    """One step, by a client with an OAuth app."""
    config = ConnecteamConfig(
        time_clock_id=SETTINGS.time_clock_id,
        badge_field=SETTINGS.badge_field,
        oauth_client_id="app",
        oauth_client_secret_file=folder / "secret",
    )
    zone = ZoneInfo("Europe/Amsterdam")
    made = ConnecteamTimesheet(config, kiosk="front", zone=zone, transport=wire, monotonic=lambda: 1000.0)
    try:
        return await made.carry_out(step)
    finally:
        await made.aclose()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the app's secret is. Reading the machine's authorities takes longer than all the rest of an example."""
    made = tmp_path_factory.mktemp("client")
    (made / "secret").write_text("s3cret-of-the-app")
    (made / "secret").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "system_tls", cache(client.system_tls))
        yield made


#: A step and what comes back for it.
LAST = st.sampled_from([*STEPS, WITH_JOB, WITH_JOB]).flatmap(
    lambda step: st.tuples(st.just(step), given(spoiled(true_answer(step))))
)
GOOD_TOKEN, GOOD_JOBS = (Hostile(False, body=json.dumps(document).encode()) for document in (TOKENS, JOBS))


@fuzzed("answers: every step", short=80, long=5_000, step=LAST, jobs=given(spoiled(JOBS)))
def test_no_step_raises_and_only_a_proof_is_a_success(folder: Path, step: tuple[Step, Hostile], jobs: Hostile) -> None:
    """As the daemon sends them, with the jobs where one is named."""
    held(folder, step, GOOD_TOKEN, jobs)


@fuzzed("answers: a token", short=150, long=5_000, token=given(spoiled(TOKENS)), known=st.booleans())
def test_nothing_is_sent_without_a_token(folder: Path, token: Hostile, known: bool) -> None:
    """Whatever comes back for one: a proof of it and nothing else is used."""
    step = STEPS[0] if known else WITH_JOB
    held(folder, (step, Hostile(False, body=json.dumps(true_answer(step)).encode())), token, GOOD_JOBS)


def held(folder: Path, step: tuple[Step, Hostile], token: Hostile, jobs: Hostile) -> None:
    """No token: no request but the one for it, and an outcome that says nothing was done. A token: exactly that one is
    sent; the pages of jobs are counted, one request is the step's, and it proves what it proves as ever."""
    asked, last = step
    wire = Given(token, jobs, last)
    reply = asyncio.run(carried_out(folder, wire, asked))
    told = token.body or b""
    usable = None if token.failure else may_use(token.status, told)
    others = [request for request in wire.asked if request.url.path != TOKEN_PATH]
    assert 1 <= wire.asked_for(TOKEN_PATH) <= max(len(others), 1)  # one for each where its life is no time at all
    assert wire.asked_for(JOBS_PATH) <= PAGES_MAX
    sent = [request for request in others if request.url.path != JOBS_PATH]
    assert len(sent) <= 1
    if others:
        assert usable is not None
        assert all(one.headers["Authorization"] == f"Bearer {usable}" for one in others)
        assert TOKEN not in (reply.body or "")
    if not sent:
        assert isinstance(reply.outcome, NotSent | CertificateTime | Throttled | KeyRefused)
    body = b"" if not sent else as_read(last, usable or "")
    is_proved(asked, reply.outcome, reply.status, body, last.headers or {})
    assert len(reply.body or "") <= BODY_CHARS_MAX
    assert len(reply.request_id or "") <= 100


def as_read(what: Hostile, token: str) -> bytes:
    """The body, unpacked where it says that it is packed, without the token."""
    body = what.body or b""
    if "gzip" in (what.headers or {}).get("content-encoding", "").lower() and body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    return body.replace(token.encode(), MASK.encode()) if token else body


@pytest.mark.parametrize("step", [*STEPS, WITH_JOB], ids=lambda step: type(step).__name__)
def test_with_true_answers_every_step_succeeds(folder: Path, step: Step) -> None:
    """The ground that the other is built on: a token, the jobs where one is named, and the step's own success."""
    wire = Given(GOOD_TOKEN, GOOD_JOBS, Hostile(False, body=json.dumps(true_answer(step)).encode()))
    assert isinstance(asyncio.run(carried_out(folder, wire, step)).outcome, SUCCESSES)
    assert [wire.asked_for(TOKEN_PATH), wire.asked_for(JOBS_PATH), len(wire.asked)] == [
        1,
        step is WITH_JOB,
        2 + (step is WITH_JOB),
    ]
