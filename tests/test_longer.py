"""The command of the longer run: its recipe, its early end, going on, and the tables it keeps."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shapelib.pretraining import checkpoints, pretrain
from shapelib.pretraining.recipe import Recipe, log_spaced, recipe
from shapelib.store import tables

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")
TINY: dict[str, Any] = {
    "layers": 2, "width": 16, "heads": 2, "vocabulary": 300, "window": 16, "batch": 4,
    "steps": 60, "warmup": 5,
}  # fmt: skip
A_STEP = 16 * 4


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch, text_file: Path, tmp_path: Path) -> ModuleType:
    """The script with a tiny model of a short text, trained in this process."""
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    spec = importlib.util.spec_from_file_location("made_longer", ROOT / "results" / "longer.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)

    def tiny(kind: str, size: str, **changes: Any) -> Recipe:
        assert size == "small"
        return recipe(kind, corpus=str(text_file), **{**TINY, **changes})

    def one_after_the_other(recipes: list[Recipe], **how: Any) -> list[Path]:
        folders = [pretrain._folder(each) for each in recipes]
        for made, folder in zip(recipes, folders, strict=True):
            pretrain.train(made, folder, device="cpu", progress=False, **how)
        return folders

    monkeypatch.setattr(found, "recipe", tiny)
    monkeypatch.setattr(found.pretraining, "suites", one_after_the_other)
    monkeypatch.setattr(found, "FOLDER", tmp_path / "longer")
    monkeypatch.setattr(found, "WINDOWS", (8, 16))
    monkeypatch.setattr(found, "TOKENS", 600)
    monkeypatch.setattr(found, "BATCH", 300)
    monkeypatch.setattr(found.tables, "_commit", lambda: "0123456789ab")
    return found


@pytest.fixture
def run(longer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def with_arguments(*given: str) -> None:
        monkeypatch.setattr(sys, "argv", ["longer.py", *given])
        longer.main()

    return with_arguments


def exams(monkeypatch: pytest.MonkeyPatch, risen: bool) -> list[int]:
    """Let held-out perplexity fall with steps, but for a rise after the second epoch if asked; the
    steps at which it was asked."""
    asked: list[int] = []

    def told(training: Any) -> float:
        asked.append(training.step)
        turn = math.ceil(2 * training.stream.tokens / A_STEP)
        return 100.0 - training.step + (1000 if risen and training.step > turn else 0)

    monkeypatch.setattr(pretrain.Training, "perplexity", told)
    return asked


def test_a_budget_of_tokens_has_a_schedule_of_its_own(longer: ModuleType):
    epoch = 15 * A_STEP + 7
    made = longer.planned("decoder", 40.4 * A_STEP, epoch)
    assert (made.steps, made.warmup, made.precision) == (40, 4, "bfloat16")
    assert made.rate(40) == pytest.approx(made.learning_rate / 10)
    # Epochs end within steps 16 and 31; the last step stands for itself.
    assert made.checkpoints == tuple(sorted({*log_spaced(40), 16, 31}))
    assert longer.ends(made, 40, epoch) == [16, 31]
    assert longer.ends(made, 40, 41 * A_STEP) == []
    assert longer.ends(made, 40, 20 * A_STEP) == [20]
    whole = longer.planned("encoder", None, epoch)
    assert (whole.steps, whole.warmup, whole.kind) == (60, 5, "encoder")


def test_the_tables_hold_what_the_page_draws(
    run: Callable[..., None], longer: ModuleType, capsys: pytest.CaptureFixture[str]
):
    run("decoder", "encoder", "--tokens", str(20 * A_STEP))
    said = capsys.readouterr().out
    assert said.startswith("runs: 2, at once: 1; 0.0 M tokens each, ")
    kept = {path.stem: tables.read_table(path) for path in longer.FOLDER.glob("*.parquet")}
    assert set(kept) == {"shape", "training", "massive"}
    names = ["decoder-16-warmup2-seed0", "encoder-16-warmup2-seed0"]
    for table in kept.values():
        runs = table.attrs["provenance"]
        assert [each["model"] for each in runs] == names
        assert {each["commit"] for each in runs} == {"0123456789ab"}
        assert [each["command"] for each in runs] == [
            f"python results/longer.py {kind} --tokens {20 * A_STEP}"
            for kind in ("decoder", "encoder")
        ]
        assert [each["recipe"]["steps"] for each in runs] == [20, 20]
    shape, massive = kept["shape"], kept["massive"]
    for table in (shape, massive):
        assert set(table["window"]) == {"8 tokens", "16 tokens"}
        assert set(table["step"]) >= set(log_spaced(20))
        assert set(table["layer"]) == {0, 1, 2}
    assert set(shape["tokens"]) == {"all", "rest"}
    assert {"anisotropy", "two_nn", "two_nn_lowest20", "mada_k20", "mom_k20", "gride_1",
            "gride_64"} <= set(shape["metric"])  # fmt: skip
    assert "by_group" not in shape
    assert kept["training"].groupby("model")["step"].max().tolist() == [20, 20]
    assert all(each["epoch_tokens"] > 0 for each in kept["training"].attrs["provenance"])


def test_a_run_ends_at_the_first_epoch_that_does_not_help(
    run: Callable[..., None], longer: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    asked = exams(monkeypatch, risen=True)
    epoch, _ = longer.timed("decoder", 1)
    ends = longer.ends(longer.planned("decoder", None, epoch), 2000, epoch)
    tokens = str((ends[3] + 3) * A_STEP)
    run("decoder", "--tokens", tokens)
    assert max(asked) == ends[2]
    training = tables.read_table(longer.FOLDER / "training.parquet")
    assert training["step"].max() == ends[2]
    shape = tables.read_table(longer.FOLDER / "shape.parquet")
    # The best is the end of the epoch before.
    assert {ends[1], ends[2]} <= set(shape["step"])
    assert max(shape["step"]) == ends[2]
    assert f"lowest {100 - ends[1]:.1f} at step {ends[1]} of " in capsys.readouterr().out
    # It has ended: the same command trains nothing more.
    before = len(asked)
    run("decoder", "--tokens", tokens)
    assert len(asked) == before


def test_without_a_rise_every_epoch_is_read(
    run: Callable[..., None], longer: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    asked = exams(monkeypatch, risen=False)
    epoch, _ = longer.timed("encoder", 1)
    steps = 3 * epoch // A_STEP + 2
    run("encoder", "--tokens", str(steps * A_STEP))
    assert max(asked) == steps


def test_a_run_that_was_stopped_keeps_no_table_and_goes_on(
    run: Callable[..., None], longer: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    advance, steps = pretrain.Training.advance, []

    def counted(training: Any) -> None:
        advance(training)
        steps.append(training.step)

    monkeypatch.setattr(longer, "timed", lambda *_: (30 * A_STEP, 1.0))
    monkeypatch.setattr(pretrain.Training, "advance", counted)
    run("decoder", "--tokens", str(20 * A_STEP), "--minutes", "1e-9")
    assert "stopped before its end; the same command goes on" in capsys.readouterr().out
    assert not longer.FOLDER.exists()
    assert steps == [1]
    run("decoder", "--tokens", str(20 * A_STEP))
    assert steps == list(range(1, 21))
    assert (longer.FOLDER / "shape.parquet").is_file()


def test_what_cannot_be_kept_is_not_begun(
    run: Callable[..., None], longer: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SystemExit, match="no such kind: prefix; known: decoder, encoder"):
        run("prefix")
    monkeypatch.setattr(longer.tables, "_commit", lambda: "0123456789ab-dirty")
    with pytest.raises(SystemExit, match=r"the checkout has changes \(0123456789ab-dirty\)"):
        run("decoder")


def test_how_long_it_takes_grows_with_steps_and_runs(
    longer: ModuleType, capsys: pytest.CaptureFixture[str]
):
    def hours(runs: int, at_once: int, steps: int) -> list[float]:
        made = longer.planned("decoder", steps * A_STEP, 10**9)
        longer.announce(made, runs, at_once, 10**9, 3.6)
        said = capsys.readouterr().out
        return [float(said.split(word)[0].split()[-1]) for word in (" hours", " of measuring")]

    # 1000 steps of 3.6 s; 15 checkpoints of 40 steps each.
    assert len(log_spaced(1000)) == 15
    assert hours(1, 1, 1000) == [1.0, 0.6]
    assert hours(2, 2, 1000) == [1.0, 1.2]
    assert hours(2, 1, 2000) == [4.0, 1.4]


def test_a_rise_is_between_the_steps_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = {3: 9.0, 5: 8.0, 8: 8.5, 12: 7.0, 20: 7.1}
    monkeypatch.setattr(checkpoints, "whole", lambda _: {step: step for step in told})
    monkeypatch.setattr(checkpoints, "record", lambda step: {"perplexity": told[step]})
    assert checkpoints.risen(tmp_path, (3, 5, 8, 12)) == 8
    assert checkpoints.risen(tmp_path, (12, 3, 5)) is None
    assert checkpoints.risen(tmp_path, (12, 15, 20)) == 20
    assert checkpoints.risen(tmp_path, (12,)) is None
    assert checkpoints.risen(tmp_path, ()) is None
