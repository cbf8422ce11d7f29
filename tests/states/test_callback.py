"""Measuring while somebody else's Trainer trains: nothing it does may be felt."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shapelib import ShapeCallback, profile, read_table
from shapelib.errors import ShapelibError

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"tokens": 300, "batch": 128, "window": 40}


def trainer(tokenizer: Any, folder: Path, *callbacks: Any, steps: int = 6, **settings: Any) -> Any:
    """A Trainer of a small Llama with dropout, so that every random number counts."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, attention_dropout=0.3, pad_token_id=0,
    )  # fmt: skip
    draw = np.random.default_rng(0)
    rows = [{"input_ids": row, "labels": row} for row in draw.integers(3, 320, (64, 12)).tolist()]
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, learning_rate=1e-2,
        report_to=[], disable_tqdm=True, use_cpu=True, save_steps=4, logging_steps=100, seed=1,
        **settings,
    )  # fmt: skip
    return Trainer(
        LlamaForCausalLM(config), arguments, train_dataset=rows, processing_class=tokenizer,
        callbacks=list(callbacks),
    )  # fmt: skip


def test_training_is_the_same_with_and_without(tokenizer: Any, text_file: Path, tmp_path: Path):
    plain = trainer(tokenizer, tmp_path / "plain")
    plain.train()
    expected = [random.random(), float(np.random.rand()), float(torch.rand(1))]
    measured = trainer(
        tokenizer, tmp_path / "measured",
        ShapeCallback(text_file, tmp_path / "shape.parquet", every=1, **SMALL),
    )  # fmt: skip
    measured.train()
    assert [random.random(), float(np.random.rand()), float(torch.rand(1))] == expected
    after = measured.model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, after[name]), name
    table = read_table(tmp_path / "shape.parquet")
    assert table["step"].unique().tolist() == list(range(7))
    # The control: the measured model was not standing still.
    assert table.groupby("step")["value"].sum().nunique() == 7


def test_modes_are_left_as_they_were(tokenizer: Any, text_file: Path, tmp_path: Path):
    from transformers import TrainerCallback

    class Freeze(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            given["model"].model.layers[0].eval()

    class Look(TrainerCallback):
        def __init__(self) -> None:
            self.seen: list[list[bool]] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.seen.append([layer.training for layer in given["model"].model.layers])

    look = Look()
    ours = ShapeCallback(text_file, tmp_path / "shape.parquet", every=1, **SMALL)
    trainer(tokenizer, tmp_path / "run", Freeze(), ours, look, steps=2).train()
    assert look.seen == [[False, True]] * 2


def test_rows_are_those_of_the_saved_model(tokenizer: Any, text_file: Path, tmp_path: Path):
    out = tmp_path / "shape.parquet"
    run = trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, steps=(0, 4), **SMALL),
        include_num_input_tokens_seen="all",
    )  # fmt: skip
    run.train()
    table = read_table(out)
    assert table["step"].unique().tolist() == [0, 4]
    assert table.loc[table["step"] == 4, "tokens_seen"].unique().tolist() == [4 * 4 * 12]
    assert table["role"].unique().tolist() == ["decoder"]
    assert [each["step"] for each in table.attrs["provenance"]] == [0, 4]
    saved = profile(
        tmp_path / "run" / "checkpoint-4", text_file, **SMALL, reuse=False, progress=False
    )
    live = table[table["step"] == 4]["value"].to_numpy()
    assert np.allclose(live, saved["value"], rtol=1e-4, equal_nan=True)


def test_further_metrics_by_name(tokenizer: Any, text_file: Path, tmp_path: Path):
    out = tmp_path / "shape.parquet"
    asked: dict[str, Any] = {"every": 3, "metrics": ["two_nn", "overlap"], **SMALL}
    trainer(tokenizer, tmp_path / "run", ShapeCallback(text_file, out, **asked)).train()
    table = read_table(out)
    assert set(table["metric"]) == {"two_nn", "overlap_next", "overlap_last_layer"}
    assert table["step"].unique().tolist() == [0, 3, 6]
    with pytest.raises(ShapelibError, match="no such metric: 'overlaps'; did you mean 'overlap'"):
        ShapeCallback(text_file, out, every=1, metrics=["overlaps"])
    with pytest.raises(ShapelibError, match="gride needs batches of at least 130 vectors, got 64"):
        ShapeCallback(text_file, out, every=1, batch=64, tokens=64, metrics=["gride"])


def test_every_measures_the_end_as_well(tokenizer: Any, text_file: Path, tmp_path: Path):
    out = tmp_path / "shape.csv"
    trainer(tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=4, **SMALL)).train()
    assert read_table(out)["step"].unique().tolist() == [0, 4, 6]


def test_a_resumed_run_continues_the_table(tokenizer: Any, text_file: Path, tmp_path: Path):
    out = tmp_path / "shape.parquet"

    def callback() -> ShapeCallback:
        return ShapeCallback(text_file, out, every=3, **SMALL)

    trainer(tokenizer, tmp_path / "run", callback()).train()
    before = read_table(out)
    again = trainer(tokenizer, tmp_path / "run", callback(), steps=9)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-4"))
    after = read_table(out)
    assert after["step"].value_counts().to_dict() == dict.fromkeys((0, 3, 6, 9), len(before) // 3)
    assert sorted(each["step"] for each in after.attrs["provenance"]) == [0, 3, 6, 9]
    # Step 6 was reached again, by another schedule: its rows are the new ones.
    kept = [
        [each[each["step"] == step]["value"].fillna(0.0).tolist() for step in (0, 3, 6)]
        for each in (before, after)
    ]
    assert kept[0][:2] == kept[1][:2]
    assert kept[0][2] != kept[1][2]


def test_wrong_use_is_named(tokenizer: Any, text_file: Path, tmp_path: Path):
    out = tmp_path / "shape.parquet"
    with pytest.raises(ShapelibError, match=r"either every= .* or steps="):
        ShapeCallback(text_file, out)
    with pytest.raises(ShapelibError, match=r"either every= .* or steps="):
        ShapeCallback(text_file, out, every=1, steps=(1,))
    with pytest.raises(ShapelibError, match="every is 0"):
        ShapeCallback(text_file, out, every=0)
    with pytest.raises(ShapelibError, match=r"'shape\.txt' must end in one of|must end in one of"):
        ShapeCallback(text_file, tmp_path / "shape.txt", every=1)
    with pytest.raises(ShapelibError, match="no corpus and no file named 'nowhere'"):
        ShapeCallback("nowhere", out, every=1)
    with pytest.raises(ShapelibError, match="no tokenizer to read text with"):
        trainer(None, tmp_path / "run", ShapeCallback(text_file, out, every=1, **SMALL)).train()
    out.write_bytes(b"precious")
    with pytest.raises(ShapelibError, match="holds a table already, and training begins at step 0"):
        trainer(tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=1)).train()
    assert out.read_bytes() == b"precious"
