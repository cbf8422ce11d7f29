"""Figures and sentences on scale are functions of tables: right lines, plateaus and numbers."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from shapebook.claims.course import course
from shapebook.experiments.parting import BOTH, EVERYONE, KINDS, OTHERS, REST, TYPES
from shapebook.figures import scale
from shapelib import read_table
from shapelib.figures import data
from shapelib.geometry.scale.curves import SCALES

ROOT = Path(__file__).parents[3]
FLAT = [5.0] * 7
RISING = [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


def shape(
    by_layer: list[list[float]], model: str = "mine", role: str = "decoder", tokens: str = "all",
    removed: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """GRIDE of layers 0, 1, …, each with its values along the scales; the last is after a norm."""
    last = len(by_layer) - 1
    return pd.DataFrame(
        [
            {
                "model": model, "role": role, "layer": layer, "depth": layer / last, "n": 4096,
                "after_norm": layer == last, "tokens": tokens, "removed": removed,
                "metric": f"gride_{n}", "centered": pd.NA, "value": value, "stderr": 0.05,
            }
            for layer, values in enumerate(by_layer)
            for n, value in zip(SCALES, values, strict=True)
        ]
    )  # fmt: skip


LAYERS = [RISING, FLAT, RISING, [9.0] * 4 + [5.0] * 3, RISING]


def test_plateaus_are_those_of_the_library():
    found = scale.plateaus(shape(LAYERS))
    assert found["mine", 0] is None
    flat = found["mine", 1]
    assert flat is not None
    assert (flat.value, flat.first, flat.last) == (pytest.approx(5), 1, 64)
    part = found["mine", 3]
    assert part is not None
    assert (part.value, part.first, part.last) == (pytest.approx(9), 1, 8)
    lacking = shape(LAYERS).query("not (layer == 1 and metric == 'gride_4')")
    assert ("mine", 1) not in scale.plateaus(lacking)


def test_a_panel_a_model_and_plateaus_drawn_broad():
    both = pd.concat([shape(LAYERS), shape(LAYERS[1:], "other", "encoder")], ignore_index=True)
    figure = scale.by_size(both)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["mine\nall vectors", "other\nall vectors"]
    first = figure.axes[0]
    broad = [line for line in first.lines if line.get_linewidth() > 3]
    told = pd.read_csv(io.StringIO(data(figure) or ""))
    mine = told[told["model"] == "mine"]
    assert set(mine["layer"]) == {1, 2, 3, 4}, "the embedding is not drawn"
    assert len(broad) == 2
    assert sum(len(line.get_xdata()) for line in broad) == mine["plateau"].sum() == 7 + 4
    line = first.lines[0]
    assert list(line.get_xdata()) == [2 * n for n in SCALES]
    assert list(line.get_ydata()) == FLAT
    labels = [text.get_text() for text in first.texts]
    assert sorted(labels) == [f"layer {n}" for n in (1, 2, 3, 4)]


def test_below_stands_what_is_left_without_special_or_massive_vectors():
    parts = [shape(LAYERS), shape(LAYERS[1:], "other", "encoder")]
    parts += [shape([RISING] * 5, tokens="rest", removed=0.01), shape(LAYERS, tokens="content")]
    parts += [shape([FLAT] * 4, "other", "encoder", "content", 0.02)]
    both = pd.concat(parts, ignore_index=True)
    assert scale.fewer(both) == {"mine": "rest", "other": "content"}
    figure = scale.by_size(both)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[2:] == ["mine\nwithout massive vectors", "other\nwithout special tokens"]
    assert list(figure.axes[2].lines[0].get_ydata()) == RISING
    told = "\n".join(scale.said(both).sentences)
    assert "mine (decoder) without massive vectors: none of 3 layers has a plateau." in told
    assert "other (encoder): fewer than 3 layers count." in told


def test_labels_do_not_touch():
    figure = scale.by_size(shape([FLAT] * 7))
    heights = sorted(text.xy[1] for text in figure.axes[0].texts)
    assert min(np.diff(heights)) > 0.05 * figure.axes[0].get_ylim()[1]


def test_what_is_said_is_in_the_table():
    more = shape(LAYERS)
    told = "\n".join(scale.said(more).sentences)
    assert (
        "mine (decoder): by the two nearest neighbours the dimension of a layer lies between 4.0 "
        in told
    )
    assert "and 9.0, by neighbours 64 and 128 between 5.0 and 10.0." in told
    assert (
        "mine (decoder): 2 of 3 layers have a plateau, the lowest at 5.0, the highest at 9.0."
        in told
    )
    assert "first neighbour" not in told
    shares = [
        more[more["metric"] == "gride_1"].assign(metric=metric, value=[0.9, 0.2, 0.3, 0.4, 0.9])
        for metric in ("same_token", "same_window")
    ]
    told = "\n".join(scale.said(pd.concat([more, *shares])).sentences)
    assert "the first neighbour is the same token for 20% to 40% of a layer's vectors." in told
    assert "TwoNN" not in told
    fits = [
        shares[0].assign(metric=metric, value=[1.0, *values, 1.0])
        for metric, values in (("two_nn", [4.0, 4.0, 4.0]), ("two_nn_lowest20", [12.0, 8.0, 4.0]))
    ]
    told = "\n".join(scale.said(pd.concat([more, *shares, *fits])).sentences)
    assert "lowest 20 % is 1.0 to 3.0 times that to the lowest 90 %; the rank correlation" in told
    assert "the same token is −1.00 over 3 layers." in told
    none = "\n".join(scale.said(shape([RISING] * 5)).sentences)
    assert "none of 3 layers has a plateau" in none
    assert "fewer than 3 layers" in scale.said(shape([RISING] * 3)).sentences[0]


@pytest.fixture
def near() -> pd.DataFrame:
    rows = [
        {"cloud": cloud, "what": what, "x": x, "value": value + at}
        for at, cloud in enumerate((EVERYONE, REST, OTHERS, TYPES, BOTH))
        for what, x, value in (
            ("fit", 90.0, 8.0), ("fit", 100 * (1 - 0.8), 14.0),
            *(("gride", float(n), float(n)) for n in SCALES),
        )
    ]  # fmt: skip
    rows += [{"cloud": EVERYONE, "what": "line", "x": x, "value": 8 * x}
             for x in np.linspace(0, 0.4, 50)]  # fmt: skip
    rows += [{"cloud": EVERYONE, "what": kind, "x": x, "value": x / 300}
             for kind in KINDS for x in (5.0, 50.0, 95.0)]  # fmt: skip
    return pd.DataFrame(rows).assign(model="mine", role="decoder", layer=15)


def test_the_fits_stand_in_both_panels_they_explain(near: pd.DataFrame):
    figure = scale.parting(near)
    plot, kinds, gride = figure.axes
    ends = {line.get_label(): line.get_ydata()[-1] / line.get_xdata()[-1] for line in plot.lines}
    assert ends["lowest 90 %"] == pytest.approx(8)
    assert ends["lowest 20 %"] == pytest.approx(14)
    levels = [line.get_ydata()[0] for line in gride.lines if len(line.get_ydata()) == 2]
    assert levels == [8, 14]
    assert [line.get_label().split(": ")[1] for line in kinds.lines] == list(KINDS)
    named = [line.get_label() for line in gride.lines if len(line.get_ydata()) == len(SCALES)]
    assert named == [EVERYONE, REST, OTHERS, TYPES, BOTH]
    two = pd.concat([near, near.assign(layer=20)])
    assert len(scale.parting(two).axes) == 6


def test_numbers_with_and_without(near: pd.DataFrame):
    found = scale.without(near)
    assert list(found.columns) == [
        "TwoNN, lowest 90 %", "TwoNN, lowest 20 %", "GRIDE, neighbours 1 and 2",
        "GRIDE, neighbours 64 and 128",
    ]  # fmt: skip
    assert list(found.loc[("mine, layer 15", EVERYONE)]) == [8, 14, 1, 64]
    assert list(found.loc[("mine, layer 15", BOTH)]) == [12, 18, 5, 68]


def test_three_scales_and_two_fits_along_training():
    rows, runs = [], []
    for seed in range(3):
        model = f"decoder-96-warmup50-seed{seed}"
        for at, step in enumerate((0, 10, 100, 1000)):
            runs.append({"model": model, "kind": "decoder", "seed": seed, "width": 96, "warmup": 50,
                         "step": step, "perplexity": 9.0, "learning_rate": 0.1})  # fmt: skip
            rows += [
                {
                    "model": model, "role": "decoder", "step": step, "tokens_seen": step,
                    "layer": layer, "after_norm": False, "tokens": "all", "metric": metric,
                    "centered": pd.NA, "batches": 1 if metric.startswith("gride") else 4,
                    "stderr": 0.1, "value": at + 0.1 * seed + place, "seed": 0, "by_group": "",
                }
                for layer in (0, 1, 2)
                for place, metric in enumerate([*scale.THREE, "two_nn", "two_nn_lowest20"])
            ]  # fmt: skip
    figure = scale.in_training(course(pd.DataFrame(rows), pd.DataFrame(runs)))
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert len(lines) == 5
    assert lines["GRIDE, neighbours 64 and 128"] == pytest.approx([2.1, 3.1, 4.1, 5.1])
    assert lines["TwoNN, lowest 90 %"] == pytest.approx([3.1, 4.1, 5.1, 6.1])
    assert len(figure.axes[0].collections) == 5, "a band each"
    colours = {to_hex(line.get_color()) for line in figure.axes[0].lines}
    assert len(colours) == 4


def test_known_clouds_none_left_out():
    table = read_table(ROOT / "results/scale/manifolds.parquet")
    figure = scale.known(table)
    assert [axes.get_title() for axes in figure.axes] == [
        "sphere",
        "Gaussian",
        "cube",
        "flat torus",
    ]
    for axes in figure.axes:
        thin = [line for line in axes.lines if line.get_linewidth() == 1.2]
        assert len(thin) == 6 * 3
        low, high = axes.get_ylim()
        assert all(low < y < high for line in thin for y in line.get_ydata())
    cube = table.query("manifold == 'cube' and dimension == 30 and points == 16000")
    wanted = cube["value"].to_numpy() / 30
    assert any(np.allclose(line.get_ydata(), wanted) for line in figure.axes[2].lines if len(
        line.get_ydata()) == 7)  # fmt: skip
