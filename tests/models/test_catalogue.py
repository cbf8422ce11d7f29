"""The catalogue against the real classes, against published numbers, and with every field wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shapelib.errors import ShapelibError
from shapelib.models import catalogue
from shapelib.models.catalogue import Entry, Ramp, models, read, suite

HUB = [name for name, entry in models().items() if entry.hub]


def test_it_is_read_quickly_and_without_torch():
    code = (
        "import time, sys; from shapelib.models import catalogue; "
        "catalogue.models(); print(time.process_time(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, torch = done.stdout.split()
    assert float(seconds) < 1
    assert torch == "False"


def test_every_model_the_papers_name_is_there():
    families = {
        "BERT", "RoBERTa", "ALBERT", "OPT", "Llama", "GPT-2", "GPT-J", "Falcon", "BLOOM",
        "GPT-NeoX",
    }  # fmt: skip
    shape = {entry.family for entry in models().values() if "shape" in entry.papers}
    assert shape == families
    for name in ("opt-13b", "llama-2-7b", "llama-2-13b", "llama-2-7b-chat", "falcon-7b-instruct"):
        assert "shape" in models()[name].papers
    assert models()["llama-2-7b"].gated
    assert catalogue.suites() == [
        *("bloom-560m", "bloom-1b1", "bloom-3b", "bloom-7b1"),
        *("pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m", "pythia-410m", "pythia-1b"),
        *("pythia-1.4b", "pythia-2.8b", "pythia-6.9b", "pythia-12b"),
        "tinyllama-1.1b",
    ]


# What a configuration holds beside the entry's layers, width and heads, by family; the rest are
# the defaults of transformers, which are those of the family's published models.
def config_of(entry: Entry) -> Any:
    import transformers as T

    layers, width, heads = entry.layers, entry.hidden_size, entry.heads
    common = {
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }  # fmt: skip
    roberta = {**common, "max_position_embeddings": 514, "type_vocab_size": 1}
    match entry.family:
        case "BERT":
            return T.BertConfig(**common)
        case "RoBERTa":
            return T.RobertaConfig(**roberta, vocab_size=50265)
        case "XLM-RoBERTa":
            return T.XLMRobertaConfig(**roberta, vocab_size=250002)
        case "ALBERT":
            return T.AlbertConfig(**common)
        case "ELECTRA":
            return T.ElectraConfig(**common, embedding_size=128 if width == 256 else width)
        case "XLNet":
            return T.XLNetConfig(d_model=width, n_layer=layers, n_head=heads, d_inner=4 * width)
        case "BART":
            return T.BartConfig(
                d_model=width, encoder_layers=layers, decoder_layers=layers,
                encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
            )  # fmt: skip
        case "T5":
            inner = {512: 2048, 768: 3072, 1024: 4096}[width]
            large = {"d_ff": 16384, "d_kv": 128} if heads == 32 else {"d_ff": inner}
            return T.T5Config(d_model=width, num_layers=layers, num_heads=heads, **large)
        case "OPT":
            small = width == 1024
            return T.OPTConfig(
                **{**common, "ffn_dim": 4 * width}, word_embed_proj_dim=512 if small else width,
                do_layer_norm_before=not small,
            )  # fmt: skip
        case "Llama":
            inner = {2048: 5632, 4096: 11008, 5120: 13824}[width]
            groups = 4 if width == 2048 else heads
            return T.LlamaConfig(
                **{**common, "intermediate_size": inner}, num_key_value_heads=groups
            )
        case "GPT-2":
            return T.GPT2Config(n_embd=width, n_layer=layers, n_head=heads)
        case "GPT-J":
            return T.GPTJConfig(n_embd=width, n_layer=layers, n_head=heads)
        case "Falcon":
            return T.FalconConfig(**common)
        case "BLOOM":
            return T.BloomConfig(hidden_size=width, n_layer=layers, n_head=heads, vocab_size=250880)
        case "GPT-NeoX":
            padded = {4096: 50432, 5120: 50688}.get(width, 50304)
            return T.GPTNeoXConfig(**common, vocab_size=padded)
        case family:
            raise AssertionError(family)


@pytest.mark.parametrize("name", HUB)
def test_sizes_are_those_of_the_real_class(name: str):
    import torch
    from transformers import AutoModel

    entry = models()[name]
    config = config_of(entry)
    with torch.device("meta"):
        network = AutoModel.from_config(config)
    assert sum(each.numel() for each in network.parameters()) == entry.parameters
    assert config.is_encoder_decoder == (entry.role == "encoder-decoder")


def test_parameters_are_the_published_ones():
    """Counts that other people published, of a base network or with its tied or untied head."""
    published = {
        "bloom-7b1": 7_069_016_064, "bloom-560m": 559_214_592, "bloom-3b": 3_002_557_440,
        "gpt2": 124_439_808,
    }  # fmt: skip
    assert {name: models()[name].parameters for name in published} == published
    assert models()["tinyllama-1.1b"].parameters + 32000 * 2048 == 1_100_048_384
    assert models()["pythia-2.8b"].parameters + 50304 * 2560 == 2_775_208_960


def test_what_wheels_ship_says_how_it_was_tuned_and_quantised():
    shipped = {name: entry for name, entry in models().items() if entry.asset}
    assert {name: entry.tuned for name, entry in shipped.items()} == {
        "smollm2-135m": "instruct", "gemma-3-270m": "base", "qwen2.5-coder-1.5b": "instruct",
        "mpnet-base": "contrastive", "minilm-l6": "contrastive",
    }  # fmt: skip
    for entry in shipped.values():
        assert bool(entry.quantised) == (entry.weights == "gguf")
        assert entry.caveat
    # A tied head is no part of the network, nor of Gemma's file.
    assert models()["gemma-3-270m"].parameters == 169246720 + 63406080 + 23592960 + 11796480 + 55936
    assert models()["qwen2.5-coder-1.5b"].parameters + 151936 * 1536 == 1_777_088_000


def test_pythia_has_every_step():
    points = suite("pythia-2.8b").checkpoints
    doubling = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert [each.step for each in points] == [0, *doubling, *range(1000, 143001, 1000)]
    assert len(points) == 154
    assert points[-1].tokens_seen == 143000 * 1024 * 2048
    assert {each.hub for each in points} == {"EleutherAI/pythia-2.8b"}
    assert points[11].revision == points[11].name == "step1000"


def test_bloom_revisions_and_tokens():
    points = suite("bloom-560m").checkpoints
    assert [each.step for each in points] == [
        *(1000, 10000, 100000, 200000, 300000, 400000, 500000, 600000, 659500),
    ]
    assert points[1].revision == "global_step10000"
    assert points[1].hub == "bigscience/bloom-560m-intermediate"
    assert (points[-1].hub, points[-1].revision) == ("bigscience/bloom-560m", None)
    assert "same weights" in points[1].caveat
    # The cards say 341 billion tokens at these last steps; the launch scripts give this many.
    for name in ("bloom-560m", "bloom-1b1", "bloom-3b", "bloom-7b1"):
        assert suite(name).checkpoints[-1].tokens_seen == pytest.approx(341e9, rel=0.005)
        assert suite(name).tokenizer == models()[name].hub


def test_a_growing_batch_against_a_loop_over_steps():
    for full, add in ((256, 16), (512, 32)):
        ramp = Ramp(sequence=3, first=192, add=add, over=9_765_625, full=full)
        increment = ramp.over / ((full - 192) / add)
        seen, wanted = 0, {0, 1, 5086, 5087, 12000, 33000, 60000}
        for step in range(60001):
            if step in wanted:
                assert ramp.tokens(step) == seen * 3
            seen += min(full, 192 + add * int(seen / increment)) if seen <= ramp.over else full


def test_a_listed_repository_takes_the_place_of_a_revision():
    points = {each.step: each for each in suite("tinyllama-1.1b").checkpoints}
    assert len(points) == 144 + 3
    assert points[50000].hub == "TinyLlama/TinyLlama-1.1B-step-50K-105b"
    assert (points[50000].revision, points[50000].weights) == (None, "safetensors")
    # As they are spelled on the hub and in public code.
    for step, revision in {
        5000: "step-5k-token-10B",
        10000: "step-10k-token-21B",
        65000: "step-65k-token-136B",
        125000: "step-125k-token-262B",
        185000: "step-185k-token-388B",
        300000: "step-300k-token-629B",
        360000: "step-360k-token-755B",
        420000: "step-420k-token-881B",
        475000: "step-475k-token-996B",
        540000: "step-540k-token-1132B",
        600000: "step-600k-token-1258B",
        660000: "step-660k-token-1384B",
        720000: "step-720k-token-1510B",
    }.items():
        assert points[step].revision == revision
        assert points[step].hub == "TinyLlama/tinyLlama-intermediate-checkpoints"
        assert points[step].weights == "pickle"


@pytest.mark.parametrize("name", ["step1000", "1000"])
def test_a_checkpoint_by_name_or_step(name: str):
    assert suite("bloom-3b").checkpoint(name).revision == "global_step1000"
    assert suite("bloom-3b").checkpoint("global_step1000").step == 1000


def test_unknown_suites_and_checkpoints_name_the_nearest():
    with pytest.raises(
        ShapelibError, match=r"no suite of checkpoints 'pythia-2\.7b'; did you mean "
    ):
        suite("pythia-2.7b")
    with pytest.raises(ShapelibError, match="no suite of checkpoints 'gpt2'"):
        suite("gpt2")
    with pytest.raises(ShapelibError, match="the nearest are 'step7000' and 'step6000'"):
        suite("pythia-70m").checkpoint("step6700")
    with pytest.raises(ShapelibError, match="'pythia-70m' has no checkpoint 'last': one is named"):
        suite("pythia-70m").checkpoint("last")


def test_on_the_hub():
    entry = catalogue.on_hub("openai-community/GPT2")
    assert entry is not None
    assert entry.name == "gpt2"
    assert catalogue.on_hub("someone/else") is None
    found = catalogue.checkpoint_on_hub("EleutherAI/pythia-70m", "step512")
    assert found is not None
    assert (found[0].name, found[1].step) == ("pythia-70m", 512)
    assert catalogue.checkpoint_on_hub("EleutherAI/pythia-70m", "main") is None


def test_every_difference_from_the_print_has_its_source():
    columns = [entry for entry in models().values() if entry.table1]
    assert len(columns) == 6
    for entry in columns:
        printed = entry.table1.printed
        assert (printed["layers"], printed["hidden_size"]) == (entry.layers, entry.hidden_size)
        heads = entry.table1.public.get("heads", printed["heads"])
        assert heads == entry.heads


GOOD = """
models:
  one:
    hub: some/one
    role: decoder
    family: GPT-2
    parameters: 10
    layers: 2
    hidden_size: 4
    licence: MIT
    weights: safetensors
    source: a page
"""
SUITE = """
    suite:
      revision: step{step}
      steps: [1, {first: 2, last: 8, times: 2}]
      tokens_per_step: 10
      bytes: 100
      tokens: ten a step
      source: a page
"""


def test_a_good_file(tmp_path: Path):
    path = tmp_path / "own.yml"
    path.write_text(GOOD + SUITE)
    own = read(path)["one"]
    assert [each.tokens_seen for each in own.suite.checkpoints] == [10, 20, 40, 80]
    assert own.suite.tokenizer == "some/one"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    licence: MIT\n", "    licens: MIT\n", "no field 'licens'; did you mean 'licence'"),
        ("    licence: MIT\n", "", "model 'one': 'licence' is missing"),
        ("    licence: MIT\n", "    licence: ''\n", "licence is '', expected str"),
        ("role: decoder", "role: decoders", "role is 'decoders'; did you mean 'decoder'"),
        ("layers: 2", "layers: two", "layers is 'two', expected int"),
        ("layers: 2", "layers: true", "layers is True, expected int"),
        ("weights: safetensors", "weights: zip", "weights is 'zip'; known: safetensors"),
        ("    hub: some/one\n", "", "give one of 'hub' and 'asset'"),
        ("source: a page", "source: a page\n    papers: [shapes]", "papers is 'shapes'; did you"),
        ("models:", "model:", "'model' is neither 'shared' nor 'models'"),
        ("    role: decoder\n", "    role: decoder\n    role: encoder\n", "'role' is given twice"),
    ],
)  # fmt: skip
def test_a_bad_entry(old: str, new: str, message: str, tmp_path: Path):
    path = tmp_path / "own.yml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ShapelibError) as caught:
        read(path)
    assert message in str(caught.value)
    assert "own.yml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps: [1,", "steps: [9,", "suite: the steps do not rise"),
        ("steps: [1,", "steps: [2,", "suite: the steps do not rise"),
        ("{first: 2, last: 8, times: 2}", "{first: 2, last: 8}", "neither a number nor a range"),
        ("{first: 2, last: 8, times: 2}", "two", "steps 'two' are neither a number nor a range"),
        ("      tokens_per_step: 10\n", "", "give one of 'tokens_per_step' and 'batch'"),
        ("bytes: 100", "bites: 100", "no field 'bites'; did you mean 'bytes'"),
        ("tokens_per_step: 10", "batch: {first: 1}", "batch: 'sequence' is missing"),
        ("bytes: 100", "bytes: 100\n      caveats: {3: bad}", "a caveat for step 3, which is not"),
        ("bytes: 100", "bytes: 100\n      weights: zip", "weights is 'zip'"),
    ],
)
def test_a_bad_suite(old: str, new: str, message: str, tmp_path: Path):
    path = tmp_path / "own.yml"
    path.write_text(GOOD + SUITE.replace(old, new, 1))
    with pytest.raises(ShapelibError) as caught:
        read(path)
    assert message in str(caught.value)
    assert "model 'one', suite" in str(caught.value)


@pytest.mark.parametrize(
    ("table1", "message"),
    [
        ("{printed: {heads: 1}, public: {heads: 2}}", "'heads' needs both 'public' and 'why'"),
        ("{printed: {heads: 1}, why: {heads: a page}}", "'heads' needs both 'public' and 'why'"),
        (
            "{printed: {heads: 1}, public: {heads: 1}, why: {heads: a page}}",
            "public 'heads' does not differ from the print",
        ),
    ],
)
def test_a_difference_without_its_source(table1: str, message: str, tmp_path: Path):
    path = tmp_path / "own.yml"
    path.write_text(GOOD + f"    table1: {table1}\n")
    with pytest.raises(ShapelibError, match=message):
        read(path)


def test_one_repository_one_name(tmp_path: Path):
    path = tmp_path / "own.yml"
    path.write_text(GOOD + GOOD.split("models:\n")[1].replace("  one:", "  two:", 1))
    with pytest.raises(ShapelibError, match="model 'two': some/one is 'one' already"):
        read(path)
