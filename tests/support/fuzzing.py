"""Hostile input by the thousand: how many, and how a failure is met again.

`make test` tries some of each; `make fuzz` (PUNCHD_FUZZ=long) at least 100,000 in all, counted by target. A failure
prints the line that repeats it (`@reproduce_failure`); `make fuzz SEED=…` repeats a whole run.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import wraps
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
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


def fuzzed(
    target: str, *, short: int, long: int, **inputs: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a function on so many inputs: `short` in `make test`, `long` in `make fuzz`; all are counted."""

    def make(fn: Callable[..., None]) -> Callable[..., None]:
        @wraps(fn)
        def counted(*args: Any, **values: Any) -> None:
            TRIED[target] += 1
            fn(*args, **values)

        profile = settings.get_profile("hostile")
        return settings(profile, max_examples=long if LONG else short)(given(**inputs)(counted))

    return make


@contextmanager
def standing(opening: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    """Open something once for many inputs: the thing, and what runs a coroutine on its loop."""
    with asyncio.Runner() as runner:
        made = runner.run(opening.__aenter__())  # type: ignore[arg-type]
        try:
            yield made, runner.run
        finally:
            runner.run(opening.__aexit__(None, None, None))  # type: ignore[arg-type]
