"""Kept models stand beside the book's own, and never beside a reader's."""

from pathlib import Path

import pandas as pd
import pytest

from shapebook.experiments import real_models
from shapebook.figures.real_models import (
    by_window,
    massive_shares,
    reweighted_profiles,
    sentences,
    tabulate_reweighted,
)
from shapelib.errors import ShapelibError
from shapelib.store import tables

BELL = [0.9, 0.1, 0.2, 0.7, 0.8, 0.2, 0.1, 0.9]
PLATEAU = [0.9, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9]


def cell(
    model: str, values: list[float], window: int = 512, native: bool = True,
    role: str = "decoder", removed: float = 0.02, batch: int = 4096,
) -> pd.DataFrame:  # fmt: skip
    last = len(values) - 1
    rows = pd.DataFrame(
        {
            "model": model, "role": role, "corpus": "enwiki-sample",
            "window": f"{window} characters", "layer": range(last + 1),
            "depth": [n / last for n in range(last + 1)],
            "after_norm": [n == last for n in range(last + 1)], "metric": "anisotropy",
            "centered": True, "value": values, "stderr": 0.001, "groups": 8, "batch_size": batch,
            "weights": "trained", "native": native, "removed": removed, "tokens": "all",
        }
    )  # fmt: skip
    dimension = rows.assign(metric="two_nn", centered=None)
    rest = rows.assign(tokens="rest", value=0.1)
    table = pd.concat([rows, dimension, rest], ignore_index=True)
    beginning = "its own" if native else "the other"
    run = {
        "model": model, "seconds": 1.0, "commit": "0123456789ab", "command": "made",
        "cell": f"trained: {model}, {window} characters, {beginning} beginning", "rows": len(table),
    }  # fmt: skip
    table.attrs["provenance"] = [run]
    return table


def live(model: str, batch: int = 4096, window: int = 512) -> pd.DataFrame:
    made = cell(model, PLATEAU, window, batch=batch)
    table = made.drop(columns=["weights", "native"])
    table.attrs["provenance"] = made.attrs["provenance"]
    return table


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    (tmp_path / "results" / "models").mkdir(parents=True)
    table = tables.combine(
        [
            cell("first", PLATEAU, 128), cell("first", PLATEAU, removed=0.01),
            cell("first", BELL, 2048, removed=0.005), cell("first", BELL, native=False),
            cell("second", BELL), cell("third", PLATEAU, role="encoder"),
        ]
    )  # fmt: skip
    tables.write_table(table, tmp_path / "results" / "models" / "trained.parquet")
    monkeypatch.chdir(tmp_path)
    return table


@pytest.mark.usefixtures("kept")
def test_others_stand_beside_what_was_measured_at_the_fixed_setting():
    found = real_models.beside(live("first"))
    assert list(dict.fromkeys(found["model"])) == ["first", "second", "third"]
    assert set(found["window"]) == {"512 characters"}
    assert not {"weights", "native"} & set(found.columns)
    # What was measured stays as it is, and each kept model has the one run that made it.
    assert found[found["model"] == "first"]["value"].tolist() == live("first")["value"].tolist()
    assert [run["model"] for run in found.attrs["provenance"]] == ["first", "second", "third"]


@pytest.mark.usefixtures("kept")
def test_a_dimension_comes_with_equal_batches_alone():
    other = real_models.beside(live("first", batch=1024))
    beside = other[other["model"] == "second"]
    assert set(beside["metric"]) == {"anisotropy"}
    # Of nothing but dimensions none comes at all, nor what made it.
    alone = live("first", batch=1024)
    found = real_models.beside(alone[alone["metric"] == "two_nn"])
    assert set(found["model"]) == {run["model"] for run in found.attrs["provenance"]} == {"first"}
    equal = real_models.beside(live("first"))
    assert set(equal[equal["model"] == "second"]["metric"]) == {"anisotropy", "two_nn"}


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("own", [live("mine"), live("first", window=256)])
def test_a_readers_own_model_or_window_stands_alone(own: pd.DataFrame):
    assert real_models.beside(own) is own


@pytest.mark.usefixtures("kept")
def test_a_part_that_was_not_made_has_no_rows():
    assert real_models.kept("random").empty
    assert len(real_models.kept()) > 0


def test_the_statistic_is_the_claims_at_each_window(kept: pd.DataFrame):
    found = by_window("decoder-bell", kept).set_index(["model", "characters", "native"])
    assert set(found.index) == {
        ("first", 128, True), ("first", 512, True), ("first", 2048, True), ("first", 512, False),
        ("second", 512, True),
    }  # fmt: skip
    assert found.loc[("first", 128, True), "value"] == pytest.approx(0.9 - 0.9)
    row = found.loc[("first", 2048, True)]
    assert row["value"] == pytest.approx(0.75 - 0.15)
    assert row["low"] < row["value"] < row["high"]
    rest = by_window("decoder-bell", kept, "rest")
    assert rest["value"].abs().max() == pytest.approx(0, abs=1e-12)
    assert set(by_window("encoder-uniform", kept)["model"]) == {"third"}


def test_the_share_of_massive_vectors_is_that_of_the_middle_third(kept: pd.DataFrame):
    found = massive_shares(kept).set_index(["model", "characters", "native"])["value"]
    assert found["first", 512, True] == pytest.approx(0.01)
    assert found["first", 2048, True] == pytest.approx(0.005)


def test_sentences_name_the_windows(kept: pd.DataFrame):
    said = sentences(kept).sentences
    (own,) = (each for each in said if each.startswith("first, with its own beginning"))
    assert "is 0.00 at 128 characters and 0.60 at 2048; beyond the margin" in own
    assert "of 0.1 at 2048, below zero at none" in own
    assert any("second, with its own beginning" in each and "0.60 at 512 characters; beyond" in each
               for each in said)  # fmt: skip
    assert not any("third" in each.split(",")[0] for each in said), "encoders have no bell"


def test_windows_of_tokens_are_refused(kept: pd.DataFrame):
    with pytest.raises(ShapelibError, match="a window is '64 tokens'; windows of characters"):
        by_window("decoder-bell", kept.assign(window="64 tokens"))


def test_an_interval_reaches_to_what_groups_of_whole_windows_say():
    """Half of the batches hold no massive vector, so their mean is half as high; all groups do."""
    table = cell("first", [each / 2 for each in BELL], 8192)
    groups = [" ".join([f"{2 * each}"] * 8) for each in table["value"]]
    torn = by_window("decoder-bell", table.assign(by_group=groups))
    plain = by_window("decoder-bell", table.assign(by_group=""))
    assert plain["value"][0] == torn["value"][0] == pytest.approx(0.3)
    assert torn["groups"][0] == torn["high"][0] == pytest.approx(0.6)
    assert torn["low"][0] == plain["low"][0]
    assert plain["high"][0] < 0.31
    said = sentences(table.assign(by_group=groups)).sentences
    assert len(said) == 2
    assert "batches of vectors say 0.30 and groups of whole windows 0.60" in said[1]
    assert len(sentences(table.assign(by_group="")).sentences) == 1


def reweighted(model: str, value: float) -> pd.DataFrame:
    made = cell(model, BELL).query("tokens == 'all' and metric == 'anisotropy'")
    made = made[["model", "role", "layer", "depth", "after_norm", "value"]]
    parts = [made.assign(characters=each, share=1 / each) for each in (128, 2048)]
    return pd.concat(parts, ignore_index=True).assign(value=lambda t: t["value"] * value)


def test_reweighted_profiles_stand_beside_what_was_measured(kept: pd.DataFrame):
    others = pd.concat([reweighted("first", 1.0), reweighted("second", 0.5)])
    figure = reweighted_profiles(kept, others)
    assert [axes.get_title() for axes in figure.axes] == ["first", "second"]
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == [
        "128 characters, measured", "2048 characters, measured",
        "128 characters, reweighted", "2048 characters, reweighted",
    ]  # fmt: skip
    shown = tabulate_reweighted(kept, others)
    assert shown.loc["first", ("2048 characters", "measured")] == "0.60"
    assert shown.loc["first", ("2048 characters", "reweighted")] == "0.60"
    assert shown.loc["second", ("2048 characters", "measured")] == "\N{EN DASH}"
    assert shown.loc["second", ("128 characters", "reweighted")] == "0.30"


def stressed(model: str, sha: str = "a") -> pd.DataFrame:
    table = pd.DataFrame({"cloud": [f"{model}, layer 3"], "value": [1.0], "role": "decoder"})
    table.attrs["provenance"] = [{"model": model, "corpus_sha256": sha}]
    return table


def test_layers_under_stress_stand_beside_the_books_own_alone(kept: pd.DataFrame, tmp_path: Path):
    assert len(kept)
    (tmp_path / "results" / "stress").mkdir()
    others = tables.combine([stressed("second"), stressed("third")])
    tables.write_table(others, tmp_path / "results" / "stress" / "stress.parquet")
    gaussian = pd.DataFrame({"cloud": ["Gaussian"], "value": [2.0], "role": ""})
    gaussian.attrs["provenance"] = []
    clouds = {
        name: list(real_models.stressed_beside(tables.combine([gaussian, live]))["cloud"])
        for name, live in {
            "book": stressed("first"), "measured anew": stressed("third"),
            "reader": stressed("mine"), "another text": stressed("first", "b"),
        }.items()
    }  # fmt: skip
    assert clouds == {
        "book": ["Gaussian", "first, layer 3", "second, layer 3", "third, layer 3"],
        "measured anew": ["Gaussian", "third, layer 3", "second, layer 3"],
        "reader": ["Gaussian", "mine, layer 3"],
        "another text": ["Gaussian", "first, layer 3"],
    }
