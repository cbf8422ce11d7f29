"""The papers' figures made on a hub of our own: a figure of each kind, and what can be wrong."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TEXT
from forked import Forks
from hub import Client, Hub
from papers_hub import drop, stock

from shapebook.notebooks import notebook as notebooks
from shapebook.papers import listed
from shapelib.models import catalogue
from shapelib.store.tables import read_table

ROOT = Path(__file__).parents[3]
MAIN = "from shapebook.run import main; main()"
SMALL = ("-p", "tokens=256", "-p", "batch=64", "-p", "window=60")


class Papers:
    """``shapebook papers``, in forks of a process that knows no hub but that of these tests."""

    def __init__(self, hub: Hub, folder: Path, tokenizers: tuple[Any, Any]) -> None:
        self.hub, self.folder, self.tokenizers = hub, folder, tokenizers
        self.text = folder / "story.txt"
        lines = (f"{line} ({n})" for n in range(50) for line in TEXT.splitlines())
        self.text.write_text("\n".join(lines), encoding="utf-8")
        own = {
            "SHAPELIB_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1",
        }  # fmt: skip
        self.environment = Client(hub, folder / "home").environment(**own)
        # The hub's client reads where its hub is when it is imported.
        told = ("HF_ENDPOINT", "HF_HOME", "NO_PROXY", "OMP_NUM_THREADS")
        self.forks = Forks(**{name: self.environment[name] for name in told})

    def stock(self, *names: str) -> None:
        stock(self.hub, names, self.folder / "made", *self.tokenizers)

    def stock_all(self) -> None:
        """The whole catalogue, once."""
        named = {name for each in listed.figures(ROOT).values() for name in each.names}
        if not (self.folder / "all").exists():
            self.stock(*sorted(named))
            (self.folder / "all").touch()

    def words(self, figure: str, *words: object) -> list[str]:
        store, page = self.folder / f"{figure}-store", self.folder / f"{figure}.html"
        fixed = ["papers", figure, "--store", str(store), "--out", str(page)]
        return [*fixed, *map(str, words)]

    def run(
        self, figure: str, *words: object, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        own = {**self.environment, **environment}
        return self.forks.run(*self.words(figure, *words), code=MAIN, cwd=ROOT, environment=own)

    def page(self, figure: str) -> str:
        return (self.folder / f"{figure}.html").read_text()

    def records(self, figure: str) -> list[dict[str, Any]]:
        return notebooks.records(notebooks.read(self.folder / f"{figure}.ipynb"))

    def table(self, figure: str) -> pd.DataFrame:
        return read_table(self.folder / f"{figure}-store" / "table.parquet")


@pytest.fixture(scope="module")
def papers(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, framed_tokenizer: Any
) -> Iterator[Papers]:
    hub = Hub()
    found = Papers(hub, tmp_path_factory.mktemp("papers"), (tokenizer, framed_tokenizer))
    yield found
    found.forks.close()
    hub.close()


def downloads(hub: Hub) -> list[str]:
    """The weights that were asked for."""
    return [r.path for r in hub.requests if r.path.endswith((".bin", ".safetensors"))]


def pets(folder: Path) -> Path:
    """A task of two classes."""
    rows = [f"a cat may sit {n},cat\nthe sun orbits {n},sun" for n in range(60)]
    task = folder / "pets.csv"
    task.write_text("\n".join(["text,label", *rows]) + "\n")
    return task


@pytest.mark.stress
def test_models_over_layers(papers: Papers):
    """Figure 1 on four models: a pickle, a gated one, an encoder and a plain decoder."""
    names = ["gpt2", "opt-125m", "bert-base-uncased", "llama-2-7b"]
    papers.stock(*names)
    words = ("-p", f"models={json.dumps(names)}", "--corpus", papers.text, *SMALL)
    refused = papers.run("fig1", *words)
    assert refused.returncode == 2
    assert "fig1 needs opt-125m, whose weights are pickles" in refused.stderr
    assert "SHAPEBOOK_ALLOW_PICKLE=1, once for the whole figure" in refused.stderr
    assert not any(r.path.startswith("/api/models/facebook/opt-125m") for r in papers.hub.requests)

    done = papers.run("fig1", *words, SHAPEBOOK_ALLOW_PICKLE="1")
    assert done.returncode == 1, done.stderr
    assert "missing: llama-2-7b: 'llama-2-7b' (meta-llama/Llama-2-7b-hf on the hub) is gated" in (
        done.stderr
    )
    assert "1 missing, named on the page" in done.stdout
    page = papers.page("fig1")
    assert "missing llama-2-7b" in page
    assert "accept its licence on https://huggingface.co/meta-llama/Llama-2-7b-hf" in page
    assert list(papers.table("fig1")["model"].unique()) == ["gpt2", "opt-125m", "bert-base-uncased"]
    records = papers.records("fig1")
    judged = {each["model"] for record in records for each in record["models"]}
    assert judged == set(names) - {"llama-2-7b"}
    assert {record["verdict"] for record in records} == {"not testable here"}


def test_a_suite_along_training(papers: Papers):
    """Figure 2 on three checkpoints of Bloom-3B: pickles without a tokenizer; one has vanished."""
    papers.stock("bloom-3b")
    drop(papers.hub, "bigscience/bloom-3b-intermediate", "global_step10000")
    words = ("--corpus", papers.text, "--checkpoints", "1000,10000,50000,337250", *SMALL)
    done = papers.run("fig2", *words, "--allow-pickle")
    assert done.returncode == 1, done.stderr
    assert "missing: bloom-3b@step10000: the hub has 'bloom-3b@step10000'" in done.stderr
    assert "missing bloom-3b@step10000" in papers.page("fig2")
    records = papers.records("fig2")
    assert {record["verdict"] for record in records} == {"not testable here"}
    measured = {1000, 50000, 337250}
    assert set(papers.table("fig2")["step"]) <= measured
    cells = list((papers.folder / "fig2-store" / "cells").glob("*.parquet"))
    # The last is measured once more, without its massive vectors.
    assert len(cells) == len(measured) + 1
    # A store of another figure is not written into.
    other = papers.run(
        "fig3", *words[:2], "--store", papers.folder / "fig2-store", "--allow-pickle"
    )
    assert other.returncode == 2
    assert "is the store of fig2, and fig3 keeps its measurements in fig3's" in other.stderr


def test_runs_of_fine_tuning(papers: Papers, tmp_path: Path):
    papers.stock("bert-base-uncased", "roberta-base")
    task = pets(tmp_path)
    given = {
        "models": ["bert-base-uncased", "roberta-base"], "tasks": [str(task)], "methods": ["DID"],
        "dimensions": [10, 100], "learning_rates": [0.01], "full_rates": [0.01], "seeds": [0],
    }  # fmt: skip
    words = [w for name, value in given.items() for w in ("-p", f"{name}={json.dumps(value)}")]
    words += ["-p", "steps=10", "-p", "batch=16", "-p", "length=16"]
    done = papers.run("d90-models", *words)
    assert done.returncode == 0, done.stderr
    assert len(papers.table("d90-models")) == 2 * 3
    records = papers.records("d90-models")
    assert {record["verdict"] for record in records} == {"not testable here"}
    assert all(name in papers.page("d90-models") for name in given["models"])


def test_the_configurations_of_table_1(papers: Papers):
    papers.stock("bloom-560m", "pythia-2.8b")
    done = papers.run("table1", "-p", "models=[bloom-560m, pythia-2.8b, tinyllama-1.1b]")
    assert done.returncode == 0, done.stderr
    assert not [each for each in downloads(papers.hub) if "bloom-560m" in each or "pythia" in each]
    page = papers.page("table1")
    # Printed, public, and in the repository of this hub.
    assert re.search(r"24 \(repository: 2\)", page)
    assert re.search(r"250680 \(public: 250880; repository: 320\)", page)
    assert "the hub has no model" in page


TINY = {
    "profile": SMALL, "suites": SMALL, "table": (),
    "tuning": (
        "-p", "methods=[DID]", "-p", "dimensions=[10, 100]", "-p", "learning_rates=[0.01]",
        "-p", "full_rates=[0.01]", "-p", "seeds=[0, 1]", "-p", "steps=10", "-p", "length=16",
    ),
}  # fmt: skip
"""What makes a figure of each kind small."""


def small(papers: Papers, figure: str) -> list[object]:
    """The options of a figure at its own models, and little of all else."""
    kind = listed.figure(ROOT, figure).kind
    words: list[object] = [*TINY[kind], "--allow-pickle"]
    if kind in ("profile", "suites"):
        words += ["--corpus", papers.text]
    if kind == "tuning":
        words += ["-p", f"tasks={json.dumps([str(pets(papers.folder))])}"]
    return words


@pytest.mark.stress
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("figure", sorted(listed.figures(ROOT)))
def test_all_nine_with_every_model(papers: Papers, figure: str, workers: int):
    """End to end on the whole catalogue: every model is in the table, and no verdict has a word."""
    papers.stock_all()
    asked = listed.figure(ROOT, figure)
    words = [*small(papers, figure), "--workers", workers]
    words += ["--store", papers.folder / f"{figure}-{workers}-workers"]
    done = papers.run(figure, *words)
    gated = [name for name in asked.names if catalogue.models()[name].gated]
    assert done.returncode == (1 if gated else 0), done.stderr
    assert {record["verdict"] for record in papers.records(figure)} <= {"not testable here"}
    shown = papers.page(figure)
    assert [name for name in asked.names if name not in shown] == []
    if asked.kind != "table":
        table = read_table(papers.folder / f"{figure}-{workers}-workers" / "table.parquet")
        assert set(table["model"]) == set(asked.names) - set(gated)


@pytest.mark.stress
def test_a_kill_in_the_middle_changes_nothing(papers: Papers):
    papers.stock("bloom-560m")
    words = [*small(papers, "fig2"), "-p", "suites=[bloom-560m]"]
    whole = papers.run("fig2", *words, "--store", papers.folder / "whole")
    assert whole.returncode == 0, whole.stderr
    store = papers.folder / "killed"
    command = [sys.executable, "-c", MAIN, *papers.words("fig2", *words, "--store", store)]
    running = subprocess.Popen(command, cwd=ROOT, env=papers.environment)
    while running.poll() is None and len(list(store.glob("cells/*.parquet"))) < 3:
        time.sleep(0.05)
    running.kill()
    running.wait()
    there = len(list(store.glob("cells/*.parquet")))
    assert 3 <= there < 9
    again = papers.run("fig2", *words, "--store", store)
    assert again.returncode == 0, again.stderr
    first, second = (
        read_table(papers.folder / name / "table.parquet") for name in ("whole", "killed")
    )
    pd.testing.assert_frame_equal(first, second)
