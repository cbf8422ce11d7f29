"""Token sets searched together: not a number may differ from a search of each alone."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapelib import profile as measure
from shapelib.errors import ShapelibError
from shapelib.states import layer as measuring
from shapelib.states.settings import TOKEN_SETS

SMALL: dict[str, Any] = {
    "tokens": 600, "batch": 256, "window": 40, "progress": False, "reuse": False,
    "metrics": ["default", "gride", "relatives", "overlap"],
}  # fmt: skip


def test_sets_measured_together_are_those_measured_alone(
    encoder_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
):
    shared: list[int] = []

    def spied(*arguments: Any) -> Any:
        shared.append(len(arguments[1]))
        return together(*arguments)

    together = measuring.neighbors_of_subsets
    monkeypatch.setattr(measuring, "neighbors_of_subsets", spied)
    table = measure(encoder_folder, text_file, **SMALL, sets=tuple(TOKEN_SETS))
    # Three layers of two batches; no vector is massive, so that rest is all.
    assert shared == [3] * 6
    for name in TOKEN_SETS:
        alone = measure(encoder_folder, text_file, **SMALL, sets=(name,))
        here = table[table["tokens"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(here, alone, check_exact=True)
    assert len(shared) == 6, "one set alone has nothing to share"


def test_the_set_that_cannot_be_searched_is_named(
    encoder_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
):
    def spoiled(pooled: Any, layer: int, rows: Any, k: int) -> Any:
        alone_of.append(len(rows))
        if len(alone_of) == 2:
            raise ValueError("no neighbours")
        return alone(pooled, layer, rows, k)

    def refused(*arguments: Any) -> Any:
        raise ValueError("in one of them")

    alone_of: list[int] = []
    alone = measuring._alone
    monkeypatch.setattr(measuring, "neighbors_of_subsets", refused)
    monkeypatch.setattr(measuring, "_alone", spoiled)
    with pytest.raises(ShapelibError, match=r"layer 0, content tokens: .* measured: no neighbours"):
        measure(encoder_folder, text_file, **SMALL, sets=("all", "content"))
