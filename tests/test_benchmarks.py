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

    def return_id_scaling_gride(self, range_max=64):
        return self.answer + np.zeros(2), np.ones(2), range_max
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
        answer = peer.gride(file, 1, 8)
        assert (answer["values"], answer["errors"]) == ([81.0, 81.0], [1.0, 1.0])
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
    """A script, read anew: one of results/ may have the same name, whichever comes first."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = __import__(name)
    del sys.modules[name]
    return found


def test_times_are_divided_by_the_yardsticks_beside_them(monkeypatch: pytest.MonkeyPatch):
    estimators = module("estimators", monkeypatch)
    yards = iter([1.0, 3.0, 5.0, 3.0, 1.0])
    # Each is asked once to warm up; b is first in the first turn, and last in the second.
    a, b = iter([100.0, 8.0, 4.0]), iter([100.0, 2.0, 1.0])
    timed = {"a": lambda: next(a), "b": lambda: next(b)}
    found = estimators.between(timed, lambda: next(yards), 2)
    assert found["b"] == {"median": 0.75, "least": 0.5, "greatest": 1.0, "turns": 2}
    assert found["a"] == {"median": 1.5, "least": 1.0, "greatest": 2.0, "turns": 2}


def test_the_benchmark_of_scale_measures_what_a_table_can_hold(monkeypatch: pytest.MonkeyPatch):
    """On few points: its made-up pool is one, and its record is what the pages read."""
    from shapebook.pages import timings

    scale = module("scale", monkeypatch)

    for name, value in {"POINTS": 1700, "FEATURES": 12, "WINDOW": 8}.items():
        monkeypatch.setattr(scale, name, value)
    monkeypatch.setattr(scale, "clouds", lambda width: {"ordinary": torch.randn(1700, width)})
    pooled = scale.made_pool()
    for name in scale.CHOICES:
        if name != "homology":
            scale.table(pooled, (*scale.DEFAULT, name))
    for work in scale.estimators().values():
        work()
    found = {"search, k = 128": {"median": 1.5, "least": 1.2, "greatest": 1.6, "turns": 3}}
    made = scale.part("Scale", "one product", found, "a note")
    assert made["ratios"][0]["limit"] == 1.3
    assert "| search, k = 128 | 1.5 (1.2 to 1.6) |" in timings._small(made)


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


def test_the_commands_are_timed_in_a_clone_that_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import commands

    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "Makefile").write_text(
        'book:\n\t@test -z "$$PYTHONPATH" && test ! -e "$$SHAPELIB_CACHE"\n'
        "\t@echo 'a-page: cell 1 of 1: 2.0 s'; echo 'a-page: done in 3 s'\n"
    )
    git = ("git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b.c")
    commands.said("git", "init", "--quiet", str(origin))
    commands.said(*git, "add", "Makefile")
    commands.said(*git, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(commands, "ROOT", origin)
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    record = commands.measured(tmp_path, ("make book", "make book, again"))
    assert [run["command"] for run in record["runs"]] == ["make book", "make book, again"]
    assert record["runs"][0]["pages"] == {"a-page": 3.0}
    assert record["runs"][0]["seconds"] >= 0
    assert record["machine"]["cores"] >= 1
    assert record["machine"]["memory"] >= 1
    assert len(record["commit"]) >= 7
    with pytest.raises(SystemExit, match="make nothing failed"):
        commands.measured(tmp_path / "other", ("make nothing",))
