"""A grid of cells: the same table whoever computes it, whatever is killed meanwhile."""

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from forked import MAIN, forks
from hub import Client, Hub
from kept import finished, without_a_cell
from stress import STRESS, often

from shapelib.errors import ShapelibError
from shapelib.models.resident import loaded
from shapelib.states.profile import COLUMNS
from shapelib.states.sweep import _need, missing, plan
from shapelib.states.sweep import sweep as measure
from shapelib.store import cells, tables, workers
from shapelib.store.cells import open_store
from shapelib.store.grid import _why

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"tokens": 300, "batch": 100, "window": 60, "memory": 0.1}
OPTIONS = ("--tokens", "300", "--batch", "100", "--window", "60", "--memory", "0.1")
STEPS = [100 * n for n in range(20)]


@pytest.fixture(scope="module")
def suite(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty checkpoints of one tiny Llama, each a step further from its random start."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=24, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("suites") / "tiny-run"
    network = LlamaModel(config)
    for step in STEPS:
        with torch.no_grad():
            for each in network.parameters():
                each.add_(0.02 * torch.randn_like(each))
        network.save_pretrained(folder / f"step{step}")
        training = {"step": step, "tokens_seen": 512 * step, "loss": 3.0, "learning_rate": 1e-3}
        (folder / f"step{step}" / "training.json").write_text(json.dumps(training))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "story.txt"
    path.write_text("\n".join(f"Line {n}: a cat sat on {n * n} mats." for n in range(600)))
    return path


@pytest.fixture(scope="module")
def serial(suite: Path, story: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run in this process."""
    output = tmp_path_factory.mktemp("stores") / "serial"
    measure(suite, story, output=output, progress=False, **SMALL)
    return output


def table_of(output: Path) -> pd.DataFrame:
    return tables.read_table(output / "table.parquet")


def test_a_suite_gives_one_table_with_step_and_tokens_seen(serial: Path):
    table = table_of(serial)
    assert list(table.columns) == list(COLUMNS)
    assert table["step"].drop_duplicates().tolist() == STEPS
    assert (table["tokens_seen"] == 512 * table["step"]).all()
    assert set(table["model"]) == {"tiny-run"}
    assert table["checkpoint"].iloc[0] == "step0"
    runs = table.attrs["provenance"]
    assert len(runs) == 20
    assert [run["model"] for run in runs] == ["tiny-run"] * 20
    assert len({run["fingerprint"] for run in runs}) == 20


def test_the_table_is_that_of_single_profiles(serial: Path, suite: Path, story: Path):
    from shapelib.models.suites import sources
    from shapelib.states.profile import profile

    (source,) = sources(suite, [700])
    alone = profile(source, story, reuse=False, progress=False, **SMALL)
    row = table_of(serial).query("step == 700").reset_index(drop=True)
    pd.testing.assert_frame_equal(row, alone)


def test_the_grid_and_the_order_of_its_rows(
    suite: Path, story: Path, decoder_folder: Path, tmp_path: Path
):
    other = tmp_path / "other.txt"
    other.write_text(story.read_text().replace("cat", "dog"))
    grid = {
        "names": [decoder_folder, suite], "texts": [story, other], "seeds": [1, 0],
        "checkpoints": [300, 100],
    }  # fmt: skip
    table = measure(**grid, output=tmp_path / "store", progress=False, **SMALL)
    order = table[["model", "step", "corpus", "seed"]].drop_duplicates()
    assert order.fillna(-1).to_numpy().tolist() == [
        [model, step, text, seed]
        for model, step in (("tiny-decoder", -1), ("tiny-run", 100), ("tiny-run", 300))
        for text in ("story.txt", "other.txt")
        for seed in (1, 0)
    ]
    again = plan([suite, suite], story, [0], [100], **SMALL)
    assert len(again) == 1, "the same cell twice"


def test_only_what_is_missing_or_changed_is_computed(
    serial: Path, suite: Path, story: Path, tmp_path: Path
):
    output = tmp_path / "store"
    with without_a_cell(serial, output):
        grid = plan(suite, story, [0], "all", **SMALL)
        kept = open_store(output, "shape")
        assert len(missing(grid, kept)) == 1
        assert len(missing(plan(suite, story, [0], "all", **{**SMALL, "memory": 3.0}), kept)) == 1
        changes = ({"tokens": 400}, {"sets": ["all"]}, {"dtype": "bfloat16"}, {"unit": "tokens"})
        for changed in changes:
            assert len(missing(plan(suite, story, [0], "all", **{**SMALL, **changed}), kept)) == 20
        assert len(missing(plan(suite, story, [7], "all", **SMALL), kept)) == 20
        table = measure(suite, story, output=output, progress=False, **SMALL)
    pd.testing.assert_frame_equal(table, table_of(serial))


def test_a_damaged_cell_is_noticed_and_computed_again(
    serial: Path, suite: Path, story: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    output = tmp_path / "store"
    shutil.copytree(serial, output)
    cut, flipped, foreign, *_ = sorted((output / "cells").glob("*.parquet"))
    cut.write_bytes(cut.read_bytes()[:-7])
    # Parquet itself does not notice another number in a page, nor in the provenance.
    table = tables.read_table(flipped)
    table.loc[3, "value"] += 1e-12
    tables.write_table(table, flipped)
    foreign.write_bytes(b"not a table")
    before = finished(output)
    table = measure(suite, story, output=output, progress=False, **SMALL)
    pd.testing.assert_frame_equal(table, table_of(serial))
    after = finished(output)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {cut.name, flipped.name, foreign.name}
    assert f"{flipped} is damaged: it is computed again" in caplog.text


def test_any_flipped_byte_of_a_cell_is_noticed_or_harmless(serial: Path, tmp_path: Path):
    kept = open_store(serial, "shape")
    key = next((serial / "cells").glob("*.parquet")).stem
    right, raw = kept.read(key), kept.path(key).read_bytes()
    assert right is not None
    (tmp_path / "cells").mkdir()
    there, draw = cells.Cells(tmp_path), random.Random(0)
    noticed = 0
    for _ in range(60):
        spoiled = bytearray(raw)
        spoiled[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        there.path(key).write_bytes(spoiled)
        found = there.read(key)
        noticed += found is None
        if found is not None:
            pd.testing.assert_frame_equal(found, right)
            assert found.attrs == right.attrs
    assert noticed > 10


def test_failures_are_collected_and_not_fatal(
    suite: Path, story: Path, decoder_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    broken = tmp_path / "broken"
    shutil.copytree(suite / "step0", broken)
    shutil.copy(suite / "tokenizer.json", broken)
    shutil.copy(suite / "tokenizer_config.json", broken)
    spoil(broken)
    output = tmp_path / "store"
    table = measure(
        [broken, suite], story, checkpoints=[100], output=output, progress=False, **SMALL
    )
    ((cell, why),) = table.attrs["failures"]
    assert cell == f"broken, {story}, seed 0"
    assert "hidden states of layer 2 hold NaN or infinity" in why
    assert f"{cell} failed: {why}" in caplog.text
    assert set(table["step"]) == {100}
    # The next run tries it again, and a whole failure is no table.
    table = measure(broken, story, output=output, progress=False, **SMALL)
    assert len(table.attrs["failures"]) == 1
    assert len(table) == 0
    assert list(table.columns) == list(COLUMNS)
    done = cli(broken, suite, "--checkpoints", "100", "--corpus", story, "--output", output)
    assert done.returncode == 1
    assert "2 cells: 1 in " in done.stdout
    assert "1 failed; the same command tries them again" in done.stdout
    # The table breaks a sentence where the folder's name beside it is long.
    assert "NaN" in done.stdout


def spoil(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["layers.1.mlp.down_proj.weight"].fill_(torch.inf)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", MAIN, "sweep", *map(str, words), *OPTIONS]


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    return forks().run("sweep", *words, *OPTIONS)


def test_a_suite_of_the_catalogue(suite: Path, story: Path, tokenizer: Any, tmp_path: Path):
    """Its checkpoints come from the hub, weights when they are measured; the rest is the same."""
    hub = Hub()
    commits = []
    for step in (0, 1000):
        shutil.copytree(suite / f"step{step}", tmp_path / f"step{step}")
        tokenizer.save_pretrained(tmp_path / f"step{step}")
        commits.append(hub.push("EleutherAI/pythia-70m", tmp_path / f"step{step}", f"step{step}"))
    words = (
        "sweep", "pythia-70m", "--checkpoints", "1000,0", "--corpus", story,
        "--output", tmp_path / "store",
    )  # fmt: skip
    done = Client(hub, tmp_path / "home").shapelib(*words, *OPTIONS)
    hub.close()
    assert done.returncode == 0, done.stderr
    table = table_of(tmp_path / "store")
    shown = table[["model", "checkpoint", "step", "tokens_seen"]].drop_duplicates()
    assert shown.to_numpy().tolist() == [
        ["pythia-70m", "step0", 0, 0],
        ["pythia-70m", "step1000", 1000, 1000 * 2_097_152],
    ]
    assert [run["revision"] for run in table.attrs["provenance"]] == commits
    asked = [each.path for each in hub.requests if each.method == "GET"]
    configs, weights = (
        [place for place, path in enumerate(asked) if path.endswith(name)]
        for name in ("config.json", "model.safetensors")
    )
    assert max(configs) < min(weights)


# ---- the store


def test_a_store_of_another_version_or_of_something_else(suite: Path, story: Path, tmp_path: Path):
    output = tmp_path / "store"
    open_store(output, "shape")
    (output / "store.json").write_text('{"format": 7, "kind": "shape"}')
    with pytest.raises(ShapelibError, match=r"format 7, and this version .* writes format 1: use"):
        measure(suite, story, output=output, **SMALL)
    for unreadable in ("{", '{"format": 1}'):
        (output / "store.json").write_text(unreadable)
        with pytest.raises(ShapelibError, match="cannot be read, so nobody knows how"):
            open_store(output, "shape")
    with pytest.raises(ShapelibError, match="holds files but no"):
        open_store(suite, "shape")
    with pytest.raises(ShapelibError, match="is a file; a folder is needed"):
        open_store(story, "shape")
    with pytest.raises(ShapelibError, match="cannot be made"):
        open_store(story / "store", "shape")


def test_bad_input_is_told_before_anything_is_computed(suite: Path, story: Path, tmp_path: Path):
    output = tmp_path / "store"

    def refused(message: str, names: object = suite, texts: object = story, **given: Any) -> None:
        with pytest.raises(ShapelibError, match=message):
            measure(names, texts, output=output, **{**SMALL, **given})  # type: ignore[arg-type]

    refused("no checkpoint of step 150; the nearest: 0, 100, 200", checkpoints=[150])
    refused("no such folder or file", names=tmp_path / "none")
    refused("no corpus and no file named", texts=str(tmp_path / "none.txt"))
    refused("no article of story.txt is 90000 characters", window=90_000)
    refused("one batch needs 500 tokens", batch=500)
    refused("no such token set", sets=["most"])
    refused("the seed is -1", seeds=[-1])
    refused("nothing to measure", names=[])
    refused("workers must be a whole number of at least 1, got 0", workers=0)
    refused("not both", workers=2, dask="tcp://127.0.0.1:1")
    assert not output.exists(), "what is refused leaves no store behind"


def test_a_store_is_of_one_kind(serial: Path, suite: Path, story: Path, tmp_path: Path):
    """A grid of fine-tuning runs would replace the table of measurements, and the reverse."""
    assert json.loads((serial / "store.json").read_text()) == {"format": 1, "kind": "shape"}
    with pytest.raises(ShapelibError, match="is a store of shapelib sweep, and shapelib d90 would"):
        open_store(serial, "tuning")
    # And refused by the function before anything is planned.
    runs = tmp_path / "runs"
    open_store(runs, "tuning")
    with pytest.raises(ShapelibError, match="is a store of shapelib d90, and shapelib sweep would"):
        measure(suite, story, output=runs, **SMALL)


def test_looking_makes_no_store(tmp_path: Path):
    kept = cells.look(tmp_path / "store", "shape")
    assert kept.read("none") is None
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_another_run_computes_is_waited_for(
    suite: Path, story: Path, tmp_path: Path, serial: Path
):
    """The other run holds two cells; it finishes one, and gives the other up."""
    import threading

    output = tmp_path / "store"
    kept = open_store(output, "shape")
    done, given_up = plan(suite, story, [0], [0, 100], **SMALL)
    held, free = threading.Event(), threading.Event()

    def other() -> None:
        with kept.lock(done.key), kept.lock(given_up.key):
            held.set()
            free.wait()
            found = open_store(serial, "shape").read(done.key)
            assert found is not None
            kept.write(done.key, found)

    running = threading.Thread(target=other)
    running.start()
    held.wait()
    threading.Timer(0.5, free.set).start()
    table = measure(suite, story, checkpoints=[0, 100], output=output, progress=False, **SMALL)
    running.join()
    pd.testing.assert_frame_equal(table, table_of(serial).query("step < 200"))
    assert table.attrs["failures"] == []


def test_two_runs_on_one_store_at_once(
    suite: Path, story: Path, tmp_path: Path, serial: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "shapelib")
    output = tmp_path / "store"
    with running(command(suite, "--corpus", story, "--output", output)) as run:
        wait_for(output, 1, run, random.Random(0))
        table = measure(suite, story, output=output, progress=False, **SMALL)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    # Every cell was computed once, by one of them, and each has all in the end.
    (_, theirs, after_us), (before, ours, after_them) = numbers(said), numbers(caplog.text)
    assert theirs + ours == 20
    assert (theirs, ours) == (before + after_them, after_us)
    for each in (table, table_of(output)):
        pd.testing.assert_frame_equal(each, table_of(serial))


def numbers(said: str) -> list[int]:
    """The summary of a run: cells in the store, computed, computed meanwhile by another run."""
    (found,) = re.findall(r"20 cells: (\d+) were .*, (\d+) computed, (\d+) .* run, 0 failed", said)
    return [int(each) for each in found]


# ---- Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Dask cluster of two workers that somebody else has started."""
    import distributed

    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        workers._quiet(),
        workers._start_method(()),
        distributed.LocalCluster(**settings, env=dict(os.environ)) as started,
    ):
        yield started.scheduler_address


def test_a_cluster_gives_the_table_of_the_serial_run_row_for_row(
    cluster: str, suite: Path, story: Path, tmp_path: Path, serial: Path
):
    table = measure(suite, story, output=tmp_path / "s", dask=cluster, progress=False, **SMALL)
    pd.testing.assert_frame_equal(table, table_of(serial))
    assert finished(tmp_path / "s").keys() == finished(serial).keys()
    facts = [
        [(run["fingerprint"], run["pooled"], run["seed"]) for run in one.attrs["provenance"]]
        for one in (table, table_of(serial))
    ]
    assert facts[0] == facts[1]


def test_failures_on_a_cluster(cluster: str, suite: Path, story: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    shutil.copytree(suite, broken)
    spoil(broken / "step100")
    table = measure(
        broken, story, checkpoints=[0, 100], output=tmp_path / "s", dask=cluster, progress=False,
        **SMALL,
    )  # fmt: skip
    ((cell, why),) = table.attrs["failures"]
    assert cell.startswith("broken@step100")
    assert "hold NaN" in why
    assert set(table["step"]) == {0}


def test_bad_clusters(
    cluster: str, suite: Path, story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(workers, "_ANSWER", 1.0)
    given = {"output": tmp_path / "s", "progress": False, **SMALL}
    with pytest.raises(ShapelibError, match=r"no worker of the Dask cluster .* offers a GPU"):
        measure(suite, story, dask=cluster, device="cuda", **given)
    with pytest.raises(ShapelibError, match="no Dask scheduler answers at 'tcp:"):
        measure(suite, story, dask="tcp://127.0.0.1:1", **given)
    with pytest.raises(ShapelibError, match="no Dask scheduler answers at 'nonsense'"):
        measure(suite, story, dask="nonsense", **given)


def test_a_worker_without_the_library(cluster: str, suite: Path, story: Path, tmp_path: Path):
    """It joins a cluster whose other workers have it."""
    import distributed

    without = (
        "import sys; sys.modules['shapelib'] = None\n"
        "from distributed.cli.dask_worker import main; main()"
    )
    words = [sys.executable, "-c", without, cluster, "--no-nanny", "--no-dashboard"]
    with (
        subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=tmp_path) as worker,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(3, timeout=60)
        with pytest.raises(
            ShapelibError, match=r"these do not have shapelib: tcp://[^,]+; install"
        ):
            measure(suite, story, output=tmp_path / "s", dask=cluster, progress=False, **SMALL)
        worker.kill()
        while len(client.scheduler_info(n_workers=-1)["workers"]) > 2:
            time.sleep(0.05)
    assert finished(tmp_path / "s") == {}
    gone = _why(ModuleNotFoundError("No module named 'shapelib'", name="shapelib"))
    assert gone == "the worker that it was given to does not have shapelib"


def test_dask_is_asked_for_by_name(
    suite: Path, story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ShapelibError, match=r'pip install "shapelib\[cluster\]"'):
        measure(suite, story, output=tmp_path / "s", workers=2, **SMALL)


def test_no_more_workers_than_memory_holds(
    suite: Path, story: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "shapelib")
    cell = plan(suite, story, [0], [0], **SMALL)[0]
    parameters = sum(p.numel() for p in loaded(cell.source, "cpu", "float32").network.parameters())
    need = _need(cell)
    assert need == 4 * parameters + int(0.1 * workers.GIB)
    for free, expected in ((10 * workers.GIB, 4), (1.5 * workers.GIB, 2), (0.1 * workers.GIB, 1)):
        monkeypatch.setattr(workers, "_free", lambda _, free=free: [free])
        assert workers._that_fit(4, need, "cpu") == expected
    assert "2 of 4 workers are started: each may need 0.6 GiB, and 1.5 GiB are free" in caplog.text


# ---- kill -9


@pytest.mark.parametrize("seed", range(often(1, 3)))
def test_killed_workers_and_runs_lose_nothing_and_repeat_nothing(
    suite: Path, story: Path, tmp_path: Path, serial: Path, caplog: pytest.LogCaptureFixture,
    seed: int,
):  # fmt: skip
    """Kills at random moments: of workers and of their whole runs, then of a serial run.

    Three, of which one is of a worker; under stress thirty on three stores. The engine gives a task
    up with the fourth worker that dies of it: hence three a run at most.
    """
    output, draw = tmp_path / "store", random.Random(seed)
    words = command(suite, "--corpus", story, "--output", output)
    killed_runs = ((2, 3), (2, 3), (1, 0), (1, 0)) if STRESS else ((2, 1), (1, 0))
    kills = 0
    known: dict[str, tuple[int, int]] = {}
    for count, of_workers in killed_runs:
        with running([*words, "--workers", str(count)]) as run:
            wait_for(output, len(known) + 1, run, draw)
            for killed in range(of_workers):
                draw.choice(children(run)).kill()
                wait_for(output, len(known) + 1 + killed, run, draw)
            family = [*run.children(recursive=True)]
            run.kill()
            kills += of_workers + 1
            _, alive = psutil.wait_procs([run, *family], timeout=20)
            assert alive == [], "a worker outlived its run"
        now = finished(output)
        assert known.items() <= now.items(), "a finished cell was lost or computed again"
        known = now
    assert kills == often(3, 10)
    assert len(known) < 20
    caplog.set_level("INFO", "shapelib")
    table = measure(suite, story, output=output, progress=False, **SMALL)
    assert numbers(caplog.text) == [len(known), 20 - len(known), 0]
    assert known.items() <= finished(output).items()
    pd.testing.assert_frame_equal(table, table_of(serial))
    left = [each.name for each in (output / "cells").iterdir() if each.suffix != ".parquet"]
    assert left == []


@contextlib.contextmanager
def running(words: list[str]) -> Iterator[psutil.Popen]:
    run = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield run
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            run.kill()
        run.wait()
        run.stderr.close()


def wait_for(output: Path, count: int, run: psutil.Popen, draw: random.Random) -> None:
    """Until so many cells are finished, and a random moment longer."""
    deadline = time.monotonic() + 120
    while len(finished(output)) < count:
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.1))


def children(run: psutil.Popen) -> list[psutil.Process]:
    """A run's workers, forked from its one child that forks; the other may be starting again."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if found := [each for child in run.children() for each in child.children()]:
            return found
        time.sleep(0.01)
    raise AssertionError("no worker was started again")
