"""Measuring while somebody else's Trainer trains: nothing it does may be felt."""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import network_of

from shapelib import ShapeCallback, profile, read_table, reparameterize
from shapelib.errors import ShapelibError
from shapelib.models.loading import live
from shapelib.states.callback import watched

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"tokens": 300, "batch": 128, "window": 40}


def trainer(
    tokenizer: Any,
    folder: Path,
    *callbacks: Any,
    steps: int = 6,
    wrap: Callable[[Any], Any] = lambda model: model,
    held: bool = False,
    **settings: Any,
) -> Any:
    """A Trainer of a small Llama with dropout, so that every random number counts."""
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=128, attention_dropout=0.3, pad_token_id=0,
    )  # fmt: skip
    draw = np.random.default_rng(0)
    rows = [{"input_ids": row, "labels": row} for row in draw.integers(3, 320, (64, 12)).tolist()]
    usual = {"per_device_train_batch_size": 4, "save_steps": 4}
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, learning_rate=1e-2,
        report_to=[], disable_tqdm=True, use_cpu=True, logging_steps=100, seed=1,
        **{**usual, **settings},
    )  # fmt: skip
    return Trainer(
        wrap(LlamaForCausalLM(config)), arguments, train_dataset=rows, processing_class=tokenizer,
        eval_dataset=rows[:4] if held else None, callbacks=list(callbacks),
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


# ---- whatever people train


def witness(tokenizer: Any, text: Path) -> Any:
    """A callback that keeps, after every step, the table of a plain copy of what is trained."""
    from transformers import TrainerCallback

    class Witness(TrainerCallback):
        def __init__(self) -> None:
            self.values: dict[int, Any] = {}
            self.plain: Callable[[Any], Any] = lambda model: model

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            with torch.random.fork_rng():
                network = self.plain(copy.deepcopy(given["model"])).base_model.eval()
                measured = profile(live(network, tokenizer), text, progress=False, **SMALL)
            self.values[state.global_step] = measured["value"].to_numpy()

    return Witness()


def agree(table: Any, seen: dict[int, Any], steps: list[int]) -> None:
    for step in steps:
        ours = table[table["step"] == step]["value"].to_numpy()
        np.testing.assert_allclose(ours, seen[step], rtol=1e-4, equal_nan=True)
    # The control: the steps differ.
    if len(steps) > 1:
        assert not np.allclose(seen[steps[0]], seen[steps[-1]], rtol=1e-4, equal_nan=True)


def test_the_last_step_is_not_the_best_checkpoint(tokenizer: Any, text_file: Path, tmp_path: Path):
    out, seen = tmp_path / "shape.parquet", witness(tokenizer, text_file)
    run = trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=4, **SMALL), seen,
        held=True, load_best_model_at_end=True, eval_strategy="steps", eval_steps=2, save_steps=2,
        # The loss falls, so that the first checkpoint is called the best.
        metric_for_best_model="eval_loss", greater_is_better=True,
    )  # fmt: skip
    run.train()
    assert run.state.best_model_checkpoint.endswith("checkpoint-2")
    assert read_table(out)["step"].unique().tolist() == [0, 4, 6]
    agree(read_table(out), seen.values, [4, 6])


@pytest.mark.parametrize(
    ("where", "every"), [("step", "steps"), ("evaluation", "steps"), ("evaluation", "epoch")]
)
def test_training_that_somebody_stops(
    where: str, every: str, tokenizer: Any, text_file: Path, tmp_path: Path
):
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if where == "step" and state.global_step == 3:
                control.should_training_stop = True

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if where == "evaluation" and state.global_step >= 3:
                control.should_training_stop = True

    out, seen = tmp_path / "shape.parquet", witness(tokenizer, text_file)
    trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=2, **SMALL), seen, Stop(),
        held=True, eval_strategy=every, save_strategy=every, eval_steps=1, save_steps=1,
        load_best_model_at_end=True, greater_is_better=True, metric_for_best_model="eval_loss",
        # An epoch has 64 rows: three steps.
        per_device_train_batch_size=22,
    ).train()  # fmt: skip
    assert read_table(out)["step"].unique().tolist() == [0, 2, 3]
    agree(read_table(out), seen.values, [2, 3])


@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_in_a_subspace(frozen: bool, tokenizer: Any, text_file: Path, tmp_path: Path):
    def confined(model: Any) -> Any:
        if frozen:
            model.model.embed_tokens.weight.requires_grad_(False)
        reparameterize(model, 40)
        return model

    out, seen = tmp_path / "shape.parquet", witness(tokenizer, text_file)
    seen.plain = lambda model: model.subspace.merge()
    run = trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=1, **SMALL), seen,
        steps=3, wrap=confined, save_strategy="no",
    )  # fmt: skip
    run.train()
    agree(read_table(out), seen.values, [1, 2, 3])
    # It still trains its d numbers alone, and runs.
    assert sum(each.numel() for each in run.model.parameters() if each.requires_grad) == 40
    plain = trainer(tokenizer, tmp_path / "b", steps=3, wrap=confined, save_strategy="no")
    plain.train()
    assert torch.equal(plain.model.subspace.z, run.model.subspace.z)


def test_accumulation_and_recomputed_activations(tokenizer: Any, text_file: Path, tmp_path: Path):
    out, seen = tmp_path / "shape.parquet", witness(tokenizer, text_file)
    trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=1, **SMALL), seen, steps=2,
        gradient_accumulation_steps=3, per_device_train_batch_size=2, gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    ).train()  # fmt: skip
    agree(read_table(out), seen.values, [1, 2])


class Wrapper(torch.nn.Module):
    """What accelerate and DistributedDataParallel put around a model."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module


class Adapted(torch.nn.Module):
    """PEFT's face: an adapter within, or a prompt before, the model it gives."""

    def __init__(self, model: Any, prompt: bool) -> None:
        from types import SimpleNamespace

        super().__init__()
        self.base_model = model
        self.peft_config = {"default": SimpleNamespace(is_prompt_learning=prompt)}

    def get_base_model(self) -> Any:
        return self.base_model


def test_wrappers_are_taken_off():
    model = network_of("Llama", "ForCausalLM").train()
    compiled = torch.compile(model, backend="eager")
    for each in (model, Wrapper(model), compiled, Wrapper(compiled), Adapted(model, False)):
        with watched(each) as network:
            assert network is model.model
            assert not network.training
        assert network.training
    with pytest.raises(ShapelibError, match="Adapted is tuned by its prompt"), \
            watched(Adapted(model, True)):  # fmt: skip
        pass


def test_lora_of_peft(tokenizer: Any, text_file: Path, tmp_path: Path):
    peft = pytest.importorskip("peft")

    def adapted(model: Any) -> Any:
        return peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"]))

    out, seen = tmp_path / "shape.parquet", witness(tokenizer, text_file)
    seen.plain = lambda model: model.merge_and_unload()
    trainer(
        tokenizer, tmp_path / "run", ShapeCallback(text_file, out, every=1, **SMALL), seen, steps=2,
        wrap=adapted, save_strategy="no",
    ).train()  # fmt: skip
    agree(read_table(out), seen.values, [1, 2])
    assert sum("lora" in name for name, _ in adapted(network_of("Llama")).named_parameters()) == 4


class Plain(torch.nn.Module):
    """A model that is none of transformers'."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(2, 2)


@pytest.mark.parametrize("steps", [(0, 2), (2,)])
def test_what_cannot_be_read_is_refused_before_step_0(
    steps: tuple[int, ...], tokenizer: Any, text_file: Path, tmp_path: Path
):
    from transformers import TrainerControl, TrainerState

    def begin(model: Any, **given: Any) -> None:
        watch = ShapeCallback(text_file, tmp_path / "s.parquet", steps=steps, **SMALL, **given)
        state = TrainerState()
        watch.on_train_begin(
            None, state, TrainerControl(), model=model, processing_class=tokenizer
        )  # fmt: skip

    with pytest.raises(ShapelibError, match="Plain has no base network"):
        begin(Plain())
    whole = network_of("T5", "ForConditionalGeneration")
    with pytest.raises(
        ShapelibError, match=r"is an encoder-decoder model: give ShapeCallback\(part"
    ):
        begin(whole)
    with pytest.raises(ShapelibError, match="part 'encoder' was given, but LlamaModel is no"):
        begin(network_of("Llama"), part="encoder")
    with pytest.raises(ShapelibError, match="no such part: 'both'"):
        begin(whole, part="both")
    begin(whole, part="decoder")
    assert (0 in steps) == (tmp_path / "s.parquet").exists()


@pytest.mark.parametrize(
    "how",
    # The first import of all that this one needs takes longer than the rest of this file.
    [pytest.param("fully_shard", marks=pytest.mark.stress), "FullyShardedDataParallel"],
)
def test_weights_that_fsdp_has_spread_are_refused(how: str, tmp_path: Path):
    """By torch itself, in a group of one process."""
    import torch.distributed as group
    from torch.distributed import fsdp
    from torch.distributed.device_mesh import init_device_mesh

    rendezvous = f"file://{tmp_path / 'rendezvous'}"
    group.init_process_group("gloo", init_method=rendezvous, rank=0, world_size=1)
    try:
        network = network_of("Llama")
        if how == "fully_shard":
            fsdp.fully_shard(network, mesh=init_device_mesh("cpu", (1,)))
        else:
            network = fsdp.FullyShardedDataParallel(network, device_id=torch.device("cpu"))
        with pytest.raises(ShapelibError, match=r"weights of .* are spread over processes, and no"):
            watched(network).__enter__()
    finally:
        group.destroy_process_group()


def test_the_text_is_cut_once_for_all_measurements_of_a_training(
    tokenizer: Any, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from shapelib.text import corpus

    cut: list[int] = []

    def counted(*arguments: Any, **named: Any) -> Any:
        cut.append(1)
        return windows(*arguments, **named)

    windows = corpus.windows
    out, asked = tmp_path / "shape.parquet", {**SMALL, "unit": "tokens", "window": 20}
    watch = ShapeCallback(text_file, out, every=2, **asked)
    monkeypatch.setattr(corpus, "windows", counted)
    run = trainer(tokenizer, tmp_path / "run", watch)
    run.train()
    assert len(cut) == 1
    table = read_table(out)
    assert table["step"].unique().tolist() == [0, 2, 4, 6]
    # The last measurement, by hand.
    whole = live(run.model.model.eval(), tokenizer, step=6)
    expected = profile(whole, text_file, **asked, progress=False)
    last = table[table["step"] == 6].reset_index(drop=True)
    assert last["value"].equals(expected["value"])
    assert last["stderr"].equals(expected["stderr"])
    # The next training has a tokenizer of its own.
    out.unlink()
    trainer(tokenizer, tmp_path / "next", watch, steps=2).train()
    assert len(cut) == 3
