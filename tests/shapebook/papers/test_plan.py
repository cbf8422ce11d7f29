"""The papers' figures as they are listed, and what they would take: no hub, no torch."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from shapebook.papers import make, takes, told
from shapebook.papers.listed import Figure, figure, figures
from shapebook.papers.plan import COPIES, Plan, plan
from shapelib.cli.tables import Here
from shapelib.errors import ShapelibError
from shapelib.finetuning import plan as tuning
from shapelib.models import catalogue
from shapelib.models.sources import Source

ROOT = Path(__file__).parents[3]
EVERY = (
    *("d90-models", "d90-size", "d90-training"),
    *("fig1", "fig2", "fig3", "fig4", "fig5", "table1"),
)


class Holding(Here):
    """A machine that holds these repositories' weights."""

    def __init__(self, *hubs: str) -> None:
        self._assets: list[str] = []
        self._hub = {each.lower(): {"main": True, "step0": True} for each in hubs}


def named(name: str) -> Figure:
    return figure(ROOT, name)


def planned(name: str, *hubs: str, **changed: object) -> Plan:
    return plan(named(name).with_parameters(changed), Holding(*hubs))


def test_all_nine_are_listed_and_their_models_are_the_catalogues():
    found = figures(ROOT)
    assert tuple(found) == EVERY
    for each in found.values():
        assert set(each.names) <= set(catalogue.models())
        if each.kind in ("profile", "suites"):
            asked = each.parameters
            assert (asked["corpus"], asked["tokens"], asked["batch"]) == ("enwik8", 16384, 4096)
            assert (asked["window"], asked["dtype"]) == (512, "auto")
        if each.kind == "suites":
            assert each.checkpoints == "log:12"


def test_figure_1_has_every_model_of_the_paper_without_checkpoints():
    of_paper = {
        name for name, entry in catalogue.models().items()
        if "shape" in entry.papers and entry.suite is None
    }  # fmt: skip
    assert set(named("fig1").names) == of_paper
    with_table = {name for name, entry in catalogue.models().items() if entry.table1}
    assert set(named("fig4").names) == set(named("table1").names) == with_table


def test_what_is_fetched_adds_up():
    found = planned("fig2")
    suite = catalogue.suite("bloom-3b")
    assert len(found.needed) == len(suite.checkpoints) == 9
    assert found.download == 9 * suite.bytes
    assert found.download == planned("fig2", suite.checkpoints[0].hub).download
    # The final checkpoint is the model's own repository, here at its only revision.
    assert planned("fig2", "bigscience/bloom-3b").download == 8 * suite.bytes
    two = planned("fig3", "EleutherAI/pythia-2.8b", checkpoints="0,1000")
    assert [each.name for each in two.missing] == ["pythia-2.8b@step1000"]
    assert two.download == catalogue.suite("pythia-2.8b").bytes
    ours = planned("fig1", models=["gpt2", "opt-125m"])
    assert ours.download == 4 * 124_439_808 + 2 * 125_239_296
    assert planned("table1").download < 200e6


def test_what_is_pickled_and_gated_is_said():
    assert [each.name for each in planned("fig3", checkpoints="log:2").pickled] == [
        "pythia-2.8b@step0", "pythia-2.8b@step143000",
    ]  # fmt: skip
    assert planned("table1").pickled == []
    said = "\n".join(told.lines(planned("fig1", models=["gpt2", "llama-2-7b", "opt-125m"])))
    gated = r"gated +llama-2-7b: accept the licence on https://huggingface.co/meta-llama/Llama-2-7b"
    assert re.search(gated, said)
    assert re.search(r"pickled +opt-125m: read only with --allow-pickle or SHAPEBOOK_ALLOW", said)
    assert re.search(r"cached +none of 3", said)
    here = "\n".join(told.lines(planned("fig1", "openai-community/gpt2", models=["gpt2"])))
    assert re.search(r"cached +1 of 1: gpt2\n", here)
    assert re.search(r"download +0 bytes, of 498 MB in all", here)


def test_operations_grow_with_what_is_measured():
    whole, half = planned("fig2").work, planned("fig2", tokens=8192).work
    assert whole.network == pytest.approx(2 * half.network)
    assert whole.network == pytest.approx(9 * 2 * 3002557440 * 16384, rel=0.11)
    runs, fewer = planned("d90-models").work, planned("d90-models", seeds=[0]).work
    assert runs.network == pytest.approx(3 * fewer.network)
    assert runs.states == 0
    assert sum(planned("table1").work) == 0


def test_what_fits_a_gpu_is_as_the_run_book_has_it():
    """Of the four fifths of its memory that weights may take."""
    room = {size: 0.8 * size * 1e9 for size in (24, 80)}
    for name in EVERY:
        whole = named(name)
        if whole.kind == "table":
            assert plan(whole, Holding()).largest is None
            continue
        key = "suites" if whole.kind == "suites" else "models"
        sizes = {}
        for each in whole.names:
            found = planned(name, **{key: [each]}).largest
            assert found is not None
            assert found[0].name == each
            sizes[each] = found[1]
        too_large = {each for each, size in sizes.items() if size > room[24]}
        assert too_large == ({"opt-13b", "llama-2-13b"} if name == "fig1" else set())
        assert max(sizes.values()) < room[80]
    assert COPIES == tuning._COPIES
    entry, on_gpu, without = planned("fig1").largest or pytest.fail("nothing is known")
    assert (on_gpu, without) == (2 * entry.parameters, 4 * entry.parameters)
    small = planned("fig1", models=["gpt2"]).largest
    assert small is not None
    assert small[1] == small[2] == 4 * 124_439_808
    said = "\n".join(told.lines(planned("fig1")))
    assert re.search(r"memory +the largest, opt-13b, takes 25.7 GB on a GPU, 51.4 GB without", said)


def test_the_run_book_has_what_each_figure_takes():
    """The table is that of `takes.table`, which stands there since nothing is measured for it."""
    assert takes.table(ROOT) in (ROOT / "book" / "models.md").read_text(encoding="utf-8")


def test_a_disk_that_is_too_small_is_said(monkeypatch: pytest.MonkeyPatch):
    def room(size: float) -> str:
        usage = shutil._ntuple_diskusage(10**13, 0, int(size))  # type: ignore[attr-defined]
        monkeypatch.setattr(told.shutil, "disk_usage", lambda _: usage)
        return "\n".join(told.lines(planned("fig2")))

    assert "TOO SMALL" in room(50e9)
    assert "TOO SMALL" not in room(60e9)


def test_weights_that_the_disk_has_no_room_for_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By the sizes that the hub lists, of what is not there yet."""
    listed = [("model.safetensors", 10**18), ("tokenizer.json", 10**18), ("onnx/a.safetensors", 9)]
    tree = [SimpleNamespace(path=path, size=size) for path, size in listed]
    monkeypatch.setattr("huggingface_hub.get_cached_repo_tree", lambda *_, **__: tree)
    source = Source("a", tmp_path, "commit", revision="commit", pending="some/a")
    with pytest.raises(ShapelibError, match=r"still to be fetched take 1e\+06 TB, .* are free in"):
        make.check_room([source])
    (tmp_path / "model.safetensors").touch()
    make.check_room([source])
    make.check_room([Source("b", tmp_path, "sha", pickled=True, pending="some/b")])


def test_one_model_of_ones_own_is_not_reckoned():
    found = planned("fig1", models=["gpt2", "runs/mine", "someone/else"])
    assert found.unknown == ["runs/mine", "someone/else"]
    assert any("not in the catalogue" in line for line in told.lines(found))


def test_what_is_wrong_is_named():
    with pytest.raises(ShapelibError, match=r"no such figure: 'fig9'; did you mean 'fig5'\?.*d90"):
        named("fig9")
    with pytest.raises(ShapelibError, match=r"fig2 has no parameter 'token'; did you mean"):
        planned("fig2", token=5)
    with pytest.raises(ShapelibError, match="parameter tokens='many' of fig2: something like"):
        planned("fig2", tokens="many")
    with pytest.raises(ShapelibError, match="bloom-3b has no checkpoint of step 5; the nearest"):
        planned("fig2", checkpoints="5")


def test_a_wrong_file_is_named(tmp_path: Path):
    folder = tmp_path / "params" / "papers"
    with pytest.raises(ShapelibError, match="is run in a checkout"):
        figures(tmp_path)
    folder.mkdir(parents=True)
    text = (ROOT / "params" / "papers" / "fig2.yml").read_text()
    for wrong, says in {
        text + "kinds: x\n": "params/papers/a.yml: no field 'kinds'; did you mean 'kind'",
        text.replace("kind: suites", "kind: suite"): "kind is 'suite'; did you mean 'suites'",
        text.replace("title:", "# title:"): "params/papers/a.yml: 'title' is missing",
    }.items():
        (folder / "a.yml").write_text(wrong)
        with pytest.raises(ShapelibError, match=re.escape(says)):
            figures(tmp_path)


MAIN = """
import sys, time
from shapebook.run import main
try:
    main()
finally:
    print("seconds", time.process_time())
    print("torch", "torch" in sys.modules)
"""


@pytest.mark.parametrize("name", EVERY)
def test_a_dry_run_takes_no_time_and_no_torch(name: str, tmp_path: Path):
    """Two seconds of this process: what others on this machine take does not count."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "papers", name, "--dry-run"], cwd=ROOT,
        capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HOME": str(tmp_path), "COLUMNS": "120", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 60
    assert "torch False" in done.stdout
    assert float(re.search(r"seconds ([\d.]+)", done.stdout)[1]) < 2  # type: ignore[index]
    said = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert said >= {f"{name}:", "measures", "download", "disk", "hours", "cached", "pickled"}
    assert "an estimate, reckoned and not measured" in done.stdout
    assert list(tmp_path.iterdir()) == []
