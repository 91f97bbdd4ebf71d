"""Whatever the service, a proxy or a portal answers: nothing is lost or doubled, and only proofs are successes."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from hypothesis import strategies as st

from daemon.model import Direction, PunchState
from daemon.reasons import REASONS
from daemon.timesheets.connecteam import answers, client
from daemon.timesheets.timesheet import (
    CloseShift,
    Done,
    DoneChanged,
    EndShift,
    LookUp,
    OpenShift,
    Probe,
    RecordShift,
    Step,
)
from sandbox.connecteam.behaviour import SecondClockIn
from tests.fuzz.answers import BODIES, HEADERS, STATUSES, Hostile, hostile
from tests.support.answers import judge
from tests.support.between import answer
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench
from tests.support.fuzzing import fuzzed
from tests.support.museum import DAY, HOUR

#: The second that every step here is about.
AT = 1_795_400_000
STEPS: list[Step] = [
    OpenShift("101", AT), EndShift("101", AT, "s1"), RecordShift("101", AT - 3600, AT, "ref"),
    CloseShift("101", "s1", AT, "ref"), LookUp(("101",), AT - 86400, AT), Probe(),
]  # fmt: skip
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@fuzzed(
    "answers: one judged",
    short=300,
    long=20_000,
    step=st.sampled_from(STEPS),
    status=STATUSES,
    headers=HEADERS,
    body=BODIES,
)
def test_an_answer_is_judged_and_only_a_proof_is_done(
    step: Step, status: int, headers: dict[str, str], body: bytes
) -> None:
    """Nothing is raised; done is only a 2xx whose bytes hold the person and the second; no wait is beyond two days."""
    outcome = judge(step, status, headers, body)
    if isinstance(outcome, Done | DoneChanged):
        assert 200 <= status < 300
        assert b"101" in body
        assert isinstance(outcome, DoneChanged) or str(AT).encode() in body
    date = answers.date(headers)
    until = getattr(outcome, "until", None)
    if until is not None and date is not None:
        assert until <= date + answers.WAIT_MAX_S
    answers.budget(headers)


class HostileWire(httpx.AsyncBaseTransport):
    """Answers the next requests with what it is given, then leaves it to the service."""

    def __init__(self, inner: httpx.AsyncBaseTransport, given: list[Hostile]) -> None:
        self._inner, self._given = inner, list(given)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one."""
        if not self._given:
            return await self._inner.handle_async_request(request)
        what = self._given.pop(0)
        await request.aread()
        true = None
        if what.processed:
            response = await self._inner.handle_async_request(request)
            true = await response.aread()
        if what.failure is not None:
            raise what.failure("hostile")
        return answer(what.status, what.body_for(request, true), what.headers)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._inner.aclose()


@fuzzed(
    "answers: through client and delivery",
    short=40,
    long=1_500,
    given=st.lists(hostile(), min_size=1, max_size=7),
    double=st.sampled_from(list(SecondClockIn)),
)
def test_hostile_answers_lose_nothing_and_double_nothing(given: list[Hostile], double: SecondClockIn) -> None:
    """Three taps, hostile answers, then a true service: each tap stands there at most once, exactly once where
    it is called delivered, else it needs a person or waits for one; and no part of the service failed."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.behaviour.second_clock_in = double
        bench.wire.inner = HostileWire(bench.wire.inner, given)
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(30)
        await bench.punch(BOB, "clock_in")
        await asyncio.sleep(HOUR)
        await bench.punch(ANNA, "clock_out")
        await asyncio.sleep(12 * DAY)  # a header may have told of one request a day, and seven answers be hostile
        effects: Counter[tuple[str, int, Direction]] = Counter()
        for user_id, start, end in bench.sheet():
            effects[user_id, start, Direction.CLOCK_IN] += 1
            if end is not None:
                effects[user_id, end, Direction.CLOCK_OUT] += 1
        punches = await bench.punches()
        assert len(punches) == 3
        for punch in punches:
            assert punch.direction is not None
            count = effects.pop((punch.user_id, punch.second, punch.direction), 0)
            assert count <= 1, (punch.state, punch.reason, count)
            assert punch.state in (PunchState.DELIVERED, PunchState.REVIEW, PunchState.HELD), punch.state
            assert punch.state is not PunchState.DELIVERED or count == 1, (punch.detail, count)
            assert punch.reason is None or punch.reason in REASONS
            assert punch.reason != "internal_error", punch.detail
        assert not effects, "nobody tapped that"
        assert bench.running

    with tempfile.TemporaryDirectory(prefix="fuzz", dir=FOLDER) as folder:
        on_bench(Path(folder), story)


@pytest.fixture(scope="module", autouse=True)
def _one_context() -> Iterator[None]:
    """Reading the machine's authorities takes longer than all the rest of an example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "system_tls", cache(client.system_tls))
        yield
