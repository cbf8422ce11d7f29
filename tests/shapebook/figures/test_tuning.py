"""Figures of fine-tuning, from made-up runs whose d90 is known."""

import math

import pandas as pd
import pytest
from matplotlib.axes import Axes
from tuned import tuning

from shapebook.experiments.published import published_d90
from shapebook.figures import tuning as tuning_figures
from shapebook.figures.tuning_tables import like
from shapelib import figures
from shapelib.finetuning.d90 import by_seed, d90


def test_the_crossing_of_each_seed_lies_where_its_curve_crosses():
    runs = by_seed(tuning())
    ours = runs[(runs["init"] == "pre-trained") & (runs["definition"] == "papers")]
    expected = 300 * 10 ** ((0.72 - 0.5) / 0.3)
    assert list(ours["crossing"]) == pytest.approx([expected] * 3)
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


def test_a_seed_that_does_not_reach_has_no_crossing():
    runs = by_seed(tuning())
    random = runs[(runs["init"] == "random") & (runs["definition"] == "papers")]
    assert random[["crossing", "d90"]].isna().all(axis=None)
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


def test_points_with_stopped_runs_are_open():
    table = tuning()
    table.loc[
        (table["init"] == "random") & (table["d"] == 300) & (table["seed"] == 1), "stopped"
    ] = 75
    axes = tuning_figures.accuracy_against_d(table, d90(table)).axes[0]
    half = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    places = [tuple(map(float, (*line.get_xdata(), *line.get_ydata()))) for line in half]
    assert [each for each in places if each] == [(300, pytest.approx(0.4))]
    table.loc[(table["init"] == "random") & (table["method"] == "full"), "stopped"] = 75
    axes = tuning_figures.accuracy_against_d(table, d90(table)).axes[0]
    # At the end of its line, in the panel's own measure.
    square = next(line for line in axes.lines if line.get_marker() == "s")
    assert (*square.get_xdata(), *square.get_ydata()) == (1, pytest.approx(0.8))


def test_the_data_of_curves_are_what_is_drawn():
    table = tuning().assign(right="ff" * 60)
    table.loc[(table["seed"] == 2) & (table["method"] == "DID"), "score"] += 0.06
    table.loc[(table["init"] == "random") & (table["method"] == "full"), "score"] = 0.7
    kept = figures.data(tuning_figures.accuracy_against_d(table, d90(table)))
    assert kept is not None
    head, *rows = kept.splitlines()
    assert head == "model,init,method,d,accuracy,two_errors,threshold"
    assert len(rows) == 2 * 4
    assert "m,random,DID,300,0.42,0.04,0.63" in rows


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


def test_intervals_have_a_row_each():
    estimates = d90(tuning())
    axes = tuning_figures.intervals(estimates[estimates["definition"] == "papers"]).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["pre-trained", "random"]


def test_axes_of_less_than_two_decades_have_plain_labels():
    estimates = d90(tuning()).query("definition == 'papers' and init == 'pre-trained'")
    near = estimates.assign(d90=1960.0, low=1500.0, high=2500.0, above=3000)
    figure = tuning_figures.intervals(near)
    figure.canvas.draw()
    axes = figure.axes[0]
    shown = {tick.get_text() for tick in axes.get_xticklabels()}
    assert {"2000", "3000"} <= shown
    assert not any(tick.get_text() for tick in axes.get_xticklabels(minor=True))


def drawn(axes: Axes) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Where each kind of mark stands, a bar being the mark "None"."""
    found: dict[str, list[tuple[list[float], list[float]]]] = {}
    for line in axes.lines:
        x, y = ([float(each) for each in side] for side in (line.get_xdata(), line.get_ydata()))
        if x:
            found.setdefault(str(line.get_marker()), []).append((x, y))
    return found


def test_an_interval_without_an_upper_end_reaches_the_edge():
    rows = d90(tuning()).query("definition == 'papers'")
    rows = rows.assign(low=[1000.0, 2000.0], high=[math.inf, math.inf])
    axes = tuning_figures.intervals(rows).axes[0]
    edge, marks = axes.get_xlim()[1], drawn(axes)
    assert edge > 3000
    assert marks["None"] == [([1000, edge], [0, 0]), ([2000, edge], [1, 1])]
    assert marks[">"] == [([edge], [0]), ([edge], [1])]
    # Reached by trained weights alone; the cross is the largest d tried.
    assert marks["o"] == [([pytest.approx(300 * 10 ** (0.22 / 0.3))], [0])]
    assert marks["x"] == [([3000], [1])]


def test_an_interval_with_both_ends_has_no_arrow():
    rows = d90(tuning()).query("definition == 'papers' and init == 'pre-trained'")
    axes = tuning_figures.intervals(rows.assign(low=1000.0, high=2000.0)).axes[0]
    marks = drawn(axes)
    assert marks["None"] == [([1000, 2000], [0, 0])]
    assert set(marks) == {"None", "o"}


def test_the_first_panel_of_a_row_has_the_numbers():
    first, second = tuning(model="a"), tuning(model="b", size=10**5).assign(task="reviews")
    table = pd.concat([first, first.assign(task="reviews"), second])
    figure = tuning_figures.accuracy_against_d(table, d90(table))
    seen = [each for each in figure.axes if each.get_visible()]
    assert [each.get_ylabel() for each in seen] == ["accuracy", "", "accuracy"]
    figure.canvas.draw()
    told = [
        any(tick.label1.get_visible() for tick in each.yaxis.get_major_ticks()) for each in seen
    ]
    assert told == [True, False, True]


def test_methods_of_any_name_are_drawn_over_their_trained_numbers():
    table = tuning().query("init == 'pre-trained'")
    other = table[table["method"] == "DID"].assign(method="LoRA")
    other["d"] += 100
    figure = tuning_figures.by_method(pd.concat([table, other]))
    axes = figure.axes[0]
    marks = drawn(axes)
    assert marks["o"] == [([30, 300, 3000], pytest.approx([0.3, 0.5, 0.8]))]
    assert marks["s"] == [([130, 400, 3100], pytest.approx([0.3, 0.5, 0.8]))]
    level = {str(line.get_linestyle()): float(line.get_ydata()[0]) for line in axes.lines[-2:]}
    assert level == pytest.approx({"-": 0.8, "--": 0.72})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["DID", "LoRA"]
    kept = figures.data(figure)
    assert kept is not None
    assert kept.count("LoRA") == kept.count("DID") == 3


def test_budgets_are_drawn_over_their_updates():
    rows = [
        ("full", 10**6, 60, 0.001, 0.5, 0.6), ("full", 10**6, 60, 0.01, 0.2, 0.3),
        ("full", 10**6, 120, 0.001, 0.7, 0.8), ("DID", 100, 60, 0.01, 0.3, 0.4),
        ("DID", 100, 120, 0.01, None, None), ("DID", 100, 120, 0.001, 0.4, 0.45),
    ]  # fmt: skip
    names = ["method", "d", "steps", "rate", "score", "train_score"]
    table = pd.DataFrame(rows, columns=names).assign(model="m", init="random")
    figure = tuning_figures.over_updates(table)
    axes = figure.axes[0]
    assert axes.get_title() == "m, random"
    shown = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines
    }
    assert shown == {
        "full, test texts": ([60, 120], [0.5, 0.7]),
        "full, training texts": ([60, 120], [0.6, 0.8]),
        "DID, d = 100, test texts": ([60, 120], [0.3, 0.4]),
        "DID, d = 100, training texts": ([60, 120], [0.4, 0.45]),
    }
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["60", "120"]
    kept = figures.data(figure)
    assert kept is not None
    assert "0.2" not in kept  # Of two rates the worse one.
    fewer = table[table["steps"] == 60].assign(init="pre-trained")
    both = tuning_figures.over_updates(pd.concat([table, fewer]))
    assert [each.get_title() for each in both.axes] == ["m, random", "m, pre-trained"]
    # Side by side, the same updates stand at the same place.
    assert both.axes[0].get_xlim() == both.axes[1].get_xlim()


def test_sizes_are_drawn_at_their_parameters():
    table = pd.concat([tuning(model="a", size=10**5), tuning(model="b", size=10**6)])
    found = d90(table[table["init"] == "pre-trained"])
    found = found[found["definition"] == "papers"]
    axes = tuning_figures.against_size(found, {"a": 10**5, "b": 10**6}).axes[0]
    assert list(axes.lines[0].get_xdata()) == [1e5, 1e6]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.1", "1"]


def test_released_models_stand_beside_what_is_reported():
    table = pd.concat([tuning(model="a", size=10**7), tuning(model="b", size=10**8)])
    found = d90(table[table["init"] == "pre-trained"]).query("definition == 'papers'")
    reported = published_d90().query("method == 'DID'")
    figure = tuning_figures.released(found, {"a": 10**7, "b": 10**8}, reported)
    axes = figure.axes[0]
    marks = drawn(axes)
    expected = pytest.approx(300 * 10 ** (0.22 / 0.3))
    assert marks["o"] == [([10**7], [expected]), ([10**8], [expected])]
    assert sorted(marks["v"]) == sorted([
        ([110e6, 340e6], [9295, 1389]), ([125e6, 355e6], [1389, 774]),
    ])  # fmt: skip
    assert axes.get_ylim()[1] > 9295
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "100", "355"]
    kept = figures.data(figure)
    assert kept is not None
    assert kept.count("the papers") == len(reported)


def test_no_line_leads_to_what_was_not_reached():
    table = tuning((0, 80, 1280)).query("init == 'pre-trained'")
    table.loc[(table["step"] == 80) & (table["method"] == "DID"), "score"] = 0.3
    found = d90(table).query("definition == 'papers'")
    shown = found.assign(model=found["step"].map("{}".format))
    axes = tuning_figures.against_size(shown, {"0": 10, "80": 100, "1280": 1000}).axes[0]
    assert list(pd.isna(axes.lines[0].get_ydata())) == [False, True, False]
    assert drawn(axes)["x"] == [([100], [3000])]


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
