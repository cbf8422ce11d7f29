"""What the explorer draws is what the tables hold."""

import colorsys
import json

import numpy as np
import pandas as pd
import pytest

from shapebook.claims.course import course
from shapebook.experiments.results import results
from shapebook.pages import explorer
from shapelib.figures import PALETTE
from shapelib.store import tables


@pytest.fixture
def profiles() -> pd.DataFrame:
    metrics = [("two_nn", None), ("anisotropy", True), ("anisotropy", False), ("own", None)]
    made = pd.DataFrame(
        [
            {
                "model": model, "role": role, "layer": layer, "depth": layer / 3,
                "after_norm": layer == 3, "tokens": tokens, "metric": metric,
                "centered": centered, "value": value + layer,
                "std": 0.25 if layer and metric != "own" else np.nan,
                "batches": 1 if metric == "own" else 4,
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
                "recipe": recipe, "run": run, "step": step, "mixing": "windows mixed",
                "role": "decoder", "kind": "decoder" if recipe == "a" else "prefix",
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
    assert curve["half"] == [None, 0.25, 0.25, 0.25]
    assert curve["over"] == 4
    assert curve["apart"] == [True, False, False, True]


def test_a_curve_of_one_batch_has_no_band(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["profiles"]
    single = [each for each in view["curves"] if each["metric"] == "own"]
    assert [each["over"] for each in single] == [1] * 4
    assert all(each["half"] == [None] * 4 for each in single)
    assert "no band" in view["band"][1]


def test_what_is_offered_is_what_was_measured(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["profiles"]
    assert [key for key, _ in view["metrics"]] == [
        "anisotropy, centered", "anisotropy, not centered", "two_nn", "own"
    ]  # fmt: skip
    assert [key for key, _ in view["sets"]] == ["all", "rest"]
    assert view["groups"] == [["enc", "enc (encoder)"], ["dec", "dec (decoder)"]]


def test_a_training_curve_is_a_mean_over_runs(profiles: pd.DataFrame, training: pd.DataFrame):
    view = explorer.data(profiles, training)["views"]["training"]
    assert view["groups"] == [["a", "a (3 runs)"], ["b", "b (1 run)"]]
    several, single = view["curves"]
    assert several["step"] == [0, 9]
    assert several["logarithmic"] == [1, 10]
    assert several["value"] == [1, 91]
    assert several["half"] == pytest.approx([2 / np.sqrt(3)] * 2, abs=1e-4)
    assert several["over"] == 3
    assert single["half"] == [None, None]
    assert single["over"] == 1


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""
    dark, light = sorted(
        sum(
            weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for weight, c in zip((0.2126, 0.7152, 0.0722), channels(each), strict=True)
        )
        for each in (one, other)
    )
    return (light + 0.05) / (dark + 0.05)


def channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def test_decoders_are_blue_encoders_orange_and_all_can_be_told_apart(
    profiles: pd.DataFrame, training: pd.DataFrame
):
    kept = results("results/training")
    shape, runs = (tables.read_table(kept / f"{name}.parquet") for name in ("shape", "training"))
    curves = course(shape, runs)
    looks = explorer.data(profiles, curves)["views"]["training"]["looks"]
    assert set(looks) == set(curves["recipe"])
    assert len({colour for colour, _ in looks.values()}) == len(looks)
    assert looks["decoder-96-warmup50"][0] == PALETTE[0]
    assert looks["encoder-96-warmup50"][0] == PALETTE[1]
    for recipe, (colour, _) in looks.items():
        hue = 360 * colorsys.rgb_to_hsv(*channels(colour))[0]
        assert not recipe.startswith("decoder") or 180 <= hue <= 250
        assert not recipe.startswith("encoder") or hue <= 45
        assert min(contrast(colour, ground) for ground in ("#ffffff", "#14181e")) >= 3
    # What a reader adds can be told apart as well.
    one = training[training["recipe"] == "a"]
    many = pd.concat([one.assign(recipe=f"r{n}") for n in range(20)])
    looks = explorer.data(profiles, many)["views"]["training"]["looks"]
    assert len({tuple(each) for each in looks.values()}) == 20


def test_a_kind_without_a_colour_has_that_of_its_role(
    profiles: pd.DataFrame, training: pd.DataFrame
):
    looks = explorer.data(profiles, training.assign(kind="new"))["views"]["training"]["looks"]
    assert looks["a"][0] == PALETTE[0]


def test_the_kept_runs_are_plain_json_of_a_bearable_size(profiles: pd.DataFrame):
    kept = results("results/training")
    shape, runs = (tables.read_table(kept / f"{name}.parquet") for name in ("shape", "training"))
    text = json.dumps(explorer.data(profiles, course(shape, runs)), allow_nan=False)
    assert len(text) < 500_000
