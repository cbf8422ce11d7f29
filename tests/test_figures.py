"""Figures are functions of tables: right curves, right labels, same bytes twice."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from shapebook.figures.shown import (
    ROWS,
    published_course,
    published_dimensions,
    published_profile,
    show,
)
from shapelib import figures

BLUE, ORANGE = figures.PALETTE[:2]


@pytest.fixture
def table() -> pd.DataFrame:
    metrics = [
        ("anisotropy", True), ("anisotropy", False), ("average_cosine", True),
        ("average_cosine", False), ("two_nn", None), ("two_nn_lowest20", None),
    ]  # fmt: skip
    made = pd.DataFrame(
        [
            {
                "model": model, "role": role, "layer": layer, "depth": layer / 4, "tokens": tokens,
                "after_norm": role == "decoder" and layer == 4, "metric": metric,
                "centered": centered, "value": layer / 10 + 0.1, "std": 0.01,
            }
            for model, role in (("enc", "encoder"), ("dec", "decoder"), ("dec2", "decoder"))
            for layer in range(5) for tokens in ("all", "content") for metric, centered in metrics
        ]
    )  # fmt: skip
    return made.astype({"centered": "boolean"})


@pytest.mark.parametrize(
    ("draw", "curves"),
    [
        (figures.anisotropy_profile, ["dec", "dec2"]),
        (figures.cosine_profile, ["dec, uncentered", "dec, centered"]),
        (figures.share_profile, ["dec, uncentered", "dec, centered"]),
        (
            figures.dimension_profile,
            ["dec, fit to the lowest 90 %", "dec, fit to the lowest 20 %"],
        ),
    ],
)
def test_panels_curves_and_markers(table: pd.DataFrame, draw, curves: list[str]):
    encoders, decoders = draw(table).axes
    assert (encoders.get_title(), decoders.get_title()) == ("encoders", "decoders")
    labels = [text.get_text() for text in decoders.figure.legends[0].get_texts()]
    assert set(curves) <= set(labels)
    assert len(labels) == len(set(labels))
    line = decoders.lines[0]
    assert line.get_xdata().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    counted, apart = decoders.lines[1], decoders.lines[2]
    assert len(counted.get_xdata()) == 3
    assert apart.get_xdata().tolist() == [0, 1]
    bands = len([label for label in labels if label.startswith("dec")])
    assert len(decoders.collections) == bands, "a band for every curve"


def test_the_data_of_a_figure_are_the_rows_it_shows(table: pd.DataFrame):
    figure = figures.cosine_profile(table, "content")
    told = show(figure)._data_and_metadata()[1][ROWS]
    rows = pd.read_csv(io.StringIO(told))
    assert set(rows["metric"]) == {"average_cosine"}
    assert "std" not in rows, "what is the same in every row is left out"
    assert set(rows["tokens"]) == {"content"}, "but not what is measured"
    lines = [line for axes in figure.axes for line in axes.lines]
    drawn = {tuple(np.round(line.get_ydata(), 6)) for line in lines}
    for _, curve in rows.groupby(["model", "centered"]):
        assert tuple(curve.sort_values("layer")["value"]) in drawn
    assert len(rows) == 3 * 2 * 5
    assert figures.data(pickle.loads(pickle.dumps(figure))) == told, "a copy has them as well"


def test_a_figure_without_rows_has_no_data():
    from matplotlib.figure import Figure

    bare = Figure()
    bare.subplots()
    assert figures.data(bare) is None
    assert ROWS not in show(bare).metadata


def test_published_numbers_are_drawn_as_they_were_printed():
    from shapebook.experiments.published import published

    table = published()
    assert len(table) == 2 * 2 * 13
    gpt2 = table[(table["model"] == "GPT-2") & (table["metric"] == "first_direction_share")]
    assert gpt2["value"].tolist()[:4] == [0.062, 0.298, 0.969, 0.998]
    drawn = published_profile(table)
    bert, gpt2_axes = drawn.axes
    assert bert.get_title() == "BERT (published)"
    assert gpt2_axes.lines[0].get_ydata().tolist() == gpt2["value"].tolist()
    assert "published" in bert.get_ylabel()
    assert [{line.get_color() for line in axes.lines} for axes in (bert, gpt2_axes)] == [
        {ORANGE}, {BLUE}
    ]  # fmt: skip
    assert [line.get_linestyle() for line in bert.lines] == ["-", "--"]
    shown = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert shown[0] == "BERT, share of the first direction"
    assert len(shown) == 4


def test_published_dimensions_are_drawn_as_they_were_published():
    from shapebook.experiments.published import published_dimension, published_training

    layers, course = published_dimension(), published_training()
    assert layers.groupby("model")["layer"].max().to_dict() == {
        "OPT-125m": 12, "OPT-1.3b": 24, "OPT-13b": 40,
    }  # fmt: skip
    highest = layers.loc[layers.groupby("model")["value"].idxmax()].set_index("model")
    assert highest["layer"].to_dict() == {"OPT-125m": 9, "OPT-1.3b": 15, "OPT-13b": 25}
    (axes,) = published_dimensions(layers).axes
    drawn = {each.get_label(): each.lines[0].get_ydata().tolist() for each in axes.containers}
    assert drawn == {name: of["value"].tolist() for name, of in layers.groupby("model")}
    (axes,) = published_course(course).axes
    mean = course[course["part"] == "mean"]
    assert axes.lines[0].get_ydata().tolist() == mean["value"].tolist()
    assert mean.set_index("step")["value"].idxmax() == 64000
    assert "published" in axes.get_title()
    assert axes.get_xscale() == "log"


def test_decoders_begin_with_blue_and_encoders_with_orange():
    for names in (["enc", "dec"], ["dec", "enc"]):
        colours = figures.model_colours({each: f"{each}oder" for each in names})
        assert colours == {"dec": BLUE, "enc": ORANGE}


@pytest.mark.parametrize("decoders", range(7))
def test_six_models_have_six_colours_whatever_their_roles(decoders: int):
    roles = {str(at): "decoder" if at < decoders else "encoder" for at in range(6)}
    colours = figures.model_colours(roles)
    assert set(colours.values()) == set(figures.PALETTE)
    assert (colours["0"] == BLUE) == (decoders > 0)
    assert (colours[str(decoders % 6)] == ORANGE) == (decoders < 6)


def test_a_seventh_model_begins_anew():
    colours = figures.model_colours({str(at): "decoder" for at in range(7)})
    assert colours["6"] == colours["0"] == BLUE


def test_many_models_are_named_once_and_differ_in_colour_or_marker(table: pd.DataFrame):
    """As in Figure 1 of the paper: a legend of a line for each curve would cover the panels."""
    decoder = table[(table["model"] == table["model"].iloc[-1])]
    many = pd.concat([decoder.assign(model=f"model {n}", role="decoder") for n in range(14)])
    drawn = figures.dimension_profile(many)
    drawn.draw_without_rendering()
    (legend,) = drawn.legends
    shown = [each.get_text() for each in legend.get_texts()]
    assert shown == [
        *(f"model {n}" for n in range(14)), "fit to the lowest 90 %", "fit to the lowest 20 %",
    ]  # fmt: skip
    looks = [(each.get_color(), each.get_marker()) for each in legend.get_lines()[:14]]
    assert len(set(looks)) == 14
    (axes,) = drawn.axes
    assert axes.get_window_extent().height > 150
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_no_model_has_the_first_colour_of_the_other_role():
    roles = {f"{role} {at}": role for role in ("decoder", "encoder") for at in range(8)}
    colours = figures.model_colours(roles)
    assert {role for name, role in roles.items() if colours[name] == BLUE} == {"decoder"}
    assert {role for name, role in roles.items() if colours[name] == ORANGE} == {"encoder"}


def test_models_keep_their_colour_and_differ(table: pd.DataFrame):
    encoders, decoders = figures.anisotropy_profile(table).axes
    colours = [encoders.lines[0].get_color(), *(decoders.lines[i].get_color() for i in (0, 3))]
    assert len(set(colours)) == 3
    assert colours[:2] == [ORANGE, BLUE]


def test_a_role_without_a_model(table: pd.DataFrame):
    both = figures.anisotropy_profile(table)
    alone = figures.anisotropy_profile(table[table["role"] == "decoder"])
    (decoders,) = alone.axes
    assert decoders.get_title() == "decoders"
    assert len(decoders.lines) == len(both.axes[1].lines)
    assert alone.get_figwidth() < both.get_figwidth()


def test_the_same_table_gives_the_same_bytes(table: pd.DataFrame):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = show(figures.anisotropy_profile(table)).data
        two = show(figures.anisotropy_profile(table)).data
    assert one == two
    assert one.lstrip().startswith("<svg")
