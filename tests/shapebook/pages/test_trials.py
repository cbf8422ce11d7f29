"""What was tried, as tables: of what was recorded, and that the record is one of nothing lost."""

import json
from pathlib import Path
from typing import Any

from shapebook.pages import trials
from shapebook.pages.timings import records

ROOT = Path(__file__).parents[3]
FAULTS = records.read(ROOT / "benchmarks" / "records" / "faults.json")


def kept(folder: Path, name: str, **body: Any) -> None:
    head = {"format": records.FORMAT, "benchmark": name, "command": "python it.py"}
    (folder / f"{name}.json").write_text(json.dumps({**head, **body}))


def test_nothing_recorded_leaves_both_tables_empty(tmp_path: Path):
    assert trials.tables(tmp_path) == {"families": "", "faults": ""}


def test_families_that_are_measured_and_those_that_are_refused(tmp_path: Path):
    usual = {"tokenizer": "T", "role": "encoder", "apart": True, "states": 2e-7, "metrics": 0.0}
    rows = [
        {**usual, "family": "bert", "half": 1.5e-3, "reordered": 2e-3},
        {**usual, "family": "t5, encoder", "half_refused": "t5 does not run in bfloat16"},
        {"family": "odd", "tokenizer": "T", "apart": False, "refused": "odd: a*b_c\nno"},
    ]
    kept(tmp_path, "families", families=rows, versions={"torch": "3"}, machine="m", tokens=200)
    text = trials.tables(tmp_path)["families"]
    assert text.startswith("3 model types, 3 with the halves of encoder-decoders counted each: ")
    assert "each: 2 are measured, 1 refused. torch 3." in text
    assert "| `bert` | T | encoder | yes | 2.0 × 10⁻⁷ | 0 | 1.5 × 10⁻³ | 2.0 × 10⁻³ |" in text
    assert "| `t5`, encoder | T | encoder | yes | 2.0 × 10⁻⁷ | 0 | no bfloat16 | – |" in text
    assert "- `odd`: *odd: a\\*b\\_c no*" in text


def test_faults_are_a_row_each(tmp_path: Path):
    rows = [
        {"name": "a", "tried": "one", "times": 30, "lost": 0, "twice": 1, "unnamed": 2},
        {"name": "b", "tried": "two", "times": 8, "unnamed": 0},
    ]
    kept(tmp_path, "faults", faults=rows, measured="2026-11-28", commit="abc")
    text = trials.tables(tmp_path)["faults"]
    assert "| one | 30 | 0 | 1 | 2 |\n| two | 8 | – | – | 0 |\n\nMeasured on 2026-11-28" in text


def test_nothing_was_lost():
    """In the record of `python benchmarks/faults.py`: each command killed thirty times."""
    assert FAULTS is not None
    rows = {row["name"]: row for row in FAULTS["faults"]}
    for name in ("run", "sweep", "training", "tuning", "workers"):
        assert rows[name]["times"] >= 30, name
    assert {"full disk", "full file", "together", "read-only", "elsewhere"} < rows.keys()
    for row in rows.values():
        assert not any(row.get(each) for each in ("lost", "twice", "unnamed")), row
