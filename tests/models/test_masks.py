"""The longest input: the least of what configuration, positions and tokenizer say."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from made import model_folder, network_of

from shapelib.errors import ShapelibError
from shapelib.finetuning.encoding import encode
from shapelib.finetuning.tasks import load_task
from shapelib.models import load
from shapelib.models.masks import longest
from shapelib.states.pool import pool
from shapelib.text.corpus import load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def silent(tokenizer: Any) -> Any:
    """A tokenizer that names no limit."""
    mute = copy.deepcopy(tokenizer)
    mute.model_max_length = int(1e30)
    return mute


@pytest.mark.parametrize(
    ("stem", "options", "expected"),
    [
        ("Bert", {}, 128),
        ("Roberta", {"pad_token_id": 1}, 128),
        ("MPNet", {"pad_token_id": 1}, 128),
        ("GPT2", {}, 128),
        ("Llama", {}, 128),
        ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 24}, 128),
        ("XLNet", {}, None),
    ],
)
def test_the_limit_is_the_last_length_that_runs(
    stem: str, options: dict[str, Any], expected: int | None, silent: Any, tokenizer: Any
):
    network = network_of(stem, **options)
    assert longest(network, silent) == expected
    if expected is None or stem == "Llama":
        return
    ids = torch.full((1, expected + 1), 7)
    with torch.inference_mode():
        network(ids[:, :-1])
        with pytest.raises((IndexError, RuntimeError)):
            network(ids)
    short = copy.deepcopy(tokenizer)
    short.model_max_length = 60
    assert longest(network, short) == 60


def test_reading_and_tuning_know_the_same_limit(silent: Any, text_file: Path, tmp_path: Path):
    model = load(model_folder(tmp_path / "r", silent, "Roberta", pad_token_id=1))
    with pytest.raises(ShapelibError, match="129 tokens, but r reads at most 128"):
        pool(
            model, windows(load_corpus(text_file), 129, "tokens", tokenizer=silent), 300,
            progress=False,
        )  # fmt: skip
    csv = tmp_path / "moods.csv"
    csv.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20)))
    task = load_task(csv)
    with pytest.raises(ShapelibError, match="length=129; 4 to 128 tokens are accepted"):
        encode(task, model, 129)
    free = load(model_folder(tmp_path / "x", silent, "XLNet"))
    with pytest.raises(ShapelibError, match=r"length=3; at least 4 tokens are accepted \(x\)"):
        encode(task, free, 3)
    assert encode(task, free, 200).classes == 2
