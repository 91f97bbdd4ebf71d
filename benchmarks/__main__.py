"""`python -m benchmarks [--quick] [NAME…]`: every figure, or those named, with the machine it was taken on.

Each is a ratio, or a count; no time of this machine means anything on another.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.badge import badge_to_feedback
from benchmarks.flush import flush_rate
from benchmarks.footprint import command, memory, wake_ups, whole_life
from benchmarks.growth import cost_of_size
from benchmarks.measuring import FULL, QUICK, Figure, Scale, machine
from benchmarks.taps import tap_to_durable
from daemon import log

BENCHMARKS: dict[str, Callable[[Scale], list[Figure] | Coroutine[Any, Any, list[Figure]]]] = {
    "taps": tap_to_durable,
    "badge": badge_to_feedback,
    "flush": flush_rate,
    "growth": cost_of_size,
    "memory": memory,
    "wake-ups": wake_ups,
    "life": whole_life,
    "command": command,
}
#: Not a ratio of times but counts, in virtual time; minutes, so only in a whole run.
DELIVERY_COSTS = "delivery-costs"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 0 also where an aim is missed: the machine may be busy, and docs/performance.md explains."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that each can be taken")
    parser.add_argument("--stored", type=int, metavar="N", help="growth with N punches stored, such as 1000000")
    names = [*BENCHMARKS, DELIVERY_COSTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; default: all")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = options.names or [name for name in names if name != DELIVERY_COSTS or not options.quick]
    scale = QUICK if options.quick else FULL
    if options.stored is not None:
        scale = replace(scale, stored=(0, options.stored))
    print(*machine(Path(tempfile.gettempdir())), sep="\n")
    with Path(os.devnull).open("w") as nowhere:
        log.configure(log.Secrets(), style="text", stream=nowhere)  # written as in service, read by nobody
        for name in chosen:
            if name != DELIVERY_COSTS:
                _print(name, scale)
    if DELIVERY_COSTS in chosen:
        from benchmarks import delivery_costs

        print(f"\n{DELIVERY_COSTS} (requests and work, in virtual time)", flush=True)
        delivery_costs.main()
    return 0


def _print(name: str, scale: Scale) -> None:
    print(f"\n{name}", flush=True)
    began = time.monotonic()
    taken = BENCHMARKS[name](scale)
    for figure in taken if isinstance(taken, list) else asyncio.run(taken):
        print(figure.line(), flush=True)
    print(f"  ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
