"""Figures and tables of fine-tuning, from made-up runs whose d90 is known."""

import math

import pandas as pd
import pytest

from shapelib import tuning_figures
from shapelib.d90 import by_seed, d90, like
from shapelib.published import published_d90

THIN = "\N{NARROW NO-BREAK SPACE}"
SCORES = {30: 0.3, 300: 0.5, 3000: 0.8}


def tuning(steps: tuple[int, ...] = (1280,), model: str = "m", size: int = 10**6) -> pd.DataFrame:
    """Full fine-tuning scores 0.8, so its bar is 0.72; random weights never reach theirs."""
    rows = []
    for step in steps:
        for seed in (0, 1, 2):
            for init, loss in (("pre-trained", 0.0), ("random", 0.1)):
                full = {"method": "full", "d": size, "score": 0.8}
                runs = [full] + [
                    {"method": "DID", "d": d, "score": score - loss} for d, score in SCORES.items()
                ]
                rows += [
                    {**run, "init": init, "seed": seed, "step": step, "checkpoint": f"step-{step}"}
                    for run in runs
                ]
    fixed = {
        "task": "questions", "model": model, "role": "encoder", "D": size, "rate": 0.01,
        "train": 4000, "test": 500, "majority": 0.25, "train_score": 0.9, "diverged": False,
    }  # fmt: skip
    return pd.DataFrame(rows).assign(**fixed)


def test_the_d90_of_each_seed_lies_where_its_curve_crosses():
    runs = by_seed(tuning())
    ours = runs[(runs["init"] == "pre-trained") & (runs["definition"] == "papers")]
    expected = 300 * 10 ** ((0.72 - 0.5) / 0.3)
    assert list(ours["d90"]) == pytest.approx([expected] * 3)
    assert set(ours["seed"]) == {0, 1, 2}
    assert (ours[["score", "train_score", "m", "D"]].iloc[0] == [0.8, 0.9, 4000, 10**6]).all()
    corrected = runs[(runs["init"] == "pre-trained") & (runs["definition"] == "chance-corrected")]
    assert corrected["threshold"].iloc[0] == pytest.approx(0.25 + 0.9 * 0.55)


def test_runs_of_like_settings_are_found_whatever_the_size():
    table, small = tuning(), tuning(model="small", size=10**5)
    pattern = small[(small["init"] == "pre-trained") & (small["d"] != 300)]
    found = like(table, pattern)
    assert set(found["init"]) == {"pre-trained"}
    assert set(found["d"]) == {30, 3000, 10**6}
    assert set(found.loc[found["d"] == 10**6, "method"]) == {"full"}
    assert like(table, pattern.assign(rate=0.5)).empty


def test_labels_of_rows_do_not_matter():
    table = tuning()
    joined = pd.concat([table.iloc[:7], table.iloc[7:].set_axis(range(len(table) - 7))])
    pd.testing.assert_frame_equal(by_seed(joined), by_seed(table))
    pd.testing.assert_frame_equal(d90(joined), d90(table))


def test_a_seed_that_does_not_reach_has_no_d90():
    runs = by_seed(tuning())
    random = runs[(runs["init"] == "random") & (runs["definition"] == "papers")]
    assert random["d90"].isna().all()
    assert (random["largest_tried"] == 3000).all()


def test_initialisations_are_held_against_the_pre_trained_model_too():
    table = tuning()
    table.loc[(table["init"] == "random") & (table["method"] == "full"), "score"] = 0.5
    runs = by_seed(table)
    random = runs[runs["init"] == "random"].set_index(["definition", "seed"])["threshold"]
    assert random["papers", 0] == pytest.approx(0.45)
    assert random["against pre-trained", 0] == pytest.approx(0.72)


def test_curves_are_drawn_with_their_bars():
    table = tuning()
    axes = tuning_figures.accuracy_against_d(table, d90(table)).axes[0]
    lines = {tuple(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 3}
    assert (0.3, 0.5, 0.8) in {tuple(round(y, 6) for y in line) for line in lines}
    levels = {round(line.get_ydata()[0], 6) for line in axes.lines if len(line.get_ydata()) == 2}
    assert levels == {0.8, 0.72, 0.25}
    assert axes.get_xscale() == "log"


def test_tasks_side_by_side_and_models_below_each_other():
    big = tuning(model="big")
    table = pd.concat([big, tuning(), big.assign(task="reviews")], ignore_index=True)
    figure = tuning_figures.accuracy_against_d(table, d90(table))
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["questions\nbig", "reviews\nbig", "questions\nm"]
    places = [axes.get_subplotspec() for axes in figure.axes]
    assert [(each.rowspan.start, each.colspan.start) for each in places] == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip


def test_what_was_not_reached_is_said():
    idle = tuning_figures.estimates_table(d90(tuning().assign(majority=0.85)))
    assert set(idle["d90"]) == {"nothing learned"}
    assert set(idle["bar"]) == {"none"}
    shown = tuning_figures.estimates_table(d90(tuning()))
    told = dict(
        zip(zip(shown["init"], shown["definition"], strict=True), shown["d90"], strict=True)
    )
    assert told["random", "papers"] == f"not reached at 3{THIN}000"
    assert told["pre-trained", "papers"] == f"{round(300 * 10 ** (0.22 / 0.3)):,}".replace(
        ",", THIN
    )


def test_intervals_have_a_row_each():
    estimates = d90(tuning())
    axes = tuning_figures.intervals(estimates[estimates["definition"] == "papers"]).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["questions, m, pre-trained, DID", "questions, m, random, DID"]


def test_sizes_are_drawn_at_their_parameters():
    table = pd.concat([tuning(model="a", size=10**5), tuning(model="b", size=10**6)])
    found = d90(table[table["init"] == "pre-trained"])
    found = found[found["definition"] == "papers"]
    axes = tuning_figures.against_size(found, {"a": 10**5, "b": 10**6}).axes[0]
    assert list(axes.lines[0].get_xdata()) == [1e5, 1e6]


def test_three_measures_of_one_run_share_their_steps():
    curves = pd.DataFrame(
        [
            {"metric": metric, "centered": centered, "step": step, "value": step + 1.0}
            for metric, centered in (("anisotropy", True), ("two_nn", None), ("mada_k20", None))
            for step in (0, 80, 1280)
        ]
    ).astype({"centered": "boolean"})
    estimates = d90(tuning((0, 80, 1280)).query("init == 'pre-trained'"))
    figure = tuning_figures.together(curves, estimates[estimates["definition"] == "papers"])
    above, middle, below = figure.axes
    for axes in (above, middle, below):
        assert list(axes.lines[0].get_xdata()) == [0, 80, 1280]
    assert below.get_yscale() == "log"


def test_bounds_hold_both_forms():
    shown = tuning_figures.bounds_table(by_seed(tuning()))
    expected = 0.1 + math.sqrt(300 * 10 ** (0.22 / 0.3) / 4000)
    assert list(shown["error bound"]) == [f"{expected:.2f}"]
    assert float(shown["with its constant"].iloc[0]) > expected


def test_published_numbers_stand_as_cited():
    shown = tuning_figures.published_table(published_d90())
    assert shown.loc["RoBERTa-Large", ("MRPC", "SAID")] == 207
    assert shown.loc["BERT-Base", ("QQP", "DID")] == 9295
    assert list(shown.index) == ["BERT-Base", "BERT-Large", "RoBERTa-Base", "RoBERTa-Large"]
