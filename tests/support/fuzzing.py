"""Hostile input by the thousand: how many, how a failure is met again, and what stays of it in memory.

`make test` tries some of each; `make fuzz` (PUNCHD_FUZZ=long) at least ENOUGH in all, counted by target as they run: a
long run with fewer fails (tests/fuzz/conftest.py). A failure prints the line that repeats it (`@reproduce_failure`);
`make fuzz SEED=…` repeats a whole run. After each target's run more inputs, none of them tried before, are tried in
rounds, and some round has to leave no more in memory than before it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import wraps
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")

LONG = os.environ.get("PUNCHD_FUZZ") == "long"

settings.register_profile(
    "hostile",
    deadline=None,  # others use this machine as well
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)

#: Inputs tried so far, by target.
TRIED: Counter[str] = Counter()
#: A long run that tried fewer is none.
ENOUGH = 100_000
#: What is looked at for growth: rounds, the first of which is for what is made once, of a part of the short profile.
ROUNDS, PART, ROUND_MAX = 3, 10, 10


def too_few(tried: Counter[str]) -> str | None:
    """What is wrong with a long run of which so many inputs were tried; None where they are enough."""
    missing = ENOUGH - tried.total()
    return f"{missing:,} hostile inputs fewer than the {ENOUGH:,} of a long run" if missing > 0 else None


def fuzzed(
    target: str, *, short: int, long: int, grows: bool = False, **inputs: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a function on so many inputs: `short` in `make test`, `long` in `make fuzz`; all are counted.

    Afterwards it must leave nothing of an input in memory; `grows`: that is looked at elsewhere.
    """

    def make(fn: Callable[..., None]) -> Callable[..., None]:
        @wraps(fn)
        def counted(*args: Any, **values: Any) -> None:
            TRIED[target] += 1
            fn(*args, **values)

        profile = settings.get_profile("hostile")
        run = settings(profile, max_examples=long if LONG else short)(given(**inputs)(counted))
        if grows:
            return run

        @wraps(run)
        def run_and_looked_at(*args: Any, **values: Any) -> None:
            run(*args, **values)
            keeps_nothing(lambda one: counted(*args, **values, **one), inputs, min(ROUND_MAX, max(4, short // PART)))

        return run_and_looked_at

    return make


def keeps_nothing(tried: Callable[[dict[str, Any]], None], inputs: dict[str, Any], each: int) -> None:
    """Try more inputs, `each` in a round; fails where every round but the first leaves an object for each two of them.

    They are drawn beforehand and kept as bytes, so that what draws them, and keeps a lot, does not come into it. What
    the collector does not know (bytes, texts, numbers) is not counted by itself, only what holds them.
    """
    drawn = list(dict.fromkeys(others(inputs, each * ROUNDS)))
    kept = list[int]()
    gc.collect()
    gc.freeze()  # what there is by now need not be looked through each time
    try:
        for number in range(ROUNDS):
            before = _objects()
            part = drawn[number::ROUNDS]
            for packed in part:
                tried(pickle.loads(packed))
            kept.append(_objects() - before - (len(part) + 1) // 2)
    finally:
        gc.unfreeze()
    assert min(kept[1:]) <= 0, f"each input leaves something in memory: objects beyond the bound, by round: {kept}"


def others(inputs: dict[str, Any], count: int) -> list[bytes]:
    """So many inputs that are not those of a run: each packed."""
    drawn = list[bytes]()

    @seed(len(inputs) + count)  # else a run with a seed would give its own ones again
    @settings(settings.get_profile("hostile"), max_examples=count, phases=[Phase.generate], database=None)
    @given(**inputs)
    def draw(**one: Any) -> None:
        drawn.append(pickle.dumps(one))

    draw()
    return drawn


def _objects() -> int:
    """Objects that the collector knows and that are new since it was frozen."""
    gc.collect()
    return len(gc.get_objects())


@contextmanager
def standing(opening: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    """Open something once for many inputs: the thing, and what runs a coroutine on its loop."""
    with asyncio.Runner() as runner:
        made = runner.run(opening.__aenter__())  # type: ignore[arg-type]
        try:
            yield made, runner.run
        finally:
            runner.run(opening.__aexit__(None, None, None))  # type: ignore[arg-type]
