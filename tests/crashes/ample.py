"""A sandbox whose account never runs short of requests: `python -m tests.crashes.ample --plan ample …`."""

from __future__ import annotations

import sys
from dataclasses import replace

from sandbox import __main__ as command
from sandbox.connecteam.limits import EXPERT, PLANS

PLANS["ample"] = replace(EXPERT, name="ample", per_minute=1_000_000, per_day=1_000_000)

if __name__ == "__main__":
    sys.exit(command.main())
