"""What is let through of transformers' reports of loading."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shapelib.models.loading import load
from shapelib.models.reports import expected

LOGGER = logging.getLogger("transformers.modeling_utils")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def said() -> Any:
    handler = Kept()
    LOGGER.addHandler(handler)
    yield handler.said
    LOGGER.removeHandler(handler)


@pytest.fixture
def with_head(framed_tokenizer: Any, tmp_path: Path) -> Path:
    """A BERT with a head for masked tokens, and without the pooler that the base network has."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=320, hidden_size=24, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    framed_tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def test_heads_and_poolers_are_not_reported_where_they_are_not_used(
    with_head: Path, said: list[str]
):
    from transformers import AutoModel

    assert load(with_head).role == "encoder"
    assert said == []
    AutoModel.from_pretrained(with_head)
    assert len(said) == 1, "a load of one's own is reported as ever"
    assert "LOAD REPORT" in said[0]
    assert "pooler" in said[0]
    assert expected(said[0])


@pytest.mark.parametrize(
    ("rows", "quiet"),
    [
        (["pooler.dense.weight | MISSING", "cls.bias | UNEXPECTED"], True),
        (["pooler.dense.weight | \x1b[31mMISSING\x1b[0m"], True),
        (["encoder.layer.0.weight | MISSING", "pooler.dense.weight | MISSING"], False),
        (["pooler.dense.weight | MISMATCH"], False),
        (["cls.bias | UNEXPECTED", "layer.0.weight | \x1b[35mCONVERSION\x1b[0m"], False),
        ([], False),
    ],
)
def test_only_what_is_expected_is_left_out(rows: list[str], quiet: bool):
    table = "\n".join(["Key | Status |", "----+----+-", *(f"{each} | " for each in rows)])
    assert expected(f"\x1b[1mBertModel LOAD REPORT\x1b[0m from: a\n{table}\n\nNotes:") is quiet
    assert not expected(table)


def test_importing_leaves_the_log_of_transformers_alone(decoder_folder: Path):
    """Until a model is loaded: whoever imports this package may load models of their own."""
    code = (
        "import logging, shapelib\n"
        "log = logging.getLogger('transformers.modeling_utils')\n"
        "before = list(log.filters)\n"
        "for name in shapelib.__all__: getattr(shapelib, name)\n"
        "assert log.filters == before\n"
        f"for _ in range(2): shapelib.load({str(decoder_folder)!r})\n"
        "print(len(log.filters) - len(before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
