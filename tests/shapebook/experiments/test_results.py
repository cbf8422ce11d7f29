"""Where tables kept as data are found."""

from pathlib import Path

import pytest

from shapebook.experiments.results import results
from shapelib.errors import ShapelibError


def test_kept_tables_are_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "results" / "runs").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert results("results/runs") == tmp_path / "results" / "runs"
    with pytest.raises(ShapelibError, match="no folder 'results/none' here or above"):
        results("results/none")
