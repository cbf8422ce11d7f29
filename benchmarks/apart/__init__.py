"""Peers that do not import beside this package, asked in an environment of their own.

DADApy takes NumPy below 2, this package 2 and later, so no one environment holds both. The index
has DADApy as source only: a C compiler is needed. faiss is no dependency, and may stand beside it.
To have them measured::

    python3 -m venv DADAPY && DADAPY/bin/pip install dadapy==0.3.4 faiss-cpu
    SHAPELIB_DADAPY=DADAPY/bin/python make bench

Tried with Python 3.11, NumPy 1.26.4, SciPy 1.17.1 and scikit-learn 1.9.1. Where SHAPELIB_DADAPY
names no Python, the benchmarks run without DADApy.
"""

import json
import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "SHAPELIB_DADAPY"
WORKER = Path(__file__).with_name("worker.py")


class Answer(NamedTuple):
    """A dimension, and the processor's seconds that it took; both None where it is an error."""

    value: float | None
    seconds: float | None


class Peer(AbstractContextManager["Peer"]):
    """DADApy in a process of another Python, which ends with the `with` block, or by `close`."""

    def __init__(self, python: str) -> None:
        # What is on this interpreter's path is not for the other one.
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean,
        )  # fmt: skip
        self.versions: dict[str, str] = self._answer()

    def two_nn(
        self,
        points: Path,
        threads: int,
        *,
        kept: float = 0.9,
        neighbours: int | None = None,
        distinct: bool = False,
    ) -> Answer:
        """DADApy's TwoNN of the points in an .npy file.

        `kept` is the share of the ratios that are fitted, `neighbours` how many are searched
        (DADApy's own default, a hundred, where it is None); `distinct` asks it to remove copies.
        """
        asked = {
            "points": str(points), "threads": threads, "kept": kept, "neighbours": neighbours,
            "distinct": distinct,
        }  # fmt: skip
        answer = self._ask(asked)
        if "error" in answer:
            print(f"DADApy, {points.stem}: {answer['error']}")
        return Answer(answer.get("value"), answer.get("seconds"))

    def gride(self, points: Path, threads: int, neighbours: int = 128) -> dict[str, Any]:
        """DADApy's GRIDE of the points in an .npy file: ``values``, ``errors`` and ``seconds``."""
        asked = {"method": "gride", "points": str(points), "threads": threads}
        return self._ask({**asked, "neighbours": neighbours})

    def flat(self, points: Path, threads: int, neighbours: int) -> dict[str, Any]:
        """The search of faiss's exact float32 index (``IndexFlatL2``), the points themselves among
        the neighbours: ``wall`` seconds and ``memory_mb``, or an ``error``."""
        asked = {"method": "flat", "points": str(points), "threads": threads}
        return self._ask({**asked, "neighbours": neighbours})

    def timed_two_nn(self, points: Path, threads: int) -> dict[str, Any]:
        """DADApy's TwoNN by its own defaults, with ``wall`` seconds and ``memory_mb``."""
        asked = {"kept": 0.9, "neighbours": None, "distinct": False}
        return self._ask({**asked, "points": str(points), "threads": threads})

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the Python that {VARIABLE} names does not run DADApy; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()

    def __exit__(self, *_: object) -> None:
        self.close()


def dadapy() -> Peer | None:
    """DADApy, by the Python that SHAPELIB_DADAPY names; None, and a word, where it names none.

    Raises RuntimeError where that Python does not import DADApy.
    """
    if python := os.environ.get(VARIABLE):
        return Peer(python)
    print(f"{VARIABLE} names no Python, so DADApy is left out")
    return None
