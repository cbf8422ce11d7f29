"""A matched pair: what is equal and what is not, its masks by effect, and runs that are killed."""

import dataclasses
import itertools
import json
import logging
import os
import pickle
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from forked import forks
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import often, some

from shapelib.errors import ShapelibError
from shapelib.models import loading, masks
from shapelib.models.suites import sources
from shapelib.pretraining import checkpoints, measured, pretrain, training
from shapelib.pretraining.pretrain import suite, train
from shapelib.pretraining.recipe import KINDS, Recipe, log_spaced, recipe, recipe_of
from shapelib.pretraining.training import IGNORED, Training, build
from shapelib.states.pool import pool
from shapelib.states.profile import profile
from shapelib.store.tables import read_table, write_table
from shapelib.text import held_out
from shapelib.text.corpus import Corpus, load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread")
TINY: dict[str, Any] = {
    "layers": 2, "width": 16, "heads": 2, "vocabulary": 300, "window": 16, "batch": 4,
    "steps": 8, "warmup": 2, "checkpoints": (0, 3, 5, 8),
}  # fmt: skip


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text in which something can be learnt: sentences of few words in a fixed pattern."""
    draw = random.Random(0)
    words = [f"{a}{b}" for a in "bdfglmnprst" for b in ("a", "en", "ipo", "uk")]
    lines = (
        f"The {draw.choice(words)} sees the {draw.choice(words)}, and {n} {draw.choice(words)} go."
        for n in range(600)
    )
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(story: Path) -> Corpus:
    return load_corpus(story)


@pytest.fixture(scope="module")
def suites(story: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One whole run of each kind."""
    folder = tmp_path_factory.mktemp("suites")
    return {
        kind: train(tiny(story, kind), folder / kind, device="cpu", progress=False)
        for kind in KINDS
    }


def tiny(story: Path, kind: str = "decoder", **changes: Any) -> Recipe:
    return recipe(kind, corpus=str(story), **{**TINY, **changes})


def losses(folder: Path) -> list[float]:
    return read_table(folder / "training.parquet")["loss"].tolist()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


# ---- recipes


def test_checkpoints_are_log_spaced():
    for steps in (1, 7, 100, 1800, 143_000):
        found = log_spaced(steps)
        assert found[0] == 0
        assert found[-1] == steps
        assert list(found) == sorted(set(found))
        ratios = [late / early for early, late in itertools.pairwise(found[1:])]
        assert all(1.3 < ratio < 1.6 for ratio in ratios)


def test_the_rate_warms_up_and_decays():
    made = recipe("decoder", steps=100, warmup=10, learning_rate=1.0)
    rates = [made.rate(step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert made.rate(55) == pytest.approx(0.55)
    constant = dataclasses.replace(made, schedule="constant")
    assert {constant.rate(step) for step in range(10, 101)} == {1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "decoderr"}, "no such kind: 'decoderr'; did you mean 'decoder'"),
        ({"size": "mano"}, "no such size: 'mano'; did you mean 'nano'"),
        ({"heads": 5}, "5 heads do not divide a width of 96 .* heads that do: 1, 2, 3, 4, 6, 8"),
        ({"width": 17, "heads": 1}, "do not divide a width of 17 .* heads that do: none"),
        (
            {"block": "parallel", "heads": 8},
            "a multiple of 8 dimensions; heads that do: 1, 2, 3, 4",
        ),
        ({"block": "serial"}, "no such block: 'serial'; did you mean"),
        ({"precision": "float16"}, "no such precision: 'float16'; "),
        ({"schedule": "cosin"}, "no such schedule: 'cosin'; did you mean 'cosine'"),
        ({"steps": 0}, "steps is 0; a whole number of at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; a number above 0"),
        ({"warmup": 5000}, "warmup is 5000, longer than the 1280 steps"),
        ({"learn_rate": 1.0}, "a recipe has no 'learn_rate'; did you mean 'learning_rate'"),
        ({"checkpoints": (0, 5)}, r"checkpoints are \[0, 5\]; rising steps .* that end at 1280"),
    ],
)
def test_a_wrong_recipe_is_named(changes: dict[str, Any], message: str):
    with pytest.raises(ShapelibError, match=message):
        recipe(**changes)


# ---- precision


@pytest.mark.parametrize(
    ("precision", "products"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_products_are_as_asked_and_weights_stay_float32(
    precision: str, products: torch.dtype, story: Path
):
    training = Training(tiny(story, precision=precision), load_corpus(story), torch.device("cpu"))
    seen: list[torch.dtype] = []
    for module in training.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    training.advance()
    assert set(seen) == {products}
    assert {each.dtype for each in training.model.parameters()} == {torch.float32}
    assert {each.grad.dtype for each in training.model.parameters()} == {torch.float32}  # type: ignore[union-attr]
    # Held-out text is always read in float32.
    seen.clear()
    training.perplexity()
    assert set(seen) == {torch.float32}


def test_a_run_that_was_begun_before_precision_was_asked_for_goes_on(story: Path, tmp_path: Path):
    made = tiny(story)
    folder = train(made, tmp_path / "run", progress=False)
    config = folder / "recipe.json"
    old = json.loads(config.read_text("utf-8"))
    del old["precision"]
    config.write_text(json.dumps(old))
    assert recipe_of(folder) == made
    before = sorted(each.stat().st_mtime_ns for each in folder.glob("step-*/model.safetensors"))
    train(made, folder, progress=False)
    after = sorted(each.stat().st_mtime_ns for each in folder.glob("step-*/model.safetensors"))
    assert after == before
    with pytest.raises(ShapelibError, match="precision is 'auto' there and 'bfloat16' here"):
        train(dataclasses.replace(made, precision="bfloat16"), folder, progress=False)


# ---- what is equal


def test_kinds_begin_with_the_same_weights(story: Path):
    first = build(tiny(story)).state_dict()
    for kind in KINDS:
        other = build(tiny(story, kind)).state_dict()
        assert list(other) == list(first)
        assert all(torch.equal(other[name], first[name]) for name in first)
    seeded = build(tiny(story, seed=1)).state_dict()
    assert not torch.equal(seeded["gpt_neox.embed_in.weight"], first["gpt_neox.embed_in.weight"])


def test_kinds_read_the_same_windows(story: Path, text: Corpus):
    runs = [Training(tiny(story, kind), text, torch.device("cpu")) for kind in KINDS]
    for start in (0, 4, 4000):
        taken = [run.stream.take(start, 4) for run in runs]
        assert all(np.array_equal(each, taken[0]) for each in taken)
    other = Training(tiny(story, seed=1), text, torch.device("cpu")).stream
    assert not np.array_equal(other.take(0, 4), runs[0].stream.take(0, 4))


def test_an_epoch_reads_every_window_once(story: Path, text: Corpus):
    stream = Training(tiny(story), text, torch.device("cpu")).stream
    size = stream.tokens // 16
    one = [tuple(each) for each in stream.take(0, size)]
    two = [tuple(each) for each in stream.take(size, size)]
    assert len(set(one)) > 0.99 * size
    assert one != two
    assert len(set(one) & set(two)) < 0.2 * size, "the second epoch cuts at other places"
    across = stream.take(size - 2, 4)
    assert [tuple(each) for each in across] == [*one[-2:], *two[:2]]


def test_a_block_is_built_as_it_is_named(story: Path):
    for block in ("sequential", "parallel"):
        config = build(tiny(story, block=block)).config
        assert config.use_parallel_residual == (block == "parallel")
        share = config.rope_parameters["partial_rotary_factor"]
        assert share == (0.25 if block == "parallel" else 1.0)
        model = build(tiny(story, block=block)).base_model
        ids = torch.arange(2, 14)[None]
        assert torch.isfinite(model(ids).last_hidden_state).all()


def test_building_leaves_the_random_state_alone(story: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(tiny(story))
    assert torch.equal(torch.rand(3), expected)


# ---- held-out text


def test_text_is_held_out_by_article():
    whole = load_corpus("enwiki-sample")
    held, rest = held_out.held_out(whole), held_out.training_part(whole)
    titles = [{article.title for article in part.articles} for part in (held, rest)]
    assert not titles[0] & titles[1]
    assert titles[0] | titles[1] == {article.title for article in whole.articles}
    assert 0.05 < held.report.characters / whole.report.characters < 0.2
    assert len({whole.sha256, held.sha256, rest.sha256}) == 3
    assert held.sha256 == held_out.held_out(whole).sha256


def test_of_a_single_text_the_end_is_held_out(text: Corpus):
    held, rest = held_out.held_out(text), held_out.training_part(text)
    assert len(text.articles) == 1
    assert rest.articles[0].text + held.articles[0].text == text.articles[0].text
    assert held.report.characters == pytest.approx(0.1 * text.report.characters, rel=0.01)


# ---- objectives


@given(st.sampled_from(sorted(KINDS)), st.integers(4, 40), st.integers(0, 1000))
@settings(max_examples=often(40, 1000))
def test_targets_are_the_text_and_are_counted(kind: str, window: int, seed: int):
    made = recipe(kind, vocabulary=300, window=window, batch=3)
    draw = np.random.default_rng(seed)
    windows = draw.integers(2, 300, (3, window))
    work = training.batch(made, windows, draw)
    bearing = work.targets != IGNORED
    if made.objective == "masked-token":
        assert bearing.sum(dim=1).tolist() == [max(1, round(0.15 * window))] * 3
        assert torch.equal(work.targets[bearing], torch.from_numpy(windows)[bearing])
        assert torch.equal(work.ids[~bearing], torch.from_numpy(windows)[~bearing])
        return
    assert np.array_equal(work.ids, windows)
    expected = torch.from_numpy(np.roll(windows, -1, axis=1))
    assert torch.equal(work.targets[bearing], expected[bearing])
    assert not bearing[:, -1].any()
    if kind == "decoder":
        assert int(bearing.sum()) == 3 * (window - 1)
    else:
        # One stretch up to the end; where it starts, the mask turns causal.
        assert work.mask is not None
        for row in range(3):
            start = int(bearing[row].nonzero()[0])
            assert bearing[row, start:-1].all()
            allowed = work.mask[row, 0] == 0
            assert allowed[:, : start + 1].all()
            after = torch.arange(window) > start
            expected_after = torch.ones(window, window).tril().bool()[:, after]
            assert torch.equal(allowed[:, after], expected_after)


def test_masked_positions_are_shown_as_bert_shows_them():
    made = recipe("encoder", vocabulary=300, window=100, batch=200)
    windows = np.full((200, 100), 7)
    work = training.batch(made, windows, np.random.default_rng(0))
    shown = work.ids[work.targets != IGNORED]
    assert len(shown) == 200 * 15
    assert float((shown == 1).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((shown == 7).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert int(shown[(shown != 1) & (shown != 7)].min()) >= 2


def test_the_loss_is_that_of_transformers(story: Path):
    made = tiny(story)
    model = build(made)
    windows = np.random.default_rng(0).integers(2, 300, (4, 16))
    work = training.batch(made, windows, np.random.default_rng(0))
    ours, count = training.loss(model, work)
    theirs = model(input_ids=work.ids, labels=work.ids).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert count == 4 * 15


# ---- masks, by effect


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mask_holds_after_reloading(
    suites: dict[str, Path], kind: str, attention: str, padded: bool
):
    from transformers import AutoModel

    folder = suites[kind] / checkpoints.folder_of(8)
    network = AutoModel.from_pretrained(folder, attn_implementation=attention).eval()
    assert network.config._attn_implementation == attention
    length = 12
    ids = torch.randint(2, 300, (2, 16), generator=torch.Generator().manual_seed(0))
    padding = torch.ones_like(ids)
    if padded:
        padding[:, length:] = 0
    else:
        ids, padding = ids[:, :length], padding[:, :length]

    @torch.no_grad()
    def moved(place: int) -> list[bool]:
        """Which positions feel another token at `place`."""
        other = ids.clone()
        other[:, place] = (other[:, place] + 50) % 290 + 5
        mask = masks.attention_mask(network, padding)
        gap = network(ids, mask).last_hidden_state - network(other, mask).last_hidden_state
        return (gap[:, :length].abs().amax(dim=(0, 2)) > 1e-6).tolist()

    for place in (0, 5, 6, length - 1):
        before = place if kind in ("decoder", "causal-masked") else 0
        if kind == "prefix" and place >= length // 2:
            before = place
        assert moved(place) == [False] * before + [True] * (length - before), place
    if padded:
        assert not any(moved(length)), "what fills the padding is not seen"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_suite_loads_and_is_measured_under_its_mask(
    suites: dict[str, Path], kind: str, story: Path
):
    source = sources(suites[kind])[-1]
    assert (source.checkpoint, source.step, source.tokens_seen) == ("step-00000008", 8, 8 * 64)
    model = loading.load(source, device="cpu")
    # A prefix model's last token is after the prefix: nothing before it can feel it.
    assert model.role == ("encoder" if kind == "encoder" else "decoder")
    drawn = list(windows(load_corpus(story), 12, "tokens", tokenizer=model.tokenizer))[:4]
    pooled = pool(model, drawn, 40, progress=False)
    ids = torch.tensor([each.ids for each in drawn])
    states = model.network(
        ids, masks.attention_mask(model.network, torch.ones_like(ids)), output_hidden_states=True
    ).hidden_states
    assert torch.allclose(
        torch.from_numpy(pooled.states[2]), states[2].reshape(-1, 16).detach(), atol=1e-5
    )


def test_a_full_mask_that_is_not_heeded_is_refused(suites: dict[str, Path], tmp_path: Path):
    """GPT-1's class builds its causal mask itself, whatever its config says."""
    from transformers import AutoTokenizer, OpenAIGPTConfig, OpenAIGPTModel

    config = OpenAIGPTConfig(vocab_size=300, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    config.is_causal = False
    OpenAIGPTModel(config).save_pretrained(tmp_path)
    folder = suites["decoder"] / checkpoints.folder_of(0)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(ShapelibError, match=r"trained with a full mask .* is a decoder by effect"):
        loading.load(tmp_path, device="cpu")


def test_a_boolean_mask_would_hide_nothing():
    """Why `prefix_mask` is additive: eager attention adds a boolean mask to its scores."""
    mask = masks.prefix_mask(torch.tensor([2]), torch.tensor([[1, 1, 1, 0]]))
    low = torch.finfo(torch.float32).min
    assert mask[0, 0].tolist() == [
        [0, 0, low, low], [0, 0, low, low], [0, 0, 0, low], [0, 0, 0, low],
    ]  # fmt: skip


# ---- a run and what it keeps


def test_what_a_run_keeps(suites: dict[str, Path], story: Path):
    for kind, folder in suites.items():
        made = tiny(story, kind)
        names = sorted(each.name for each in folder.iterdir() if each.name[0] != ".")
        steps = [checkpoints.folder_of(step) for step in (0, 3, 5, 8)]
        assert names == ["recipe.json", *steps, "training.parquet"]
        kept = json.loads((folder / "recipe.json").read_text())
        assert kept.pop("corpus_sha256") == load_corpus(story).sha256
        assert kept == made.as_dict()
        table = read_table(folder / "training.parquet")
        assert table["step"].tolist() == list(range(9))
        assert (table["kind"] == kind).all()
        assert table["tokens_seen"].tolist() == [64 * step for step in range(9)]
        assert table["learning_rate"].iloc[1:].tolist() == [made.rate(n) for n in range(1, 9)]
        assert table.loc[table["perplexity"].notna(), "step"].tolist() == [0, 3, 5, 8]
        per_step = {"decoder": 60, "encoder": 8, "causal-masked": 8}.get(kind)
        if per_step:
            assert table["loss_tokens"].tolist() == [per_step * step for step in range(9)]
        facts = checkpoints.record(folder / steps[2])
        row = table[table["step"] == 5].iloc[0]
        for name in ("step", "tokens_seen", "loss_tokens", "loss", "learning_rate", "perplexity"):
            assert facts[name] == pytest.approx(row[name]), name
        assert (facts["kind"], facts["mask"]) == (kind, KINDS[kind].mask)


def test_all_kinds_learn(story: Path, tmp_path: Path):
    for kind in some(KINDS, 2):
        made = tiny(
            story, kind, width=32, steps=150, learning_rate=1e-2, warmup=5, checkpoints=(0, 150)
        )
        folder = train(made, tmp_path / kind, device="cpu", progress=False)
        exam = read_table(folder / "training.parquet")["perplexity"].dropna().tolist()
        # Nothing learnt is 300; the frequencies of single tokens alone give about 60.
        assert exam[0] == pytest.approx(300, rel=0.1)
        assert exam[-1] < 45, kind


def test_the_seed_decides(suites: dict[str, Path], story: Path, tmp_path: Path):
    again = train(tiny(story), tmp_path / "again", device="cpu", progress=False)
    last = checkpoints.folder_of(8)
    first = weights(suites["decoder"] / last)
    assert all(torch.equal(value, first[name]) for name, value in weights(again / last).items())
    other = train(tiny(story, seed=1), tmp_path / "other", device="cpu", progress=False)
    assert losses(other)[1:] != losses(again)[1:]


def test_warmup_is_a_parameter(suites: dict[str, Path], story: Path, tmp_path: Path):
    slow = train(tiny(story, warmup=8), tmp_path / "slow", device="cpu", progress=False)
    assert losses(slow)[1] == losses(suites["decoder"])[1]
    assert losses(slow)[3:] != losses(suites["decoder"])[3:]


# ---- resumption


# A run in a process of its own, forked, that keeps its state after every step.
KEPT_GOING = """
import os, pickle, sys
from pathlib import Path
import torch
from shapelib.pretraining import pretrain
torch.set_num_threads(1)
pretrain._KEEP_EVERY = 0.0
made, folder, begun = sys.argv[1:]
Path(begun).write_text(f"{os.getpid()}\\n")
pretrain.train(pickle.loads(Path(made).read_bytes()), folder, device="cpu", progress=False)
"""


def reached(folder: Path) -> int:
    """The last step that is kept."""
    return max([0, *checkpoints.latest(folder), *checkpoints.whole(folder)])


def test_a_killed_run_ends_as_if_it_had_not_been(story: Path, tmp_path: Path):
    made = tiny(story, steps=60, checkpoints=(0, 7, 60))
    whole = train(made, tmp_path / "whole", device="cpu", progress=False)
    folder, draw = tmp_path / "killed", random.Random(1)
    recipe_file, begun = tmp_path / "recipe", tmp_path / "begun"
    recipe_file.write_bytes(pickle.dumps(made))
    steps = []
    for _ in range(often(3, 30)):
        begun.unlink(missing_ok=True)
        before = reached(folder)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(forks().run, recipe_file, folder, begun, code=KEPT_GOING)
            while not run.done() and not (begun.exists() and reached(folder) > before):
                time.sleep(0.002)
            time.sleep(draw.random() * 0.1)
            if not run.done():
                os.kill(int(begun.read_text()), signal.SIGKILL)
        assert run.result().returncode in (0, -signal.SIGKILL), run.result().stderr
        steps.append(reached(folder))
    assert 0 < steps[0] < 60
    train(made, folder, device="cpu", progress=False)
    assert losses(folder)[-1] == pytest.approx(losses(whole)[-1], abs=1e-5)
    assert losses(folder)[1:] == pytest.approx(losses(whole)[1:], abs=1e-5)
    last = checkpoints.folder_of(60)
    for name, value in weights(whole / last).items():
        assert torch.allclose(weights(folder / last)[name], value, atol=1e-5)


def test_a_newer_state_is_there_before_an_older_one_goes(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So that a kill at any moment loses no more than the step in work."""
    folder, kept = tmp_path / "run", []
    delete = shutil.rmtree

    def deleted(*words: Any, **options: Any) -> None:
        kept.append(reached(folder))
        delete(*words, **options)
        kept.append(reached(folder))

    monkeypatch.setattr(pretrain, "_KEEP_EVERY", 0.0)
    monkeypatch.setattr(shutil, "rmtree", deleted)
    train(tiny(story), folder, device="cpu", progress=False)
    assert kept == sorted(kept)
    assert set(kept) == set(range(9))
    assert not checkpoints.latest(folder)


@pytest.mark.parametrize("left", ["stale", "none", "damaged"])
def test_a_run_killed_after_its_last_checkpoint_has_its_table(
    suites: dict[str, Path], story: Path, tmp_path: Path, left: str
):
    """All checkpoints are there then, and nothing is trained any more."""
    folder = tmp_path / "killed"
    shutil.copytree(suites["decoder"], folder)
    file = folder / "training.parquet"
    whole = read_table(file)
    if left == "stale":
        write_table(whole[whole["step"] <= 5], file)
    elif left == "none":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])
    train(tiny(story), folder, device="cpu", progress=False)
    pd.testing.assert_frame_equal(read_table(file), whole)
    before = file.stat().st_mtime_ns
    train(tiny(story), folder, device="cpu", progress=False)
    assert file.stat().st_mtime_ns == before


def test_segments_make_one_run(suites: dict[str, Path], story: Path, tmp_path: Path):
    folder = tmp_path / "segments"
    for segment in range(1, 9):
        train(tiny(story), folder, device="cpu", minutes=1e-9, progress=False)
        step = max([*checkpoints.latest(folder), *checkpoints.whole(folder)])
        assert step == segment, "a segment makes at least one step"
    assert losses(folder)[1:] == pytest.approx(losses(suites["decoder"])[1:], abs=1e-6)
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5, 8]
    assert not checkpoints.latest(folder)


def count_updates(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    advance = Training.advance

    def counted(self: Training) -> None:
        advance(self)
        made.append(self.step)

    monkeypatch.setattr(Training, "advance", counted)
    return made


def test_a_run_that_ends_early_is_the_beginning_of_the_whole(
    suites: dict[str, Path], story: Path, tmp_path: Path
):
    """With the learning rates of the whole; and asked for the rest, it goes on to the same end."""
    whole = suites["decoder"]
    folder = train(tiny(story), tmp_path / "run", until=5, device="cpu", progress=False)
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5]
    for step in (3, 5):
        one, other = (weights(each / checkpoints.folder_of(step)) for each in (folder, whole))
        assert all(torch.equal(one[name], other[name]) for name in other)
    assert losses(folder)[1:] == losses(whole)[1:6]
    shape = measured.measure(folder, tokens=64, batch=16, seeds=(0,), until=3, progress=False)
    assert sorted(set(shape["step"])) == [0, 3]
    train(tiny(story), folder, device="cpu", progress=False)
    assert losses(folder)[1:] == losses(whole)[1:]
    with pytest.raises(ShapelibError, match="at step 4; a run can end at: 0, 3, 5, 8"):
        train(tiny(story), tmp_path / "other", until=4, device="cpu", progress=False)
    assert not (tmp_path / "other").exists()


def test_only_what_is_missing_is_trained(
    suites: dict[str, Path], story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "copy"
    shutil.copytree(suites["decoder"], folder)
    made = count_updates(monkeypatch)
    train(tiny(story), folder, device="cpu", progress=False)
    assert made == []
    five = weights(folder / checkpoints.folder_of(5))
    shutil.rmtree(folder / checkpoints.folder_of(5))
    before = read_table(folder / "training.parquet")
    train(tiny(story), folder, device="cpu", progress=False)
    assert made == [4, 5], "from the checkpoint before it, and no further"
    again = weights(folder / checkpoints.folder_of(5))
    assert all(torch.equal(value, five[name]) for name, value in again.items())
    after = read_table(folder / "training.parquet")
    assert after.drop(columns="model").equals(before.drop(columns="model"))


def test_a_checkpoint_without_its_optimizer_is_a_model_still(
    suites: dict[str, Path], story: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    folder = tmp_path / "copy"
    shutil.copytree(suites["decoder"], folder)
    shutil.rmtree(folder / checkpoints.folder_of(5))
    (folder / checkpoints.folder_of(3) / "optimizer.pt").unlink()
    made = count_updates(monkeypatch)
    train(tiny(story), folder, device="cpu", progress=False)
    assert made == [1, 2, 3, 4, 5], "from the nearest checkpoint that has one"
    assert "training cannot go on from" in caplog.text
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5, 8]


@pytest.mark.parametrize("harm", ["training.json", "model.safetensors", "cut"])
def test_a_half_written_checkpoint_is_ignored_and_said(
    suites: dict[str, Path], story: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    harm: str,
):  # fmt: skip
    folder = tmp_path / "copy"
    shutil.copytree(suites["decoder"], folder)
    half = folder / checkpoints.folder_of(5)
    if harm == "cut":
        whole = (half / "model.safetensors").read_bytes()
        (half / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    else:
        (half / harm).unlink()
    assert sorted(checkpoints.whole(folder)) == [0, 3, 8]
    train(tiny(story), folder, device="cpu", progress=False)
    assert caplog.text.count(f"{half} is ignored: it") == 1
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5, 8]
    reference = weights(suites["decoder"] / checkpoints.folder_of(5))
    assert all(torch.equal(value, reference[name]) for name, value in weights(half).items())


@pytest.mark.usefixtures("own_cache")
def test_a_kept_suite_is_trained_once(story: Path, monkeypatch: pytest.MonkeyPatch):
    made = count_updates(monkeypatch)
    first = suite(tiny(story), device="cpu", progress=False)
    assert made == list(range(1, 9))
    assert suite(tiny(story), device="cpu", progress=False) == first
    assert len(made) == 8
    assert suite(tiny(story, "encoder"), device="cpu", progress=False) != first
    story_again = story.with_name("again.txt")
    story_again.write_text(story.read_text() + "One more line.")
    assert suite(tiny(story_again), device="cpu", progress=False) != first


@pytest.mark.usefixtures("own_cache")
def test_several_suites_are_those_trained_alone(suites: dict[str, Path], story: Path):
    made = [tiny(story, kind) for kind in ("decoder", "encoder")]
    folders = pretrain.suites(made, device="cpu", progress=False)
    for kind, folder in zip(("decoder", "encoder"), folders, strict=True):
        assert losses(folder)[1:] == pytest.approx(losses(suites[kind])[1:], abs=1e-6)
    before = [each.stat().st_mtime_ns for each in folders]
    assert pretrain.suites(made, device="cpu", progress=False) == folders
    assert [each.stat().st_mtime_ns for each in folders] == before


def test_a_run_is_measured_on_held_out_text(suites: dict[str, Path], story: Path, text: Corpus):
    table = measured.measure(suites["encoder"], tokens=128, batch=64, seeds=(3, 4), progress=False)
    assert table["model"].unique().tolist() == ["encoder-16-warmup2-seed0"]
    assert table["role"].unique().tolist() == ["encoder"]
    assert table["corpus"].unique().tolist() == ["story.txt, held out"]
    assert table["window"].unique().tolist() == ["16 tokens"]
    assert sorted(set(zip(table["step"], table["tokens_seen"], strict=True))) == [
        (0, 0), (3, 192), (5, 320), (8, 512),
    ]  # fmt: skip
    assert sorted(table["seed"].unique()) == [3, 4]
    alone = profile(
        suites["encoder"] / checkpoints.folder_of(5), held_out.held_out(text),
        tokens=128, batch=64, window=16, unit="tokens", sets=("all",), seed=4, progress=False,
        reuse=False,
    )  # fmt: skip
    here = table[(table["step"] == 5) & (table["seed"] == 4)]
    assert np.array_equal(here["value"], alone["value"], equal_nan=True)


def test_a_folder_that_is_no_run(tmp_path: Path):
    for ask in (measured.table, measured.measure, recipe_of):
        with pytest.raises(ShapelibError, match="is not the folder of a run"):
            ask(tmp_path)


# ---- bad input


def test_another_recipe_is_refused(suites: dict[str, Path], story: Path):
    before = sorted(suites["decoder"].iterdir())
    with pytest.raises(
        ShapelibError, match="another recipe: kind is 'decoder' there and 'encoder'"
    ):
        train(tiny(story, "encoder"), suites["decoder"], device="cpu")
    changed = tiny(story, learning_rate=1e-4, seed=3)
    message = r"learning_rate is 0\.002 there and 0\.0001 here; seed is 0 there and 3 here"
    with pytest.raises(ShapelibError, match=message):
        train(changed, suites["decoder"], device="cpu")
    assert sorted(suites["decoder"].iterdir()) == before


def test_a_folder_with_other_files_is_refused(story: Path, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(ShapelibError, match=r"holds files and no recipe\.json"):
        train(tiny(story), tmp_path, device="cpu")
    with pytest.raises(ShapelibError, match="cannot be made a folder"):
        train(tiny(story), tmp_path / "thesis.tex", device="cpu")
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_loss_that_is_not_a_number_stops_the_run(story: Path, tmp_path: Path):
    made = tiny(story, learning_rate=1e38, warmup=4, steps=40, checkpoints=(0, 40))
    message = r"the loss is (nan|inf) at step \d+: .* up to step 0 are kept .* lower learning rate"
    with pytest.raises(ShapelibError, match=message):
        train(made, tmp_path / "run", device="cpu", progress=False)
    # An update that spoils the model is noticed before the model is kept.
    made = dataclasses.replace(made, checkpoints=tuple(range(41)))
    with pytest.raises(ShapelibError, match=r"loss is (nan|inf) (at|after) step \d+: "):
        train(made, tmp_path / "all", device="cpu", progress=False)
    for folder in checkpoints.whole(tmp_path / "all").values():
        assert all(torch.isfinite(value).all() for value in weights(folder).values())


def test_epochs_are_said(story: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "shapelib")
    train(tiny(story), tmp_path / "one", device="cpu", progress=False)
    assert "times" not in caplog.text
    long = tiny(story, steps=900, checkpoints=(900,))
    train(long, tmp_path / "many", device="cpu", minutes=1e-9, progress=False)
    assert "900 steps of 64 tokens read the text's " in caplog.text
    assert "stopped at step 1 of 900" in caplog.text


def test_a_text_too_short(tmp_path: Path):
    short = tmp_path / "short.txt"
    short.write_text("Too short for so many different tokens. " * 3)
    made = recipe("decoder", corpus=str(short), **{**TINY, "vocabulary": 1024})
    with pytest.raises(ShapelibError, match=r"too short for a vocabulary of 1024: it gives \d+"):
        train(made, tmp_path / "run", device="cpu", progress=False)


def test_wrong_minutes(story: Path, tmp_path: Path):
    with pytest.raises(ShapelibError, match="minutes is 0; a number above 0"):
        train(tiny(story), tmp_path / "run", device="cpu", minutes=0)


def test_a_run_is_measured_as_it_is_asked(suites: dict[str, Path]):
    asked: dict[str, Any] = {"tokens": 120, "batch": 60, "seeds": (0,), "progress": False}
    table = measured.measure(
        suites["decoder"], window=8, sets=("all", "rest"), steps=(3, 8, 99), **asked
    )
    assert set(table["step"]) == {3, 8}
    assert set(table["window"]) == {"8 tokens"}
    assert set(table["tokens"]) == {"all", "rest"}
    plain = measured.measure(suites["decoder"], until=3, **asked)
    assert set(plain["step"]) == {0, 3}
    assert set(plain["window"]) == {"16 tokens"}
    assert set(plain["tokens"]) == {"all"}
    with pytest.raises(ShapelibError):
        measured.measure(suites["decoder"], steps=(4,), **asked)


def test_a_run_ends_where_held_out_perplexity_rises(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """At one of the checkpoints named; what comes after is not trained, nor asked for again."""
    told = {0: 9.0, 3: 5.0, 5: 6.0, 8: 7.0}
    asked: list[int] = []
    monkeypatch.setattr(
        Training, "perplexity", lambda run: asked.append(run.step) or told[run.step]
    )
    made = tiny(story)
    folder = tmp_path / "run"
    for _ in range(2):
        train(made, folder, rising=(3, 5), device="cpu", progress=False)
        assert sorted(checkpoints.whole(folder)) == [0, 3, 5]
        assert asked == [0, 3, 5]
        assert read_table(folder / "training.parquet")["step"].max() == 5
        assert not checkpoints.latest(folder)
    # A checkpoint that was deleted is made again; the run still ends where it did.
    shutil.rmtree(folder / checkpoints.folder_of(3))
    train(made, folder, rising=(3, 5), device="cpu", progress=False)
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5]
    # 0 and 3 do not rise, and without any named step all is trained.
    train(made, folder, rising=(0, 3), device="cpu", progress=False)
    assert sorted(checkpoints.whole(folder)) == [0, 3, 5, 8]
