"""Whatever the service, a proxy or a portal answers: nothing is lost or doubled, and only proofs are successes."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import httpx
import pytest
from hypothesis import strategies as st

from daemon.model import Direction, PunchState
from daemon.reasons import REASONS
from daemon.timesheets.connecteam import answers, client
from daemon.timesheets.timesheet import Step
from sandbox.connecteam.behaviour import SecondClockIn
from tests.fuzz.answers import BODIES, HEADERS, OFTEN_GOOD, STATUSES, Hostile, hostile
from tests.fuzz.documents import ASKED_OF_PEOPLE, SETTINGS, STEPS, spoiled, true_answer
from tests.fuzz.proofs import SUCCESSES, is_proved
from tests.support.answers import judge
from tests.support.between import answer
from tests.support.delivery_bench import ANNA, BOB, Bench, on_bench
from tests.support.fuzzing import fuzzed
from tests.support.museum import DAY, HOUR

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
    """Nothing is raised; a success is only a 2xx whose bytes hold what it says; no wait is beyond two days."""
    is_proved(step, judge(step, status, headers, body, SETTINGS), status, body, headers)
    answers.budget(headers)


#: A step, and its true answer with things wrong in it.
TOLD = st.sampled_from([*STEPS, *ASKED_OF_PEOPLE * 2]).flatmap(
    lambda step: st.tuples(st.just(step), spoiled(true_answer(step)))
)


@fuzzed("answers: nearly true ones", short=200, long=10_000, told=TOLD, status=OFTEN_GOOD, headers=HEADERS)
def test_a_nearly_true_answer_proves_what_is_left_of_it(
    told: tuple[Step, bytes], status: int, headers: dict[str, str]
) -> None:
    """Every step's own answer, with things left out, doubled or replaced: as above, name by name and day by day."""
    step, body = told
    is_proved(step, judge(step, status, headers, body, SETTINGS), status, body, headers)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_every_step_has_a_true_answer_that_is_a_success(step: Step) -> None:
    """The ground that the others are built on; and there is no step that they leave out."""
    body = json.dumps(true_answer(step)).encode()
    outcome = judge(step, 200, {}, body, SETTINGS)
    assert isinstance(outcome, SUCCESSES)
    is_proved(step, outcome, 200, body, {})
    assert {type(one) for one in STEPS} == set(get_args(Step))


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
