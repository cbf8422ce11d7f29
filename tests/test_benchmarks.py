"""The benchmarks' own parts that carry a claim: peers that are asked in another environment, points
on which answers are compared, what is recorded, and what is told of limits."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from shapebook.pages.timings import records
from shapelib import two_nn
from shapelib.errors import ShapelibError

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
DADAPY = '''
import numpy as np

class Data:
    """Says in its answer how it was asked."""

    def __init__(self, x, maxk=100, n_jobs=2):
        assert x.dtype == np.float32
        self.answer, self.n = 10.0 * maxk + n_jobs, len(x)
        print("what a package prints is no answer")

    def remove_identical_points(self):
        self.n -= 1

    def compute_id_2NN(self, mu_fraction=0.9):
        if self.n == 3:
            raise ValueError("array must not contain infs or NaNs")
        return self.answer + mu_fraction + 1000 * self.n, 0.0, 0.0

    def return_id_scaling_gride(self, range_max=64):
        return self.answer + np.zeros(2), np.ones(2), range_max
'''


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import apart

    return apart


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python of its own that has this one's packages, and a DADApy."""
    site = tmp_path / "site"
    information = site / "dadapy-0.0.1.dist-info"
    information.mkdir(parents=True)
    (site / "dadapy.py").write_text(DADAPY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: dadapy\nVersion: 0.0.1\n")
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def points(folder: Path, count: int) -> Path:
    file = folder / f"{count}.npy"
    np.save(file, np.zeros((count, 2), dtype=np.float32))
    return file


def test_a_peer_in_another_environment_is_asked_as_it_documents(
    apart: ModuleType, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(apart.VARIABLE, python)
    monkeypatch.setenv("PYTHONPATH", "not for the other one")
    file = points(tmp_path, 5)
    with apart.dadapy() as peer:
        assert peer.versions["dadapy"] == "0.0.1"
        assert peer.versions["numpy"] == np.__version__
        value, seconds = peer.two_nn(file, 1)
        assert value == pytest.approx(5000 + 1000 + 1 + 0.9)
        assert 0 <= seconds < 1
        assert peer.two_nn(file, 2, kept=0.2, neighbours=2).value == pytest.approx(5000 + 22.2)
        assert peer.two_nn(file, 1, distinct=True).value == pytest.approx(4000 + 1001.9)
        assert peer.two_nn(points(tmp_path, 4), 1).value == pytest.approx(4000 + 1001.9)
        answer = peer.gride(file, 1, 8)
        assert (answer["values"], answer["errors"]) == ([81.0, 81.0], [1.0, 1.0])
    assert peer._process.returncode == 0


def test_an_answer_that_is_an_error_is_told_and_is_no_number(
    apart: ModuleType, python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with apart.Peer(python) as peer:
        assert peer.two_nn(points(tmp_path, 3), 1) == (None, None)
        assert peer.two_nn(points(tmp_path, 5), 1).value is not None
    assert "3: ValueError: array must not contain infs or NaNs" in capsys.readouterr().out


def test_without_the_peer_the_benchmarks_go_on(
    apart: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(apart.VARIABLE, raising=False)
    assert apart.dadapy() is None
    assert "SHAPELIB_DADAPY names no Python, so DADApy is left out" in capsys.readouterr().out


def test_a_python_without_the_peer_is_refused(apart: ModuleType):
    with pytest.raises(RuntimeError, match="SHAPELIB_DADAPY names does not run DADApy"):
        apart.Peer(sys.executable)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script, read anew: one of results/ may have the same name, whichever comes first."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = __import__(name)
    del sys.modules[name]
    return found


def test_times_are_divided_by_the_yardsticks_beside_them(monkeypatch: pytest.MonkeyPatch):
    estimators = module("estimators", monkeypatch)
    yards = iter([1.0, 3.0, 5.0, 3.0, 1.0])
    # Each is asked once to warm up; b is first in the first turn, and last in the second.
    a, b = iter([100.0, 8.0, 4.0]), iter([100.0, 2.0, 1.0])
    timed = {"a": lambda: next(a), "b": lambda: next(b)}
    found = estimators.between(timed, lambda: next(yards), 2)
    assert found == {"a": [2.0, 1.0], "b": [1.0, 0.5]}


def test_limits_of_a_layer_are_of_one_thread_and_of_every_cloud(monkeypatch: pytest.MonkeyPatch):
    estimators = module("estimators", monkeypatch)
    names = [name for name in estimators.our_contestants(384) if "anisotropy" in name]
    assert len(names) >= 4
    for name in names:
        found = [estimators.limit(name, 1, features).get("limit") for features in (384, 768, 2560)]
        assert found == [0.1, 0.1, 0.2], name
        assert estimators.limit(name, 2, 384) == {}
    assert estimators.limit("shapelib average cosine", 1, 384) == {}
    found = {estimators.WHOLE: [1.2], estimators.HUNDRED: [0.8], names[0]: [0.2]}
    rows = estimators.as_rows({**found, estimators.STEP: [0.004]}, 1, 768)
    assert rows[0]["limit"] == 1.0
    assert rows[0]["bound"] == "the search for a hundred neighbours alone is 0.8"
    assert rows[2]["bound"] == "it takes some tens of steps, and one step is 0.004"


def test_the_benchmark_of_scale_measures_what_a_table_can_hold(monkeypatch: pytest.MonkeyPatch):
    """On few points: its made-up pool is one, and its record is what the pages read."""
    scale = module("scale", monkeypatch)

    for name, value in {"POINTS": 1700, "FEATURES": 12, "WINDOW": 8}.items():
        monkeypatch.setattr(scale, name, value)
    monkeypatch.setattr(scale, "clouds", lambda width: {"ordinary": torch.randn(1700, width)})
    pooled = scale.made_pool()
    for name in scale.CHOICES:
        if name != "homology":
            scale.table(pooled, (*scale.DEFAULT, name))
    for work in scale.estimators().values():
        work()
    made = scale.part("Scale", "one product", {"search, k = 128": [1.6, 1.2, 1.5]}, "a note")
    row = {"median": 1.5, "least": 1.2, "greatest": 1.6, "turns": 3, "limit": 1.3}
    assert made["ratios"] == [{"name": "search, k = 128", **row}]


def test_copies_leave_fewer_points_and_change_nothing_else(monkeypatch: pytest.MonkeyPatch):
    values = module("values", monkeypatch)
    clouds = values.clouds()
    drawn, copied = clouds["as drawn"], clouds["a fifth of them copies"]
    distinct = drawn[values.POINTS // 5 :]
    for left_out in values.FITS.values():
        assert two_nn(copied, discard=left_out) == two_nn(distinct, discard=left_out)
    added = torch.cat([drawn, drawn[: values.POINTS // 5]])
    assert two_nn(added) == two_nn(drawn)


def test_kept_training_runs_say_how_many_measurements_their_seconds_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pandas as pd

    from shapelib.store import tables

    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "results"))
    import training

    monkeypatch.setattr(training, "HERE", tmp_path)
    made = next(iter(training.RUNS.values()))
    table = pd.DataFrame({"model": [made.name], "value": [1.0]})
    table.attrs["provenance"] = [{"seconds": 6.5, "seed": 0}, {"seconds": 2.25, "seed": 1}]
    training.put("shape", made, table)
    (run,) = tables.read_table(tmp_path / "training" / "shape.parquet").attrs["provenance"]
    assert (run["seconds"], run["runs"], run["seed"]) == (8.8, 2, 0)
    assert run["command"] == f"python results/training.py {made.name}"
    table.attrs["provenance"] = [{"kind": "decoder"}]
    training.put("training", made, table)
    (run,) = tables.read_table(tmp_path / "training" / "training.parquet").attrs["provenance"]
    assert "seconds" not in run
    assert "runs" not in run


def test_the_commands_are_timed_in_a_clone_that_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    commands = module("commands", monkeypatch)
    monkeypatch.setattr(commands.record, "products", lambda: {"float32": {"1": 30.0}})

    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "Makefile").write_text(
        'book:\n\t@test -z "$$PYTHONPATH" && test ! -e "$$SHAPELIB_CACHE"\n'
        "\t@echo 'a-page: cell 1 of 1: 2.0 s'; echo 'a-page: done in 3 s'\n"
    )
    git = ("git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b.c")
    commands.said("git", "init", "--quiet", str(origin))
    commands.said(*git, "add", "Makefile")
    commands.said(*git, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(commands, "ROOT", origin)
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    record = commands.measured(tmp_path, ("make book", "make book, again"))
    assert [run["command"] for run in record["runs"]] == ["make book", "make book, again"]
    assert record["runs"][0]["pages"] == {"a-page": 3.0}
    assert record["runs"][0]["seconds"] >= 0
    assert record["processor"]["cores"] >= 1
    assert record["processor"]["memory_gib"] >= 1
    records.check(record)
    assert len(record["commit"]) >= 7
    with pytest.raises(SystemExit, match="make nothing failed"):
        commands.measured(tmp_path / "other", ("make nothing",))


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that records, into a folder of its own, on a processor that is made up."""
    found = module("record", monkeypatch)
    monkeypatch.setattr(found, "RECORDS", tmp_path)
    monkeypatch.setattr(found, "products", lambda: {"float32": {"1": 30.0, "2": 55.0}})
    machine = {"name": "N9 EPYC", "family": 9, "model": 1, "path": "float32"}
    monkeypatch.setattr(found, "processor", lambda: dict(machine))
    return found


def on(record: Any, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    machine = {**record.processor(), **changed}
    monkeypatch.setattr(record, "processor", lambda: dict(machine))


def made(record: Any, title: str, *ratios: float, **about: Any) -> dict[str, Any]:
    found: dict[str, Any] = record.section(title, "one product", [
        record.row("search", list(ratios), **about)
    ])  # fmt: skip
    return found


def test_what_is_recorded_is_read_again(record: Any):
    row = made(record, "A", 0.123456, 3, 2, limit=None, k=20)["ratios"][0]
    assert row == {
        "name": "search", "median": 2, "least": 0.1235, "greatest": 3, "turns": 3, "k": 20
    }  # fmt: skip
    sections = [made(record, "A", 1.0, k=20), made(record, "B", 2.0)]
    file = record.write("speed", sections)
    assert file.parent.name == "n9-epyc-9-1-float32"
    found = record.here("speed")
    assert found["sections"] == sections
    assert found["processor"] == {**record.processor(), "gflops": record.products()}
    assert found["versions"]["torch"] == torch.__version__
    assert found["measured"].startswith("20")
    assert found["commit"]
    assert found["command"].startswith("python benchmarks/speed.py")


def test_processors_are_never_mixed(record: Any, monkeypatch: pytest.MonkeyPatch):
    record.write("speed", [made(record, "A", 1.0), made(record, "B", 2.0)])
    on(record, monkeypatch, path="AMX")
    record.write("speed", [made(record, "A", 0.5)], keep=True)
    assert [each["title"] for each in record.here("speed")["sections"]] == ["A"]
    both = records.of_processors(record.RECORDS, "speed")
    assert {name: len(each["sections"]) for name, each in both.items()} == {
        "n9-epyc-9-1-amx": 1, "n9-epyc-9-1-float32": 2
    }  # fmt: skip


def test_a_part_measured_anew_leaves_the_rest_with_its_own_run(
    record: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record, "commit", lambda: "old")
    record.write("speed", [made(record, "A", 1.0), made(record, "B", 2.0)])
    monkeypatch.setattr(record, "commit", lambda: "new")
    record.write("speed", [made(record, "B", 3.0)], keep=True)
    found = record.here("speed")
    assert [(each["title"], each.get("commit")) for each in found["sections"]] == [
        ("B", None), ("A", "old")
    ]  # fmt: skip
    assert found["commit"] == "new"
    record.write("speed", [made(record, "B", 4.0)], keep=True)
    assert [each.get("commit") for each in record.here("speed")["sections"]] == [None, "old"]
    # Another generation of the same name, by the same path.
    on(record, monkeypatch, family=10)
    record.write("speed", [made(record, "B", 5.0)], keep=True)
    assert [each["title"] for each in record.here("speed")["sections"]] == ["B"]
    assert len(list(record.RECORDS.glob("*/speed.json"))) == 2


def test_what_no_reader_knows_is_not_recorded(record: Any):
    with pytest.raises(ShapelibError, match=r"wrong is \['seconds'\]"):
        record.write("speed", [made(record, "A", 1.0, seconds=3)])
    assert list(record.RECORDS.rglob("*.json")) == []


def test_a_run_says_by_which_commit_and_kept_results_do_not_change_it(record: Any, tmp_path: Path):
    def git(*words: str) -> str:
        name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", "-C", str(tmp_path), *name, *words], capture_output=True,
                              text=True, check=True)  # fmt: skip
        return done.stdout.strip()

    assert record.commit(tmp_path) is None
    for name in ("benchmarks/records/n9/speed.json", "results/run/a.csv", "benchmarks/speed.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    head = git("rev-parse", "--short=12", "HEAD")
    for name, said in (
        ("results/run/a.csv", head), ("benchmarks/records/n9/speed.json", head),
        ("benchmarks/speed.py", f"{head}-dirty"),
    ):  # fmt: skip
        (tmp_path / name).write_text("2")
        assert record.commit(tmp_path) == said, name


def test_the_path_of_a_processor_is_the_best_of_its_units(monkeypatch: pytest.MonkeyPatch):
    from llvmlite import binding

    from shapelib import processor

    has: dict[str, bool] = {}
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: has)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for found, path in (
        ({}, "float32"), ({"avx512bf16": True}, "AVX-512 bf16"),
        ({"avx512bf16": True, "amx-bf16": True}, "AMX"), ({"amx-bf16": False}, "float32"),
    ):  # fmt: skip
        has.clear()
        has.update(found)
        assert processor.path.__wrapped__() == path


LIMITED = [
    ({"limit": 0.45}, "inside"),
    ({"limit": 0.39}, "OUTSIDE, by what is not measured"),
    ({"limit": 0.39, "bound": "the product, 0.3"}, "OUTSIDE: the product, 0.3"),
    ({"limit": 0.39, "where": "bfloat16"}, "no such units here"),
    ({"limit": 0.39, "at_least": True}, "inside"),
    ({"limit": 0.41, "at_least": True, "bound": "memory"}, "OUTSIDE: memory"),
]


@pytest.mark.parametrize(("about", "said"), LIMITED)
def test_a_line_is_inside_its_limit_or_says_what_bounds_it(
    about: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
):
    verdict = module("limits", monkeypatch).verdict
    row = {"name": "search", "median": 0.4, **about}
    assert verdict(row, {"path": "float32"}) == said
    if "where" in about:
        assert verdict(row, {"path": "AMX"}) == "OUTSIDE, by what is not measured"


def test_the_table_of_limits_is_of_this_processor_alone(
    record: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    rows = [record.row(f"row {at}", [0.4], threads=1, **about)
            for at, (about, _) in enumerate(LIMITED)]  # fmt: skip
    rows.append(record.row("free", [7.0]))
    record.write("speed", [record.section("A", "one product", rows)])
    on(record, monkeypatch, path="AMX")
    record.write("speed", [made(record, "Other", 99.0, limit=1.0)])
    on(record, monkeypatch, path="float32")
    limits = module("limits", monkeypatch)
    monkeypatch.setattr(limits, "record", record)
    capsys.readouterr()
    limits.main()
    said = capsys.readouterr().out
    lines = said.strip().splitlines()
    assert lines[0] == "N9 EPYC (family 9, model 1), float32: every line with a limit"
    assert [line.split()[0] for line in lines[1:-2]] == ["speed"] * len(LIMITED)
    for line, (_, verdict) in zip(lines[1:], LIMITED, strict=False):
        assert line.endswith(verdict)
    assert "at least 0.41" in said
    assert lines[-2] == "6 lines: 2 inside, 3 outside, 1 meant for other units"
    assert lines[-1].endswith("30 in float32 on one thread, 55 in float32 on 2 threads.")
    assert "99" not in said
    assert "free" not in said


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with few points."""
    found = module("stages", monkeypatch)
    x = torch.randn(600, 24, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(found, "clouds", lambda width: {"ordinary": x})
    return found


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("narrow", [True, False])
def test_the_stages_of_a_search_are_the_search(
    stages: Any, narrow: bool, monkeypatch: pytest.MonkeyPatch
):
    """They and what is left are the whole, and each has its limit."""
    monkeypatch.setattr(stages.on_cpu, "bfloat16_units", lambda: narrow)
    of = {row["name"]: row for row in stages.as_rows(stages.measured(768, 20, 1), 768, 20)}
    parts = [of[each]["median"] for each in stages.STAGES]
    assert min(parts) > 0
    whole = sum(parts) + of[stages.REST]["median"]
    assert of[stages.WHOLE]["median"] == pytest.approx(whole, rel=1e-2)
    assert (of[stages.WHOLE]["limit"], of[stages.WHOLE]["where"]) == (0.45, "bfloat16")
    assert of[stages.WHOLE]["bound"].startswith(f"{stages.PRODUCT} {parts[0]:g}, ")
    assert of[stages.TWO]["at_least"]
    assert {stages.AT_ONCE, stages.COPY, stages.CACHED, stages.BOTH} < of.keys()


def test_sizes_are_added_to_what_is_recorded(record: Any, monkeypatch: pytest.MonkeyPatch):
    """One real search in a process of its own; peers by what they would take."""
    sizes = module("sizes", monkeypatch)
    estimators = module("estimators", monkeypatch)
    ordinary = estimators.clouds(sizes.FEATURES)["ordinary"]
    assert torch.equal(sizes.cloud(5000)[:4096], ordinary)
    monkeypatch.setattr(sizes, "record", record)
    monkeypatch.delenv(sizes.VARIABLE, raising=False)
    monkeypatch.setattr(sizes, "HERE", ("shapelib search, k = 20",))
    monkeypatch.setattr(sys, "argv", ["sizes.py", "--points", "600"])
    sizes.main()
    peer = {"ratios": [2.0], "memory_mb": 1.0, "k": 20}
    monkeypatch.setattr(sizes, "child", lambda *asked: dict(peer))
    monkeypatch.setattr(sizes, "HERE", ("shapelib search, k = 20", "scikit-dimension TwoNN"))
    for points in (1000, 1200):
        monkeypatch.setattr(sys, "argv", ["sizes.py", "--points", str(points)])
        monkeypatch.setattr(sizes, "SECONDS", 600 if points == 1000 else 0)
        sizes.main()
    last, middle, first = record.here("sizes")["sections"]
    (row,) = first["ratios"]
    assert (row["points"], row["k"], row["searched_again"], row["threads"]) == (600, 20, 0, 1)
    assert row["memory_mb"] >= 0
    assert len(middle["ratios"]) == 2
    assert [each["name"] for each in last["ratios"]] == ["shapelib search, k = 20"], "ours runs"
    assert last["note"] == (
        "Left out: scikit-dimension TwoNN (more than 0 minutes to be expected)."
    )
    with pytest.raises(sizes.LeftOutError, match="GiB of memory to be expected"):
        sizes.allowed({"median": 0, "memory_mb": 1e6, "points": 1000}, 10_000, 1.0)


def test_reading_is_timed_on_every_window_and_says_whom_it_left_out(
    record: Any, monkeypatch: pytest.MonkeyPatch, decoder_folder: Path, text_file: Path
):
    from shapelib import load_corpus
    from shapelib.models.loading import load
    from shapelib.states.reading import draw
    from shapelib.text.corpus import windows

    reading = module("reading", monkeypatch)
    monkeypatch.setattr(reading, "record", record)
    monkeypatch.setattr(reading, "WINDOW", 60)
    text = load_corpus(text_file)
    model = load(decoder_folder, dtype="float32")
    passes = reading.passes_of(model, text, 400)
    read = draw(model, windows(text, 60, tokenizer=model.tokenizer, seed=0), 400)
    assert sum(int(mask.sum()) for _, mask in passes) == sum(len(each.ids) for each in read)
    for padded, mask in passes:
        assert set(padded[mask == 0].tolist()) <= {model.filler}

    seen = []

    def took(model: Any, passes: Any) -> float:
        seen.append(model.dtype)
        return {"float32": 2.0, "bfloat16": 1.0}[model.dtype]

    monkeypatch.setattr(reading, "seconds", took)
    monkeypatch.setattr(reading, "load_corpus", lambda: text)
    monkeypatch.setattr(reading, "TOKENS", {str(decoder_folder): 400, "no-such-model": 400})
    monkeypatch.setattr(sys, "argv", ["reading.py"])
    reading.main()
    (section,) = record.here("reading")["sections"]
    assert [row["median"] for row in section["ratios"]] == [0.5]
    assert seen[2:] == ["bfloat16", "float32", "float32", "bfloat16", "bfloat16", "float32"]
    assert "no-such-model" in section["note"]
    monkeypatch.setattr(sys, "argv", ["reading.py", "another"])
    with pytest.raises(SystemExit, match=r"another; known: .*no-such-model"):
        reading.main()
