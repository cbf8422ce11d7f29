"""The validation page's tables, figures and findings."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shapebook.experiments import validation
from shapebook.experiments.validation import DIMENSIONS, OURS, REFERENCE, THEIRS
from shapebook.figures import validation as validation_figures
from shapebook.figures.shown import NEUTRAL, show
from shapelib import figures
from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import mada, mom, two_nn

METRICS = ["two_nn", "two_nn_lowest20", "mada_k20", "mom_k20", "mom_k100"]


def cube(n: int, d: int, features: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((features, d)))
    return rng.uniform(-1, 1, (n, d)) @ turn.T


def test_scikit_dimension_leaves_the_warnings_alone():
    code = (
        "import warnings; from shapebook.experiments.validation import scikit_dimension; "
        "before = list(warnings.filters); print(scikit_dimension().__name__); "
        "assert warnings.filters == before, warnings.filters; warnings.warn('heard')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "skdim\n", done.stderr
    assert "UserWarning: heard" in done.stderr


def test_without_scikit_dimension_it_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "skdim", None)
    with pytest.raises(ShapelibError, match="pip install scikit-dimension"):
        validation.scikit_dimension()


@pytest.mark.parametrize("features", [6, 64])
def test_estimates_are_those_of_the_library_and_of_scikit_dimension(features: int):
    x = cube(400, 5, features)
    ours, copies = validation.estimates(x)
    expected = [two_nn(x), two_nn(x, 0.8), mada(x, 20), mom(x, 20), mom(x, 100)]
    assert list(ours) == METRICS
    assert list(ours.values()) == pytest.approx(expected, rel=1e-12)
    assert copies == 0
    assert validation.peers(x) == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize(("features", "way"), [(5, 1), (64, -1)])
def test_copies_bend_scikit_dimension_both_ways(features: int, way: int):
    """With few features it finds the zero distances and drops them; with many it misses some."""
    x = cube(500, 5, features)
    more = np.concatenate([x, x[:100]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = validation.peers(more)
    ours, copies = validation.estimates(more)
    assert copies == 100
    assert ours == pytest.approx(validation.estimates(x)[0], rel=1e-12)
    assert way * (kept["two_nn"] / ours["two_nn"] - 1) > 0.1
    assert abs(kept["two_nn_lowest20"] / ours["two_nn_lowest20"] - 1) > 0.3


@pytest.fixture(scope="module")
def tables(decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All four, small; the model's text differs from line to line."""
    text = tmp_path_factory.mktemp("text") / "story.txt"
    rng = np.random.default_rng(0)
    words = ["moon", "river", "cat", "sand", "sea", "wind", "coast", "log", "mat", "sun"]
    text.write_text("\n".join(" ".join(rng.choice(words, 12)) for _ in range(400)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHAPELIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {
            "manifolds": validation.manifolds(300, 0),
            "bias": validation.bias(512, 2, 0),
            "misprint": validation.misprint(3, 0),
            "stress": validation.stress(
                {str(decoder_folder): [1, 2]}, str(text), tokens=512, window=60
            ),
            "folder": decoder_folder,
            "text": text,
        }


def test_manifolds_hold_both_packages_side_by_side(tables: dict[str, Any]):
    table = tables["manifolds"]
    assert table["manifold"].nunique() == 10
    wide = table.pivot(index=["manifold", "metric"], columns="by", values="value")
    assert len(wide) == 50
    np.testing.assert_allclose(wide[OURS], wide[THEIRS], rtol=1e-9)
    near = table[(table["d"] == 2) & (table["metric"] == "two_nn")]
    np.testing.assert_allclose(near["value"], 2, rtol=0.25)


def test_reference_values_of_the_benchmark_set():
    known = {"M1_Sphere": 9.29, "M7_Roll": 1.94, "M9_Affine": 14.79, "M12_Norm": 17.06}
    drawn = {name: x for name, _, x in validation._manifolds(2500, 0) if name in known}
    for name, value in known.items():
        assert two_nn(drawn[name]) == pytest.approx(value, abs=0.006)


def test_the_printed_formula_gives_a_fixed_fraction(tables: dict[str, Any]):
    table = tables["misprint"]
    mean = (table["value"] / table["d"]).groupby([table["metric"], table["discard"]]).mean()
    assert mean["corrected"].to_numpy() == pytest.approx([1, 1], abs=0.02)
    assert mean["printed"].to_numpy() == pytest.approx([1 / 8, 0.29], rel=0.03)


def test_bias_has_every_size_and_dimension(tables: dict[str, Any]):
    counts = tables["bias"].groupby(["d", "n"]).size()
    assert set(counts) == {2 * 5}
    assert sorted(set(tables["bias"]["n"])) == [256, 512]


def test_stress_changes_and_provenance(tables: dict[str, Any]):
    table = tables["stress"]
    assert len(table["cloud"].unique()) == 3
    assert table["cloud"].iloc[0] == REFERENCE
    n = table[table["change"] == "tokens"].groupby("cloud")["amount"].max()
    assert n[REFERENCE] == 512
    none = table[table["change"] == "none"]
    assert none["value"].tolist() == none["base"].tolist()
    copies = table[(table["change"] == "copies") & (table["by"] == OURS)]
    np.testing.assert_allclose(copies["value"], copies["base"], rtol=1e-12)
    assert (copies["copies"] == (copies["amount"] * copies["cloud"].map(n)).astype(int)).all()
    (run,) = table.attrs["provenance"]
    assert run["versions"][THEIRS]
    assert run["pooled"]["dropped_all"] == run["pooled"]["all"] - 512
    from shapebook.notebooks.shown import show_provenance

    assert "vectors pooled from" in str(show_provenance(table).facts)


@pytest.mark.usefixtures("own_cache")
def test_a_kept_table_is_reused(monkeypatch: pytest.MonkeyPatch):
    searches: list[int] = []
    search = validation.nearest_neighbors

    def counted(x: np.ndarray, k: int) -> Any:
        searches.append(len(x))
        return search(x, k)

    monkeypatch.setattr(validation, "nearest_neighbors", counted)
    first, made = validation.bias(256, 1, 0), len(searches)
    again = validation.bias(256, 1, 0)
    assert made == len(searches) == len(DIMENSIONS)
    pd.testing.assert_frame_equal(first, again)
    other = validation.bias(256, 1, 1)
    assert len(searches) == 2 * made, "another draw is another table"
    assert not other.equals(first)


def test_bad_input(tables: dict[str, Any]):
    folder, text = str(tables["folder"]), str(tables["text"])
    with pytest.raises(ShapelibError, match=r"a layer and 512 tokens, got .* tokens=100"):
        validation.stress({folder: [1]}, text, tokens=100)
    with pytest.raises(ShapelibError, match=r"a layer and 512 tokens, got layers=\{\}"):
        validation.stress({}, text, tokens=512)


@pytest.mark.usefixtures("own_cache")
def test_a_layer_that_is_not_there(tables: dict[str, Any]):
    folder, text = str(tables["folder"]), str(tables["text"])
    with pytest.raises(ShapelibError, match="tiny-decoder has layers 0 to 3, got 7"):
        validation.stress({folder: [7]}, text, tokens=512, window=60)


PANELS = {
    "manifolds": 1, "bias": 5, "misprint": 1, "copies": 3, "near-copies": 3, "tokens": 3,
    "choices": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", PANELS)
def test_figures(tables: dict[str, Any], name: str):
    table = tables.get(name, tables["stress"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = validation_figures.figure(name, table)
        assert show(drawn).data == show(validation_figures.figure(name, table)).data
    assert len(drawn.axes) == PANELS[name]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert len(labels) == len(set(labels)) >= 4


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_says_what_its_axes_are(tables: dict[str, Any], name: str):
    drawn = validation_figures.figure(name, tables.get(name, tables["stress"]))
    first = [axes for axes in drawn.axes if axes.get_subplotspec().is_first_col()]
    others = [axes for axes in drawn.axes if axes not in first]
    # A label of the whole figure would stand beside the legend too, off the panels' middle.
    assert drawn.get_supylabel() == ""
    assert all(axes.get_ylabel() for axes in first)
    assert not any(axes.get_ylabel() for axes in others)
    assert all(axes.get_xlabel() for axes in drawn.axes)
    assert drawn.legends[0].get_title().get_text().startswith("colour: ")


def test_the_figure_of_choices_draws_layers_and_not_estimators(tables: dict[str, Any]):
    drawn = validation_figures.figure("choices", tables["stress"])
    labels = [axes.get_xlabel() for axes in drawn.axes]
    assert labels == ["share of ratios discarded", "neighbours, k", "neighbours, k"]
    assert drawn.legends[0].get_title().get_text() == "colour: layer, or Gaussian"
    colours = [line.get_color() for line in drawn.axes[0].lines]
    # A Gaussian is no model's, and the first layer of a decoder is blue.
    assert colours[:2] == [NEUTRAL, figures.PALETTE[0]]
    assert len(set(colours)) == 3
    turned = tables["stress"].replace({"role": {"decoder": "encoder"}})
    axes = validation_figures.figure("choices", turned).axes[0]
    assert axes.lines[1].get_color() == figures.PALETTE[1]


def test_the_figure_of_copies_shows_both_packages(tables: dict[str, Any]):
    axes = validation_figures.figure("copies", tables["stress"]).axes[0]
    assert axes.get_title() == REFERENCE
    assert len(axes.lines) == 10
    solid = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert len(solid) == 5
    for line in solid:
        np.testing.assert_allclose(line.get_ydata(), 1, rtol=1e-12)


def test_rounding_is_a_table_of_changes(tables: dict[str, Any]):
    table = validation_figures.rounding(tables["stress"])
    assert table.shape == (3, 5)
    assert table.map(lambda cell: cell.endswith(" %")).all(axis=None)


@pytest.mark.parametrize(
    ("change", "shown"),
    [(0.04, "0.0 %"), (-0.04, "0.0 %"), (0.06, "+0.1 %"), (-2.44, "−2.4 %"), (10.04, "+10.0 %")],
)
def test_a_change_that_rounds_to_nothing_has_no_sign(
    tables: dict[str, Any], change: float, shown: str
):
    stress = tables["stress"]
    changed = stress.assign(value=stress["base"] * (1 + change / 100))
    assert set(validation_figures.rounding(changed).to_numpy().ravel()) == {shown}


def findings(tables: dict[str, Any], **other: pd.DataFrame) -> "pd.Series[str]":
    names = ("manifolds", "bias", "misprint", "stress")
    given = [other.get(name, tables[name]) for name in names]
    return validation.findings(*given).set_index("finding")["verdict"]


def test_findings_on_what_is_known(tables: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    found = findings(tables)
    assert found["our estimates beside scikit-dimension's"] == "no difference"
    assert found["corrected formula"] == "recovers the dimension"
    assert found["printed formula"] == "fails"
    assert found["high dimensions"] == "too low"
    assert found["duplicates removed"] == "no difference"
    assert found["share discarded, Gaussian"] == "decides little"
    names = ("manifolds", "bias", "misprint", "stress")
    validation.words(validation.findings(*(tables[name] for name in names)))
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(found)
    assert not any(letter.isdigit() for letter in printed)


def test_findings_say_how_many_ratios_meet_their_rule(tables: dict[str, Any]):
    names = ("manifolds", "bias", "misprint", "stress")
    found = validation.findings(*(tables[name] for name in names)).set_index("finding")
    assert found.loc["printed formula", ["rule", "met"]].tolist() == ["within 5 %", "0 of 10"]
    assert found.loc["corrected formula", "met"] == "10 of 10"
    alone = found.loc["share discarded, Gaussian", "ratios"]
    assert "to" not in alone, "a single ratio is no range"
    stress = tables["stress"]
    first = (stress["cloud"] == REFERENCE) & (stress["metric"] == "two_nn")
    rounded = stress["value"].mask(first & (stress["change"] == "rounding"), stress["base"] * 2)
    mixed = validation.findings(
        *(tables[name] for name in names[:3]), stress.assign(value=rounded)
    ).set_index("finding")
    row = mixed.loc["rounding to half precision"]
    assert (row["met"], row["verdict"]) == ("14 of 15", "estimate is off")


def test_findings_follow_the_tables(tables: dict[str, Any]):
    wrong = tables["manifolds"].copy()
    wrong.loc[0, "value"] *= 1 + 1e-6
    assert findings(tables, manifolds=wrong).iloc[0] == "a difference"
    mended = tables["misprint"].assign(value=tables["misprint"]["d"])
    assert findings(tables, misprint=mended)["printed formula"] == "recovers the dimension"
    exact = tables["bias"].assign(value=tables["bias"]["d"])
    found = findings(tables, bias=exact)
    assert found["low dimensions"] == "recovered"
    assert found["high dimensions"] == "not too low"
    assert found["MADA and moments, more points, high dimension"] == "no common trend"
    stress = tables["stress"]
    level = stress.assign(value=10.0, base=10.0)
    found = findings(tables, stress=level)
    assert found["TwoNN, more tokens of a layer"] == "no common trend"
    assert found["TwoNN, duplicates kept"] == "not always off"
    assert found["TwoNN, near-duplicates"] == "not always off"
    assert found["rounding to half precision"] == "estimate holds"
    assert found["share discarded, layer"] == "decides little"
    assert found["order of the layers"] == "not seen to depend"
    off = stress.assign(value=stress["base"] * 2)
    found = findings(tables, stress=off)
    assert found["duplicates removed"] == "a difference"
    assert found["TwoNN, duplicates kept"] == "estimate is off"
    assert found["moments over many neighbours, near-duplicates"] == "estimate is off"
    first = stress["cloud"].unique()[1]
    turned = (stress["cloud"] == first) == (stress["metric"] == "two_nn")
    found = findings(tables, stress=stress.assign(value=10.0 + 5 * turned, base=10.0))
    assert found["order of the layers"] == "depends on the estimator"


def test_sizes_double():
    assert validation._doubling(256, 2047) == [256, 512, 1024, 2047]
    assert validation._doubling(256, 300) == [300]
