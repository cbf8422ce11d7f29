"""What `make book` and `make test` take on a machine that has nothing, installing included.

A fresh clone of this checkout's commit, with no environment and empty caches, pip's excepted: what
it has downloaded before it need not download again, since a network is nothing of ours. The times
are of this machine, which its processor, cores and memory name. Run it alone on the machine:

    python benchmarks/commands.py           # both, and `make book` once more, with all it has kept
    python benchmarks/commands.py --book    # without the tests
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import record

ROOT = Path(__file__).parent.parent
BOOK = ("make book", "make book, again")
TEST = "make test"
# What would lend the clone something of this environment's or of another run's.
_OWN = (
    *("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SHAPELIB_BOOK_SITE"),
    *("NUMBA_CACHE_DIR", "OMP_NUM_THREADS"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--book", action="store_true", help="without make test")
    commands = BOOK if parser.parse_args().book else (*BOOK, TEST)
    with tempfile.TemporaryDirectory(prefix="shapelib-commands-") as folder:
        record.put(measured(Path(folder), commands))


def measured(folder: Path, commands: tuple[str, ...]) -> dict[str, Any]:
    """The record of these commands, in a clone below `folder`."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    environment["SHAPELIB_CACHE"] = str(folder / "cache")
    runs = []
    for command in commands:
        words = command.split(",")[0].split()
        seconds, printed = timed(words, clone, environment)
        print(f"{command}: {seconds:.0f} s", flush=True)
        runs.append({"command": command, "seconds": round(seconds, 1), "pages": pages(printed)})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        **record.envelope("commands"),
        "commit": record.commit(clone),
        "processor": {
            **record.processor(), "memory_gib": round(memory), "gflops": record.products()
        },
        "runs": runs,
    }  # fmt: skip


def timed(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of a command, and what it printed, which is shown as it comes."""
    started, lines = time.monotonic(), []
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{' '.join(words)} failed with {process.returncode}: nothing was recorded")
    return time.monotonic() - started, "".join(lines)


def pages(printed: str) -> dict[str, float]:
    """The seconds of each page that a run of the book says it ran."""
    found = re.findall(r"^([\w-]+): done in (\d+) s$", printed, re.M)
    return {name: float(seconds) for name, seconds in found}


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
