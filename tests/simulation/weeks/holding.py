"""What a running daemon holds in memory: all that can be reached from it and is not the simulation's own."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

#: Not followed: what is there once for all, and the loop, on which everything hangs.
_NOT_OURS = (
    ModuleType,
    type,
    FunctionType,
    BuiltinFunctionType,
    CodeType,
    asyncio.AbstractEventLoop,
    logging.Logger,
    logging.Handler,
)
_SIMULATION = ("tests.", "sandbox.")


def held_kb(built: object) -> int:
    """Kilobytes of all that hangs on a service as it runs, and on the modules that it is made of."""
    seen: dict[int, object] = {}
    waiting: list[object] = [built, *_of_modules()]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _NOT_OURS) or type(one).__module__.startswith(_SIMULATION):
            continue
        seen[id(one)] = one  # held, so that no number is given twice
        waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values())) // 1024


def _of_modules() -> Iterator[Any]:
    """What modules and classes keep beside their code."""
    for name, module in [*sys.modules.items()]:
        if name.split(".")[0] in ("daemon", "drivers"):
            for value in [*vars(module).values()]:
                yield value
                if isinstance(value, type) and value.__module__ == name:
                    yield from [*vars(value).values()]
