"""The papers' figures made on a hub of our own: a figure of each kind, and what can be wrong."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import Reader, broken_links, serve
from forked import Forks
from hub import TOKEN, Client, Hub
from matrix import story
from papers_hub import stock, stock_tasks, vanished

from shapebook.notebooks import notebook as notebooks
from shapebook.papers import listed
from shapelib.models import catalogue
from shapelib.store.tables import read_table

ROOT = Path(__file__).parents[3]
MAIN = "from shapebook.run import main; main()"
SMALL = ("-p", "tokens=256", "-p", "batch=64", "-p", "window=60")


class Papers:
    """``shapebook papers``, in forks of a process that knows no hub but that of these tests, and in
    a checkout whose `_build` is theirs."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder = hub, folder
        self.text = folder / "story.txt"
        self.text.write_text(story(), encoding="utf-8")
        self.root = folder / "checkout"
        self.root.mkdir()
        for each in ROOT.iterdir():
            if each.name not in ("_build", ".venv", ".git"):
                (self.root / each.name).symlink_to(each)
        self.built = self.root / "_build" / "papers"
        own = {
            "SHAPELIB_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1",
        }  # fmt: skip
        self.environment = Client(hub, folder / "home").environment(**own)
        # The hub's client reads where its hub is when it is imported.
        told = ("HF_ENDPOINT", "HF_HOME", "NO_PROXY", "OMP_NUM_THREADS")
        self.forks = Forks(**{name: self.environment[name] for name in told})
        self._stocked: set[str] = set()

    def stock(self, *names: str) -> None:
        stock(self.hub, [each for each in names if each not in self._stocked], self.folder / "made")
        self._stocked |= set(names)

    def stock_all(self) -> None:
        """Every model and task of the figures."""
        found = listed.figures(ROOT).values()
        self.stock(*sorted({name for each in found for name in each.names}))
        if "tasks" not in self._stocked:
            wanted = sorted({t for each in found for t in each.parameters.get("tasks", [])})
            stock_tasks(self.hub, wanted, self.folder / "tasks")
            self._stocked.add("tasks")

    def run(
        self, figure: str, *words: object, code: str = MAIN, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        own = {**self.environment, **environment}
        asked = ["papers", figure, *map(str, words)]
        return self.forks.run(*asked, code=code, cwd=self.root, environment=own)

    def page(self, figure: str) -> str:
        return (self.built / f"{figure}.html").read_text()

    def records(self, figure: str) -> list[dict[str, Any]]:
        return notebooks.records(notebooks.read(self.built / f"{figure}.ipynb"))

    def table(self, figure: str) -> pd.DataFrame:
        return read_table(self.built / figure / "table.parquet")


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Papers]:
    hub = Hub()
    found = Papers(hub, tmp_path_factory.mktemp("papers"))
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


def test_pickles_are_asked_about_once_before_anything_is_fetched(papers: Papers):
    """Figure 1 needs gpt-j-6b and six of OPT, and has not been allowed any."""
    asked = len(papers.hub.requests)
    refused = papers.run("fig1")
    assert refused.returncode == 2
    assert "fig1 needs opt-125m, opt-350m, opt-1.3b, " in refused.stderr
    assert "gpt-j-6b, whose weights are pickles" in " ".join(refused.stderr.split())
    assert "SHAPEBOOK_ALLOW_PICKLE=1, once for the whole figure" in refused.stderr
    assert "Nothing was fetched" in refused.stderr
    assert papers.hub.requests[asked:] == []


def test_a_disk_that_is_too_small_is_said_before_weights_are_fetched(papers: Papers):
    papers.stock("bert-base-uncased")
    asked = len(downloads(papers.hub))
    full = f"from shapebook.papers import make; make.free = lambda _: 1000; {MAIN}"
    words = ("-p", "models=[bert-base-uncased]", "--corpus", papers.text, *SMALL)
    refused = papers.run("fig1", *words, "--store", papers.folder / "full", code=full)
    assert refused.returncode == 2
    assert re.search(
        r"take \d+ bytes, and 1000 bytes are free in .*No weights were f", refused.stderr
    )
    assert len(downloads(papers.hub)) == asked
    assert not (papers.folder / "full" / "table.parquet").exists()


@pytest.mark.stress
def test_models_over_layers(papers: Papers):
    """Figure 1 on four models: a pickle, a gated one, an encoder and a plain decoder."""
    names = ["gpt2", "opt-125m", "bert-base-uncased", "llama-2-7b"]
    papers.stock(*names)
    words = ("-p", f"models={json.dumps(names)}", "--corpus", papers.text, *SMALL)
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
    # The same command, once the licence is accepted.
    whole = papers.run("fig1", *words, "--allow-pickle", HF_TOKEN=TOKEN)
    assert whole.returncode == 0, whole.stderr
    assert list(papers.table("fig1")["model"].unique()) == names
    assert "missing llama-2-7b" not in papers.page("fig1")


def test_a_suite_along_training(papers: Papers):
    """Figure 2 on three checkpoints of Bloom-3B: pickles without a tokenizer; one has vanished."""
    papers.stock("bloom-3b")
    words = ("--corpus", papers.text, "--checkpoints", "1000,10000,50000,337250", *SMALL)
    with vanished(papers.hub, "bigscience/bloom-3b-intermediate", "global_step10000"):
        done = papers.run("fig2", *words, "--allow-pickle")
    assert done.returncode == 1, done.stderr
    assert "missing: bloom-3b@step10000: the hub has 'bloom-3b@step10000'" in done.stderr
    assert "missing bloom-3b@step10000" in papers.page("fig2")
    records = papers.records("fig2")
    assert {record["verdict"] for record in records} == {"not testable here"}
    measured = {1000, 50000, 337250}
    assert set(papers.table("fig2")["step"]) == measured
    cells = list((papers.built / "fig2" / "cells").glob("*.parquet"))
    # The last is measured once more, without its massive vectors.
    assert len(cells) == len(measured) + 1
    # A store of another figure is not written into.
    other = papers.run("fig3", *words[:2], "--store", papers.built / "fig2", "--allow-pickle")
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
    papers.stock("bloom-560m")
    done = papers.run("table1", "-p", "models=[bloom-560m, tinyllama-1.1b]")
    assert done.returncode == 0, done.stderr
    assert not [each for each in downloads(papers.hub) if "bloom-560m" in each]
    page = papers.page("table1")
    # Printed, public, and in the repository of this hub.
    assert re.search(r"24 \(repository: [23]\)", page)
    assert re.search(r"250680 \(public: 250880; repository: \d{3}\)", page)
    assert "the hub has no model" in page
    # A book is made of all nine.
    assert re.search(r"the book of them is rendered once these are made too: .*fig5", done.stdout)


TINY = {
    "profile": SMALL, "suites": SMALL, "table": (),
    "tuning": (
        "-p", "methods=[DID]", "-p", "dimensions=[10, 100]", "-p", "learning_rates=[0.01]",
        "-p", "full_rates=[0.01]", "-p", "seeds=[0]", "-p", "steps=10", "-p", "length=16",
    ),
}  # fmt: skip
"""What makes a figure of each kind small."""


def small(papers: Papers, figure: str) -> list[object]:
    """The options of a figure at its own models, suites and tasks, and little of all else."""
    kind = listed.figure(ROOT, figure).kind
    words: list[object] = [*TINY[kind], "--allow-pickle"]
    return [*words, "--corpus", papers.text] if kind in ("profile", "suites") else words


@pytest.fixture(scope="module")
def cluster(papers: Papers) -> Iterator[str]:
    """A running Dask cluster of two workers, which see this machine's files."""
    with contextlib.ExitStack() as stack:
        started = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0"]
        told = papers.folder / "scheduler.json"
        words = ["--scheduler-file", str(told), "--no-dashboard"]
        stack.enter_context(alongside([*started, *words], papers))
        for _ in range(2):
            of_one = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
            of_one += ["--scheduler-file", str(told), "--no-dashboard"]
            stack.enter_context(alongside(of_one, papers))
        deadline = time.monotonic() + 60
        while not told.is_file():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(told.read_text())["address"]


@contextlib.contextmanager
def alongside(words: list[str], papers: Papers) -> Iterator[None]:
    """A process that runs beside others, and its children; ended at the end."""
    running = subprocess.Popen(
        words, cwd=papers.folder, env=papers.environment, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest.mark.stress
@pytest.mark.parametrize("figure", sorted(listed.figures(ROOT)))
def test_all_nine_end_to_end(papers: Papers, cluster: str, figure: str):
    """On the whole catalogue, in one process; then on a cluster of two workers, killed in the
    middle and given again. Every model is in the table, no verdict has a word, and both tables are
    the same."""
    papers.stock_all()
    asked = listed.figure(ROOT, figure)
    words = small(papers, figure)
    gated = [name for name in asked.names if catalogue.models()[name].gated]
    # Figures 4 and 5 are of the same measurements.
    done = papers.run(figure, *words, "--store", papers.folder / f"{asked.store}-one")
    assert done.returncode == (1 if gated else 0), done.stderr
    assert {record["verdict"] for record in papers.records(figure)} <= {"not testable here"}
    shown = papers.page(figure)
    assert [name for name in asked.names if name not in shown] == []
    assert asked.kind == "table" or "<figure id=" in shown
    assert str(papers.folder) not in shown, "where files lie is nobody else's business"

    store, page = papers.folder / f"{figure}-two", papers.folder / f"{figure}-two.html"
    words += ["--store", store, "--out", page, "--dask", cluster]
    killed(papers, [figure, *words], lambda: begun(asked, store))
    assert not page.exists()
    before = {each.name: each.stat().st_mtime_ns for each in store.glob("cells/[!.]*.parquet")}
    again = papers.run(figure, *words)
    assert again.returncode == done.returncode, again.stderr
    assert page.is_file()
    if asked.kind == "table":
        return
    after = {each.name: each.stat().st_mtime_ns for each in store.glob("cells/[!.]*.parquet")}
    assert 0 < len(before) < len(after)
    assert before.items() <= after.items(), "what was measured before the kill is kept"
    stores = (f"{asked.store}-one", f"{figure}-two")
    first, second = (read_table(papers.folder / each / "table.parquet") for each in stores)
    assert set(first["model"]) == set(asked.names) - set(gated)
    # How long a run took is no result.
    first, second = (each.drop(columns="seconds", errors="ignore") for each in (first, second))
    pd.testing.assert_frame_equal(first, second)


def begun(asked: listed.Figure, store: Path) -> bool:
    """Whether a run is in its middle: some is measured, or its notebook runs."""
    if asked.kind == "table":
        return any(store.parent.glob(".run-*"))
    return len(list(store.glob("cells/[!.]*.parquet"))) >= 3


def killed(papers: Papers, words: list[object], begun: Callable[[], bool]) -> None:
    """Run ``shapebook papers``, and kill it and all that it started once it has begun."""
    command = [sys.executable, "-c", MAIN, "papers", *map(str, words)]
    running = subprocess.Popen(
        command, cwd=papers.root, env=papers.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not begun():
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.stress
def test_the_book_of_all_nine_is_whole_in_a_browser(papers: Papers, browser: Any):
    """What is left to make is made; each page is opened wide and narrow, light and dark."""
    papers.stock_all()
    found = listed.figures(ROOT)
    for figure in set(found) - set(listed.made(found, papers.built)):
        papers.run(figure, *small(papers, figure))
    said = papers.forks.run("papers", code=MAIN, cwd=papers.root, environment=papers.environment)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("; made") == len(found)
    html = papers.built / "html"
    pages = ["intro.html", "references.html", *(f"executed/{name}.html" for name in found)]
    problems, links, names = {}, set(), {}
    with serve(html) as address:
        reader = Reader(browser, address)
        for page in pages:
            problems[page] = reader.look(page) + reader.look_again("dark")
            links.update(reader.links())
            names[page] = reader.names()
        reader.close()
        assert {page: each for page, each in problems.items() if each} == {}
        assert broken_links(address, html, links, names) == []
    first = (html / "intro.html").read_text()
    for name, figure in found.items():
        assert figure.title in first
        assert f"executed/{name}.html" in first
        assert all(each in first for each in figure.names)
    assert "missing: llama-2-7b" in first
    assert "with other parameters" in first
    whole = "".join((html / page).read_text() for page in pages)
    assert str(papers.folder) not in whole
    assert "small models trained here stand in" not in whole
