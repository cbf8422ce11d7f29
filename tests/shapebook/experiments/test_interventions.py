"""Interventions on a decoder with a sink made by hand: a token that sees only itself gets long."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from shapebook.experiments.interventions import (
    INTERVENTIONS,
    PLAIN,
    SHORTENED,
    block_of_massive_vectors,
    interventions,
    perplexity,
    shortened,
)
from shapebook.figures import bell
from shapelib.figures import PALETTE
from shapelib.models.loading import Model, load
from shapelib.states import pool
from shapelib.text.corpus import Corpus, load_corpus, windows

BLOCK = 1


@pytest.fixture(scope="module")
def model(decoder_folder: Path) -> Model:
    """Its first block sends what stands first far off, as sinks of trained models are."""
    made = load(decoder_folder)

    def lengthen(module: Any, inputs: Any, output: Any) -> Any:
        output = output.clone()
        output[:, 0, 3] += 500
        return output

    made.network.layers[BLOCK - 1].mlp.register_forward_hook(lengthen)
    return made


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    generator = np.random.default_rng(0)
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while"]
    path = tmp_path_factory.mktemp("text") / "long.txt"
    path.write_text(" ".join(generator.choice(words, 20_000)), encoding="utf-8")
    return load_corpus(path)


@pytest.fixture(scope="module")
def table(model: Model, text: Corpus) -> pd.DataFrame:
    patch = pytest.MonkeyPatch()
    # The tiny model reads 128 tokens.
    patch.setattr(
        "shapebook.experiments.interventions.INTERVENTIONS", tuple(_shorter(INTERVENTIONS))
    )
    try:
        return interventions(model, text, tokens=600, progress=False)
    finally:
        patch.undo()


def _shorter(several: Any) -> Any:
    from dataclasses import replace

    for each in several:
        yield replace(each, window={128: 40, 512: 100}.get(each.window, each.window))


def at(table: pd.DataFrame, name: str, layer: int, tokens: str = "all") -> float:
    rows = table[
        (table["intervention"] == name) & (table["layer"] == layer) & (table["tokens"] == tokens)
    ]
    return float(rows["value"].item())


def test_the_block_that_makes_them_is_found(table: pd.DataFrame):
    assert block_of_massive_vectors(table[table["intervention"] == PLAIN]) == BLOCK
    blocks = table[table["intervention"] == SHORTENED]["block"]
    assert (blocks == BLOCK).all()
    quiet = table[(table["intervention"] == PLAIN) & (table["layer"] < BLOCK)]
    assert block_of_massive_vectors(quiet) is None


def test_shortening_removes_what_massive_vectors_make(table: pd.DataFrame):
    assert at(table, PLAIN, BLOCK) > 0.8
    assert at(table, PLAIN, BLOCK, "rest") < 0.5
    assert at(table, PLAIN, BLOCK + 1) > 0.8
    assert at(table, SHORTENED, BLOCK + 1) < 0.5
    plain, changed = (table[table["intervention"] == each] for each in (PLAIN, SHORTENED))
    pd.testing.assert_series_equal(
        plain.loc[plain["layer"] < BLOCK, "value"].reset_index(drop=True),
        changed.loc[changed["layer"] < BLOCK, "value"].reset_index(drop=True),
    )


def test_what_does_not_fit_is_left_out_and_all_else_is_there(table: pd.DataFrame):
    names = set(table["intervention"])
    assert "windows of 8192 characters" not in names
    # The text is one article, with one beginning.
    assert {each.name for each in INTERVENTIONS} - names == {
        "windows of 2048 characters", "windows of 8192 characters",
        "windows at the start of an article",
    }  # fmt: skip
    assert table.groupby("intervention").size().eq(2 * 4).all()


def test_first_positions_are_what_is_massive_here(table: pd.DataFrame):
    rows = table[(table["intervention"] == PLAIN) & (table["layer"] == BLOCK)]
    assert (rows["first"] == 1).all()
    assert rows["massive"].iloc[0] == pytest.approx(rows["windows"].iloc[0] / rows["n"].iloc[0])
    # Shorter windows have more first positions.
    short = table[(table["intervention"] == "windows of 128 characters")]
    assert short["massive"].max() > 1.5 * rows["massive"].max()


def test_the_hook_is_gone_afterwards(model: Model, text: Corpus):
    def last() -> np.ndarray:
        return pool.pool(model, windows(text, 100), 200, progress=False).states[BLOCK + 1]

    before = last()
    with shortened(model, BLOCK):
        within = last()
    np.testing.assert_array_equal(before, last())
    assert np.abs(within - before).max() > 0.01


def test_perplexity_is_that_of_the_whole_model(decoder_folder: Path, text: Corpus):
    from transformers import AutoModelForCausalLM

    model: Any = load(decoder_folder)
    pooled = pool.pool(model, windows(text, 100), 300, progress=False)
    assert np.isnan(perplexity(model, pooled)), "its output weights are not tied"
    model.network.config.tie_word_embeddings = True
    whole: Any = AutoModelForCausalLM.from_pretrained(decoder_folder).eval()
    whole.lm_head.weight = torch.nn.Parameter(whole.model.embed_tokens.weight.detach())
    losses = []
    for window in range(int(pooled.window.max()) + 1):
        ids = torch.tensor([pooled.token[pooled.window == window].tolist()])
        with torch.inference_mode():
            scores = whole(ids).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(scores, ids[0, 1:], reduction="none"))
    expected = float(torch.cat(losses).mean().exp())
    assert perplexity(model, pooled) == pytest.approx(expected, rel=1e-4)


def test_figure_and_table(table: pd.DataFrame):
    figure = bell.interventions_profile(table, "tiny-decoder")
    names = table["intervention"].nunique()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == names
    assert all(len(axes.lines) == 3 for axes in shown)
    grey, whole, rest = shown[0].lines
    assert {whole.get_color(), rest.get_color()} == {PALETTE[0]}, "the decoder's colour"
    assert rest.get_linestyle() == "--"
    assert grey.get_color() != PALETTE[0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["all vectors, nothing changed", "all vectors", "without massive vectors"]
    assert [bool(axes.get_ylabel()) for axes in shown[:4]] == [True, False, False, True]
    assert f"in block {BLOCK}" in shown[-1].get_title().replace("\n", " ")
    listed = bell.tabulate_interventions(table)
    assert len(listed) == names
    assert listed.loc[PLAIN, "massive (%)"] > 0
    assert listed.loc[SHORTENED, "of which first (%)"] in (100, "–")
    assert (listed["perplexity"] == "–").all(), "its output weights are not tied"
