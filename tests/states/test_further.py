"""What a table can hold beside the default metrics, against the functions on the same vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TEXT

from shapelib import (
    gride,
    homology_dimension,
    information_imbalance,
    last_of_windows,
    load_corpus,
    mada,
    mle,
    nearest_in_other_windows,
    nearest_neighbors,
    one_per_token,
    overlap,
    relatives,
    two_nn,
    windows,
)
from shapelib import profile as measure
from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import mada_from_distances, two_nn_from_distances
from shapelib.geometry.metrics import ESTIMATES, METRICS
from shapelib.geometry.scale import curves
from shapelib.geometry.scale.curves import gride_from_distances, subset
from shapelib.models.loading import load
from shapelib.states.choices import CHOICES, DEFAULT, FEWEST, PARTS, SCALES, chosen
from shapelib.states.pool import Pool, pool

SIZES: dict[str, Any] = {"tokens": 3400, "batch": 1600, "window": 10, "progress": False}
EVERY = tuple(CHOICES)


@pytest.fixture(scope="module")
def long_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough words of enough kinds: of the fixture's text every window would be a copy."""
    rng = np.random.default_rng(0)
    # Letters of many alphabets, since the fixture's tokens are bytes and a few words.
    letters = [
        chr(each) for each in (*range(0x21, 0x7F), *range(0xC0, 0x500), *range(0x4E00, 0x9FFF))
    ]
    kinds = rng.integers(0, 3, 3000)
    places = [(0, 94), (94, 1182), (1182, len(letters))]
    words = ["".join(rng.choice(letters[slice(*places[kind])], 3)) for kind in kinds]
    words += TEXT.split() * 20
    text = tmp_path_factory.mktemp("text") / "words.txt"
    lines = (" ".join(rng.choice(words, 12)) + "." for _ in range(1200))
    text.write_text("\n\n".join(lines))
    return text


@pytest.fixture(scope="module")
def model(decoder_folder: Path) -> Any:
    return load(decoder_folder)


@pytest.fixture(scope="module")
def pooled(model: Any, long_text: Path) -> Pool:
    cut = windows(load_corpus(long_text), SIZES["window"], seed=0)
    return pool(model, cut, SIZES["tokens"], seed=0, progress=False)


@pytest.fixture(scope="module")
def table(model: Any, long_text: Path) -> pd.DataFrame:
    return measure(model, long_text, **SIZES, metrics=[*EVERY, "default"])


def row(table: pd.DataFrame, layer: int, metric: str, tokens: str = "content") -> pd.Series:
    found = table[
        (table["layer"] == layer) & (table["metric"] == metric) & (table["tokens"] == tokens)
    ]
    assert len(found) == 1
    return found.iloc[0]


def batch(pooled: Pool, layer: int, number: int = 0) -> np.ndarray:
    rows = pooled.rows("content")[number * 1600 : (number + 1) * 1600]
    return pooled.states[layer][rows]


def first(pooled: Pool) -> np.ndarray:
    return pooled.rows("content")[:1600]


def test_a_row_for_each_of_what_was_asked_and_the_default_ones_untouched(
    table: pd.DataFrame, model: Any, long_text: Path
):
    for (_, _), here in table.groupby(["layer", "tokens"]):
        named = [row for each in EVERY for row in CHOICES[each].rows]
        assert [*dict.fromkeys(here["metric"])] == sorted(
            dict.fromkeys(here["metric"]), key=[*dict.fromkeys(here["metric"])].index
        )
        assert set(here["metric"]) == set(named)
        assert not here.duplicated(["metric", "centered"]).any()
    alone = measure(model, long_text, **SIZES)
    both = table[table["metric"].isin({metric.name for metric in METRICS})]
    pd.testing.assert_frame_equal(both.reset_index(drop=True), alone, check_exact=True)


def test_only_what_was_asked_for(model: Any, long_text: Path):
    few = measure(model, long_text, **SIZES, metrics=["relatives", "average_cosine"], sets=["all"])
    assert set(few["metric"]) == {"average_cosine", "same_token", "same_window", "adjacent"}
    assert few["value"].notna().all()
    one = measure(model, long_text, **SIZES, metrics=["two_nn"], sets=["content"])
    alone = measure(model, long_text, **SIZES, sets=["content"])
    expected = alone[alone["metric"] == "two_nn"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, expected, check_exact=True)


@pytest.mark.parametrize("layer", [0, 2])
def test_estimates_are_those_of_the_functions(table: pd.DataFrame, pooled: Pool, layer: int):
    batches = [batch(pooled, layer, number) for number in (0, 1)]
    for metric, estimate in (
        ("mada_median_k20", lambda x: mada(x, average="median")),
        ("mle_k20", lambda x: mle(x).value),
    ):
        found = row(table, layer, metric)
        assert found["value"] == pytest.approx(np.mean([estimate(x) for x in batches]), rel=1e-9)
        assert found["batches"] == 2
    distinct = len(np.unique(batches[0], axis=0))
    scales = [n for n in SCALES if 2 * n + 2 <= distinct]
    for n, expected in zip(scales, gride(batches[0], scales).estimates, strict=True):
        found = row(table, layer, f"gride_{n}")
        assert found["value"] == pytest.approx(expected.value, rel=1e-9)
        assert (found["batches"], found["n"]) == (1, 1600)


def test_the_error_of_a_scale_is_over_groups_of_windows(table: pd.DataFrame, pooled: Pool):
    found = nearest_neighbors(batch(pooled, 2), 128)
    group = pooled.window[first(pooled)[found.first.numpy()]] % 8
    for n in (1, 64):
        values = [
            gride_from_distances(found.distances[group == each], (n,)).estimates[0].value
            for each in range(8)
        ]
        expected = np.std(values, ddof=1) / 8**0.5
        assert row(table, 2, f"gride_{n}")["stderr"] == pytest.approx(expected, rel=1e-9)


def test_clouds_are_those_rows(table: pd.DataFrame, pooled: Pool):
    everyone, members = pooled.rows("content"), first(pooled)
    clouds = {
        "token_types": everyone[one_per_token(pooled.token[everyone])],
        "last_tokens": everyone[
            last_of_windows(pooled.window[everyone], pooled.position[everyone])
        ],
        **{part: members[subset(1600, share)] for part, share in PARTS.items()},
    }
    for name, rows in clouds.items():
        x = pooled.states[2][rows]
        found = row(table, 2, f"two_nn_{name}")
        assert found["value"] == pytest.approx(two_nn(x), rel=1e-9)
        assert (found["n"], found["batch_size"], found["batches"]) == (len(rows), len(rows), 1)
        assert row(table, 2, f"mada_k20_{name}")["value"] == pytest.approx(mada(x), rel=1e-9)
        assert found["stderr"] > 0
    assert len(clouds["last_tokens"]) == pooled.windows
    assert len({*pooled.token[clouds["token_types"]]}) == len(clouds["token_types"])


def test_neighbours_of_other_windows(table: pd.DataFrame, pooled: Pool):
    x, window = batch(pooled, 3), pooled.window[first(pooled)]
    near = nearest_in_other_windows(x, window, 20).distances
    found = row(table, 3, "two_nn_other_windows")["value"]
    assert found == pytest.approx(two_nn_from_distances(near), rel=1e-9)
    found = row(table, 3, "mada_k20_other_windows")["value"]
    assert found == pytest.approx(mada_from_distances(near), rel=1e-9)


def test_relatives_of_the_first_batch(table: pd.DataFrame, pooled: Pool):
    members = first(pooled)
    labels = [each[members] for each in (pooled.token, pooled.window, pooled.position)]
    for layer in (1, 3):
        expected = relatives(nearest_neighbors(batch(pooled, layer), 2), *labels)
        for name, value in expected._asdict().items():
            found = row(table, layer, name)
            assert found["value"] == pytest.approx(value, rel=1e-12)
            assert 0 <= found["value"] <= 1
    # Copies left out, so that the same token in another place is no copy.
    assert row(table, 1, "same_token")["value"] > 0.1


def test_trees_of_the_first_batch_and_the_spread_of_their_draws(table: pd.DataFrame, pooled: Pool):
    expected = homology_dimension(batch(pooled, 2))
    found = row(table, 2, "homology")
    assert (found["value"], found["std"]) == pytest.approx(tuple(expected), rel=1e-9)
    # An embedding has too few distinct vectors.
    assert np.isnan(row(table, 0, "homology")["value"])


def test_layers_are_compared_with_the_next_and_the_last(table: pd.DataFrame, pooled: Pool):
    for layer in (1, 2):
        for name, other in (("next", layer + 1), ("last_layer", 3)):
            x, y = batch(pooled, layer), batch(pooled, other)
            found = row(table, layer, f"overlap_{name}")
            # Of the first tokens of windows, which are copies but for rounding, one is left.
            assert 1500 < found["n"] <= min(len(np.unique(each, axis=0)) for each in (x, y))
            assert found["value"] == pytest.approx(overlap(x, y), rel=1e-9)
            assert 0 < found["stderr"] < 0.1
            there, back = (
                row(table, layer, f"imbalance_{way}{name}")["value"] for way in ("", "from_")
            )
            assert there == pytest.approx(information_imbalance(x, y), rel=2e-3)
            assert back == pytest.approx(information_imbalance(y, x), rel=2e-3)
    last = table[(table["layer"] == 3) & table["metric"].str.match("overlap|imbalance")]
    assert len(last) == 2 * 6
    assert last["value"].isna().all()
    # An embedding without positions: only the first of each token takes part.
    assert row(table, 0, "overlap_next")["n"] <= len({*pooled.token[first(pooled)]})


def test_layers_in_parts_are_compared_as_well(
    model: Any, long_text: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: dict[str, Any] = {**SIZES, "metrics": ["overlap"], "sets": ["all", "rest"]}
    whole = measure(model, long_text, **asked)
    monkeypatch.setattr("shapelib.states.pool._work", lambda _: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": 0.0})())
    layer = 1 + 4 * model.width * whole.attrs["provenance"][0]["pooled"]["all"]
    parts = measure(model, long_text, **asked, memory=layer / 2**30)
    pd.testing.assert_frame_equal(whole, parts)


# What is asked for


def test_names_and_tables_agree():
    assert SCALES == curves.SCALES
    assert FEWEST == curves.FEWEST
    rows = [row for each in CHOICES.values() for row in each.rows]
    assert len(rows) == len(set(rows))
    assert set(ESTIMATES) < set(rows)
    assert {metric.name for metric in METRICS} == {
        r for each in DEFAULT for r in CHOICES[each].rows
    }
    assert chosen(["gride", "default", "two_nn"], 4096) == (*DEFAULT, "gride")


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["grid"], "no such metric: 'grid'; did you mean 'gride'"),
        (["gride_8"], "did you mean 'gride'"),
        (["two_n"], "did you mean 'two_nn'"),
        ([], "metrics must be a list of names"),
        ("gride", "metrics must be a list of names"),
    ],
)
def test_a_metric_that_there_is_not(metrics: Any, words: str):
    with pytest.raises(ShapelibError, match=words):
        chosen(metrics, 4096)


def test_batches_too_small_are_refused_before_a_model_is_read(long_text: Path):
    for metric, batch, least in (("gride", 129, 130), ("decimated", 1599, 1600)):
        words = f"{metric} needs batches of at least {least} vectors, got {batch}"
        with pytest.raises(ShapelibError, match=words):
            measure("no-such-model", long_text, tokens=2000, batch=batch, metrics=[metric])
        chosen([metric], least)


def test_windows_and_tokens_too_few(model: Any, long_text: Path, text_file: Path):
    few: dict[str, Any] = {"tokens": 600, "batch": 256, "progress": False}
    with pytest.raises(ShapelibError, match=r"last_tokens .* needs 200 windows, but \d+ were read"):
        measure(model, long_text, **few, window=30, metrics=["last_tokens"])
    with pytest.raises(ShapelibError, match=r"token_types .* needs 200, but \d+ different"):
        measure(model, text_file, **few, window=40, metrics=["token_types"])
    with pytest.raises(ShapelibError, match=r"other_windows needs 22 .* one window holds \d+ of"):
        measure(
            model, text_file, tokens=64, batch=32, window=80, progress=False,
            metrics=["other_windows"],
        )  # fmt: skip
