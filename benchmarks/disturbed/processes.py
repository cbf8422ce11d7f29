"""Commands as processes of their own that begin at once, to be killed at any moment.

This process imports the heavy packages, computes nothing, and forks for each command: one that is
killed in its first hundred milliseconds is then killed at its work, not while it imports torch.
"""

import contextlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from forked import HEAVY

SHAPELIB = "from shapelib.cli import main; main()"


def prepare() -> None:
    """Import what every command would."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    for name in HEAVY:
        importlib.import_module(name)


class Run:
    """A command at work; what it says goes to a file."""

    def __init__(
        self, code: str, words: list[object], said: Path, cache: Path, most: int | None = None
    ) -> None:
        """`most`: bytes that any file of it may have."""
        self.said = said
        said.touch()
        self.pid = os.fork()
        if self.pid == 0:
            self._work(code, list(map(str, words)), cache, most)

    def _work(self, code: str, words: list[str], cache: Path, most: int | None) -> None:
        from forked import _end, _status

        os.setsid()
        opened = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(opened, number)
        os.environ["SHAPELIB_CACHE"] = str(cache)
        sys.argv[:] = ["-c", *words]
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        try:
            _end(_status(code))
        finally:
            os._exit(1)

    def wait(self) -> int:
        """Its exit status; minus the signal where one ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill_after(self, seconds: float) -> bool:
        """Kill it then; whether it was still there."""
        time.sleep(seconds)
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code:
                raise RuntimeError(f"it ended by itself with {code}: {self.said.read_text()}")
            return False
        os.kill(self.pid, signal.SIGKILL)
        self.wait()
        return True


def apart(work: Callable[[], object]) -> bool:
    """Do something in a fork, so that this process stays one that computes nothing; whether it
    gave something true."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            traceback.print_exc()
        os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (0, 1):
        raise RuntimeError("what was to be done apart was not")
    return status == 0


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A file system of so many bytes at `place`; gives what mounts it anew with other options."""

    def mount(options: str) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            check=True, capture_output=True,
        )  # fmt: skip

    place.mkdir(parents=True, exist_ok=True)
    mount(f"size={size}")
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def can_mount(place: Path) -> bool:
    try:
        with small_disk(place, 2**20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
