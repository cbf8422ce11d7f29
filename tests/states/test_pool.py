"""Pooled vectors against a plain loop over windows, alone and in batches, in memory and on disk."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shapelib.errors import ShapelibError
from shapelib.models import masks
from shapelib.models.loading import Model, load
from shapelib.states import pool as hidden
from shapelib.states import reading
from shapelib.states.pool import GIB, Pool, passes, pool
from shapelib.text.corpus import Corpus, Window, load_corpus, windows


@pytest.fixture(params=["decoder", "encoder"])
def model(request: pytest.FixtureRequest) -> Model:
    return load(request.getfixturevalue(f"{request.param}_folder"))


@pytest.fixture
def text(text_file: Path) -> Corpus:
    return load_corpus(text_file)


def cut(text: Corpus, length: int = 80) -> list[Window]:
    return list(windows(text, length, seed=3))


def plainly(model: Model, text: str) -> tuple[torch.Tensor, list[int]]:
    """Every layer's states of one window read alone: layers × tokens × width, and the ids."""
    ids = model.tokenizer(text)["input_ids"]
    with torch.inference_mode():
        out = model.network(torch.tensor([ids]), output_hidden_states=True)
    return torch.stack([layer[0] for layer in out.hidden_states]), ids


def test_pooled_vectors_are_those_of_each_window_alone(model: Model, text: Corpus):
    drawn = cut(text)
    pooled = pool(model, drawn, 400, progress=False)
    assert pooled.layers == model.layers
    assert len(set(np.bincount(pooled.window))) > 1, "windows of one length would need no padding"
    for number in range(pooled.windows):
        rows = np.flatnonzero(pooled.window == number)
        alone, ids = plainly(model, drawn[number].text)
        assert pooled.token[rows].tolist() == ids
        assert pooled.position[rows].tolist() == list(range(len(ids)))
        here = np.stack([layer[rows] for layer in pooled.states.values()])
        np.testing.assert_allclose(here, alone.numpy(), atol=2e-5)


def test_every_token_takes_part_once_and_none_is_padding(model: Model, text: Corpus):
    drawn = cut(text)
    pooled = pool(model, drawn, 400, progress=False)
    read = [model.tokenizer(each.text)["input_ids"] for each in drawn[: pooled.windows]]
    assert len(pooled.token) == sum(map(len, read))
    assert sorted(pooled.order) == list(range(len(pooled.token)))
    assert all(len(layer) == len(pooled.token) for layer in pooled.states.values())
    assert model.tokenizer.pad_token_id not in pooled.token


def test_special_tokens_are_in_all_and_not_in_content(encoder_folder: Path, text: Corpus):
    pooled = pool(load(encoder_folder), cut(text), 300, progress=False)
    assert pooled.bos
    count = pooled.windows
    assert len(pooled.rows("all")) - len(pooled.rows("content")) == 2 * count
    assert set(pooled.token[pooled.special]) == {1, 2}
    assert not set(pooled.token[pooled.rows("content")]) & {1, 2}
    assert len(pooled.rows("content")) >= 300


def test_the_rest_is_without_massive_vectors_layer_by_layer(decoder_folder: Path, text: Corpus):
    pooled = pool(load(decoder_folder), cut(text), 300, progress=False)
    planted = pooled.order[::50]
    pooled.states[2][planted] *= 1000
    np.testing.assert_array_equal(np.sort(planted), np.flatnonzero(pooled.massive(2)))
    rest = pooled.rows("rest", 2)
    assert not set(rest) & set(planted)
    assert len(rest) == len(pooled.order) - len(planted) >= 300
    np.testing.assert_array_equal(pooled.rows("rest", 3), pooled.rows("all"))
    with pytest.raises(ShapelibError, match="name the layer"):
        pooled.rows("rest")


def test_later_is_without_the_first_position(encoder_folder: Path, text: Corpus):
    pooled = pool(load(encoder_folder), cut(text), 300, progress=False)
    later = pooled.rows("later")
    assert (pooled.position[later] > 0).all()
    assert len(later) == len(pooled.order) - pooled.window.max() - 1


def test_a_text_without_the_reserve_is_enough(decoder_folder: Path, text: Corpus):
    model, drawn = load(decoder_folder), cut(text)
    held = pool(model, drawn, 300, progress=False)
    few = drawn[: int(held.window.max()) + 1]
    exactly = len(held.rows("later"))
    assert exactly >= 306
    assert len(pool(model, few, exactly, progress=False).rows("later")) == exactly
    with pytest.raises(ShapelibError, match=f"hold {exactly} tokens .* {exactly + 1} are needed"):
        pool(model, few, exactly + 1, progress=False)


def test_no_special_tokens(decoder_folder: Path, text: Corpus):
    pooled = pool(load(decoder_folder), cut(text), 300, progress=False)
    assert not pooled.bos
    assert not pooled.special.any()
    np.testing.assert_array_equal(pooled.rows("all"), pooled.rows("content"))


def test_windows_of_tokens_get_their_special_tokens(encoder_folder: Path, text: Corpus):
    model = load(encoder_folder)
    drawn = windows(text, 20, "tokens", tokenizer=model.tokenizer, seed=1)
    pooled = pool(model, drawn, 200, progress=False)
    assert set(np.bincount(pooled.window)) == {22}
    starts, ends = pooled.position == 0, pooled.position == 21
    assert set(pooled.token[starts]) == {1}
    assert set(pooled.token[ends]) == {2}
    np.testing.assert_array_equal(pooled.special, starts | ends)


def test_the_shuffle_crosses_windows_and_follows_the_seed(decoder_folder: Path, text: Corpus):
    model, drawn = load(decoder_folder), cut(text)
    one, same, other = (
        pool(model, drawn, 400, seed=seed, progress=False).order for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    pooled = pool(model, drawn, 400, progress=False)
    assert len(set(pooled.window[pooled.order[:50]])) > 5


def test_batches_and_groups(decoder_folder: Path, text: Corpus):
    pooled = pool(load(decoder_folder), cut(text), 400, progress=False)
    batches = list(pooled.batches(2, "all", 128, 3))
    assert [each.shape for each in batches] == [(128, 24)] * 3
    np.testing.assert_array_equal(
        np.concatenate(batches), pooled.states[2][pooled.order[: 3 * 128]]
    )
    # Put each row's window into the states: then a group shows which windows it holds.
    pooled.states[0][:, 0] = pooled.window
    groups = list(pooled.groups(0, "all", 4))
    assert len({len(each) for each in groups}) == 1
    held = [set(each[:, 0].astype(int)) for each in groups]
    assert all(a.isdisjoint(b) for i, a in enumerate(held) for b in held[:i])


@pytest.mark.parametrize("count", [2, 3])
def test_groups_are_of_whole_articles_dealt_out_evenly(
    decoder_folder: Path, text: Corpus, count: int
):
    drawn = [replace(each, article=place // 2) for place, each in enumerate(cut(text))]
    pooled = pool(load(decoder_folder), drawn, 400, progress=False)
    assert pooled.article.tolist() == [drawn[window].article for window in pooled.window]
    assert len(set(pooled.article)) >= 2 * count
    group = pooled.grouped(count)
    articles = [set(pooled.article[group == each]) for each in range(count)]
    assert all(a.isdisjoint(b) for i, a in enumerate(articles) for b in articles[:i])
    held = np.bincount(group, minlength=count)
    assert held.max() - held.min() <= np.bincount(pooled.article).max()


def test_of_few_articles_the_groups_are_of_windows(decoder_folder: Path, text: Corpus):
    drawn = [replace(each, article=place % 7) for place, each in enumerate(cut(text))]
    pooled = pool(load(decoder_folder), drawn, 400, progress=False)
    np.testing.assert_array_equal(pooled.grouped(4), pooled.window % 4)


def same(one: Pool, two: Pool) -> None:
    for layer in one.states.keys() & two.states.keys():
        np.testing.assert_array_equal(one.states[layer], two.states[layer])
    np.testing.assert_array_equal(one.order, two.order)
    np.testing.assert_array_equal(one.window, two.window)


def test_spilled_states_are_the_same_and_leave_nothing(model: Model, text: Corpus, own_cache: Path):
    drawn = cut(text)
    inside = pool(model, drawn, 400, progress=False)
    with pool(model, drawn, 400, memory=1e-6, progress=False) as spilled:
        assert spilled.spilled
        assert not inside.spilled
        assert list(spilled.states) == list(range(model.layers + 1))
        same(inside, spilled)
        for tokens in ("all", "rest"):
            pairs = zip(
                [*spilled.batches(1, tokens, 64, 2), *spilled.groups(1, tokens, 4)],
                [*inside.batches(1, tokens, 64, 2), *inside.groups(1, tokens, 4)],
                strict=True,
            )
            for one, two in pairs:
                np.testing.assert_array_equal(one, two)
        # The file has no name: whatever ends this process, nothing stays.
        assert list((own_cache / "spill").iterdir()) == []
        assert open_files(own_cache / "spill") > 0
    assert open_files(own_cache / "spill") == 0


def open_files(folder: Path) -> int:
    """How many files without a name this process holds open in a folder."""
    links = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sum(str(each).startswith(str(folder)) for each in links)


def test_the_need_of_disk_is_said_before_the_run(
    decoder_folder: Path, text: Corpus, own_cache: Path, caplog: pytest.LogCaptureFixture
):
    model: Any = load(decoder_folder)
    caplog.set_level("INFO", "shapelib")
    said_at = []
    model.network.register_forward_pre_hook(lambda *_: said_at.append(caplog.text))
    pool(model, cut(text), 400, memory=0, progress=False).close()
    assert re.search(r"tiny-decoder: 0\.00 GiB of hidden states go to disk, where", said_at[0])


def layer_bytes(model: Model, text: Corpus) -> int:
    return pool(model, cut(text), 400, progress=False).states[0].nbytes


def free_disk(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": size})())


@pytest.mark.parametrize(
    ("in_memory", "on_disk", "expected"),
    [(5, 0, "memory 4"), (1, 0, "memory 1 1 1 1"), (3, 2, "memory 3 1"), (0, 3, "disk 3 1"),
     (2, 9, "disk 4")],
)  # fmt: skip
@pytest.mark.usefixtures("own_cache")
def test_layers_are_read_in_several_passes_where_few_fit(
    decoder_folder: Path, text: Corpus, monkeypatch: pytest.MonkeyPatch,
    in_memory: float, on_disk: float, expected: str,
):  # fmt: skip
    model, drawn = load(decoder_folder), cut(text)
    whole, one = pool(model, drawn, 400, progress=False), layer_bytes(model, text)
    monkeypatch.setattr(hidden, "_work", lambda _: 0)
    free_disk(monkeypatch, (on_disk + 0.5) * one / 0.95)
    how, held = [], []
    for part in passes(model, drawn, 400, memory=(in_memory + 0.1) * one / GIB, progress=False):
        same(whole, part)
        how = how or ["disk" if part.spilled else "memory"]
        how.append(str(len(part.states)))
        held += part.states
        last = part
    assert " ".join(how) == expected
    assert held == [0, 1, 2, 3]
    assert last.states == {}


@pytest.mark.usefixtures("own_cache")
def test_one_pool_of_more_than_memory_and_disk_hold(
    decoder_folder: Path, text: Corpus, monkeypatch: pytest.MonkeyPatch
):
    model = load(decoder_folder)
    free_disk(monkeypatch, 2.5 * layer_bytes(model, text))
    with pytest.raises(ShapelibError, match=r"400 tokens of tiny-decoder need .* budget of 0 GiB"):
        pool(model, cut(text), 400, memory=0, progress=False)
    free_disk(monkeypatch, 10)
    with pytest.raises(ShapelibError, match=r"one layer of tiny-decoder needs .* more than 0"):
        next(passes(model, cut(text), 400, memory=0, progress=False))


@pytest.fixture(params=["refused", "late"])
def full_disk(
    request: pytest.FixtureRequest, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A cache on a real small disk that looks large when asked: others fill it after the look.

    `late`: on a system that cannot reserve space beforehand.
    """
    own_cache.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(own_cache)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    free_disk(monkeypatch, 1e9)
    if request.param == "late":
        monkeypatch.delattr(os, "posix_fallocate")
    yield own_cache
    subprocess.run(["umount", str(own_cache)], check=True)


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    decoder_folder: Path, text: Corpus, full_disk: Path
):
    with pytest.raises(ShapelibError, match=r"cannot be kept in .*: No space left on device"):
        pool(load(decoder_folder), cut(text), 400, memory=0, progress=False)
    assert list((full_disk / "spill").iterdir()) == []
    assert open_files(full_disk) == 0


def test_a_file_that_may_not_grow_is_a_clear_error(
    decoder_folder: Path, text: Corpus, own_cache: Path
):
    model, drawn = load(decoder_folder), cut(text)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(ShapelibError, match=r"cannot be kept in .*: File too large"):
            pool(model, drawn, 400, memory=0, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open_files(own_cache) == 0


def test_a_failed_run_leaves_no_spill(decoder_folder: Path, text: Corpus, own_cache: Path):
    model: Any = load(decoder_folder)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    model.network.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool(model, cut(text), 400, memory=0, progress=False)
    assert list((own_cache / "spill").iterdir()) == []
    assert open_files(own_cache) == 0


MEASURED = """
import sys, threading, time
from shapelib.text.corpus import load_corpus, windows
from shapelib.states.pool import GIB, Pool, passes, pool
from shapelib.models.loading import load

def held():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return [int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]

def peak(tokens):
    before, most, done = held(), [0, 0], threading.Event()
    def watch():
        while not done.wait(0.002):
            most[:] = map(max, most, held())
    watching = threading.Thread(target=watch)
    watching.start()
    cut = windows(text, 200, seed=0)
    with pool(model, cut, tokens, memory=0, progress=False) as pooled:
        for layer in pooled.states:
            for tokens in ("all", "rest"):
                for x in [*pooled.batches(layer, tokens, 1000, 2)]:
                    x.sum()
        size = sum(each.nbytes for each in pooled.states.values())
    done.set()
    watching.join()
    print(size, *(a - b for a, b in zip(most, before)))

model, text = load(sys.argv[1]), load_corpus(sys.argv[2])
peak(2100)
peak(16000)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's counts")
@pytest.mark.usefixtures("own_cache")
def test_memory_does_not_grow_with_the_number_of_tokens(
    tokenizer: Any, text_file: Path, tmp_path: Path
):
    """Eight times the tokens: 150 MB of states, and the peak of a forward pass as before."""
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        vocab_size=320, hidden_size=256, intermediate_size=64, num_hidden_layers=8,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256,
    )  # fmt: skip
    LlamaModel(config).save_pretrained(tmp_path / "wide")
    tokenizer.save_pretrained(tmp_path / "wide")
    story = tmp_path / "long.txt"
    story.write_text("\n".join(f"{n} {text_file.read_text()}" for n in range(6)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "wide", story],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    few, many = ([int(each) for each in line.split()] for line in done.stdout.splitlines())
    states = many[0]
    assert states > 7 * few[0] > 1e8
    # Anonymous memory, which the system cannot take back, is a pass's own either way; of the file
    # one layer is mapped at most.
    assert many[1] < 0.4 * states
    assert many[2] < 1.5 * states / 9


def above(model: Any, windows: int) -> list[int]:
    """Let a model's device have memory for so many windows at once; what it was asked for."""
    asked: list[int] = []

    def refuse(_module: object, _args: object, given: dict[str, Any]) -> None:
        asked.append(len(given["input_ids"]))
        if asked[-1] > windows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model.network.register_forward_pre_hook(refuse, with_kwargs=True)
    return asked


def test_out_of_memory_halves_the_windows_and_says_so_once(
    model: Any, text: Corpus, caplog: pytest.LogCaptureFixture
):
    drawn = cut(text)
    whole = pool(model, drawn, 1000, progress=False)
    caplog.set_level("INFO", "shapelib")
    asked = above(model, 3)
    halved = pool(model, drawn, 1000, progress=False)
    # Before that, what padding does was looked at: two windows, and the shorter by itself.
    assert asked[:2] == [2, 1]
    del asked[:2]
    assert asked[0] > 12
    assert asked[1] == asked[0] // 2
    # Once it fits, nothing is tried again.
    assert all(each <= 3 for each in asked[asked.index(3) if 3 in asked else -1 :])
    assert caplog.text.count("ran out of memory") == 1
    for one, two in zip(whole.states.values(), halved.states.values(), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)


def test_no_memory_for_one_window(decoder_folder: Path, text: Corpus):
    model = load(decoder_folder)
    above(model, 0)
    with pytest.raises(ShapelibError, match=r"cpu has no memory for one window of \d+ tokens of"):
        pool(model, cut(text), 400, progress=False)


def test_text_that_is_too_short(decoder_folder: Path, text: Corpus):
    with pytest.raises(ShapelibError, match=r"its \d+ whole windows hold \d+ tokens .* 10000000"):
        pool(load(decoder_folder), cut(text), 10_000_000, progress=False)


def test_a_window_longer_than_the_model_reads(decoder_folder: Path, text: Corpus):
    with pytest.raises(ShapelibError, match="reads at most 128; use a shorter window"):
        pool(load(decoder_folder), cut(text, 1000), 100, progress=False)


@pytest.mark.parametrize(("dtype", "advice"), [("float32", "damaged"), ("float16", "use dtype")])
def test_states_that_are_not_finite(decoder_folder: Path, text: Corpus, dtype: str, advice: str):
    model: Any = load(decoder_folder, dtype=dtype)
    with torch.no_grad():
        model.network.layers[1].mlp.down_proj.weight.fill_(torch.inf)
    with pytest.raises(ShapelibError, match=f"hidden states of layer 2 hold NaN.*{advice}"):
        pool(model, cut(text), 100, progress=False)


def test_an_unknown_token_set(decoder_folder: Path, text: Corpus):
    pooled = pool(load(decoder_folder), cut(text), 100, progress=False)
    with pytest.raises(ShapelibError, match=r"'most'; .*known: all, content, rest, later"):
        pooled.rows("most")


def test_half_precision_stays_near(decoder_folder: Path, text: Corpus):
    drawn = cut(text)
    full = pool(load(decoder_folder), drawn, 200, progress=False)
    half = pool(load(decoder_folder, dtype="bfloat16"), drawn, 200, progress=False)
    for one, two in zip(full.states.values(), half.states.values(), strict=True):
        assert two.dtype == np.float32
        assert np.linalg.norm(one - two) < 0.05 * np.linalg.norm(one)


def test_a_beginning_token_can_be_added_and_left_out(
    decoder_folder: Path, encoder_folder: Path, text: Corpus
):
    decoder, encoder, drawn = load(decoder_folder), load(encoder_folder), cut(text)
    added = pool(decoder, drawn, 200, beginning=True, progress=False)
    assert added.bos
    assert set(added.token[added.position == 0]) == {decoder.tokenizer.bos_token_id}
    np.testing.assert_array_equal(added.special, added.position == 0)
    left_out = pool(encoder, drawn, 200, beginning=False, progress=False)
    assert not left_out.bos
    assert encoder.tokenizer.bos_token_id not in left_out.token
    as_it_does = pool(encoder, drawn, 200, beginning=True, progress=False)
    plain = pool(encoder, drawn, 200, progress=False)
    np.testing.assert_array_equal(as_it_does.token, plain.token)
    decoder.tokenizer.bos_token = None
    with pytest.raises(ShapelibError, match="tiny-decoder has no beginning-of-sequence token"):
        pool(decoder, drawn, 200, beginning=True)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_no_one_sees_an_unseen_position_but_itself(model: Model, text: Corpus, attention: str):
    """Another token there changes its own vector and no other."""
    model.network.set_attn_implementation(attention)
    drawn = cut(text)
    one = pool(model, drawn, 200, unseen=2, progress=False)
    windows = [Window(0, 0, ids=tuple(one.token[one.window == w])) for w in range(3)]
    for place in (0, 1, 4):
        ids = [list(each.ids or ()) for each in windows]
        for each in ids:
            each[place] = 5 if each[place] != 5 else 6
        changed = [Window(0, 0, ids=tuple(each)) for each in ids]
        both = [
            hidden.pool(model, some, 60, unseen=2, beginning=False, progress=False)
            for some in (windows, changed)
        ]
        moved = (
            np.abs(both[0].states[model.layers] - both[1].states[model.layers]).max(axis=1) > 1e-5
        )
        here = both[0].position == place
        assert moved[here].all()
        assert moved[~here].any() == (place == 4)


def seen(spelled: torch.Tensor, query: int) -> list[bool]:
    return (spelled[0, 0, query] == 0).tolist()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_mask_that_spells_out_who_sees_whom(model: Model, text: Corpus, attention: str):
    model.network.set_attn_implementation(attention)
    ids, mask = torch.tensor([[7, 8, 9, 4]]), torch.tensor([[1, 1, 1, 0]])
    spelled = reading._attention(mask, model, 1)
    assert spelled.shape == (1, 1, 4, 4)
    assert set(spelled.flatten().tolist()) == {0.0, torch.finfo(torch.float32).min}
    assert seen(spelled, 3) == [False, True, True, True]
    assert seen(spelled, 1) == [False, True, model.role == "encoder", False]
    with torch.inference_mode():
        padded = model.network(input_ids=ids, attention_mask=spelled)
        whole = reading._attention(mask[:, :3], model, 1)
        alone = model.network(input_ids=ids[:, :3], attention_mask=whole)
        # With nobody hidden the spelled mask is the network's own.
        own = model.network(input_ids=ids, attention_mask=mask)
        nobody = masks.mask_without(model.network, mask, 0, model.role == "decoder")
        same = model.network(input_ids=ids, attention_mask=nobody)
    torch.testing.assert_close(padded[0][0, :3], alone[0][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own[0][0, :3], same[0][0, :3], atol=1e-5, rtol=1e-5)
    with pytest.raises(ShapelibError, match="unseen must be 0"):
        pool(model, cut(text), 200, unseen=-1)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_prefix_model_keeps_its_prefix_when_positions_are_unseen(
    decoder_folder: Path, attention: str
):
    model: Any = load(decoder_folder)
    model.network.set_attn_implementation(attention)
    setattr(model.network.config, masks.PREFIX_KEY, 0.5)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0]])
    spelled = reading._attention(mask, model, 1)
    assert seen(spelled, 0) == [True, True, True, False, False, False, False]
    assert seen(spelled, 1) == [False, True, True, False, False, False, False]
    assert seen(spelled, 4) == [False, True, True, True, True, False, False]
    ids = torch.tensor([[7, 8, 9, 4, 5, 6, 0]])

    def moved(place: int) -> list[bool]:
        other = ids.clone()
        other[0, place] += 50
        with torch.inference_mode():
            gap = model.network(ids, spelled)[0] - model.network(other, spelled)[0]
        return (gap[0, :6].abs().amax(dim=1) > 1e-5).tolist()

    assert moved(0) == [True, False, False, False, False, False]
    assert moved(2) == [True] * 6
    assert moved(4) == [False] * 4 + [True] * 2
