"""Commands in processes of their own that begin at once: forked from one that has imported torch.

Importing torch and transformers takes seconds, and what a command does often less than one. So a
process that has imported the heavy packages, and nothing of this one, forks for each command. The
fork then is what a new process is: an environment, a folder, streams and an exit status of its
own, and it imports shapelib itself. What tells how a command is *started* (that it imports nothing
heavy, that a signal ends it) runs in a process that is started in the usual way.
"""

import atexit
import functools
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

MAIN = "from shapelib.cli import main; main()"
HEAVY = (
    *("torch", "transformers", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "numba"),
    *("safetensors.torch", "rich.progress", "typer", "accelerate"),
    *("transformers.models.llama.modeling_llama", "transformers.models.bert.modeling_bert"),
)


class Forks:
    """The process that forks; `environment` is what its packages see when they are imported."""

    def __init__(self, **environment: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__], text=True, env={**os.environ, **environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._asks, self._answers = self._server.stdin, self._server.stdout
        self._one_at_a_time = threading.Lock()

    def run(
        self, *words: object, code: str = MAIN, cwd: str | Path = ".",
        environment: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":  # fmt: skip
        """``python -c code *words``; ``shapelib *words`` unless told otherwise."""
        arguments = ["-c", *map(str, words)]
        with tempfile.TemporaryDirectory() as folder, self._one_at_a_time:
            asked: dict[str, Any] = {
                "code": code, "arguments": arguments, "cwd": str(Path(cwd).resolve()),
                "environment": dict(os.environ if environment is None else environment),
                "streams": folder,
            }  # fmt: skip
            print(json.dumps(asked), file=self._asks, flush=True)
            status = int(self._answers.readline())
            said, complained = (Path(folder, name).read_text("utf-8") for name in ("1", "2"))
        return subprocess.CompletedProcess(arguments, status, said, complained)

    def close(self) -> None:
        self._asks.close()
        self._server.wait(timeout=60)
        self._answers.close()


@functools.cache
def forks() -> Forks:
    """The one of this process, without a network; it ends with it."""
    made = Forks(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    atexit.register(made.close)
    return made


def _serve() -> dict[str, Any] | None:
    """Fork for every line that is read; the fork gets what it shall run, the process None."""
    asks, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in asks:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, file=answers, flush=True)
    return None


def _become(asked: dict[str, Any]) -> None:
    """Take on the environment, the folder, the streams and the arguments of a new process."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["cwd"])
    for number in (0, 1, 2):
        name = os.devnull if number == 0 else f"{asked['streams']}/{number}"
        opened = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv[:] = asked["arguments"]
    sys.path.insert(0, "")


def _status(code: str) -> int:
    """Run the code as a program; gives its exit status."""
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> None:
    """What a process does at its end, but for taking apart the packages that it did not import."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    import importlib

    for each in HEAVY:
        importlib.import_module(each)
    gc.freeze()
    asked = _serve()
    if asked is not None:
        _become(asked)
        _end(_status(asked["code"]))
