"""Recorded benchmarks as tables and as a figure, and that the pages' words hold of the record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shapebook.pages import timings
from shapelib import figures

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SPREAD = {"least": 1, "greatest": 3, "turns": 2}


def record(**medians: float) -> dict[str, Any]:
    """What ``results.json`` holds, at one thread and at two, of contestants by their names."""
    ratios = [
        {"features": 768, "threads": threads, "name": name, "median": median, **SPREAD}
        for threads in (1, 2) for name, median in medians.items()
    ]  # fmt: skip
    ratios += [{**row, "median": 99} for row in ratios if row["threads"] == 2]
    return {
        "yardstick": "one product", "versions": {"scikit-dimension": "7"}, "processor": "a CPU",
        "bfloat16_units": False, "extra_memory_mb": 9, "ratios": ratios,
    }  # fmt: skip


MEASURED = record(
    **{"shapelib three dimensions, ordinary": 0.5, "scikit-dimension TwoNN": 1.9,
       "shapelib average cosine": 0.1, "shapelib all of a layer": 1.5}
)  # fmt: skip
APART = {
    "yardstick": "one product in processor time", "measured": "2026-11-22", "processor": "a CPU",
    "versions": {"python": "3.11", "dadapy": "0.3", "numpy": "1.26", "scikit-learn": "1.9"},
    "ratios": [
        {"features": 768, "threads": 1, "name": name, "median": median, **SPREAD}
        for name, median in (("DADApy TwoNN", 2.5), ("scikit-dimension TwoNN", 88))
    ],
}  # fmt: skip


def tables(folder: Path, **records: Any) -> dict[str, str]:
    for name, each in records.items():
        (folder / f"{name}.json").write_text(json.dumps(each))
    return timings.tables(folder)


def test_nothing_recorded_leaves_every_table_empty(tmp_path: Path):
    found = tables(tmp_path)
    assert {"timings-layer", "timings-apart", "timings-subspace", "peers", "answers"} < set(found)
    assert set(found.values()) == {""}


def test_peers_are_compared_by_what_was_measured(tmp_path: Path):
    text = tables(tmp_path, results=MEASURED)["peers"]
    assert "|  | shapelib | scikit-dimension 7 | DADApy | LLM-Microscope |" in text
    assert "| TwoNN | 0.5 (1 to 3) | 1.9 (1 to 3) | not measured | not measured |" in text
    assert "| MADA | 0.5 (1 to 3) | not measured | has none | has none |" in text
    assert "| anisotropy | not measured | has none | has none | not measured |" in text
    assert "99" not in text
    assert "DADApy was measured" not in text


def test_a_peer_measured_apart_says_when_and_with_what(tmp_path: Path):
    found = tables(tmp_path, results={**MEASURED, "apart": APART})
    assert "| TwoNN | 0.5 (1 to 3) | 1.9 (1 to 3) | 2.5 (1 to 3) | not measured |" in found["peers"]
    assert "| DADApy 0.3 |" in found["peers"]
    for text in (found["peers"], found["timings-apart"]):
        assert "DADApy was measured on 2026-11-22, in processor time and with Python 3.11, " in text
        assert "NumPy 1.26 and scikit-learn 1.9; a CPU." in text
    assert "| scikit-dimension TwoNN | 88 (1 to 3) |" in found["timings-apart"]
    assert "88" not in found["peers"], "what stood beside it is no second measurement"


def test_answers_stand_beside_those_of_the_same_fit(tmp_path: Path):
    cloud = {"cloud": "as drawn", "distinct": 9, "shapelib": 5.236, "DADApy": None}
    rows = [{**cloud, "lowest": 90}, {**cloud, "lowest": 20, "LLM-Microscope": 5.01}]
    made = {"dimension": 5, "points": 9, "features": 4, "clouds": rows, "versions": {"a": "1"}}
    text = tables(tmp_path, values=made)["answers"]
    assert "| as drawn | 9 | 90 % | 5.24 | not measured | an error | has none |" in text
    assert "| as drawn | 9 | 20 % | 5.24 | not measured | an error | 5.01 |" in text
    assert "9 Gaussian points of dimension 5 among 4 features, in 32 bits. a 1." in text


@pytest.mark.parametrize(
    ("number", "shown"),
    [(672.4632, "672"), (1301.8265, "1300"), (0.0045, "0.0045"), (1.0, "1"), (12.345, "12.3")],
)
def test_numbers_are_plain(number: float, shown: str):
    assert timings.plain(number) == shown


def test_no_recorded_table_shows_a_power_of_ten_or_hides_a_wide_range():
    found = timings.tables(BENCHMARKS)
    for name, text in found.items():
        assert text, f"{name} was not recorded"
        assert "e+" not in text
        assert ("*Wide*: " in text) == ("(wide: " in text), name
    assert "(wide: 43.1 to 1300 in 2 turns)" in found["timings-layer"]


def test_the_figure_has_a_bar_for_each_package_and_starts_at_the_product():
    rows = timings.rows({**MEASURED, "apart": APART})
    assert list(zip(rows["measure"], rows["package"], rows["value"], strict=True)) == [
        ("TwoNN", "shapelib", 0.5), ("TwoNN", "scikit-dimension", 1.9), ("TwoNN", "DADApy", 2.5),
        ("all of a layer", "shapelib", 1.5),
    ]  # fmt: skip
    drawn = timings.speed(rows)
    first, last = drawn.axes
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["TwoNN", "all of a layer"]
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == ["shapelib", "scikit-dimension", "DADApy"]
    ends = [[bar.get_x(), bar.get_x() + bar.get_width()] for bar in first.patches]
    np.testing.assert_allclose(ends, [[1, 0.5], [1, 1.9], [1, 2.5]])
    assert first.get_ylim()[0] > first.get_ylim()[1], "the first package stands at the top"
    assert [text.get_text() for text in first.texts] == ["0.5", "1.9", "2.5"]
    whiskers = [line.get_xdata() for line in first.lines[1:]]
    assert [list(each) for each in whiskers] == [[1, 3]] * 3
    assert first.get_xscale() == last.get_xscale() == "log"
    low, high = first.get_xlim()
    assert low < 0.5
    assert high > 3
    ticks = last.xaxis.get_major_formatter()
    assert [ticks(each, 0) for each in (0.01, 1, 1000)] == ["0.01", "1", "1000"]
    told = figures.data(drawn)
    assert told is not None
    assert told.splitlines()[3] == "TwoNN,DADApy,2.5"
    colours = {bar.get_facecolor() for bar in first.patches}
    assert len(colours) == 3
    assert last.patches[0].get_facecolor() == first.patches[0].get_facecolor()


@pytest.fixture
def recorded() -> pd.DataFrame:
    """The medians of ``results.json``, a column a contestant, a row for threads and features."""
    ratios = pd.DataFrame(json.loads((BENCHMARKS / "results.json").read_text())["ratios"])
    return ratios.pivot(index=["threads", "features"], columns="name", values="median")


def test_what_the_page_on_speed_says_in_short_holds_of_the_record(recorded: pd.DataFrame):
    assert recorded["shapelib all of a layer"].between(1, 2).all()
    assert recorded["scikit-dimension TwoNN"].between(1, 4).all()
    assert (recorded["scikit-dimension MoM"].round() == 2).all()
    assert (recorded["scikit-dimension MADA"] > 10).all()
    svd = recorded[["NumPy SVD, singular values", "torch SVD with vectors"]]
    at = svd.index.get_level_values("features")
    assert (svd[at == 384] < 1).all(axis=None)
    assert svd[at == 2560].round().isin(range(6, 10)).all(axis=None)
    assert svd.rdiv(recorded["shapelib anisotropy, ordinary"], axis=0).max(axis=None) < 1 / 6
    ordinary = recorded["shapelib anisotropy, ordinary"]
    assert (recorded["shapelib anisotropy, isotropic"] > ordinary).all()
    apart = json.loads((BENCHMARKS / "results.json").read_text())["apart"]["ratios"]
    assert all(round(row["median"]) == 2 for row in apart if row["name"].startswith("DADApy"))


def test_what_the_figure_s_text_says_holds_of_the_record():
    rows = timings.rows(json.loads((BENCHMARKS / "results.json").read_text()))
    several = rows[rows["measure"] != "all of a layer"]
    least = several.loc[several.groupby("measure")["value"].idxmin()]
    assert set(least["package"]) == {"shapelib"}
    slowest = rows.loc[rows["value"].idxmax()]
    assert (slowest["measure"], slowest["package"]) == ("TwoNN", "LLM-Microscope")
    assert slowest["greatest"] > 3 * slowest["least"]
    one = rows[rows["measure"].isin(["TwoNN", "MADA"]) & (rows["package"] == "shapelib")]
    assert one["value"].nunique() == 1


def test_what_the_page_on_peers_says_of_the_answers_holds_of_the_record():
    found = json.loads((BENCHMARKS / "values.json").read_text())
    for row in found["clouds"]:
        answers = [row[package] for package in timings.PACKAGES if package in row]
        if row["distinct"] == found["points"]:
            assert set(answers) == {answers[0]}, "without copies all agree"
        else:
            ours, *others = answers
            assert row["distinct"] == 0.8 * found["points"]
            assert all(each is None or abs(each / ours - 1) > 0.5 for each in others)
            assert row["DADApy, told to remove copies"] == ours
            assert (row["DADApy"] is None) == (row["lowest"] == 90)
