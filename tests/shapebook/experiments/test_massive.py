"""Massive vectors of a layer: planted ones are found, counted and named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shapebook.experiments.massive import FIRST, massive_in_training, massive_of
from shapelib.errors import ShapelibError
from shapelib.models.loading import load
from shapelib.pretraining.pretrain import train
from shapelib.pretraining.recipe import recipe
from shapelib.states.pool import pool
from shapelib.text.corpus import load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def test_planted_vectors_are_counted_and_named(decoder_folder: Path, text_file: Path):
    model, text = load(decoder_folder), load_corpus(text_file)
    cut = windows(text, 20, "tokens", tokenizer=model.tokenizer)
    with pool(model, cut, 400, progress=False) as pooled:
        n, width = pooled.states[1].shape
        # Every length is 1 but for those that are planted, and none moves the mean of the rest.
        plain = np.tile(np.eye(width, dtype=np.float32), (-(-n // width), 1))[:n]
        plain[1::2] *= -1
        firsts = np.flatnonzero(pooled.position == 0)[:3]
        common, count = np.unique(pooled.token[pooled.position > 0], return_counts=True)
        token = common[count.argmax()]
        same = np.flatnonzero((pooled.token == token) & (pooled.position > 0))[:2]
        other = np.flatnonzero((pooled.token != token) & (pooled.position > 0))[:1]
        states = plain.copy()
        for rows, factor in ((firsts, 50), (same, 30), (other, 20)):
            states[rows] *= factor
        pooled.states[1], pooled.states[2] = states, plain
        found, none = (massive_of(model, pooled, layer) for layer in (1, 2))
        named = repr(model.tokenizer.decode([int(token)]))
        places = pooled.position[np.concatenate([same, other])]
    assert (found["vectors"], found["massive"], found["at_first"]) == (n, 6, 3)
    assert (found["kinds"], found["token"], found["of_token"]) == (2, named, 2)
    assert found["position"] == np.median(places)
    assert found["longest_on"] == FIRST
    assert found["longest"] == pytest.approx(50, rel=0.1)
    squares = 3 * 50**2 + 2 * 30**2 + 20**2
    assert found["squares"] == pytest.approx(squares / (squares + n - 6), rel=0.05)
    assert (none["massive"], none["at_first"], none["kinds"], none["of_token"]) == (0, 0, 0, 0)
    assert none["token"] is None
    assert none["squares"] == 0
    assert none["longest"] == pytest.approx(1, rel=0.1)


def test_a_run_is_measured_at_the_steps_and_windows_asked_for(text_file: Path, tmp_path: Path):
    made = recipe(
        "encoder", corpus=str(text_file), layers=2, width=16, heads=2, vocabulary=300, window=16,
        batch=4, steps=6, warmup=2, checkpoints=(0, 3, 6),
    )  # fmt: skip
    folder = train(made, tmp_path / "run", device="cpu", progress=False)
    table = massive_in_training(folder, (8, 16), tokens=200, steps=(0, 6))
    assert table[["step", "window"]].drop_duplicates().to_numpy().tolist() == [
        [0, "8 tokens"], [0, "16 tokens"], [6, "8 tokens"], [6, "16 tokens"],
    ]  # fmt: skip
    assert set(table["model"]) == {made.name}
    assert set(table["role"]) == {"encoder"}
    assert table["layer"].tolist() == [0, 1, 2] * 4
    assert table["tokens_seen"].drop_duplicates().tolist() == [0, 6 * 64]
    assert table.loc[table["massive"] == 0, "token"].isna().all()
    assert (table["longest"] > 1).all()
    assert not table.loc[table["layer"] > 0, "longest"].duplicated().any()
    assert [run["window"] for run in table.attrs["provenance"]] == [8, 16, 8, 16]
    assert isinstance(table["token"].dtype, pd.StringDtype) or table["token"].dtype == object
    with pytest.raises(ShapelibError, match="4"):
        massive_in_training(folder, (8,), tokens=200, steps=(4,))
