"""The tables of who carries anisotropy, on a model with a planted sink."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from shapebook.experiments.dissect import (
    FACTORS,
    FIRST,
    Dissection,
    combine,
    dissect,
    smallest_share,
)
from shapebook.figures import bell
from shapelib.figures import PALETTE
from shapelib.geometry.anisotropy import anisotropy
from shapelib.geometry.spectrum import Spectrum
from shapelib.models.loading import Model, load
from shapelib.states.pool import pool
from shapelib.text.corpus import load_corpus, windows

SMALL: dict[str, Any] = {"tokens": 600, "window": 40, "progress": False}


@pytest.fixture
def model(encoder_folder: Path) -> Model:
    """An encoder whose embedding has a sink, [CLS], and a second one, its commonest token."""
    model: Any = load(encoder_folder)
    with torch.no_grad():
        model.network.embeddings.word_embeddings.weight[1] *= 1000
        model.network.embeddings.LayerNorm = torch.nn.Identity()
    return model


@pytest.fixture
def parts(model: Model, text_file: Path) -> Dissection:
    return dissect(model, load_corpus(text_file), **SMALL)


def test_every_layer_is_in_every_table(parts: Dissection):
    for table in parts:
        assert set(table["layer"]) == {0, 1, 2}
        assert set(table["model"]) == {"tiny-encoder"}
        assert table.attrs["provenance"][0]["tokens"] == 600
    assert len(parts.measures) == 3 * 2 * len(Spectrum._fields)
    assert set(parts.factors["factor"]) == set(FACTORS)
    assert set(parts.carriers["tokens"]) == {"all", "later"}


def test_the_sink_is_named_and_leaving_it_out_is_seen(
    parts: Dissection, model: Model, text_file: Path
):
    embedding = parts.carriers[parts.carriers["layer"] == 0]
    top = embedding[embedding["rank"] == 0].set_index("tokens")
    assert top.loc["all", "token"] == FIRST
    # Centering leaves the others a share as small as the sink's count.
    assert top.loc["all", "share"] > 0.9
    assert top.loc["later", "token"] != FIRST
    assert (embedding["half"] <= 0.5).all()
    curve = parts.leave_out[parts.leave_out["layer"] == 0]
    assert curve["removed"].iloc[0] == 0
    assert curve["removed"].iloc[-1] == pytest.approx(0.05, abs=0.002)
    values = parts.measures[parts.measures["layer"] == 0]
    by_set = values.pivot(index="metric", columns="tokens", values="value")
    assert by_set.loc["anisotropy", "all"] > 0.9 > by_set.loc["anisotropy", "rest"]
    assert by_set.loc["participation_ratio", "all"] < 1.3
    text = load_corpus(text_file)
    pooled = pool(model, windows(text, 40, seed=0), 600, progress=False)
    rest = pooled.states[0][~pooled.massive(0)]
    assert by_set.loc["anisotropy", "rest"] == pytest.approx(anisotropy(rest), abs=1e-6)
    factors = parts.factors[parts.factors["layer"] == 0].set_index("factor")
    assert factors.loc[10, "massive"] == pytest.approx(float(np.mean(pooled.position == 0)))
    assert factors.loc[10, "anisotropy"] == pytest.approx(anisotropy(rest), abs=1e-9)
    assert factors["massive"].is_monotonic_decreasing


def test_where_nothing_is_massive_both_sets_are_one(parts: Dissection):
    last = parts.measures[parts.measures["layer"] == 2]
    wide = last.pivot(index="metric", columns="tokens", values=["value", "stderr"])
    assert (wide["value"]["all"] == wide["value"]["rest"]).all()
    assert (wide["stderr"]["all"] == wide["stderr"]["rest"]).all()


def test_kept_and_read_again(decoder_folder: Path, text_file: Path, own_cache: Path):
    one = dissect(decoder_folder, text_file, **SMALL)
    two = dissect(decoder_folder, text_file, **SMALL)
    for before, after in zip(one, two, strict=True):
        assert before.equals(after)
    runs = [each.measures.attrs["provenance"][0]["created"] for each in (one, two)]
    assert runs[0] == runs[1]


def test_figures_show_what_the_tables_hold(
    parts: Dissection, decoder_folder: Path, text_file: Path
):
    both = combine([parts, dissect(decoder_folder, text_file, **SMALL, reuse=False)])
    all_vectors, later = bell.carriers_profile(both.carriers, "tiny-encoder").axes
    bars = {each.get_label(): each for each in all_vectors.containers}
    assert bars[FIRST][0].get_height() > 0.9
    for axes in (all_vectors, later):
        tops = [patch.get_y() + patch.get_height() for patch in axes.patches]
        assert max(tops) == pytest.approx(1)
    one, two, *_ = bell.leave_out_curves(both.leave_out).axes
    assert [one.get_title(), two.get_title()] == ["tiny-decoder", "tiny-encoder"]
    assert (len(one.lines), len(two.lines)) == (4, 3)
    panels = bell.robust_profile(both.measures).axes
    assert len(panels) == 6
    assert all(len(axes.lines) == 4 for axes in panels)
    colours = {line.get_label(): line.get_color() for line in panels[0].lines}
    assert colours["tiny-decoder"] == PALETTE[0]
    assert colours["tiny-encoder"] == colours["tiny-encoder, without massive vectors"] == PALETTE[1]
    shown = bell.tabulate(both.carriers, "tiny-encoder", [0, 1])
    assert set(shown.index) == {0, 1}
    assert FIRST not in set(shown["token"])


@pytest.mark.parametrize("span", [(12, 19), (3.1, 4.2), (101, 104), (2, 70), (0.8, 3000)])
def test_a_short_logarithmic_axis_has_labels(span: tuple[float, float]):
    metrics = ("anisotropy_trimmed", "effective_rank", "participation_ratio")
    table = pd.DataFrame(
        [
            {
                "model": "m", "role": "decoder", "layer": layer, "depth": layer / 1,
                "tokens": "all", "metric": metric, "value": span[layer],
            }
            for layer in (0, 1)
            for metric in metrics
        ]
    )  # fmt: skip
    figure = bell.robust_profile(table)
    figure.draw_without_rendering()
    for axes in figure.axes[3:5]:
        low, high = axes.get_ylim()
        labels = [
            text.get_text()
            for text, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
            if low <= at <= high
        ]
        assert sum(bool(each) for each in labels) >= 2, labels


def test_smallest_share():
    assert smallest_share(np.array([0.1, 0.6, 0.2, 0.1])) == 0.25
    assert smallest_share(np.array([0.25] * 4), 0.5) == 0.5
    assert smallest_share(np.array([0.25] * 4), 0.51) == 0.75
    assert smallest_share(np.array([0.1] * 10), 1) == 1
    with pytest.raises(ValueError, match="part must be above 0"):
        smallest_share(np.array([1.0]), 0)
