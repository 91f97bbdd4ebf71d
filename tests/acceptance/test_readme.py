"""The README's "Trying it without an account", typed in as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.punchd_process import PATIENCE_S
from tests.support.sandbox_process import sandbox_process

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where somebody types. Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="readme") as name:
        yield Path(name)


def typed(words: str) -> list[str]:
    """A line of the README as a command: the tools by their modules, for a checkout without commands of its own."""
    modules = {".venv/bin/punchctl": "daemon.control.cli", ".venv/bin/punchd": "daemon.cli"}
    first, *rest = shlex.split(words)
    return [sys.executable, "-m", modules[first], *rest]


def test_the_walk_through_works_as_written(folder):
    """The configuration is valid, and after the README's own lines the tap stands on the sandbox's timesheet."""
    section = README.split("## Trying it without an account")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    lines = [line for line in blocks[""].splitlines() if line.startswith(".venv/bin/punch")]
    assert len(lines) == 5
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment["PUNCHD_SOCKET"] = re.findall(r"export PUNCHD_SOCKET=(\S+)", section)[0]

    with sandbox_process(folder / "sandbox-files") as sandbox:
        (folder / "kiosk.toml").write_text(blocks["toml"].replace("http://127.0.0.1:8099", sandbox.url))
        service = None
        try:
            for line in lines:
                if " run " in line:
                    service = subprocess.Popen(
                        typed(line), cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
                    )
                    assert service.stderr is not None
                    assert any("service.started" in said for said in service.stderr)
                    continue
                done = subprocess.run(
                    typed(line),
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE_S,
                    check=False,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            sandbox.admin.wait(path="*/clock-in", state="processed")
            assert [row["user_id"] for row in sandbox.admin.timesheet()] == ["9170357"]
        finally:
            if service is not None:
                service.terminate()
                service.communicate(timeout=PATIENCE_S)
