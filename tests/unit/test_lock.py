"""One instance a state directory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from daemon.errors import AlreadyRunningError, StorageError
from daemon.lock import InstanceLock


def test_a_second_instance_is_refused_by_name(tmp_path):
    """The message says which process holds the directory, and the lock is free again afterwards."""
    with InstanceLock(tmp_path / "state"):
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"), InstanceLock(tmp_path / "state"):
            pass
        with InstanceLock(tmp_path / "other"):
            pass
    with InstanceLock(tmp_path / "state"):
        pass


def test_a_killed_process_lets_go(tmp_path):
    """A lock left by a process that was killed does not keep the next one out."""
    program = (
        "import sys, pathlib; from daemon.lock import InstanceLock\n"
        "with InstanceLock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunningError, match=f"process {process.pid}"), InstanceLock(tmp_path):
            pass
        process.kill()
        process.wait()
    with InstanceLock(tmp_path):
        pass


def test_a_directory_that_cannot_be_used(tmp_path):
    """A missing parent, or a file in the way, is a storage error with the path."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none" / "state", tmp_path / "file"):
        with pytest.raises(StorageError, match=str(path)), InstanceLock(path):
            pass
