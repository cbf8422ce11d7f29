"""Fine-tuning in subspaces on a task that a tiny model learns: the same table whoever makes it."""

import dataclasses
import gc
import math
import os
import random
import shutil
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from forked import MAIN, forks
from kept import finished, without_a_cell

from shapelib import d90, dimension_sweep
from shapelib.errors import ShapelibError
from shapelib.finetuning import encoding, one_run, sweep
from shapelib.finetuning.plan import COLUMNS
from shapelib.finetuning.settings import Setting, Tuning
from shapelib.finetuning.sweep import d90_search
from shapelib.finetuning.tasks import load_task
from shapelib.models import loading
from shapelib.store import tables
from shapelib.store.cells import open_store

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ("moon", "river", "sand", "coast", "wind", "mat", "log", "line")
# Runs of less than half a second.
QUICK: dict[str, Any] = {"steps": 60, "batch": 16, "length": 16}
SMALL: dict[str, Any] = {
    **QUICK, "dimensions": (20, 400), "learning_rates": (0.01,), "full_rates": (0.006,),
    "seeds": (0, 1), "inits": ("pre-trained",), "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Is there a cat, or a dog?"""
    draw = random.Random(0)
    rows = []
    for n in range(240):
        words = draw.choices(WORDS, k=2)
        words.insert(draw.randrange(3), ("cat", "dog")[n % 2])
        text = " ".join([str(n // 2), *words])
        rows.append({"text": text, "label": ("feline", "canine")[n % 2]})
    path = tmp_path_factory.mktemp("tasks") / "animals.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(encoder_folder: Path) -> loading.Model:
    return loading.load(encoder_folder, device="cpu")


@pytest.fixture(scope="module")
def read(animals: Path, model: loading.Model) -> encoding.Encoded:
    return encoding.encode(load_task(animals), model, 16)


@pytest.fixture(scope="module")
def serial(encoder_folder: Path, animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run in this process."""
    output = tmp_path_factory.mktemp("stores") / "serial"
    dimension_sweep(encoder_folder, animals, output=output, **SMALL)
    return output


def setting(
    method: Any = "full", d: int | None = None, rate: float = 0.006, **given: Any
) -> Setting:
    return Setting(
        **{"init": "pre-trained", "method": method, "d": d, "rate": rate, **QUICK, **given}
    )


# ---- one run


def test_the_last_tokens_state_alone_has_read_the_text(decoder_folder: Path, animals: Path):
    """Where padding is, and where a text ends, is no matter; and a decoder learns by it."""
    model = loading.load(decoder_folder, device="cpu")
    read = encoding.encode(load_task(animals), model, 16)
    net = one_run.classifier(model, 2, "pre-trained", 0, "last")
    rows = torch.arange(12)
    given = read.train.batch(rows)
    assert len(set(read.train.sizes[rows].tolist())) > 2
    with torch.no_grad():
        found = net(given)
        for row in rows.tolist():
            ids = read.train.ids[row : row + 1, : read.train.sizes[row]]
            state = net.network(input_ids=ids).last_hidden_state[0, -1]
            torch.testing.assert_close(found[row], net.head(state), atol=1e-5, rtol=1e-4)
        # A first token says nothing about those after it, in a decoder.
        first = net.network(**given).last_hidden_state[:, 0]
        assert not torch.allclose(found, net.head(first), atol=1e-3)
    mean, last = (
        one_run.tune(model, read, setting(pooling=pooling)) for pooling in ("mean", "last")
    )
    assert mean.loss != last.loss
    assert last.score > 0.7


@pytest.mark.parametrize("method", ["full", "DID", "SAID"])
def test_products_in_bfloat16_and_all_else_in_float32(
    method: str, model: loading.Model, read: encoding.Encoded, monkeypatch: pytest.MonkeyPatch
):
    d = None if method == "full" else 400
    plain = one_run.tune(model, read, setting(method, d))
    seen: dict[str, set[torch.dtype]] = {"products": set(), "head": set(), "trained": set()}
    dense = "encoder.layer.0.output.dense"
    classifier, adam = one_run.classifier, torch.optim.AdamW

    def watched(*given: Any, **more: Any) -> Any:
        net = classifier(*given, **more)
        net.network.get_submodule(dense).register_forward_hook(
            lambda _, __, out: seen["products"].add(out.dtype)
        )
        net.head.register_forward_hook(lambda _, __, out: seen["head"].add(out.dtype))
        return net

    def optimizer(groups: Any, **more: Any) -> Any:
        seen["trained"] |= {each.dtype for group in groups for each in group["params"]}
        return adam(groups, **more)

    monkeypatch.setattr(one_run, "classifier", watched)
    monkeypatch.setattr(torch.optim, "AdamW", optimizer)
    narrow = one_run.tune(model, read, setting(method, d, dtype="bfloat16"))
    assert seen == {
        "products": {torch.bfloat16}, "head": {torch.float32}, "trained": {torch.float32}
    }  # fmt: skip
    assert narrow.loss != plain.loss
    assert narrow.loss == pytest.approx(plain.loss, abs=0.1)
    assert narrow.score == pytest.approx(plain.score, abs=0.1)


def test_a_run_learns_and_is_the_same_each_time(model: loading.Model, read: encoding.Encoded):
    before = {name: each.clone() for name, each in model.network.state_dict().items()}
    full, did = one_run.tune(model, read, setting()), one_run.tune(model, read, setting("DID", 400))
    assert full.score > 0.9
    assert did.score > 0.8
    assert full.train_score > 0.9
    again = one_run.tune(model, read, setting("DID", 400))
    assert again._replace(seconds=0) == did._replace(seconds=0)
    other = one_run.tune(model, read, setting("DID", 400, seed=1))
    assert other.loss != did.loss
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(did.right), np.uint8), count=48)
    assert bits.mean() == did.score
    for name, each in model.network.state_dict().items():
        assert torch.equal(each, before[name]), "the model itself is left as it was"


def test_exactly_d_numbers_train(model: loading.Model, read: encoding.Encoded):
    network = sum(
        each.numel() for name, each in model.network.named_parameters() if "pooler" not in name
    )
    for method, d, scales in (("DID", 30, 0), ("SAID", 30, 4)):
        found = one_run.tune(model, read, setting(method, d))
        # Embeddings, two layers, head; a pooler that the mean passes by is not counted.
        assert (found.D, found.groups) == (network + 2 * 24 + 2, scales)
        assert found.learning_rate == pytest.approx(0.006 * math.sqrt(found.D / d))
        net = one_run.classifier(model, 2, "pre-trained", 0)
        one_run.reached(net, read.train, torch.arange(4))
        for block in (None, 1, 64):
            made = one_run.classifier(model, 2, "pre-trained", 0)
            one_run.reached(made, read.train, torch.arange(4))
            inside = one_run.confine(made, setting(method, d, block=block))
            assert inside.projection.block == (block or inside.projection.block)
            assert inside.projection.dimension == d - scales
            assert sum(each.numel() for each in made.parameters() if each.requires_grad) == d


def test_initialisations(model: loading.Model):
    trained, fresh, same, other = (
        one_run.classifier(model, 2, init, seed)
        for init, seed in (("pre-trained", 0), ("random", 0), ("random", 0), ("random", 1))
    )
    assert (
        dict(trained.network.named_parameters()).keys()
        == dict(fresh.network.named_parameters()).keys()
    )
    name = "network.encoder.layer.0.output.dense.weight"
    weights = [dict(net.named_parameters())[name] for net in (trained, fresh, same, other)]
    assert torch.equal(weights[0], dict(model.network.named_parameters())[name.partition(".")[2]])
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[3])
    assert float(weights[1].detach().std()) == pytest.approx(0.3, rel=0.1), "by the model's config"
    assert torch.equal(trained.head.weight, fresh.head.weight)
    assert not torch.equal(trained.head.weight, other.head.weight)
    assert not any(module.training for module in trained.modules())


def test_a_run_that_diverges_or_is_hopeless(model: loading.Model, read: encoding.Encoded):
    lost = one_run.tune(model, read, setting(rate=1e38))
    assert lost.diverged
    assert math.isnan(lost.score)
    assert math.isnan(lost.train_score)
    assert lost.stopped is None
    stuck = one_run.tune(model, read, setting(rate=5.0))
    assert (stuck.diverged, stuck.stopped) == (False, 30)
    assert stuck.loss > math.log(2) > 0.69
    assert 0.3 < stuck.score < 0.7


@pytest.mark.parametrize("folder", ["encoder_folder", "decoder_folder"])
def test_padding_changes_nothing(folder: str, request: pytest.FixtureRequest, animals: Path):
    loaded = loading.load(request.getfixturevalue(folder), device="cpu")
    side = encoding.encode(load_task(animals), loaded, 32).train
    assert len(set(side.sizes.tolist())) > 2
    net = one_run.classifier(loaded, 2, "pre-trained", 0)
    with torch.no_grad():
        together = net(side.batch(torch.arange(12)))
        alone = torch.cat([net(side.batch(torch.tensor([row]))) for row in range(12)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    # Mean pooling, told another way.
    given = side.batch(torch.tensor([3]))
    with torch.no_grad():
        states = net.network(input_ids=given["input_ids"]).last_hidden_state[0]
    torch.testing.assert_close(together[3], net.head(states.mean(dim=0)), atol=1e-5, rtol=1e-4)


# ---- what a run reads


def test_every_epoch_reads_all_rows_once_by_like_length(read: encoding.Encoded):
    side = read.train
    batches = list(encoding.order(side, 16, 24, seed=3))
    assert len(batches) == 24
    for epoch in (batches[:12], batches[12:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(len(side.sizes)))
    assert any(
        not torch.equal(one, two) for one, two in zip(batches[:12], batches[12:], strict=True)
    )
    spread = np.mean([side.sizes[rows].numpy().std() for rows in batches])
    assert spread < 0.5 * side.sizes.numpy().std()
    again = list(encoding.order(side, 16, 24, seed=3))
    assert all(torch.equal(one, two) for one, two in zip(batches, again, strict=True))
    assert sorted(torch.cat(encoding.by_length(side, 7)).tolist()) == list(range(len(side.sizes)))


def test_pairs_keep_within_the_length(tmp_path: Path, model: loading.Model, decoder_folder: Path):
    path = tmp_path / "pairs.csv"
    rows = [
        {"text_a": "cat " * (1 + n), "text_b": "dog " * (20 - n), "label": n % 2} for n in range(20)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    task = load_task(path)
    framed = encoding.encode(task, model, 12).train
    assert 10 <= int(framed.sizes.max()) <= 12
    plain_model = loading.load(decoder_folder, device="cpu")
    plain = encoding.encode(task, plain_model, 12).train
    between = plain_model.tokenizer("\n")["input_ids"]
    for row, size in zip(plain.ids.tolist(), plain.sizes.tolist(), strict=True):
        assert size <= 12
        text = plain_model.tokenizer.decode(row[:size])
        assert text.count("\n") == 1
        assert text.startswith("cat")
        assert "dog" in text.partition("\n")[2]
        assert row.count(between[0]) == 1
    for length in (3, 129, True):
        with pytest.raises(ShapelibError, match="4 to 128 tokens are accepted"):
            encoding.encode(task, model, length)


# ---- a grid of runs


def equal(table: pd.DataFrame, other: pd.DataFrame) -> None:
    """All but the time it took."""
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), other.drop(columns="seconds"))


def test_the_table_of_a_grid(
    serial: Path, encoder_folder: Path, animals: Path, model: loading.Model
):
    table = tables.read_table(serial / "table.parquet")
    assert list(table.columns) == list(COLUMNS)
    size = table["D"].iloc[0]
    assert table[["method", "d", "seed"]].to_numpy().tolist() == [
        [method, d, seed]
        for method, d in (("full", size), ("DID", 20), ("DID", 400), ("SAID", 20), ("SAID", 400))
        for seed in (0, 1)
    ]
    assert set(table["model"]) == {"tiny-encoder"}
    assert set(table["task"]) == {"animals"}
    assert (table["train"].iloc[0], table["test"].iloc[0], table["majority"].iloc[0]) == (
        192,
        48,
        0.5,
    )
    (row,) = table[(table["method"] == "DID") & (table["d"] == 400) & (table["seed"] == 1)].to_dict(
        "records"
    )
    task = load_task(animals)
    alone = one_run.tune(model, encoding.encode(task, model, 16), setting("DID", 400, 0.01, seed=1))
    assert (row["score"], row["loss"], row["right"]) == (alone.score, alone.loss, alone.right)
    runs = table.attrs["provenance"]
    assert len(runs) == 10
    assert runs[0]["task_sha256"] == task.sha256
    assert runs[0]["method"] == "full"
    found = d90(table)
    assert len(found) == 2 * 2
    assert found["full"].iloc[0] > 0.9


def test_two_workers_make_the_same_table(
    serial: Path, encoder_folder: Path, animals: Path, tmp_path: Path
):
    table = dimension_sweep(encoder_folder, animals, output=tmp_path / "two", workers=2, **SMALL)
    equal(table, tables.read_table(serial / "table.parquet"))
    assert table.attrs["failures"] == []


def test_where_nothing_is_missing_no_model_is_loaded(
    serial: Path, encoder_folder: Path, animals: Path, tmp_path: Path, monkeypatch: Any
):
    output = shutil.copytree(serial, tmp_path / "store")
    loads: list[loading.Source] = []
    load = loading.load

    def counted(source: loading.Source, **given: Any) -> loading.Model:
        loads.append(source)
        return load(source, **given)

    monkeypatch.setattr(loading, "load", counted)
    table = dimension_sweep(encoder_folder, animals, output=output, **SMALL)
    equal(table, tables.read_table(serial / "table.parquet"))
    assert loads == []
    # What cannot be is still refused before any run, with the model that runs would take.
    few = {**SMALL, "methods": ("DID",), "seeds": (0,), "dimensions": (30,)}
    with pytest.raises(ShapelibError, match="the number of trainable parameters"):
        dimension_sweep(encoder_folder, animals, output=output, **few | {"dimensions": (10**8,)})
    assert len(loads) == 1
    dimension_sweep(encoder_folder, animals, output=output, **few)
    assert len(loads) == 1, "what was loaded to look is what the runs take"


def test_only_what_is_missing_or_changed_is_run(
    serial: Path, encoder_folder: Path, animals: Path, tmp_path: Path
):
    output = tmp_path / "store"
    with without_a_cell(serial, output):
        table = dimension_sweep(encoder_folder, animals, output=output, **SMALL)
    equal(table, tables.read_table(serial / "table.parquet"))
    kept = open_store(output, "tuning")
    runs = Tuning((20,), ("DID",), ("pre-trained",), (0.01,), (), (0,), **QUICK).runs()
    (cell,) = sweep.plan(encoder_folder, animals, runs)
    assert kept.read(cell.key) is not None
    for change in (
        {"steps": 61},
        {"length": 17},
        {"seed": 2},
        {"rate": 0.1},
        {"init": "random"},
        {"block": 1},
        {"pooling": "last"},
        {"dtype": "bfloat16"},
    ):
        (other,) = sweep.plan(encoder_folder, animals, [dataclasses.replace(runs[0], **change)])
        assert kept.read(other.key) is None
    # Another text under the same name.
    changed = tmp_path / animals.name
    changed.write_text(animals.read_text().replace("moon", "sea"))
    (other,) = sweep.plan(encoder_folder, changed, runs)
    assert kept.read(other.key) is None


COMMAND = [sys.executable, "-c", MAIN, "d90"]
OPTIONS = (
    *("--dimensions", "20,400", "--methods", "DID,SAID", "--learning-rates", "0.01"),
    *("--full-rates", "0.006", "--seeds", "0,1", "--steps", "60", "--batch", "16"),
    *("--length", "16", "--device", "cpu"),
)


def test_a_killed_run_loses_the_cell_in_work_and_no_other(
    serial: Path, encoder_folder: Path, animals: Path, tmp_path: Path
):
    output = tmp_path / "store"
    command = [*COMMAND, str(encoder_folder), str(animals), "--output", str(output), *OPTIONS]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(finished(output)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = finished(output)
    assert len(before) >= 2
    table = dimension_sweep(encoder_folder, animals, output=output, **SMALL)
    equal(table, tables.read_table(serial / "table.parquet"))
    after = finished(output)
    assert len(after) == 10
    assert {name: after[name] for name in before} == before


def test_diverged_runs_are_shown_and_others_go_on(
    encoder_folder: Path, animals: Path, tmp_path: Path
):
    table = dimension_sweep(
        encoder_folder, animals, output=tmp_path / "store",
        **{
            **SMALL, "dimensions": (400,), "methods": ("DID",), "learning_rates": (0.01, 1e38),
            "seeds": (0,),
        },
    )  # fmt: skip
    assert table["diverged"].tolist() == [False, False, True]
    assert table["score"].isna().tolist() == [False, False, True]
    found = d90(table).iloc[0]
    assert found["failed"] == 1
    assert found["full"] > 0.9


def test_a_large_network_is_let_go_of_after_each_run(
    encoder_folder: Path, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    few = {**SMALL, "methods": ("DID",), "full_rates": (), "dimensions": (20,), "steps": 2}
    made: list[weakref.ref[Any]] = []
    confine = one_run.confine

    def watched(*given: Any) -> Any:
        found = confine(*given)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(one_run, "confine", watched)
    gc.disable()
    try:
        for large, left in ((10**9, True), (1, False)):
            monkeypatch.setattr("shapelib.finetuning.plan._LARGE", large)
            made.clear()
            dimension_sweep(encoder_folder, animals, output=tmp_path / str(large), **few)
            # One was made to look whether it can be, two were tuned.
            assert len(made) == 3
            assert any(each() is not None for each in made) == left
    finally:
        gc.enable()


def test_search_tries_few_dimensions_and_shares_the_store(
    encoder_folder: Path, animals: Path, tmp_path: Path
):
    copied = shutil.copy(animals, tmp_path / "copied.csv")
    words: dict[str, Any] = {
        **{name: SMALL[name] for name in ("learning_rates", "full_rates", "progress")},
        **QUICK, "seeds": (1,), "low": 4, "high": 1000, "ratio": 2.0, "output": tmp_path / "store",
    }  # fmt: skip
    found = d90_search(encoder_folder, animals, **words).query("definition == 'papers'").iloc[0]
    made = finished(tmp_path / "store")
    assert len(made) <= 1 + 2 + 4
    again = d90_search(encoder_folder, animals, **words).query("definition == 'papers'").iloc[0]
    assert finished(tmp_path / "store") == made
    pd.testing.assert_series_equal(again, found)
    tables = [open_store(tmp_path / "store", "tuning").read(Path(name).stem) for name in made]
    tried = pd.concat([each for each in tables if each is not None]).query("method == 'DID'")
    reached = tried[tried["score"] >= found["threshold"]]["d"]
    assert len(reached)
    assert found["grid"] == reached.min()
    assert tried[tried["d"] < found["grid"]]["d"].max() >= found["grid"] / 2
    # The last two by more seeds, and nothing else.
    more = d90_search(encoder_folder, animals, last_seeds=(1, 2, 3), **words)
    of_more = more.query("definition == 'papers'").iloc[0]
    assert (found["seeds"], of_more["seeds"]) == (1, 3)
    assert len(finished(tmp_path / "store")) == len(made) + 2 * (1 + 2)
    whole = more.attrs["runs"]
    assert len(whole) == len(made) + 6
    last = whole[(whole["seed"] > 1) & (whole["method"] == "DID")]["d"]
    assert set(last) == {found["grid"], max(tried[tried["d"] < found["grid"]]["d"])}
    with pytest.raises(ShapelibError, match="1 ≤ low < high and ratio ≥ 1"):
        d90_search(encoder_folder, animals, **{**words, "low": 2000})
    with pytest.raises(ShapelibError, match="one model, checkpoint and task at a time"):
        d90_search(encoder_folder, [animals, copied], **words)
    with pytest.raises(ShapelibError, match="definition='paper'; did you mean 'papers'"):
        d90_search(encoder_folder, animals, definition="paper", **words)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimensions": (20, 10**7)}, "10000000"),
        ({"dimensions": (4, 20), "methods": ("SAID",)}, "d is 4; .* 4 groups have a scale"),
        ({"block": 100}, "block is 100; accepted"),
        ({"block": 16}, "block is 16; accepted for d = 400"),
        ({"methods": ("LoRA",)}, "methods: 'LoRA' is none; "),
        ({"pooling": "max"}, "pooling: 'max' is none; .*known: mean, last"),
        ({"dtype": "float16"}, "dtype: 'float16' is none; .*known: float32, bfloat16"),
        ({"inits": ("zero",)}, "inits: 'zero' is none; known: pre-trained, random"),
        ({"dimensions": (0,)}, "dimensions: 0; whole numbers of at least 1"),
        ({"dimensions": (2.5,)}, "dimensions: 2.5; whole numbers"),
        ({"learning_rates": (-1.0,)}, "learning_rates: -1.0; positive numbers"),
        ({"full_rates": (math.inf,)}, "full_rates: inf; positive numbers"),
        ({"seeds": ()}, "nothing to run"),
        ({"seeds": (-1,)}, "seeds: -1; whole numbers of at least 0"),
        ({"steps": 1}, "steps: 1; whole numbers of at least 2"),
        ({"length": 500}, "length=500; 4 to 128 tokens"),
        ({"workers": 0}, "workers must be a whole number"),
        ({"checkpoints": "all", "device": "cuda:99"}, "device 'cuda:99' cannot be used"),
    ],
)
def test_bad_input_is_told_before_anything_is_run(
    changes: dict[str, Any], message: str, encoder_folder: Path, animals: Path, tmp_path: Path
):
    output = tmp_path / "store"
    with pytest.raises(ShapelibError, match=message):
        dimension_sweep(encoder_folder, animals, output=output, **{**SMALL, **changes})
    assert not output.exists(), "what is refused leaves no store behind"


def test_the_command(serial: Path, encoder_folder: Path, animals: Path, tmp_path: Path):
    def d90_command(*words: object) -> subprocess.CompletedProcess[str]:
        return forks().run("d90", *words, environment={**os.environ, "COLUMNS": "160"})

    done = d90_command(encoder_folder, animals, "--output", serial, *OPTIONS)
    assert done.returncode == 0, done.stderr
    for shown in ("animals: the smallest d that reaches 90%", "tiny-encoder", "SAID", "papers"):
        assert shown in done.stdout
    assert "10 runs in" in done.stdout
    assert "10 were in the store, 0 computed" in done.stderr
    store_of_search = shutil.copytree(serial, tmp_path / "search")
    alone = (*OPTIONS, "--methods", "DID", "--search")
    found = d90_command(encoder_folder, animals, "--output", store_of_search, *alone)
    assert found.returncode == 0, found.stderr
    assert "animals: the smallest d that reaches 90%" in found.stdout
    assert "SAID" not in found.stdout
    before = len(finished(store_of_search))
    more = ("--last-seeds", "0,1,2", "--rates", "other texts")
    found = d90_command(encoder_folder, animals, "--output", store_of_search, *alone, *more)
    assert found.returncode == 0, found.stderr
    assert len(finished(store_of_search)) > before
    for words, said in (
        (("--last-seeds", "some"), "--last-seeds 'some': whole numbers with commas"),
        (("--rates", "all texts"), "rates='all texts'; "),
        (("--pooling", "first"), "pooling: 'first' is none; "),
    ):
        wrong = d90_command(encoder_folder, animals, "--output", store_of_search, *alone, *words)
        assert wrong.returncode == 2
        assert said in wrong.stderr
    labelless = tmp_path / "labelless.csv"
    pd.DataFrame({"text": ["a", "b"], "stars": [1, 2]}).to_csv(labelless, index=False)
    wrong = d90_command(encoder_folder, labelless, "--output", tmp_path / "new", *OPTIONS)
    assert wrong.returncode == 2
    assert "has no column 'label'; it has: text, stars" in wrong.stderr
    wrong = d90_command(
        encoder_folder, animals, "--output", tmp_path / "new", *OPTIONS, "--learning-rates", "high"
    )
    assert wrong.returncode == 2
    assert "--learning-rates 'high': numbers with commas" in wrong.stderr
    assert "Traceback" not in wrong.stderr
