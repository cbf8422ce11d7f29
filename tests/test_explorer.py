"""What the explorer draws is what the tables hold."""

import json

import numpy as np
import pandas as pd
import pytest

from shapelib import explorer, store
from shapelib.course import course
from shapelib.figures import PALETTE


@pytest.fixture
def profiles() -> pd.DataFrame:
    metrics = [("two_nn", None), ("anisotropy", True), ("anisotropy", False), ("own", None)]
    made = pd.DataFrame(
        [
            {
                "model": model, "role": role, "layer": layer, "depth": layer / 3,
                "after_norm": layer == 3, "tokens": tokens, "metric": metric,
                "centered": centered, "value": value + layer, "std": 0.25 if layer else np.nan,
            }
            for value, (model, role) in enumerate([("enc", "encoder"), ("dec", "decoder")])
            for layer in (2, 0, 1, 3) for tokens in ("rest", "all") for metric, centered in metrics
        ]
    )  # fmt: skip
    return made.astype({"centered": "boolean"})


@pytest.fixture
def training() -> pd.DataFrame:
    made = pd.DataFrame(
        [
            {
                "recipe": recipe, "role": "encoder" if recipe == "a" else "decoder", "run": run,
                "step": step, "mixing": "windows mixed",
                "metric": "anisotropy", "centered": True, "value": run + 10.0 * step,
            }
            for recipe, runs in (("a", 3), ("b", 1)) for run in range(runs) for step in (0, 9)
        ]
    )  # fmt: skip
    return made.astype({"centered": "boolean"})


def test_a_curve_is_one_models_rows_by_layer(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["profiles"]
    assert len(view["curves"]) == 2 * 2 * 4
    curve = next(
        each for each in view["curves"]
        if (each["group"], each["set"], each["metric"]) == ("dec", "all", "anisotropy, centered")
    )  # fmt: skip
    assert curve["layer"] == [0, 1, 2, 3]
    assert curve["depth"] == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-4)
    assert curve["value"] == [1, 2, 3, 4]
    assert curve["half"] == [0, 0.25, 0.25, 0.25]
    assert curve["apart"] == [True, False, False, True]


def test_what_is_offered_is_what_was_measured(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["profiles"]
    assert [key for key, _ in view["metrics"]] == [
        "anisotropy, centered", "anisotropy, not centered", "two_nn", "own"
    ]  # fmt: skip
    assert [key for key, _ in view["sets"]] == ["all", "rest"]
    assert view["groups"] == [["enc", "enc (encoder)"], ["dec", "dec (decoder)"]]


def test_a_colour_is_a_role(profiles: pd.DataFrame, training: pd.DataFrame):
    blue, orange = PALETTE[:2]
    views = explorer.data(profiles, training)["views"]
    assert views["profiles"]["colours"] == {"enc": orange, "dec": blue}
    assert views["training"]["colours"] == {"a": orange, "b": blue}


def test_a_training_curve_is_a_mean_over_runs(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["training"]
    assert view["groups"] == [["a", "a (3 runs)"], ["b", "b (1 run)"]]
    several, single = view["curves"]
    assert several["step"] == [0, 9]
    assert several["logarithmic"] == [1, 10]
    assert several["value"] == [1, 91]
    assert several["half"] == pytest.approx([2 / np.sqrt(3)] * 2, abs=1e-4)
    assert single["half"] == [0, 0]


def test_the_kept_runs_are_plain_json_of_a_bearable_size(profiles: pd.DataFrame):
    kept = store.kept("results/training")
    shape, runs = (store.read_table(kept / f"{name}.parquet") for name in ("shape", "training"))
    text = json.dumps(explorer.data(profiles, course(shape, runs)), allow_nan=False)
    assert len(text) < 500_000
