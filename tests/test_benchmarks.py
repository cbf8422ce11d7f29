"""The benchmarks' own parts that carry a claim: the peer that is asked in another environment, and
the points on which answers are compared."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from shapelib import two_nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DADAPY = '''
import numpy as np

class Data:
    """Says in its answer how it was asked."""

    def __init__(self, x, maxk=100, n_jobs=2):
        assert x.dtype == np.float32
        self.answer, self.n = 10.0 * maxk + n_jobs, len(x)
        print("what a package prints is no answer")

    def remove_identical_points(self):
        self.n -= 1

    def compute_id_2NN(self, mu_fraction=0.9):
        if self.n == 3:
            raise ValueError("array must not contain infs or NaNs")
        return self.answer + mu_fraction + 1000 * self.n, 0.0, 0.0
'''


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import apart

    return apart


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python of its own that has this one's packages, and a DADApy."""
    site = tmp_path / "site"
    information = site / "dadapy-0.0.1.dist-info"
    information.mkdir(parents=True)
    (site / "dadapy.py").write_text(DADAPY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: dadapy\nVersion: 0.0.1\n")
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def points(folder: Path, count: int) -> Path:
    file = folder / f"{count}.npy"
    np.save(file, np.zeros((count, 2), dtype=np.float32))
    return file


def test_a_peer_in_another_environment_is_asked_as_it_documents(
    apart: ModuleType, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(apart.VARIABLE, python)
    monkeypatch.setenv("PYTHONPATH", "not for the other one")
    file = points(tmp_path, 5)
    with apart.dadapy() as peer:
        assert peer.versions["dadapy"] == "0.0.1"
        assert peer.versions["numpy"] == np.__version__
        value, seconds = peer.two_nn(file, 1)
        assert value == pytest.approx(5000 + 1000 + 1 + 0.9)
        assert 0 <= seconds < 1
        assert peer.two_nn(file, 2, kept=0.2, neighbours=2).value == pytest.approx(5000 + 22.2)
        assert peer.two_nn(file, 1, distinct=True).value == pytest.approx(4000 + 1001.9)
        assert peer.two_nn(points(tmp_path, 4), 1).value == pytest.approx(4000 + 1001.9)
    assert peer._process.returncode == 0


def test_an_answer_that_is_an_error_is_told_and_is_no_number(
    apart: ModuleType, python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with apart.Peer(python) as peer:
        assert peer.two_nn(points(tmp_path, 3), 1) == (None, None)
        assert peer.two_nn(points(tmp_path, 5), 1).value is not None
    assert "3: ValueError: array must not contain infs or NaNs" in capsys.readouterr().out


def test_without_the_peer_the_benchmarks_go_on(
    apart: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(apart.VARIABLE, raising=False)
    assert apart.dadapy() is None
    assert "SHAPELIB_DADAPY names no Python, so DADApy is left out" in capsys.readouterr().out


def test_a_python_without_the_peer_is_refused(apart: ModuleType):
    with pytest.raises(RuntimeError, match="SHAPELIB_DADAPY names does not run DADApy"):
        apart.Peer(sys.executable)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__(name)


def test_times_are_divided_by_the_yardsticks_beside_them(monkeypatch: pytest.MonkeyPatch):
    estimators = module("estimators", monkeypatch)
    yards = iter([1.0, 3.0, 5.0, 3.0, 1.0])
    # Each is asked once to warm up; b is first in the first turn, and last in the second.
    a, b = iter([100.0, 8.0, 4.0]), iter([100.0, 2.0, 1.0])
    timed = {"a": lambda: next(a), "b": lambda: next(b)}
    found = estimators.between(timed, lambda: next(yards), 2)
    assert found["b"] == {"median": 0.75, "least": 0.5, "greatest": 1.0, "turns": 2}
    assert found["a"] == {"median": 1.5, "least": 1.0, "greatest": 2.0, "turns": 2}


def test_copies_leave_fewer_points_and_change_nothing_else(monkeypatch: pytest.MonkeyPatch):
    values = module("values", monkeypatch)
    clouds = values.clouds()
    drawn, copied = clouds["as drawn"], clouds["a fifth of them copies"]
    distinct = drawn[values.POINTS // 5 :]
    for left_out in values.FITS.values():
        assert two_nn(copied, discard=left_out) == two_nn(distinct, discard=left_out)
    added = torch.cat([drawn, drawn[: values.POINTS // 5]])
    assert two_nn(added) == two_nn(drawn)


def test_kept_training_runs_say_how_many_measurements_their_seconds_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pandas as pd

    from shapelib.store import tables

    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "results"))
    import training

    monkeypatch.setattr(training, "HERE", tmp_path)
    made = next(iter(training.RUNS.values()))
    table = pd.DataFrame({"model": [made.name], "value": [1.0]})
    table.attrs["provenance"] = [{"seconds": 6.5, "seed": 0}, {"seconds": 2.25, "seed": 1}]
    training.put("shape", made, table)
    (run,) = tables.read_table(tmp_path / "training" / "shape.parquet").attrs["provenance"]
    assert (run["seconds"], run["runs"], run["seed"]) == (8.8, 2, 0)
    assert run["command"] == f"python results/training.py {made.name}"
    table.attrs["provenance"] = [{"kind": "decoder"}]
    training.put("training", made, table)
    (run,) = tables.read_table(tmp_path / "training" / "training.parquet").attrs["provenance"]
    assert "seconds" not in run
    assert "runs" not in run
