"""What the explorer draws is what the tables hold."""

import colorsys
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shapebook.claims.course import course
from shapebook.experiments import real_models
from shapebook.experiments.results import results
from shapebook.pages import explorer
from shapelib.figures import PALETTE
from shapelib.store import tables

ROOT = Path(__file__).parents[3]


@pytest.fixture
def profiles() -> pd.DataFrame:
    metrics = [("two_nn", None), ("anisotropy", True), ("anisotropy", False), ("own", None)]
    made = pd.DataFrame(
        [
            {
                "model": model, "role": role, "window": "512 characters", "layer": layer,
                "depth": layer / 3, "after_norm": layer == 3, "tokens": tokens, "metric": metric,
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


@pytest.fixture
def windows(profiles: pd.DataFrame) -> pd.DataFrame:
    """The page's models at two windows more and with the other beginning, and a third model."""
    third = profiles[profiles["model"] == "dec"].assign(model="new", value=0.5)
    settings = [("512 characters", True), ("2048 characters", True), ("128 characters", False)]
    made = [
        pd.concat([profiles.assign(value=profiles["value"] + 100), third]).assign(
            window=window, native=native
        )
        for window, native in settings
    ]
    further = profiles.assign(window="128 characters", native=True, metric="gride_1")
    return pd.concat([*made, further], ignore_index=True)


@pytest.fixture
def views(profiles: pd.DataFrame, training: pd.DataFrame, windows: pd.DataFrame) -> explorer.Plain:
    return dict(explorer.data(profiles, training, windows)["views"])


def test_windows_and_beginnings_are_choices(views: explorer.Plain):
    view = views["profiles"]
    assert [name for name, _, _ in view["settings"]] == ["window", "native"]
    first, second = ([value for value, _ in each] for _, _, each in view["settings"])
    # The page's own comes first, so that it is what is drawn at first.
    assert first == ["512 characters", "128 characters", "2048 characters"]
    assert second == ["own", "other"]
    found = {
        (each["group"], *each["setting"]): each["value"][0]
        for each in view["curves"]
        if (each["metric"], each["set"]) == ("anisotropy, centered", "all")
    }
    # Of the page's models and setting the page's numbers, of all else the kept ones.
    assert found["dec", "512 characters", "own"] == 1
    assert found["dec", "2048 characters", "own"] == found["dec", "128 characters", "other"] == 101
    assert found["new", "512 characters", "own"] == 0.5
    assert ("dec", "2048 characters", "other") not in found
    # No metric that the page does not have.
    assert "gride_1" not in [key for key, _ in view["metrics"]]


def test_what_curves_stand_over_is_there_once(views: explorer.Plain):
    assert len(views["profiles"]["places"]) == 1
    assert len(views["training"]["places"]) == 1


def test_a_curve_is_one_models_rows_by_layer(views: explorer.Plain):
    view = views["profiles"]
    view["curves"] = [c for c in view["curves"] if c["setting"] == ["512 characters", "own"]]
    view["curves"] = [c for c in view["curves"] if c["group"] != "new"]
    assert len(view["curves"]) == 2 * 2 * 4
    curve = next(
        each for each in view["curves"]
        if (each["group"], each["set"], each["metric"]) == ("dec", "all", "anisotropy, centered")
    )  # fmt: skip
    place = view["places"][curve["at"]]
    assert place["layer"] == [0, 1, 2, 3]
    assert place["depth"] == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-4)
    assert curve["value"] == [1, 2, 3, 4]
    assert curve["half"] == [None, 0.25, 0.25, 0.25]
    assert curve["over"] == 4
    assert place["apart"] == [True, False, False, True]


def test_a_curve_of_one_batch_has_no_band(views: explorer.Plain):
    view = views["profiles"]
    single = [each for each in view["curves"] if each["metric"] == "own"]
    assert {each["over"] for each in single} == {1}
    assert all(each["half"] == [None] * 4 for each in single)
    assert "no band" in view["band"][1]


def test_what_is_offered_is_what_was_measured(views: explorer.Plain):
    view = views["profiles"]
    assert [key for key, _ in view["metrics"]] == [
        "anisotropy, centered", "anisotropy, not centered", "two_nn", "own"
    ]  # fmt: skip
    assert [key for key, _ in view["sets"]] == ["all", "rest"]
    assert view["groups"] == [
        ["enc", "enc (encoder)"], ["dec", "dec (decoder)"], ["new", "new (decoder)"]
    ]  # fmt: skip


def test_a_training_curve_is_a_mean_over_runs(views: explorer.Plain):
    view = views["training"]
    assert view["groups"] == [["a", "a (3 runs)"], ["b", "b (1 run)"]]
    several, single = view["curves"]
    place = view["places"][several["at"]]
    assert place["step"] == [0, 9]
    assert place["logarithmic"] == [1, 10]
    assert several["value"] == [1, 91]
    assert several["half"] == pytest.approx([2 / np.sqrt(3)] * 2, rel=0.005)
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
    profiles: pd.DataFrame, training: pd.DataFrame, windows: pd.DataFrame
):
    kept = results("results/training")
    shape, runs = (tables.read_table(kept / f"{name}.parquet") for name in ("shape", "training"))
    curves = course(shape, runs)
    looks = explorer.data(profiles, curves, windows)["views"]["training"]["looks"]
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
    looks = explorer.data(profiles, many, windows)["views"]["training"]["looks"]
    assert len({tuple(each) for each in looks.values()}) == 20


def test_a_kind_without_a_colour_has_that_of_its_role(
    profiles: pd.DataFrame, training: pd.DataFrame, windows: pd.DataFrame
):
    looks = explorer.data(profiles, training.assign(kind="new"), windows)["views"]["training"][
        "looks"
    ]
    assert looks["a"][0] == PALETTE[0]


def test_what_a_reader_adds_has_looks_that_no_model_of_the_book_has(views: explorer.Plain):
    view = views["profiles"]
    taken = {colour for colour, _ in view["looks"].values()}
    assert taken.isdisjoint(colour for colour, _ in view["spare"])
    assert len({tuple(each) for each in view["spare"]}) >= 8
    for colour, _ in view["spare"]:
        assert min(contrast(colour, ground) for ground in ("#ffffff", "#14181e")) >= 2.8


def test_the_books_tables_are_plain_json_of_a_bearable_size():
    kept = results("results/training")
    shape, runs = (tables.read_table(kept / f"{name}.parquet") for name in ("shape", "training"))
    page = pd.read_csv(ROOT / "book" / "executed" / "data" / "profiles.csv")
    made = explorer.data(
        page.astype({"centered": "boolean"}), course(shape, runs), real_models.kept()
    )
    curves = made["views"]["profiles"]["curves"]
    assert len({tuple(each["setting"]) for each in curves}) == 8
    assert len(json.dumps(made, allow_nan=False, separators=(",", ":"))) < 800_000
