"""`python -m sandbox`: a Connecteam of one's own on loopback."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from sandbox.connecteam.limits import PLANS
from sandbox.handle import Sandbox
from sandbox.sample import config_snippet, populate, write_files
from sandbox.server import SandboxServer, serve_forever

EXAMPLE = """\
example:
  python -m sandbox --port 8099
  curl -H 'X-API-KEY: sandbox-key' http://127.0.0.1:8099/me
  curl http://127.0.0.1:8100/_sandbox/timesheet
  curl -X POST -d '{"state": "cut"}' http://127.0.0.1:8100/_sandbox/cable
  curl -X POST -d '{"kind": "drop", "path": "*/clock-in", "processed": true, "count": 1}' \\
       http://127.0.0.1:8100/_sandbox/faults
"""


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A model of Connecteam's time clock on loopback, with faults that can be switched on.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8099, help="the service's port; 0 takes a free one (default 8099)")
    parser.add_argument("--admin-port", type=int, help="of the admin routes (default: the next; 0: a free one)")
    parser.add_argument("--plan", choices=sorted(PLANS), default="expert", help="the account's plan (default expert)")
    parser.add_argument("--seed", type=int, default=0, help="decides ids and chance (default 0)")
    parser.add_argument("--timezone", default="Europe/Amsterdam", help="of the time clock (default Europe/Amsterdam)")
    parser.add_argument("--empty", action="store_true", help="a company without people, instead of the sample one")
    parser.add_argument("--files", type=Path, help="folder for the key file and people.csv (default: a new one)")
    return parser.parse_args(argv)


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    sandbox = Sandbox(seed=options.seed, plan=PLANS[options.plan], timezone=options.timezone)
    if not options.empty:
        populate(sandbox)
    admin_port = options.admin_port
    if admin_port is None:
        admin_port = options.port + 1 if options.port else 0
    server = SandboxServer(sandbox, port=options.port, admin_port=admin_port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder = options.files or Path(tempfile.mkdtemp(prefix="punchd-sandbox-"))
    key_file, people_file = write_files(folder)
    # What a program reads comes first, one line each; what a person reads follows.
    print(f"service {server.url}", f"admin {server.admin_url}", sep="\n", flush=True)
    print(f"\nFor punchd's configuration:\n\n{config_snippet(server.url, key_file)}")
    print(f"People to import: punchctl employees import {people_file}")
    print(f"Timesheet:        curl {server.admin_url}/_sandbox/timesheet")
    print("All routes:       python -m pydoc sandbox.admin", flush=True)
    await serve_forever(server, stop)


def main() -> int:
    """The command; a port that cannot be had is exit 1."""
    options = arguments(sys.argv[1:])
    try:
        asyncio.run(run(options))
    except OSError as error:
        print(f"cannot serve the sandbox: {error}; choose another --port", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
