"""Small real models: random weights in the transformers classes that the real ones use."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stress import STRESS

# Files that take the longest: begun after the notebooks and before all else, so that at the end the
# two processes of `make test` have short ones left to share.
LONG = (
    *("pages/test_book_render.py", "papers/test_make.py", "states/test_sweep.py"),
    *("finetuning/test_sweep.py", "pretraining/test_pretrain.py", "test_wheel.py"),
)
TEXT = """Anarchism is a political philosophy that is sceptical of all justifications for authority.
A cat may sit on the mat, and a dog may sit on the log, but neither of them reads this line.
The moon orbits the earth, the earth orbits the sun, and the sun orbits the centre of the galaxy.
Rivers carry sand to the sea; the sea carries it along the coast; the wind carries it inland.
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `stress` waits for `make stress`; long files come first."""
    left_out = [] if STRESS else [each for each in items if each.get_closest_marker("stress")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]
    items.sort(key=lambda each: each.path.suffix == ".py" and not str(each.path).endswith(LONG))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level BPE without special tokens around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    raw.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=128,
    )


@pytest.fixture(scope="session")
def framed_tokenizer(tokenizer: Any) -> Any:
    """The same, putting <s> before and </s> after a text."""
    import copy

    from tokenizers import processors

    framed = copy.deepcopy(tokenizer)
    framed.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return framed


@pytest.fixture(scope="session")
def decoder_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A three-layer Llama, random weights, no special tokens."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=24, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny-decoder"
    LlamaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder_folder(framed_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT, random weights, a special token at either end."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=320, hidden_size=24, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny-encoder"
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    framed_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A text of about 20 000 characters in lines that differ."""
    path = tmp_path / "story.txt"
    lines = (f"{line} ({n})" for n in range(50) for line in TEXT.splitlines())
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SHAPELIB_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """What each of two workers has on two cores: sums of more threads round differently, and steps
    as small as the tests' only wait for each other's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Without it these tests are skipped; .ci/run installs it."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """One headless Chromium for all tests: playwright drives no second one beside it."""
    playwright = pytest.importorskip("playwright.sync_api")
    from browser import ARGS

    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=ARGS)
        yield opened
        opened.close()
