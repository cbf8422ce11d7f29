"""Every architecture of the papers, and one more, through its real class with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from shapelib.errors import ShapelibError
from shapelib.models.loading import Model, load
from shapelib.states.pool import pool
from shapelib.states.profile import profile
from shapelib.text.corpus import Window, load_corpus, windows

VOCABULARY, WIDTH, LAYERS, HEADS = 320, 32, 3, 4
USUAL = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "intermediate_size": 64, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.1,
}  # fmt: skip


class Family(NamedTuple):
    """A transformers class by the stem of its name, and what is known of what it does."""

    stem: str
    options: dict[str, Any]
    role: str
    after_norm: bool
    framed: bool = False
    """Whether its tokenizer puts special tokens around a text."""


FAMILIES = {
    "bert": Family("Bert", {}, "encoder", False, True),
    # RoBERTa counts positions from behind the padding index.
    "roberta": Family("Roberta", {"max_position_embeddings": 130}, "encoder", False, True),
    "albert": Family("Albert", {"embedding_size": 16}, "encoder", False, True),
    "opt": Family("OPT", {"ffn_dim": 64, "word_embed_proj_dim": WIDTH}, "decoder", True),
    # opt-350m: the embedding is narrower, norms follow the blocks, and none stands at the end, but
    # a projection back to the embedding's width, which belongs to the head.
    "opt-350m": Family(
        "OPT",
        {"ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
        "decoder",
        False,
    ),
    "llama": Family("Llama", {"num_key_value_heads": 2}, "decoder", True),
    "gpt2": Family("GPT2", {}, "decoder", True),
    "gptj": Family("GPTJ", {"rotary_dim": 4}, "decoder", True),
    "falcon": Family("Falcon", {}, "decoder", True),
    "falcon-alibi": Family(
        "Falcon",
        {"alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
        "decoder",
        True,
    ),
    "bloom": Family("Bloom", {}, "decoder", True),
    "gpt-neox": Family("GPTNeoX", {}, "decoder", True),
    "gpt-neox-sequential": Family(
        "GPTNeoX", {"use_parallel_residual": False, "rotary_pct": 1.0}, "decoder", True
    ),
    # Not in the papers.
    "qwen2": Family("Qwen2", {"num_key_value_heads": 2}, "decoder", True),
    "electra": Family("Electra", {"embedding_size": 16}, "encoder", False, True),
    "xlnet": Family("XLNet", {"d_inner": 64, "d_head": 8}, "encoder", False, True),
}  # fmt: skip
Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def make(tokenizer: Any, framed_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A saved model of a family, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            import transformers

            family = FAMILIES[name]
            torch.manual_seed(0)
            options = {**USUAL, **family.options}
            if family.stem == "XLNet":
                del options["max_position_embeddings"], options["intermediate_size"]
            config = getattr(transformers, f"{family.stem}Config")(**options)
            made[name] = tmp_path_factory.mktemp("families") / name
            getattr(transformers, f"{family.stem}Model")(config).save_pretrained(made[name])
            (framed_tokenizer if family.framed else tokenizer).save_pretrained(made[name])
        return made[name]

    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Window]:
    """Windows of unlike lengths in tokens, so that a batch of them is padded."""
    from conftest import TEXT

    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text("\n".join(f"{line} ({n})" for n in range(9) for line in TEXT.splitlines()))
    return list(windows(load_corpus(path), 60, seed=1))[:12]


def alone(model: Model, text: str) -> list[torch.Tensor]:
    """Every layer's states of one window that is read by itself."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        return [
            each[0].float() for each in model.network(ids, output_hidden_states=True).hidden_states
        ]


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_role_and_norm(name: str, make: Make):
    family, model = FAMILIES[name], load(make(name))
    assert (model.layers, model.width) == (LAYERS, WIDTH)
    assert (model.role, model.after_norm) == (family.role, family.after_norm)
    # As a decoder sees it, a text's beginning has the same states whatever follows.
    first, second = alone(model, "A cat may sit"), alone(model, "A cat may sit on a log")
    same = all(
        torch.allclose(one[1], two[1], atol=1e-5) for one, two in zip(first, second, strict=True)
    )
    assert same == (family.role == "decoder")


@pytest.mark.parametrize("name", FAMILIES)
def test_vectors_alone_and_in_a_padded_batch(name: str, make: Make, drawn: list[Window]):
    family, model = FAMILIES[name], load(make(name))
    pooled = pool(model, drawn, 60, progress=False)
    assert pooled.layers == LAYERS
    lengths = np.bincount(pooled.window)
    assert len(set(lengths)) > 1, "windows of one length need no padding"
    assert pooled.bos == family.framed
    assert pooled.special.sum() == (2 * len(lengths) if family.framed else 0)
    assert model.tokenizer.pad_token_id not in pooled.token
    assert set(pooled.token[pooled.rows("content")]) & {0, 1, 2} == set()
    for number in range(len(lengths)):
        rows = pooled.window == number
        for layer, states in enumerate(alone(model, drawn[number].text)):
            np.testing.assert_allclose(pooled.states[layer][rows], states, atol=3e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_layer_is_the_embedding(name: str, make: Make):
    """A token has one vector there, whatever stands before it; and another in every later layer."""
    model = load(make(name))
    with torch.inference_mode():
        one, two = (
            model.network(torch.tensor([[first, 70, 90]]), output_hidden_states=True).hidden_states
            for first in (50, 60)
        )
    moved = [float((a[0, 1] - b[0, 1]).abs().max()) for a, b in zip(one, two, strict=True)]
    assert len(moved) == LAYERS + 1
    assert moved[0] == 0
    assert min(moved[1:]) > 1e-6


def test_a_folder_of_a_family_not_in_the_papers_is_measured(make: Make, text_file: Path):
    table = profile(
        make("qwen2"), text_file, tokens=300, batch=100, window=60, reuse=False, progress=False
    )
    assert set(table["layer"]) == set(range(LAYERS + 1))
    assert set(table["role"]) == {"decoder"}
    anisotropy = table[table["metric"] == "anisotropy"]["value"]
    assert anisotropy.between(0, 1).all()


def test_a_class_that_does_not_run_in_half_precision(make: Make):
    with pytest.raises(ShapelibError, match="xlnet does not run in bfloat16 on cpu: try dtype flo"):
        load(make("xlnet"), dtype="bfloat16")


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "xlnet"])
def test_half_precision_stays_within_a_bound(name: str, make: Make, drawn: list[Window]):
    """bfloat16 keeps 8 bits: a relative error of 2^-9 a rounding, over some tens of roundings."""
    full = pool(load(make(name)), drawn, 60, progress=False)
    half = pool(load(make(name), dtype="bfloat16"), drawn, 60, progress=False)
    assert list(full.states) == list(half.states) == list(range(full.layers + 1))
    for layer, one in full.states.items():
        two = half.states[layer]
        assert two.dtype == np.float32
        error = np.linalg.norm(one - two) / np.linalg.norm(one)
        assert error < 0.02, (layer, error)
    assert np.linalg.norm(full.states[full.layers] - half.states[full.layers]) > 0
