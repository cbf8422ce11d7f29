"""What printed errors are worth, as the method page has it."""

from pathlib import Path

import pandas as pd

from shapebook.pages import kept
from shapelib.store import tables


def test_each_metric_and_each_claim_has_a_row(tmp_path: Path):
    table = pd.DataFrame(
        {
            "model": "mine", "what": ["mada_k20", "anisotropy, not centered", "encoder-uniform"],
            "splits": [48, 48, 40], "pairs": [288, 288, 40], "covered": [0.861, 1.0, 0.95],
            "too_narrow": [1.918, 0.804, 0.36],
        }
    )  # fmt: skip
    (tmp_path / "coverage").mkdir()
    tables.write_table(table, tmp_path / "coverage" / "coverage.parquet")
    lines = kept.tables(tmp_path)["coverage"].splitlines()
    assert lines[0].startswith("| of mine | splits | differences | within 95 % |")
    assert lines[2:] == [
        "| MADA, 20 neighbours | 48 | 288 | 86 % | 1.92 |",
        "| anisotropy, not centered | 48 | 288 | 100 % | 0.80 |",
        "| claim 2: highest minus lowest layer | 40 | 40 | 95 % | 0.36 |",
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_nothing_is_kept_and_nothing_is_said(tmp_path: Path):
    assert kept.tables(tmp_path) == {"coverage": "", "precision": "", "quantisation": ""}


def test_what_moved_is_a_row_a_metric_and_a_column_a_model(tmp_path: Path):
    moved = {("mine", True): [0.1, 0.2, 3.0], ("yours", None): [0.5, 0.5, 0.5]}
    table = pd.concat(
        [
            pd.DataFrame({"model": model, "metric": "two_nn" if centered is None else "anisotropy",
                          "centered": centered, "moved": values})
            for (model, centered), values in [*moved.items(), (("yours", True), [0.0, 0.1, 0.0]),
                                              (("mine", None), [1.0, 1.0, 2.0])]
        ],
        ignore_index=True,
    )  # fmt: skip
    (tmp_path / "precision").mkdir()
    tables.write_table(table, tmp_path / "precision" / "metrics.parquet")
    assert kept.tables(tmp_path)["precision"].splitlines() == [
        "| metric | mine | yours |",
        "|---|---|---|",
        "| `anisotropy`, centered | 0.20 (3.0) | 0.00 (0.1) |",
        "| `two_nn` | 1.00 (2.0) | 0.50 (0.5) |",
    ]
    (tmp_path / "quantisation").mkdir()
    both = [table.assign(type=kind) for kind in ("Q8_0", "Q4_1")]
    tables.write_table(pd.concat(both), tmp_path / "quantisation" / "metrics.parquet")
    head, _, first, _ = kept.tables(tmp_path)["quantisation"].splitlines()
    assert head == "| metric | mine in Q8_0 | yours in Q8_0 | mine in Q4_1 | yours in Q4_1 |"
    assert first.count("0.20 (3.0)") == 2
