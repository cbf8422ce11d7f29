"""The parts of results/tuning.py on a tiny model: what runs, what is kept, what is refused.

Runs are made up, all around them is real: grids, cache, estimates and the kept table. Their scores
follow a rate and a dimension as true ones do, so that it is known what a search should find.
"""

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scripts import script

from shapelib import d90
from shapelib.errors import ShapelibError
from shapelib.finetuning import encoding, one_run
from shapelib.finetuning.best_rate import halves
from shapelib.finetuning.settings import OTHER, Setting, Tuning
from shapelib.store import cache, tables

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")
TEXTS = 2400
Scores = Callable[[Setting], float]


class Runs:
    """Made-up runs: which were made, and what they score."""

    def __init__(self) -> None:
        self.made: list[Setting] = []
        self.needed = 150.0
        """The d at which the first seed reaches nine tenths of full fine-tuning."""
        self.spread = 1.0
        """How many times as much each further seed needs."""
        self.full = 0.9
        self.best = {"full": 0.001, "DID": 0.01, "SAID": 0.01}
        self.diverges: Callable[[Setting], bool] = lambda run: False
        self.learned: Callable[[Setting], float] = lambda run: 1.0
        """The share of what can be learned, of so many updates."""
        self.seconds = {"float32": 2.0, "bfloat16": 1.0}
        self.stop_after = math.inf

    def score(self, run: Setting) -> float:
        rates = [0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
        away = abs(rates.index(run.rate) - rates.index(self.best[run.method]))
        top = self.full
        if run.d is not None:
            needed = self.needed * self.spread**run.seed
            top *= min(1.0, 0.9 + 0.1 * math.log2(run.d / needed))
        return 0.5 + self.learned(run) * max(0.0, top - 0.5 - 0.03 * away)

    def tune(self, model: Any, task: encoding.Encoded, run: Setting) -> one_run.Score:
        if len(self.made) >= self.stop_after:
            raise KeyboardInterrupt
        self.made.append(run)
        lost, texts = self.diverges(run), len(task.test.labels)
        # The first so many of them: as many of either half.
        right = np.arange(texts) < round(self.score(run) * texts)
        score = math.nan if lost else float(right.mean())
        return one_run.Score(
            score=score, train_score=score, loss=0.1, diverged=lost, stopped=None,
            learning_rate=run.rate, D=20_000, groups=0,
            right="" if lost else np.packbits(right).tobytes().hex(),
            seconds=self.seconds[run.dtype],
        )  # fmt: skip


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    found = Runs()

    def tune(*given: Any) -> one_run.Score:
        return found.tune(*given)

    # By its module a cell's key is that of real runs.
    tune.__module__ = one_run.__name__
    monkeypatch.setattr(one_run, "tune", tune)
    return found


@pytest.fixture
def asked(encoder_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """A tiny encoder, and a task: is there a cat, or a dog?"""
    draw = random.Random(0)
    rows = [
        {"text": f"{draw.choice(['moon', 'sea'])} {n // 2} {('cat', 'dog')[n % 2]}", "label": n % 2}
        for n in range(TEXTS)
    ]
    path = tmp_path / "animals.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return {
        "model": str(encoder_folder), "task": str(path), "full_rate": 0.003, "dtype": "float32",
    }  # fmt: skip


@pytest.fixture
def tuning(monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], tmp_path: Path) -> ModuleType:
    """The script, with a trio of parts on the tiny encoder; it does not estimate hours."""
    found = script("tuning", monkeypatch)
    for name, value in {"BATCH": 16, "LENGTH": 16, "LEAST": 10, "MOST": 1600}.items():
        monkeypatch.setattr(f"searches.{name}", value)
    monkeypatch.setattr(found, "HERE", tmp_path / "results")
    monkeypatch.setattr(found.store, "_commit", lambda: "0123456789ab")
    monkeypatch.setattr(found, "told_hours", found.announce, raising=False)
    monkeypatch.setattr(found, "announce", lambda *_: None)
    parts = found.trio("tiny", **asked, seeds=(0, 1, 2), grid=(25, 50, 100, 200, 400))
    monkeypatch.setattr(found, "PARTS", {name: bare(part) for name, part in parts.items()})
    return found


def bare(part: Any) -> Any:
    """Without the part on bfloat16 before it."""
    return dataclasses.replace(part, needs=tuple(set(part.needs) - {"bfloat16"}))


def kept(tuning: ModuleType, part: str | None = None) -> pd.DataFrame:
    table = tables.read_table(tuning.HERE / "tuning.parquet")
    return table if part is None else table[table["part"] == part].reset_index(drop=True)


def estimate(table: pd.DataFrame, method: str) -> Any:
    own = table[table["method"].isin(["full", method])]
    return d90(own, rates=OTHER).query("definition == 'papers'").iloc[0]


def tried(runs: Runs, method: str) -> dict[int | None, list[tuple[int, float]]]:
    found: dict[int | None, list[tuple[int, float]]] = {}
    for run in runs.made:
        if run.method == method:
            found.setdefault(run.d, []).append((run.seed, run.rate))
    return found


# ---- the parts there are


def test_every_part_stands_after_those_whose_rows_it_reads(monkeypatch: pytest.MonkeyPatch):
    real = script("tuning", monkeypatch)
    names = list(real.PARTS)
    assert len({repr(part) for part in real.PARTS.values()}) == len(names)
    for place, (name, part) in enumerate(real.PARTS.items()):
        assert set(part.needs) <= set(names[:place]), name
        if isinstance(part, real.Search):
            full = real.PARTS[part.full]
            assert isinstance(full, real.Full)
            same = ("model", "task", "init", "pooling", "dtype", "budgets", "seeds", "steps")
            assert all(getattr(full, each) == getattr(part, each) for each in same), name
            assert set(part.needs) >= {part.full, *filter(None, [part.budgets])}
            # Steps are doublings, and of four where a run takes longest.
            wide = 4 if name == "mpnet-random-DID" else 2
            assert all(b == wide * a for a, b in zip(part.grid[:-1], part.grid[1:], strict=True))
    for model in ("minilm", "mpnet"):
        for task in ("questions", "reviews"):
            found = {real.PARTS[f"{model}-{task}-{way}"].seeds for way in ("full", "DID", "SAID")}
            assert found == {(0, 1, 2, 3, 4)}
    assert real.PARTS["smollm2-questions-DID"].pooling == "last"
    assert real.PARTS["mpnet-random-DID"].init == "random"
    # What a grid asks for is what runs can be.
    for name, part in real.PARTS.items():
        for call in part.calls if isinstance(part, real.Grid) else ():
            skipped = ("model", "sizes", "task", "checkpoints")
            assert Tuning(**{each: call[each] for each in call if each not in skipped}).runs(), name


# ---- a search


def test_few_runs_find_what_is_known(tuning: ModuleType, runs: Runs):
    tuning.main(["tiny-full", "tiny-DID", "tiny-SAID"])
    table = kept(tuning)
    assert table.groupby("part").size().to_dict() == {
        # Three rates by one seed, the best by each other.
        "tiny-full": 3 + 2,
        # A dimension by four rates, two by three, and two of them by both other seeds.
        "tiny-DID": 4 + 2 * 3 + 2 * 2,
        "tiny-SAID": 4 + 2 * 3 + 2 * 2,
    }
    full = table[table["part"] == "tiny-full"]
    assert set(full.loc[full["seed"] > 0, "rate"]) == {0.001}
    assert sorted(full.loc[full["seed"] == 0, "rate"]) == [0.0003, 0.001, 0.003]
    for method in ("DID", "SAID"):
        found = estimate(table, method)
        assert found["threshold"] == pytest.approx(0.81, abs=0.01)
        assert found["d90"] == pytest.approx(150, rel=0.1)
        assert (found["seeds"], found["grid"]) == (3, 200)
        of_all = {d: each for d, each in tried(runs, method).items() if len(each) > 3}
        assert sorted(of_all) == [100, 200]
    # Another dimension begins at the rate that was best at the one before.
    (first, *others) = tried(runs, "DID").values()
    assert first[0] == (0, 0.003)
    assert all(each[0] == (0, 0.01) for each in others)


def test_a_seed_that_needs_more_or_less_is_followed(tuning: ModuleType, runs: Runs):
    runs.spread = 2.5  # the third needs six times as much
    tuning.main(["tiny-full", "tiny-DID"])
    table = kept(tuning)
    assert max(each for each in table.loc[table["method"] == "DID", "d"]) == 1600
    found = tuning.rows("tiny-DID").groupby("d")["seed"].nunique()
    assert found[[100, 200, 400, 800, 1600]].tolist() == [3] * 5
    assert estimate(table, "DID")["d90"] > 150
    runs.spread, runs.made = 0.3, []
    cache.clear(["tuning"])
    tuning.main(["--anew", "tiny-DID"])
    found = tuning.rows("tiny-DID").groupby("d")["seed"].nunique()
    assert sorted(found[found == 3].index) == [12, 25, 50, 100, 200]


@pytest.mark.parametrize(("needed", "also"), [(104.0, 50), (192.0, 400)])
def test_an_interval_is_seen_to_its_end(tuning: ModuleType, runs: Runs, needed: float, also: int):
    """d90 lies between two dimensions that all seeds are run at, so near to one of them that its
    interval ends there: they are run at the next one too."""
    runs.needed = needed
    tuning.main(["tiny-full", "tiny-DID"])
    table = kept(tuning)
    found = tuning.rows("tiny-DID").groupby("d")["seed"].nunique()
    assert set(found[found == 3].index) == {100, 200, also}
    by_all = table[table["d"].isin([100, 200, also]) | (table["method"] == "full")]
    ends = estimate(by_all, "DID")
    assert min(100, also) < ends["low"] < ends["d90"] < ends["high"] < max(200, also)


def test_a_bisection_that_brackets_nothing(
    tuning: ModuleType, runs: Runs, capsys: pytest.CaptureFixture[str]
):
    runs.needed = 10**6
    tuning.main(["tiny-full", "tiny-DID"])
    found = estimate(kept(tuning), "DID")
    # It went on beyond the grid, as far as it may, by all seeds.
    assert (pd.isna(found["d90"]), found["above"], found["seeds"]) == (True, 1600, 3)
    assert found["high"] == math.inf
    assert "no d up to 1600 reaches the bar of 0.8" in capsys.readouterr().out
    runs.needed = 1.0
    cache.clear(["tuning"])
    tuning.main(["--anew", "tiny-DID"])
    found = estimate(kept(tuning), "DID")
    assert found["d90"] == found["below"] == 12
    assert "d90 is at most 12" in capsys.readouterr().out


def test_a_task_that_teaches_nothing_has_no_bar(
    tuning: ModuleType, runs: Runs, capsys: pytest.CaptureFixture[str]
):
    runs.full = 0.5
    tuning.main(["tiny-full", "tiny-DID"])
    assert "learns nothing, so there is no bar, and no d90" in capsys.readouterr().out
    assert list(tried(runs, "DID")) == [100]
    assert pd.isna(estimate(kept(tuning), "DID")["threshold"])


def test_runs_that_diverge(tuning: ModuleType, runs: Runs):
    # At rates as high as where the ladder is begun: it goes down.
    runs.diverges = lambda run: run.rate >= 0.003
    tuning.main(["tiny-full", "tiny-DID"])
    inside = tried(runs, "DID")
    assert {rate for each in inside.values() for _, rate in each} == {0.0003, 0.001, 0.003}
    assert estimate(kept(tuning), "DID")["failed"] == 3
    # At every rate, in small dimensions: these do not reach the bar.
    runs.diverges, runs.made = lambda run: (run.d or 10**6) < 200, []
    cache.clear(["tuning"])
    tuning.main(["--anew", "tiny-full", "tiny-DID"])
    found = estimate(kept(tuning), "DID")
    assert found["d90"] == found["grid"] == 200
    assert [rate for seed, rate in tried(runs, "DID")[100] if seed == 0][-1] == 0.00003


def test_full_fine_tuning_that_diverges_at_every_rate_is_said_and_others_go_on(
    tuning: ModuleType, runs: Runs, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    other = bare(tuning.Full(**{**asked, "init": "random"}, seeds=(0,)))
    monkeypatch.setitem(tuning.PARTS, "other-full", other)
    runs.diverges = lambda run: run.init == "pre-trained"
    with pytest.raises(SystemExit) as ended:
        tuning.main([])
    told = str(ended.value).splitlines()
    assert told[0] == "not made:"
    assert "tiny-full: " in told[1]
    assert "full fine-tuning diverges at every rate, down to 3e-05" in told[1]
    assert "tiny-DID: it reads rows of tiny-full, not kept yet" in told[2]
    assert set(kept(tuning)["part"]) == {"other-full"}


# ---- what is kept


def test_a_part_that_was_killed_goes_on(
    tuning: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    tuning.main(["tiny-full"])
    before = kept(tuning)
    runs.stop_after = len(runs.made) + 7
    with pytest.raises(KeyboardInterrupt):
        tuning.main(["tiny-DID"])
    pd.testing.assert_frame_equal(kept(tuning), before)
    runs.stop_after = math.inf
    tuning.main(["tiny-DID"])
    assert len(runs.made) == len(set(runs.made)) == 5 + 14
    whole = kept(tuning)
    monkeypatch.setenv("SHAPELIB_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(tuning, "HERE", tmp_path / "undisturbed")
    tuning.main(["tiny-full", "tiny-DID"])
    pd.testing.assert_frame_equal(kept(tuning), whole)


def test_what_the_table_holds_outlives_the_cache(
    tuning: ModuleType, runs: Runs, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    tuning.main(["tiny-full"])
    first = kept(tuning)
    runs.made = []
    cache.clear(["tuning"])
    tuning.main(["tiny-full"])
    assert runs.made == []
    assert "tiny-full: kept already, by commit 0123456789ab" in capsys.readouterr().out
    # A search reads rows of full fine-tuning, and makes none.
    tuning.main(["tiny-DID"])
    assert {run.method for run in runs.made} == {"DID"}
    pd.testing.assert_frame_equal(kept(tuning, "tiny-full"), first)
    # What is asked for in another way is another part.
    runs.made = []
    part = dataclasses.replace(tuning.PARTS["tiny-full"], seeds=(0, 1, 2, 3))
    monkeypatch.setitem(tuning.PARTS, "tiny-full", part)
    tuning.main(["tiny-full"])
    assert len(runs.made) == 6
    assert set(kept(tuning, "tiny-full")["seed"]) == {0, 1, 2, 3}
    assert len(kept(tuning, "tiny-DID")) == 14
    (run,) = [r for r in kept(tuning).attrs["provenance"] if r["part"] == "tiny-full"]
    assert (run["runs"], run["command"]) == (6, "python results/tuning.py tiny-full")


def test_rows_from_before_there_was_a_choice_say_what_they_were(tuning: ModuleType, runs: Runs):
    tuning.main(["tiny-full"])
    old = kept(tuning).drop(columns=["pooling", "dtype"]).assign(part="old")
    old.attrs["provenance"] = [{"part": "old", "commit": "0123456789ab"}]
    tables.write_table(old, tuning.HERE / "tuning.parquet")
    tuning.main(["tiny-full"])
    table = kept(tuning)
    assert set(table["part"]) == {"old", "tiny-full"}
    assert table[["pooling", "dtype"]].drop_duplicates().to_numpy().tolist() == [
        ["mean", "float32"]
    ]
    assert [run["part"] for run in table.attrs["provenance"]] == ["old", "tiny-full"]


def test_what_is_refused_before_anything_runs(
    tuning: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SystemExit, match="no such part: tiny, x; known: tiny-full, tiny-DID"):
        tuning.main(["tiny-full", "tiny", "x"])
    with pytest.raises(SystemExit, match=r"tiny-SAID: it reads rows of tiny-full, not kept"):
        tuning.main(["tiny-SAID"])
    monkeypatch.setattr(tuning.store, "_commit", lambda: "0123456789ab-dirty")
    with pytest.raises(SystemExit, match=r"the checkout has changes \(0123456789ab-dirty\)"):
        tuning.main(["tiny-full"])
    assert runs.made == []


# ---- bfloat16


@pytest.mark.parametrize(
    ("narrow", "seconds", "dtype", "refused"),
    [
        (0.0, 1.0, "bfloat16", None),
        (0.0, 1.0, "float32", "bfloat16 agrees with float32 and is faster"),
        (0.0, 3.0, "bfloat16", "it is no faster here"),
        (0.0, 3.0, "float32", None),
        (0.1, 1.0, "bfloat16", r"DID: 0\.\d+ in float32 and 0\.\d+ in bfloat16"),
        (0.1, 1.0, "float32", None),
    ],
)
def test_bfloat16_is_taken_where_it_agrees_and_is_faster(
    narrow: float, seconds: float, dtype: str, refused: str | None, tuning: ModuleType, runs: Runs,
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    runs.seconds["bfloat16"] = seconds
    runs.learned = lambda run: 1 - narrow * (run.dtype == "bfloat16" and run.d is not None) / 0.3
    both = tuning.Precision(**asked, seeds=(0, 1), d=400)
    after = tuning.Full(**{**asked, "dtype": dtype}, seeds=(0,))
    monkeypatch.setattr(tuning, "PARTS", {"bfloat16": both, "after": after})
    if refused is None:
        tuning.main([])
        assert set(kept(tuning, "after")["dtype"]) == {dtype}
    else:
        with pytest.raises(SystemExit, match=f"after: DTYPE is {dtype}, and .*{refused}"):
            tuning.main([])
    assert kept(tuning, "bfloat16").groupby(["method", "dtype"]).size().tolist() == [2] * 4


def test_a_run_that_diverges_in_bfloat16_alone_is_no_agreement(tuning: ModuleType):
    runs = pd.DataFrame({
        "model": "m", "method": "DID", "dtype": ["float32", "bfloat16"] * 2,
        "score": [0.8, 0.8, 0.8, math.nan], "seconds": [2.0, 1.0] * 2,
    })  # fmt: skip
    check = tuning.check_precision
    with pytest.raises(ShapelibError, match=r"m, DID: 0\.800 in float32 and 0\.400 in bfl"):
        check(runs, "bfloat16")


# ---- rates and budgets


def test_the_halves_of_the_texts_choose_the_rates(tuning: ModuleType):
    import readings

    first = halves(4)
    most = ~first
    most[first.argmax()] = True
    texts = {0.001: most, 0.003: first, 0.01: np.zeros(4, dtype=bool)}

    def table(chosen: list[float]) -> pd.DataFrame:
        bits = [np.packbits(texts[each]).tobytes().hex() for each in chosen]
        scores = [float(np.mean(texts[each])) for each in chosen]
        return pd.DataFrame({"rate": chosen, "score": scores, "right": bits, "test": 4})

    assert readings.counted(table([0.01, 0.003, 0.001])) == [0.001, 0.003]
    assert readings.counted(table([0.01, 0.001])) == [0.001]
    lost = table([0.01, 0.003]).assign(score=math.nan, right="")
    assert readings.counted(lost) == [0.003]


def of_budgets(scores: dict[int, float], **given: Any) -> pd.DataFrame:
    table = pd.DataFrame({"steps": scores.keys(), "train_score": scores.values()})
    usual = {"method": "full", "majority": 0.25, "train": 4000, "score": table["train_score"]}
    return table.assign(**usual | given)


def test_a_budget_is_enough_where_twice_as_much_gains_nothing(tuning: ModuleType):
    import readings

    def found(*scores: float) -> tuple[int, bool]:
        budgets = {60 * 2**k: score for k, score in enumerate(scores)}
        return readings.plateau(of_budgets(budgets))  # type: ignore[no-any-return]

    assert found(0.5, 0.8, 0.9, 0.905) == (240, True)
    assert found(0.5, 0.8, 0.9) == (240, False)
    # What has not begun to learn is not at its best.
    assert found(0.25, 0.26, 0.25, 0.6, 0.6) == (480, True)
    assert found(0.25, 0.26, 0.25) == (240, False)
    assert found(0.5, 0.8, math.nan, 0.8)[0] == 120
    # The run that counts is that with the best score on the test texts.
    two = pd.concat([of_budgets({60: 0.8, 120: 0.8}), of_budgets({60: 0.9}, score=0.1)])
    assert readings.plateau(two) == (60, True)
    ways = [of_budgets({60: 0.8, 120: 0.8}), of_budgets({60: 0.5, 120: 0.8}, method="DID")]
    assert readings.budget(pd.concat(ways)) == 120


def test_random_weights_are_searched_at_the_budget_that_is_enough(
    tuning: ModuleType, runs: Runs, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    fresh = {**asked, "init": "random", "seeds": (0, 1, 2)}
    runs.learned = lambda run: min(1.0, run.steps / (240 if run.d else 120))
    parts = {
        "budgets": tuning.Budgets(**fresh, d=800, most=480),
        **tuning.trio(
            "random", ("DID",), **fresh, budgets="budgets", grid=(100, 200, 400), also=(800,)
        ),
    }
    monkeypatch.setattr(tuning, "PARTS", {name: bare(part) for name, part in parts.items()})
    tuning.main([])
    table = kept(tuning)
    assert sorted(set(tuning.rows("budgets")["steps"])) == [60, 120, 240, 480]
    assert set(tuning.rows("budgets").query("method == 'full'")["steps"]) == {60, 120, 240}
    # At each budget three rates, from the best of the one before.
    later = [run for run in runs.made if run.steps == 480]
    assert {run.rate for run in later} == {0.03, 0.01, 0.003}
    out = capsys.readouterr().out
    assert "full: from 120 updates on the training score improves no more" in out
    assert "DID: from 240 updates on the training score improves no more" in out
    searched = table[table["part"].isin(["random-full", "random-DID"])]
    assert set(searched["steps"]) == {240}
    found = estimate(searched, "DID")
    assert found["d90"] == pytest.approx(150, rel=0.1)
    # The other bar may be farther off: the largest d has all seeds as well.
    assert tuning.rows("random-DID").groupby("d")["seed"].nunique()[800] == 3


# ---- hours


def test_hours_are_told_before_a_part_begins(
    tuning: ModuleType, runs: Runs, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    begun: list[str] = []
    tune = one_run.tune

    def first(*given: Any) -> one_run.Score:
        begun.append(capsys.readouterr().out)
        return tune(*given)

    first.__module__ = one_run.__name__
    monkeypatch.setattr(one_run, "tune", first)
    monkeypatch.setattr(tuning, "announce", tuning.told_hours)
    tuning.main(["tiny-full"])
    lines = begun[0].splitlines()
    assert lines[0] == "tiny-full:"
    assert lines[1].startswith("  5 runs of full pre-trained in float32, 60 updates: 0.")
    assert lines[2].startswith("  about 5 runs and 0.0 core-hours")
    assert len(lines) == 3


def test_hours_grow_with_runs_and_updates(
    tuning: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    asked: dict[str, Any],
):  # fmt: skip
    kinds: list[tuple[str, int | None]] = []

    def fixed(model: str, task: str, run: Setting, checkpoints: Any) -> Any:
        kinds.append((run.method, run.d))
        return tuning.Run(step=3.0, rest=60.0)

    monkeypatch.setattr(tuning, "of_a_run", fixed)
    budgets = tuning.Budgets(**asked, d=800, most=240)
    tuning.told_hours("budgets", budgets)
    # Each kind of run is measured once.
    assert kinds == [("full", None), ("DID", 800)]
    seconds = 2 * sum(3 * (60 + 3 * steps) for steps in (60, 120, 240))
    assert f"about 18 runs and {seconds / 3600:.1f} core-hours" in capsys.readouterr().out
    with pytest.raises(ShapelibError, match=r"a step takes 3\.0 seconds, .* more than 2\.5"):
        tuning.told_hours("slow", dataclasses.replace(budgets, limit=2.5))


def test_a_run_is_as_long_as_is_foretold(tuning: ModuleType, asked: dict[str, Any]):
    """Within a factor of three, on a machine that does other things too."""
    import hours

    from shapelib.finetuning.tasks import load_task
    from shapelib.models import loading

    model = loading.load(asked["model"], device="cpu")
    for method, d in (("full", None), ("DID", 400)):
        setting = Setting("pre-trained", method, d, 0.001, 0, 60, 16, 16)  # type: ignore[arg-type]
        read = encoding.encode(load_task(asked["task"]), model, 16)
        # The first run of a process makes what all others find.
        one_run.tune(model, read, setting)
        told = hours.of_a_run(asked["model"], asked["task"], setting)
        took = one_run.tune(model, read, setting)
        assert 1 / 3 < told.seconds(took.stopped or 60) / took.seconds < 3
