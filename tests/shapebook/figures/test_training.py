"""Figures of training are functions of curves: right lines, bands and maps."""

import numpy as np
import pandas as pd
import pytest

from shapebook.claims.course import course
from shapebook.figures import training as training_figures
from shapebook.figures.shown import NEUTRAL
from shapelib.figures import PALETTE

STEPS = [0, 10, 100, 1000]
LEVEL = {"decoder": 5.0, "encoder": 3.0}
MASKS = {"decoder": "causal", "encoder": "full"}
BLUE, ORANGE = PALETTE[:2]


@pytest.fixture
def shape() -> pd.DataFrame:
    """Two kinds, three runs each 0.1 apart; the value rises by 0.5 a checkpoint and 1 a layer."""
    metrics = [("anisotropy", True), ("anisotropy", False), ("two_nn", None),
               ("two_nn_lowest20", None), ("mada_k20", None), ("mom_k20", None)]  # fmt: skip
    made = pd.DataFrame(
        [
            {
                "model": f"{kind}-96-warmup50-seed{seed}", "role": kind, "step": step,
                "tokens_seen": step, "layer": layer, "depth": layer / 3, "after_norm": layer == 3,
                "tokens": "all", "metric": metric, "centered": centered, "batches": batches,
                "std": 0.01, "stderr": 0.01,
                "value": LEVEL[kind] + 0.1 * seed + 0.5 * at + layer
                + (100 if centered is False else 0),
            }
            for kind in LEVEL for seed in range(3) for at, step in enumerate(STEPS)
            for layer in range(4) for batches in (1, 4) for metric, centered in metrics
        ]
    )  # fmt: skip
    return made.astype({"centered": "boolean"})


@pytest.fixture
def training() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "model": f"{kind}-96-warmup50-seed{seed}", "kind": kind, "mask": MASKS[kind],
                "seed": seed, "width": 96, "warmup": 50, "step": step, "learning_rate": 1e-3,
                "perplexity": 100.0 - at if step != 100 else np.nan,
            }
            for kind in LEVEL for seed in range(3) for at, step in enumerate(STEPS)
        ]
    )  # fmt: skip


def test_a_line_a_recipe_with_its_band(shape: pd.DataFrame, training: pd.DataFrame):
    curves = course(shape, training)
    figure = training_figures.training_curves(curves, "anisotropy", "anisotropy", curves)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    decoder = lines["decoder-96-warmup50"]
    assert decoder.get_xdata().tolist() == STEPS
    # Layers 1 and 2, the middle run; the uncentered share is not mixed in.
    np.testing.assert_allclose(decoder.get_ydata(), [6.6, 7.1, 7.6, 8.1])
    assert "decoder-96-warmup50, this page's run" in lines
    assert len(axes.collections) == 2
    half = 2 * 0.1 / 3**0.5
    top = axes.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(8.1 + half)


def test_four_estimators_by_two_ways_of_making_batches(shape: pd.DataFrame, training: pd.DataFrame):
    figure = training_figures.estimators_in_training(course(shape, training))
    assert len(figure.axes) == 8
    assert all(len(axes.lines) == 2 for axes in figure.axes)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "TwoNN, lowest 90 %\nwindows mixed"
    assert titles[1] == "TwoNN, lowest 90 %\nwhole windows"
    assert [axes.get_ylabel() for axes in figure.axes] == ["dimension", ""] * 4


def test_a_suite_that_is_measured_in_one_way_has_no_empty_panels(shape: pd.DataFrame):
    mixed = course(shape)
    mixed = mixed[mixed["mixing"] == "windows mixed"]
    figure = training_figures.estimators_in_training(mixed)
    assert len(figure.axes) == 4
    assert all(axes.lines for axes in figure.axes)
    assert [axes.get_ylabel() for axes in figure.axes] == ["dimension", ""] * 2


def slower(table: pd.DataFrame) -> pd.DataFrame:
    """The same runs with a warm-up of 400 steps."""
    told = table.assign(model=table["model"].str.replace("warmup50", "warmup400"))
    return told.assign(warmup=400) if "warmup" in table else told


def test_a_colour_is_a_role_and_dashes_a_longer_warm_up(
    shape: pd.DataFrame, training: pd.DataFrame
):
    # The encoder and the long warm-up come first: neither order nor number decides.
    shape = shape.sort_values("role", ascending=False, kind="stable")
    curves = course(pd.concat([slower(shape), shape]), pd.concat([slower(training), training]))
    drawn = training_figures.estimators_in_training(curves)
    looks = {
        line.get_label(): (line.get_color(), line.get_linestyle()) for line in drawn.axes[0].lines
    }
    assert looks == {
        "decoder-96-warmup50": (BLUE, "-"), "decoder-96-warmup400": (BLUE, "--"),
        "encoder-96-warmup50": (ORANGE, "-"), "encoder-96-warmup400": (ORANGE, "--"),
    }  # fmt: skip
    (axes,) = training_figures.training_curves(curves, "two_nn", "TwoNN", curves).axes
    assert {line.get_color() for line in axes.lines} == {BLUE, ORANGE}


def test_recipes_that_differ_in_something_else_differ_in_colour(
    shape: pd.DataFrame, training: pd.DataFrame
):
    curves = course(shape, training)
    curves = curves[curves["kind"] == "decoder"]
    both = pd.concat([curves.assign(recipe="one block"), curves.assign(recipe="another")])
    one, another = training_figures.estimators_in_training(both).axes[0].lines
    assert one.get_color() == BLUE != another.get_color()


def test_suites_without_a_recipe_are_drawn_by_role(shape: pd.DataFrame):
    first = shape[shape["model"].str.endswith("seed0")]
    axes = training_figures.estimators_in_training(course(first)).axes[0]
    assert [(line.get_color(), line.get_linestyle()) for line in axes.lines] == [
        (BLUE, "-"), (ORANGE, "-")
    ]  # fmt: skip


def test_widths_side_by_side(shape: pd.DataFrame, training: pd.DataFrame):
    wide = shape.assign(model=shape["model"].str.replace("-96-", "-192-"), value=shape["value"] + 1)
    told = training.assign(model=training["model"].str.replace("-96-", "-192-"), width=192)
    curves = course(pd.concat([wide, shape]), pd.concat([told, training]))
    panels = training_figures.by_width(curves).axes
    assert [axes.get_title().split("\n")[0] for axes in panels] == ["decoder"] * 3 + ["encoder"] * 3
    narrow, wider = panels[0].lines
    assert [narrow.get_label(), wider.get_label()] == ["decoder, width 96", "decoder, width 192"]
    assert [narrow.get_linestyle(), wider.get_linestyle()] == ["-", "--"]
    assert {line.get_color() for axes in panels[:3] for line in axes.lines} == {BLUE}
    assert {line.get_color() for axes in panels[3:] for line in axes.lines} == {ORANGE}
    np.testing.assert_allclose(narrow.get_ydata(), [6.6, 7.1, 7.6, 8.1])
    np.testing.assert_allclose(wider.get_ydata(), [7.6, 8.1, 8.6, 9.1])
    assert panels[0].get_ylim() == panels[3].get_ylim()


def test_a_map_for_each_kind_is_the_mean_over_runs(shape: pd.DataFrame):
    titles = {name: name.split("-")[0] for name in shape["model"].unique()}
    decoders, encoders, _ = training_figures.layer_step_maps(shape, titles).axes
    assert [decoders.get_title(), encoders.get_title()] == ["decoder", "encoder"]
    shown = decoders.images[0].get_array()
    assert shown.shape == (4, 4)
    np.testing.assert_allclose(shown[2], [7.1, 7.6, 8.1, 8.6])


def test_perplexity_is_drawn_where_it_was_measured(training: pd.DataFrame):
    above, below = training_figures.loss_and_rate(training).axes
    assert above.lines[0].get_xdata().tolist() == [0, 10, 1000]
    assert list(below.lines[0].get_xdata()) == STEPS


def test_one_learning_rate_is_one_line(training: pd.DataFrame):
    above, below = training_figures.loss_and_rate(training).axes
    (shared,) = below.lines
    assert (shared.get_label(), shared.get_color()) == ("learning rate, warm-up 50", NEUTRAL)
    assert [line.get_color() for line in above.lines] == [BLUE, ORANGE]
    own = training["kind"].eq("encoder") & training["step"].eq(1000)
    apart = training.assign(learning_rate=training["learning_rate"].mask(own, 1e-4))
    two = training_figures.loss_and_rate(apart).axes[1].lines
    assert [line.get_color() for line in two] == [BLUE, ORANGE]
    assert two[1].get_label() == "learning rate, encoder, warm-up 50"
    assert list(two[1].get_ydata()) == [1e-3, 1e-3, 1e-3, 1e-4]


def test_the_last_checkpoint_over_depth(shape: pd.DataFrame):
    titles = {name: name.split("-")[0] for name in shape["model"].unique()}
    encoders, decoders = training_figures.final_profiles(shape, titles).axes
    np.testing.assert_allclose(decoders.lines[0].get_ydata(), [6.6, 7.6, 8.6, 9.6])
    assert encoders.get_title() == "encoders"


def test_bells_over_runs():
    values = {1: 0.1, 2: 0.1, 3: 0.8, 4: 0.8, 5: 0.2, 6: 0.2}
    shape = pd.DataFrame(
        [
            {
                "model": f"m{seed}", "step": step, "layer": layer, "after_norm": layer == 7,
                "metric": "anisotropy", "centered": True,
                "value": values.get(layer, 9.0) + 0.01 * seed * (layer in (3, 4)) if step else 0.5,
            }
            for seed in range(3) for step in (0, 10) for layer in range(8)
        ]
    )  # fmt: skip
    found = training_figures.bells(shape, dict.fromkeys(("m0", "m1", "m2"), "kind"))
    assert found.loc["kind", "runs"] == 3
    assert found.loc["kind", "bell"] == pytest.approx(0.61)
    assert found.loc["kind", "± two s.e."] == pytest.approx(2 * 0.01 / 3**0.5, abs=1e-3)
    alone = training_figures.bells(shape, {"m0": "one"})
    assert alone["± two s.e."].isna().all()
