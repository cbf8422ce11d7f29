"""What kind of run each provenance tells of, and what a page says of it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapebook.notebooks import runs
from shapebook.notebooks.shown import BORROWED, MEASURED, show_provenance
from shapelib import read_table

RESULTS = Path(__file__).parents[3] / "results"
EVERY: dict[str, Any] = {
    "versions": {"python": "3"}, "commit": "abc-dirty", "machine": "m", "created": "now",
    "seconds": 3.0, "model": "mine", "revision": None, "fingerprint": "f" * 20, "device": "cpu",
}  # fmt: skip
MEASURED_RUN = {
    **EVERY, "dtype": "float32", "caveat": None, "corpus": "t", "corpus_sha256": "0" * 64,
    "pooled": {"all": 9, "windows": 2, "dropped_all": 1},
}  # fmt: skip
TUNED_RUN = {
    **EVERY, "task": "t", "task_source": "s", "task_version": "1", "duplicates": 0,
    "task_sha256": "0" * 64,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("training/shape", runs.Measured),
        ("training/training", runs.Run),
        ("scale/training", runs.Measured),
        ("scale/manifolds", runs.Run),
        ("tuning/tuning", runs.Part),
    ],
)
def test_the_kinds_of_tables_kept_as_data(name: str, kind: type[runs.Run]):
    found = runs.runs_of(read_table(RESULTS / f"{name}.parquet"))
    assert {type(each) for each in found} == {kind}
    assert all(each.kept for each in found)
    assert len([*runs.lines(found)]) == (0 if kind is runs.Run else len(found))


def test_a_slice_tells_of_what_is_in_it():
    table = read_table(RESULTS / "tuning" / "tuning.parquet")
    part = table["part"].iloc[0]
    (run,) = runs.runs_of(table[table["part"] == part])
    assert dict(runs.lines([run])).keys() == {f"part {part}"}
    shape = read_table(RESULTS / "training" / "shape.parquet")
    model = shape["model"].iloc[0]
    assert {each.told["model"] for each in runs.runs_of(shape[shape["model"] == model])} == {model}


def test_own_runs_and_kept_ones_are_told_apart():
    table = pd.DataFrame({"model": ["mine"]})
    kept = {**MEASURED_RUN, "command": "python a.py"}
    table.attrs["provenance"] = [
        MEASURED_RUN, {**kept, "runs": 5}, {**kept, "model": "another"}, TUNED_RUN, TUNED_RUN,
    ]  # fmt: skip
    shown, metadata = show_provenance(table)._repr_mimebundle_()
    assert metadata[MEASURED] == [{"model": "mine", "seconds": 3.0, "created": "now"}] * 3
    assert metadata[BORROWED] == [{"command": "python a.py", "seconds": 3.0}]
    lines = dict(line.split(": ", 1) for line in shown["text/plain"].splitlines())
    assert lines["model mine"].endswith("(1 left over), 3.0 s for all 5 measurements")
    assert lines["model mine tuned on t"] == "files ffffffffffff, cpu, 2 runs, 6 s in all"
    assert lines["commit"] == "abc with changes"
    assert "another" not in shown["text/plain"]
