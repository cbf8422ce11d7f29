"""One tidy table: its columns, its numbers against the estimators, and what the models show."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from shapelib import profile as measure
from shapelib.errors import ShapelibError
from shapelib.geometry.anisotropy import anisotropy, average_cosine
from shapelib.geometry.dimension import (
    mada,
    mada_from_distances,
    mom,
    two_nn,
    two_nn_from_distances,
)
from shapelib.geometry.metrics import METRICS
from shapelib.geometry.neighbors import nearest_neighbors
from shapelib.models.catalogue import models
from shapelib.models.loading import load
from shapelib.states.pool import pool
from shapelib.states.profile import COLUMNS
from shapelib.states.settings import Measuring
from shapelib.store.tables import read_table, write_table
from shapelib.text.corpus import load_corpus, windows

SMALL: dict[str, Any] = {"tokens": 600, "batch": 256, "window": 40, "progress": False}


@pytest.fixture
def table(encoder_folder: Path, text_file: Path) -> pd.DataFrame:
    return measure(encoder_folder, text_file, **SMALL, reuse=False)


def rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_a_row_for_every_layer_token_set_and_metric(table: pd.DataFrame):
    assert list(table.columns) == list(COLUMNS)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS
    assert len(table) == 3 * 2 * len(METRICS)
    assert not table.duplicated(["layer", "tokens", "metric", "centered"]).any()
    first = table.iloc[0]
    assert (first["model"], first["role"], first["corpus"], first["window"]) == (
        "tiny-encoder", "encoder", "story.txt", "40 characters",
    )  # fmt: skip
    assert (first["batches"], first["batch_size"], first["n"], first["groups"]) == (2, 256, 512, 8)
    assert table["bos"].all()
    assert table["depth"].unique().tolist() == [0.0, 0.5, 1.0]
    assert np.isfinite(table[["value", "stderr"]]).all(axis=None)
    furthest = table["metric"] == "mom_k100"
    assert np.isfinite(table.loc[~furthest, "std"]).all()
    assert (table.loc[furthest, "batches"] == 1).all()
    assert (table.loc[furthest, "n"] == 256).all()
    assert table.loc[furthest, "std"].isna().all()
    assert table["step"].isna().all()


def test_a_beginning_is_asked_for_and_named(
    decoder_folder: Path, encoder_folder: Path, text_file: Path
):
    def measured(folder: Path, beginning: bool | None) -> pd.DataFrame:
        return measure(folder, text_file, **SMALL, beginning=beginning, metrics=["anisotropy"])

    plain, with_one = measured(decoder_folder, None), measured(decoder_folder, True)
    assert not plain["bos"].any()
    assert plain["beginning"].isna().all()
    assert with_one["bos"].all()
    assert set(with_one["beginning"]) == {"<s>"}
    # The tokenizer's own way, named or not, is one measurement; the other is another.
    assert measured(decoder_folder, False)["value"].equals(plain["value"])
    assert not with_one["value"].equals(plain["value"])
    model, text = load(decoder_folder), load_corpus(text_file)
    pooled = pool(model, windows(text, 40, seed=0), 600, seed=0, beginning=True, progress=False)
    assert pooled.beginning == "<s>"
    expected = np.mean([anisotropy(x) for x in pooled.batches(2, "all", 256, 2)])
    found = rows(with_one, layer=2, tokens="all", metric="anisotropy", centered=True)
    assert found["value"].item() == pytest.approx(expected)
    assert set(measured(encoder_folder, None)["beginning"]) == {"<s>"}
    without = measured(encoder_folder, False)
    assert without["beginning"].isna().all()
    assert not without["bos"].any()
    with pytest.raises(ShapelibError, match="beginning is 'yes'; None, True and False"):
        measure(decoder_folder, text_file, **SMALL, beginning="yes")


def test_vectors_are_drawn_from_many_windows(decoder_folder: Path, text_file: Path):
    few = measure(decoder_folder, text_file, **SMALL, metrics=["anisotropy"])
    many = measure(decoder_folder, text_file, **SMALL, metrics=["anisotropy"], least_windows=120)
    counts = [each.attrs["provenance"][0]["pooled"] for each in (few, many)]
    assert counts[0]["windows"] < 120 == counts[1]["windows"]
    assert counts[1]["all"] > counts[0]["all"]
    assert many["n"].equals(few["n"])
    with pytest.raises(ShapelibError, match=r"it holds [0-9]+ whole windows, and 100000 are to be"):
        measure(decoder_folder, text_file, **SMALL, least_windows=100_000)


def test_what_was_quantised_and_tuned_how(decoder_folder: Path, text_file: Path):
    asked: dict[str, Any] = {**SMALL, "metrics": ["anisotropy"]}
    plain = measure(decoder_folder, text_file, **asked)
    assert plain["quantised"].isna().all()
    assert plain["tuned"].isna().all()
    model = load(decoder_folder)
    known = dataclasses.replace(model.source, known=models()["gemma-3-270m"])
    told = dataclasses.replace(model, source=known, quantised="1 M in Q4_K")
    listed = measure(told, text_file, **asked)
    assert set(listed["quantised"]) == {"1 M in Q4_K"}
    assert set(listed["tuned"]) == {"base"}


def test_values_are_means_over_batches(encoder_folder: Path, text_file: Path, table: pd.DataFrame):
    model, text = load(encoder_folder), load_corpus(text_file)
    pooled = pool(model, windows(text, 40, seed=0), 600, seed=0, progress=False)
    for tokens in ("all", "content"):
        batches = list(pooled.batches(2, tokens, 256, 2))
        expected = {
            ("anisotropy", True): [anisotropy(x) for x in batches],
            ("anisotropy", False): [anisotropy(x, centered=False) for x in batches],
            ("average_cosine", True): [average_cosine(x, centered=True) for x in batches],
            ("average_cosine", False): [average_cosine(x) for x in batches],
            ("two_nn", None): [two_nn(x) for x in batches],
            ("two_nn_lowest20", None): [two_nn(x, discard=0.8) for x in batches],
            ("mada_k20", None): [mada(x, k=20) for x in batches],
            ("mom_k20", None): [mom(x, k=20) for x in batches],
        }
        here = rows(table, layer=2, tokens=tokens)
        for (metric, centered), values in expected.items():
            row = here[here["metric"] == metric]
            row = row[row["centered"].isna()] if centered is None else rows(row, centered=centered)
            assert row["value"].item() == pytest.approx(np.mean(values), rel=1e-9)
            assert row["std"].item() == pytest.approx(np.std(values, ddof=1), rel=1e-6)
        furthest = here[here["metric"] == "mom_k100"]
        assert furthest["value"].item() == pytest.approx(mom(batches[0], k=100), rel=1e-9)


def test_stderr_comes_from_groups_of_whole_windows(
    encoder_folder: Path, text_file: Path, table: pd.DataFrame
):
    model, text = load(encoder_folder), load_corpus(text_file)
    pooled = pool(model, windows(text, 40, seed=0), 600, seed=0, progress=False)
    values = [anisotropy(x) for x in pooled.groups(1, "all", 8)]
    row = rows(table, layer=1, tokens="all", metric="anisotropy", centered=True)
    assert row["stderr"].item() == pytest.approx(np.std(values, ddof=1) / 8**0.5, rel=1e-9)


def test_the_stderr_of_a_dimension_is_of_points_grouped_by_window(
    encoder_folder: Path, text_file: Path, table: pd.DataFrame
):
    """By hand: a search in each batch, its distances dealt out by window, each group's estimate."""
    model, text = load(encoder_folder), load_corpus(text_file)
    pooled = pool(model, windows(text, 40, seed=0), 600, seed=0, progress=False)
    # In layer 0 many vectors are copies, which a search leaves out.
    for layer in (0, 2):
        dealt: list[list[np.ndarray]] = [[] for _ in range(8)]
        for start in (0, 256):
            rows_here = pooled.rows("all")[start : start + 256]
            x = pooled.states[layer][rows_here]
            _, first = np.unique(x, axis=0, return_index=True)
            first.sort()
            distances = nearest_neighbors(x, 20).distances.numpy()
            for place, row in enumerate(first):
                dealt[pooled.window[rows_here[row]] % 8].append(distances[place])
        for metric, estimate in (("two_nn", two_nn_from_distances),
                                 ("mada_k20", mada_from_distances)):  # fmt: skip
            values = [estimate(np.array(group)) for group in dealt]
            expected = np.std(values, ddof=1) / 8**0.5
            row = rows(table, layer=layer, tokens="all", metric=metric)
            assert row["stderr"].item() == pytest.approx(expected, rel=1e-9)


def test_duplicates_and_leftovers_are_counted(table: pd.DataFrame):
    embedding = rows(table, layer=0, metric="two_nn")
    counts = table.attrs["provenance"][0]["pooled"]
    by_set = embedding.set_index("tokens")["duplicates"]
    assert by_set["all"] > by_set["content"], "every [CLS] of the embedding is a copy of the first"
    assert counts["dropped_all"] == counts["all"] - 512
    assert counts["all"] - counts["content"] == 2 * counts["windows"]


def test_a_decoder_embedding_is_full_of_copies(decoder_folder: Path, text_file: Path):
    table = measure(decoder_folder, text_file, **SMALL, reuse=False)
    copies = table.groupby("layer")["duplicates"].first()
    assert copies[0] > 100
    assert copies[3] < copies[0] / 5
    assert rows(table, layer=3)["after_norm"].all()
    assert not rows(table, layer=2)["after_norm"].any()
    same = [rows(table, tokens=each).drop(columns="tokens") for each in ("all", "content")]
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in same))


def test_massive_vectors_and_first_positions_left_out(encoder_folder: Path, text_file: Path):
    model, text = load(encoder_folder), load_corpus(text_file)
    with torch.no_grad():
        # A sink: [CLS] alone leaves the embedding with a hundredfold length.
        model.network.embeddings.word_embeddings.weight[1] *= 1000
        model.network.embeddings.LayerNorm = torch.nn.Identity()
    sets = ("rest", "all", "later")
    table = measure(model, text, **SMALL, sets=sets)
    assert set(table["tokens"]) == set(sets)
    pooled = pool(model, windows(text, 40, seed=0), 600, seed=0, progress=False)
    first = float(np.mean(pooled.position == 0))
    for tokens, removed in (("all", 0), ("rest", first), ("later", first)):
        row = rows(table, layer=0, tokens=tokens, metric="anisotropy", centered=True)
        expected = [anisotropy(x) for x in pooled.batches(0, tokens, 256, 2)]
        assert row["value"].item() == pytest.approx(np.mean(expected), rel=1e-9)
        assert row["removed"].item() == pytest.approx(removed)
    here = rows(table, layer=0, metric="anisotropy", centered=True).set_index("tokens")["value"]
    assert here["all"] > 0.9 > 0.5 > here["rest"] == here["later"]


def test_where_most_vectors_are_massive_a_batch_fewer(decoder_folder: Path, text_file: Path):
    model, text = load(decoder_folder), load_corpus(text_file)
    with torch.no_grad():
        model.network.embed_tokens.weight[::3] *= 1000
    table = measure(model, text, **SMALL, sets=("all", "rest"))
    embedding = rows(table, layer=0, metric="anisotropy", centered=True).set_index("tokens")
    assert embedding.loc["all", "batches"] == 2
    assert embedding.loc["rest", "batches"] == 1
    assert embedding.loc["rest", "n"] == 256
    assert 0.1 < embedding.loc["rest", "removed"] < 0.5


@pytest.mark.parametrize("sets", [(), "all", ("all", "all"), ("most",)])
def test_token_sets_that_do_not_exist(decoder_folder: Path, text_file: Path, sets: Any):
    with pytest.raises(ShapelibError, match="token set"):
        measure(decoder_folder, text_file, **SMALL, sets=sets)


def test_the_seed_decides(encoder_folder: Path, text_file: Path, table: pd.DataFrame):
    again = measure(encoder_folder, text_file, **SMALL, reuse=False)
    pd.testing.assert_frame_equal(table, again)
    other = measure(encoder_folder, text_file, **SMALL, seed=1, reuse=False)
    assert (table["value"] != other["value"]).any()


@pytest.mark.usefixtures("own_cache")
def test_a_kept_measurement_is_reused_until_something_changes(
    decoder_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
):
    first = measure(decoder_folder, text_file, **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("shapelib.models.loading.load", lambda *_, **__: pytest.fail("loaded again"))
        second = measure(decoder_folder, text_file, **SMALL)
    pd.testing.assert_frame_equal(first, second)
    assert second.attrs == first.attrs
    text_file.write_text(text_file.read_text() + "One more line.")
    third = measure(decoder_folder, text_file, **SMALL)
    assert (
        third.attrs["provenance"][0]["corpus_sha256"]
        != (first.attrs["provenance"][0]["corpus_sha256"])
    )


@pytest.mark.usefixtures("own_cache")
def test_weights_that_changed_in_memory_are_measured_anew(decoder_folder: Path, text_file: Path):
    model: Any = load(decoder_folder)
    before = measure(model, text_file, **SMALL)
    with torch.no_grad():
        model.network.layers[0].mlp.up_proj.weight.mul_(3)
    after = measure(model, text_file, **SMALL)
    assert (rows(before, layer=3)["value"] != rows(after, layer=3)["value"]).any()


def test_a_model_already_loaded(decoder_folder: Path, text_file: Path, tmp_path: Path):
    table = measure(load(decoder_folder), load_corpus(text_file), **SMALL, reuse=False)
    path = write_table(table, tmp_path / "table.parquet")
    again = read_table(path)
    pd.testing.assert_frame_equal(table, again)
    assert again.attrs["provenance"][0]["tokens"] == 600


def test_few_windows_give_no_interval(decoder_folder: Path, text_file: Path):
    table = measure(
        decoder_folder, text_file, tokens=64, batch=32, window=100, progress=False, reuse=False
    )
    assert table["groups"].iloc[0] < 3
    assert table["stderr"].isna().all()
    assert table.loc[table["metric"] == "two_nn", "std"].notna().all()


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("memory", "free"), [(0.0, 1e12), (1e-4, 10.0), (0.0, 1.5e5)])
def test_where_the_states_lie_changes_no_number(
    decoder_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch,
    memory: float, free: float,
):  # fmt: skip
    """On disk; a layer at a time in memory; two layers at a time on disk."""
    sizes: dict[str, Any] = {**SMALL, "sets": ["all", "rest"], "reuse": False}
    whole = measure(decoder_folder, text_file, **sizes)
    monkeypatch.setattr("shapelib.states.pool._work", lambda _: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": free})())
    parts = measure(decoder_folder, text_file, **sizes, memory=memory)
    pd.testing.assert_frame_equal(whole, parts)
    before, after = (each.attrs["provenance"][0]["pooled"] for each in (whole, parts))
    assert before == after


def test_layers_measured_at_once_are_those_one_by_one(decoder_folder: Path, text_file: Path):
    """Of one pool: forward passes on more threads round otherwise, and copies may cease to be."""
    from shapelib.states.profile import _measure

    pooled = pool(load(decoder_folder), windows(load_corpus(text_file), 40), 600, progress=False)
    asked = Measuring(tokens=600, batch=256, sets=("all", "rest"))
    threads = torch.get_num_threads()
    tables = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found = _measure(pooled, "tiny", asked, False)
            tables.append(pd.DataFrame(found))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    one, three = tables
    assert one["layer"].unique().tolist() == [0, 1, 2, 3]
    pd.testing.assert_frame_equal(one, three, rtol=1e-9)


def test_more_tokens_make_more_groups_of_the_size_of_a_batch(decoder_folder: Path, text_file: Path):
    few, many = (
        measure(
            decoder_folder, text_file, tokens=tokens, batch=100, window=40, sets=["all"],
            progress=False, reuse=False,
        )
        for tokens in (600, 1200)
    )  # fmt: skip
    assert set(few["groups"]) == {8}
    assert set(many["groups"]) == {12}


def test_bad_input(decoder_folder: Path, text_file: Path):
    with pytest.raises(ShapelibError, match="one batch needs 4096 tokens, got tokens=600"):
        measure(decoder_folder, text_file, tokens=600)
    with pytest.raises(ShapelibError, match="at least 4 vectors, got 2"):
        measure(decoder_folder, text_file, tokens=600, batch=2)
    with pytest.raises(ShapelibError, match=r"tokens must be a whole number, got 600\.0"):
        measure(decoder_folder, text_file, tokens=600.0, batch=256)
    with pytest.raises(ShapelibError, match="the seed is -1; a whole number of at least 0"):
        measure(decoder_folder, text_file, **SMALL, seed=-1)
    with pytest.raises(ShapelibError, match="memory must be 0 GiB or more, got -1"):
        measure(decoder_folder, text_file, **SMALL, memory=-1)
    with pytest.raises(ShapelibError, match=r"whole windows hold \d+ tokens of tiny-decoder"):
        measure(decoder_folder, text_file, tokens=100_000, window=80, progress=False)


def test_a_dimension_is_missing_where_vectors_are_too_few(decoder_folder: Path, text_file: Path):
    sizes: dict[str, Any] = {**SMALL, "tokens": 128, "batch": 64}
    table = measure(decoder_folder, text_file, **sizes, reuse=False)
    values = rows(table, layer=3, tokens="all").set_index("metric")["value"]
    assert np.isnan(values["mom_k100"])
    assert np.isfinite(values["mada_k20"])


def test_a_constant_layer_is_named(decoder_folder: Path, text_file: Path):
    model: Any = load(decoder_folder)
    with torch.no_grad():
        model.network.embed_tokens.weight[:] = 1.0
    with pytest.raises(ShapelibError, match="tiny-decoder, layer 0, all tokens: it cannot be"):
        measure(model, text_file, **SMALL, reuse=False)


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    """The default models as the notebooks measure them: kept in the user's cache, and once."""
    from shapelib.store import tables

    return tables.combine(
        [
            measure(name, tokens=4096, batch=1024, sets=["all", "content", "rest"], progress=False)
            for name in ("smollm2-135m", "minilm-l6")
        ]
    )


def test_what_the_default_models_show(real: pd.DataFrame):
    assert np.isfinite(real["value"]).all()
    shown = rows(real, metric="anisotropy", centered=True, tokens="all").set_index("layer")
    decoder, encoder = (rows(shown, role=role)["value"] for role in ("decoder", "encoder"))
    assert len(decoder) == 31
    assert len(encoder) == 7
    assert decoder[10:20].max() > 0.9
    assert encoder.max() < 0.2
    # Facts measured independently before this library: 0.998 at layer 12, 0.15 after the norm.
    assert decoder[12] == pytest.approx(0.998, abs=0.003)
    assert decoder[30] == pytest.approx(0.15, abs=0.05)
    whole = real[real["tokens"] != "rest"]
    low, high = (rows(whole, role="decoder", metric=m) for m in ("two_nn", "two_nn_lowest20"))
    assert (high["value"].to_numpy() > low["value"].to_numpy()).all()
