"""The command that compares adapters of peft: what is trained, what is counted, what is refused."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from scripts import script

from shapelib.finetuning import encoding, one_run
from shapelib.finetuning.plan import COLUMNS
from shapelib.finetuning.tasks import load_task
from shapelib.models import loading
from shapelib.store import tables

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")
# Of a network 24 wide with two layers, so that query and value are four matrices.
HEAD = 24 * 2 + 2
SIZES: dict[str, tuple[dict[str, int], int]] = {
    "head alone": ({}, 0),
    "LoRA": ({"r": 2}, 4 * 2 * (24 + 24)),
    "RandLoRA": ({"r": 12}, 4 * 2 * (12 + 24)),
    "TinyLoRA": ({"u": 5}, 4 * 5),
    "Uni-LoRA": ({"theta_d_length": 30}, 30),
    "VB-LoRA": ({"r": 1, "vector_length": 8, "num_vectors": 4}, 4 * 8 + 4 * 2 * 3 * 4),
    "VeRA": ({"r": 6}, 4 * (6 + 24)),
}


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("adapters", monkeypatch)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """A task: is there a cat, or a dog?"""
    draw = random.Random(0)
    rows = [
        {"text": f"{draw.choice(['moon', 'sea'])} {n} {('cat', 'dog')[n % 2]}", "label": n % 2}
        for n in range(200)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "animals.csv", index=False)
    return tmp_path / "animals.csv"


def test_every_way_has_sizes(adapters: ModuleType):
    assert {adapters.HEAD, *adapters.WAYS} == set(SIZES)
    for _, _, sizes in adapters.WAYS.values():
        assert len(sizes) > 1
        assert len({tuple(each) for each in sizes}) == 1


@pytest.mark.parametrize("method", SIZES)
def test_an_adapter_and_the_head_are_all_that_is_trained(
    method: str, adapters: ModuleType, encoder_folder: Path, animals: Path
):
    model = loading.load(loading.find(str(encoder_folder)))
    read = encoding.encode(load_task(animals), model, 16)
    size, numbers = SIZES[method]
    nets = []
    for seed in (0, 0, 1):
        net = one_run.classifier(model, read.classes, "pre-trained", seed)
        trained = adapters.adapted(net, method, size, seed)
        assert sum(each.numel() for each in trained) == numbers + HEAD
        inside = {id(each) for each in net.parameters() if each.requires_grad}
        assert {id(each) for each in trained} == inside
        nets.append((net, trained))
    for first, again in zip(nets[0][1], nets[1][1], strict=True):
        torch.testing.assert_close(first, again, rtol=0, atol=0)
    net, trained = nets[0]
    before = {name: each.detach().clone() for name, each in net.named_parameters()}
    setting = adapters.Setting("pre-trained", "full", None, 0.03, 0, 20, 16, 16)
    found = one_run.fit(net, read, setting, [{"params": trained, "top": 0.03}])
    assert (found.D, found.learning_rate, found.diverged) == (numbers + HEAD, 0.03, False)
    for name, each in net.named_parameters():
        assert torch.equal(each, before[name]) is not each.requires_grad, name


def test_runs_are_kept_as_they_are_made(
    adapters: ModuleType, encoder_folder: Path, animals: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(adapters, "peft_version", lambda: "0")
    part = adapters.Adapted(str(encoder_folder), str(animals), seeds=(0, 1, 2))
    first, rate = part.climbed(adapters.HEAD, None, part.rate, 10)
    whole = part.by_more_seeds(first, adapters.HEAD, None, 10)
    assert set(COLUMNS) | {"size"} == set(whole)
    assert set(whole["seed"]) == {0, 1, 2}
    assert rate in set(whole["rate"])
    assert (whole["d"] == HEAD).all()
    assert set(whole["method"]) == {adapters.HEAD}
    assert (whole["D"] > 1000).all()

    def no_run(*given: Any) -> None:
        raise AssertionError("it is made again")

    monkeypatch.setattr(one_run, "fit", no_run)
    again = part.by_more_seeds(part.climbed(adapters.HEAD, None, part.rate, 10)[0],
                               adapters.HEAD, None, 10)  # fmt: skip
    pd.testing.assert_frame_equal(whole, again)
    # Another version of peft may do another thing.
    monkeypatch.setattr(adapters, "peft_version", lambda: "1")
    with pytest.raises(AssertionError, match="made again"):
        part.climbed(adapters.HEAD, None, part.rate, 10)


def test_the_table_says_what_made_it(
    adapters: ModuleType, encoder_folder: Path, animals: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = {"model": str(encoder_folder), "task": str(animals), "seeds": (0, 1, 2)}
    monkeypatch.setattr(adapters, "ASKED", asked)
    monkeypatch.setattr(adapters, "WAYS", {})
    monkeypatch.setattr(adapters, "peft_version", lambda: "0.1")
    table = adapters.made()
    (run,) = table.attrs["provenance"]
    assert (run["part"], run["command"]) == ("adapters", "python results/adapters.py")
    assert (run["runs"], run["peft"], run["duplicates"]) == (len(table), "0.1", 0)
    assert run["seconds"] == pytest.approx(table["seconds"].sum(), abs=0.1 * len(table))
    assert set(table["part"]) == {"adapters"}


def test_what_is_refused(adapters: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(adapters, "HERE", tmp_path / "adapters")
    monkeypatch.setattr(tables, "_commit", lambda: "0123456789ab")

    def missing() -> str:
        raise ModuleNotFoundError("peft")

    monkeypatch.setattr(adapters, "peft_version", missing)
    with pytest.raises(SystemExit, match="it needs peft: pip install peft"):
        adapters.main()
    monkeypatch.setattr("sys.argv", ["adapters.py", "LoRA"])
    with pytest.raises(SystemExit, match="no arguments are taken: LoRA"):
        adapters.main()
    assert not (tmp_path / "adapters").exists()
