"""Figures and sentences of a longer run are functions of its tables: on tables made up here."""

import math
from typing import Any

import pandas as pd
import pytest

from shapebook.experiments.published import published_training
from shapebook.figures.longer.drawn import DIMENSIONS, lines, longer_run, massive_map
from shapebook.figures.longer.said import longer
from shapebook.figures.shown import show
from shapelib.figures import PALETTE, data

STEPS = [0, 10, 100, 1000]
A_STEP = 4096
# TwoNN is lowest at step 10, by either window.
COURSE = {0: 5.0, 10: 3.0, 100: 3.5, 1000: 4.5}
KINDS = {"decoder": "causal", "encoder": "full"}
WINDOWS = {"64 tokens": 0.0, "256 tokens": 1.0}
LAYERS = 4
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def name(kind: str) -> str:
    return f"{kind}-256-warmup200-seed0"


def common(kind: str, step: int, layer: int, window: str) -> dict[str, Any]:
    return {
        "model": name(kind), "role": kind, "step": step, "tokens_seen": step * A_STEP,
        "window": window, "layer": layer, "depth": layer / LAYERS, "after_norm": layer == LAYERS,
    }  # fmt: skip


def shape() -> pd.DataFrame:
    """A decoder that has massive vectors from step 100 on in windows of 256, and an encoder."""
    metrics = [("anisotropy", True), ("anisotropy", False), *((each, None) for each in DIMENSIONS)]
    rows = []
    for kind in KINDS:
        for step in STEPS:
            for window, more in WINDOWS.items():
                massive = kind == "decoder" and step >= 100 and more > 0
                for layer in range(LAYERS + 1):
                    for tokens in ("all", "rest"):
                        for metric, centered in metrics:
                            value = COURSE[step] + more + 0.1 * layer
                            if metric == "gride_64":
                                value = 20 - COURSE[step]
                            if metric == "anisotropy":
                                value = 0.9 if massive and tokens == "all" and layer == 2 else 0.2
                                value += 50 * (centered is False)
                            rows.append({
                                **common(kind, step, layer, window), "tokens": tokens, "seed": 0,
                                "removed": 0.01 if massive and tokens == "rest" else 0.0,
                                "metric": metric, "centered": centered, "value": value,
                                "stderr": 0.1, "batches": 1 if "gride" in metric else 4,
                            })  # fmt: skip
    return pd.DataFrame(rows).astype({"centered": "boolean"})


def training() -> pd.DataFrame:
    """Held-out perplexity at every checkpoint; the encoder's rises at the end."""
    exam = {"decoder": {0: 4000, 10: 900, 100: 200, 1000: 60}}
    exam["encoder"] = {**exam["decoder"], 1000: 250}
    rows = [
        {
            "model": name(kind), "kind": kind, "mask": mask, "seed": 0, "width": 256,
            "warmup": 200, "step": step, "tokens_seen": step * A_STEP, "learning_rate": 1e-3,
            "perplexity": float(exam[kind].get(step, math.nan)),
        }
        for kind, mask in KINDS.items() for step in range(1001)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["provenance"] = [{"model": name(kind), "epoch_tokens": 2_048_000} for kind in KINDS]
    return table


def massive() -> pd.DataFrame:
    rows = []
    for kind in KINDS:
        for step in STEPS:
            for window, more in WINDOWS.items():
                for layer in range(LAYERS + 1):
                    # The embedding and the last layer, after the norm, do not count.
                    counts = kind == "decoder" and step >= 100 and more and layer in (2, 3)
                    far = 40.0 + layer if counts else 99.0 if layer in (0, LAYERS) else 2.0 + more
                    rows.append({
                        **common(kind, step, layer, window), "vectors": 1000, "windows": 50,
                        "massive": 10 * layer if counts else 0, "at_first": 8 if counts else 0,
                        "position": 3.0 if counts else math.nan, "kinds": 2 if counts else 0,
                        "token": "' of'" if counts else None, "of_token": 5 if counts else 0,
                        "squares": 0.75 if counts else 0.0, "longest": far,
                        "longest_on": "first position" if counts else "' a'",
                    })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def kept() -> Tables:
    return shape(), training(), massive()


def test_lines_are_means_over_layers_that_count(kept: Tables):
    found = lines(*kept)
    one = found[
        (found["kind"] == "decoder") & (found["metric"] == "two_nn")
        & (found["window"] == "256 tokens") & (found["tokens"] == "all")
    ]  # fmt: skip
    assert one["value"].tolist() == pytest.approx([COURSE[step] + 1 + 0.2 for step in STEPS])
    # The initialisation has been left from the lowest TwoNN on, and for all of that window's lines.
    assert one["left"].tolist() == [False, True, True, True]
    far = found[(found["metric"] == "gride_64") & (found["kind"] == "encoder")]
    assert set(far.loc[far["step"] == 0, "left"]) == {False}
    assert set(far.loc[far["step"] > 0, "left"]) == {True}
    longest = found[(found["metric"] == "longest") & (found["step"] == 1000)]
    assert longest.set_index(["kind", "window"])["value"].to_dict() == {
        ("decoder", "64 tokens"): 2, ("decoder", "256 tokens"): 43,
        ("encoder", "64 tokens"): 2, ("encoder", "256 tokens"): 3,
    }  # fmt: skip
    assert found.loc[found["metric"] == "anisotropy", "value"].max() < 1, "the centered one"
    exam = found[found["metric"] == "perplexity"]
    assert exam.groupby("kind")["value"].apply(list).to_dict() == {
        "decoder": [4000, 900, 200, 60], "encoder": [4000, 900, 200, 250],
    }  # fmt: skip


def test_the_figure_shows_all_of_it_beside_the_published_course(kept: Tables):
    published = published_training()
    figure = longer_run(*kept, published)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == [
        "held-out perplexity", "longest vector ÷ median", "anisotropy (centered)",
        *DIMENSIONS.values(), "GRIDE, Pythia-6.9B\n(published)",
    ]  # fmt: skip
    by_title = dict(zip(titles, figure.axes, strict=False))
    drawn = by_title["anisotropy (centered)"].lines
    # A line a kind and window, and one without massive vectors where there are some.
    assert sorted(line.get_label() for line in drawn) == [
        "decoder, 256 tokens", "decoder, 256 tokens, no massive", "decoder, 64 tokens",
        "encoder, 256 tokens", "encoder, 64 tokens",
    ]  # fmt: skip
    looks = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in drawn}
    assert looks["decoder, 256 tokens"] == (PALETTE[0], "-")
    assert looks["encoder, 64 tokens"] == (PALETTE[1], "--")
    two_nn = by_title[DIMENSIONS["two_nn"]].lines
    pale = [line for line in two_nn if line.get_alpha() is not None]
    assert len(pale) == len(two_nn) / 2
    strong = next(line for line in two_nn if line.get_label() == "encoder, 64 tokens")
    assert strong.get_xdata().tolist() == [step * A_STEP for step in STEPS[1:]]
    theirs = by_title["GRIDE, Pythia-6.9B\n(published)"].lines
    assert [len(line.get_xdata()) for line in theirs] == [
        len(rows) for _, rows in published.groupby("part", sort=False)
    ]
    told = data(figure)
    assert told is not None
    assert "Pythia-6.9B, last layer" in told
    assert b"<svg" in show(figure).data.encode()


def test_the_map_marks_the_layers_that_hold_massive_vectors(kept: Tables):
    figure = massive_map(kept[2], "256 tokens")
    decoder, encoder = figure.axes[:2]
    (crosses,) = decoder.lines
    assert set(zip(*crosses.get_data(), strict=True)) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert len(encoder.lines[0].get_xdata()) == 0
    shown = decoder.images[0].get_array()
    assert shown[2, 3] == 42
    assert shown[1, 0] == 3
    (none,) = massive_map(kept[2], "64 tokens").axes[0].lines
    assert len(none.get_xdata()) == 0


def test_sentences_say_when_where_and_on_what(kept: Tables):
    said = longer(*kept).sentences
    assert said[0] == (
        "decoder: 1000 steps, 4.1 million tokens, 2.0 epochs; held-out perplexity ends at 60.0, "
        "its lowest."
    )
    assert said[1] == (
        "decoder: massive vectors come first at step 100, in layer 2 (windows of 256 tokens), the "
        "longest on first position."
    )
    whole = "\n".join(said)
    assert "decoder, windows of 64 tokens: at the end no layer holds any." in said
    assert (
        "decoder, windows of 256 tokens: at the end 2 of 3 layers hold some; most are in layer 3, "
        "30 of 1000 vectors, 8 of them at first positions, the others at position 3 in the median, "
        "on 2 different tokens, the commonest ' of' (5); they have 75% of its squared lengths."
    ) in said
    assert "windows of 256 tokens: at the end anisotropy is 0.20, 0.90 and 0.20" in whole
    assert "the middle minus the higher outer third is 0.70" in whole
    assert "windows of 256 tokens, without massive vectors: at the end anisotropy is 0.20" in whole
    assert "windows of 64 tokens, without" not in whole
    assert (
        "encoder, windows of 64 tokens: from step 10, where TwoNN is lowest, to the end. TwoNN, "
        "lowest 90 %: 3.2 to 4.7;"
    ) in whole
    assert "GRIDE, n = 64: 17.0 to 15.5." in whole
    assert "250.0, lowest at step 100, with 200.0." in whole
    assert (
        "encoder: no vector is massive (longer than 10 times the median) at any of 4 checkpoints; "
        "the longest, at step 0 in layer 1 on ' a', is 3.0 times as long."
    ) in said


def test_sentences_of_a_run_that_has_not_left_its_initialisation(kept: Tables):
    table, course, far = (each[each["step"] <= 10] for each in kept)
    said = "\n".join(longer(table, course, far).sentences)
    assert "decoder, windows of 64 tokens: TwoNN is lowest at the last checkpoint, step 10." in said
    assert "held-out perplexity ends at 900.0, its lowest." in said
