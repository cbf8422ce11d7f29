"""The tables that pages show of fine-tuning, each a function of a table of runs or estimates."""

import math
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError, nearest
from shapelib.finetuning.best_rate import score_of, that_count
from shapelib.finetuning.settings import METHODS, SCORED
from shapelib.store.tables import combine

# The pair's models, as tables name them: what a reader needs of it are kind and width.
_PAIR = re.compile(r"^(encoder|decoder)-(\d+)-warmup\d+-seed\d+(?:-[0-9a-f]{16})?$")
_RUNS = ["task", "model", "checkpoint", "step", "init", "method"]
_TOLD = ("task", "model", "weights", "method")
_DIGITS = 3
# One thing is called d90, that of the papers' bar.
_ESTIMATE = {"papers": "d90", "chance-corrected": "dimension"}


def named(models: Iterable[str]) -> dict[str, str]:
    """What pages call each model: one of the pair by kind and width, where that is one model's."""
    long = list(dict.fromkeys(models))
    short = {model: _PAIR.sub(r"\1, width \2", model) for model in long}
    return short if len(set(short.values())) == len(long) else dict(zip(long, long, strict=True))


def labels(rows: pd.DataFrame) -> tuple[list[str], str]:
    """What tells rows of runs or estimates apart, in words, and what those words say.

    Of task, model, weights and method those that differ, or the model where none does. Weights are
    random, pre-trained, or of a step where there are several steps.
    """
    trained = rows["init"] != "random"
    several = rows.loc[trained, "step"].nunique() > 1
    weights = rows["init"].astype(object)
    if several:
        weights = weights.where(~trained, rows["step"].map("step {}".format))
    words = rows[["task", "method"]].assign(
        model=rows["model"].map(named(rows["model"])), weights=weights
    )
    told = [name for name in _TOLD if words[name].nunique() > 1] or ["model"]
    return [", ".join(row) for row in words[told].itertuples(index=False)], ", ".join(told)


def searched(kept: pd.DataFrame, stems: Iterable[str]) -> pd.DataFrame:
    """The runs of some searches for d90: full fine-tuning and the subspaces held against it.

    :param kept: the table of ``results/tuning``.
    :param stems: searches, as ``minilm-questions``: each has a part ``…-full`` and others beside.
    :raises ShapelibError: for one that the table has not, or of which it has only one side.
    """
    parts = set(kept["part"])
    stems_of = [part.removesuffix("-full") for part in parts if part.endswith("-full")]
    ways = {stem: parts & {f"{stem}-{way}" for way in METHODS} for stem in stems_of}
    whole = sorted(stem for stem, own in ways.items() if len(own) > 1)
    found = []
    for stem in stems:
        if stem not in whole:
            raise ShapelibError(f"no search {stem!r} is kept; {nearest(stem, whole)}")
        found.append(kept[kept["part"].isin(ways[stem])])
    return combine(found)


def curves(tuning: pd.DataFrame, rates: str = SCORED) -> pd.DataFrame:
    """The points of accuracy against d: of each seed the run at its best rate, averaged over seeds.

    `tuning`: the runs of `shapelib.dimension_sweep`; `rates`: on which texts a rate is chosen, as
    in `shapelib.d90`. A row for each task, model, checkpoint, initialisation, method and d, full
    fine-tuning among them: `accuracy`; `two_errors`, two standard errors over seeds, missing for
    one; `seeds`; `rates`, that of each seed, before its factor (two where the halves of the texts
    differ); `stopped`: how many of these runs were given up at half of their steps; `majority`.
    """
    by = [*_RUNS, "d"]
    known = tuning.reset_index(drop=True).dropna(subset=["score"])
    best = []
    for _, tried in known.groupby([*by, "seed"], sort=False, dropna=False):
        both = that_count(tried, rates)
        count, score = tried.iloc[sorted(set(both))], score_of(tried, *both)
        used = "/".join(map("{:g}".format, count["rate"]))
        gave_up = bool(count["stopped"].notna().any())
        best.append(count.iloc[:1].assign(score=score, used=used, gave_up=gave_up))
    ways = pd.concat(best).groupby(by, sort=False, dropna=False)
    points = ways.agg(
        accuracy=("score", "mean"),
        two_errors=("score", lambda each: 2 * each.std(ddof=1) / math.sqrt(len(each))),
        seeds=("seed", "size"),
        rates=("used", " ".join),
        stopped=("gave_up", "sum"),
        majority=("majority", "first"),
    )
    return points.reset_index()


def over_budgets(tuning: pd.DataFrame) -> pd.DataFrame:
    """Of runs at several budgets of updates, `steps`, the one that is best on the test texts at
    each: a row for each model, initialisation, method, d and budget."""
    by = ["model", "init", "method", "d", "steps"]
    known = tuning.dropna(subset=["score"]).reset_index(drop=True)
    best = known.groupby(by, sort=False)["score"].idxmax()
    return known.loc[best, [*by, "rate", "score", "train_score"]].reset_index(drop=True)


def estimates_table(
    estimates: pd.DataFrame, runs: pd.DataFrame | None = None, rates: str = SCORED
) -> pd.DataFrame:
    """Estimates of `shapelib.d90`: a row for each model, a group of columns for each definition.

    That of the papers is d90, the other the chance-corrected dimension. `runs`: of `by_seed`; with
    them d90 stands as a share of D, all parameters, and each seed's crossing of the papers' bar
    beside, by rates that were chosen on the texts that `rates` says. What is the same in every row
    is left out, but for the estimate, its interval and its bar.
    """
    rows = estimates.reset_index(drop=True)
    place = rows.groupby(_RUNS, sort=False, dropna=False).ngroup()
    first = rows[~place.duplicated()]
    parts = {
        str(definition): pd.DataFrame(
            {
                _ESTIMATE[str(definition)]: [_d90(row) for _, row in own.iterrows()],
                "95 % interval": [_range(row) for _, row in own.iterrows()],
                "bar": own["threshold"].map(_accuracy).to_numpy(),
            },
            index=place[own.index],
        )
        for definition, own in rows.groupby("definition", sort=False)
    }
    if runs is not None:
        parts["of all parameters"] = _of_all(first, rows, runs)
        parts["papers, by seed"] = _of_seeds(first, runs, rates)
    scores = {"full": first["full"], "largest class": first["majority"]}
    told = {name: each.map(_accuracy) for name, each in scores.items() if each.nunique() > 1}
    if told:
        parts["accuracy"] = pd.DataFrame(told).set_index(place[first.index])
    shown = pd.concat(parts, axis=1)
    if rows["definition"].nunique() == 1:
        shown = shown.droplevel(0, axis=1)
    return _labelled(shown, *labels(first))


def accuracies_table(tuning: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at every d, and of full fine-tuning: the points of `curves`, a line a row.

    A star stands where some of the runs were stopped at half of their steps.
    """
    points = curves(tuning)
    points = points.assign(shown=_starred(points["accuracy"], points["stopped"]))
    full, inside = (points[(points["method"] == "full") == each] for each in (True, False))
    shown, first = _across(inside, _RUNS)
    same = [name for name in _RUNS if name != "method"]
    shown["full"] = first[same].merge(full, on=same, how="left")["shown"]
    return _labelled(shown, *labels(first))


def rates_table(tuning: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at every learning rate and d, averaged over seeds; – where a rate was not tried.

    The rate is the one before its factor √(D ÷ d); full fine-tuning is left out. A star stands
    where some of the runs were stopped at half of their steps.
    """
    inside = tuning[tuning["method"] != "full"]
    by = [*_RUNS, "rate"]
    means = inside.groupby([*by, "d"], sort=False, dropna=False, as_index=False).agg(
        score=("score", "mean"), stopped=("stopped", "count")
    )
    means["shown"] = _starred(means["score"], means["stopped"])
    means["way"] = means.groupby(_RUNS, sort=False, dropna=False).ngroup()
    means = means.sort_values(["way", "rate"], kind="stable")
    shown, first = _across(means, by)
    shown.insert(0, "rate", first["rate"].map("{:g}".format))
    return _labelled(shown, *labels(first))


def bounds_table(runs: pd.DataFrame, rates: str = SCORED) -> pd.DataFrame:
    """What each seed's crossing guarantees, averaged over the seeds that reached their bar.

    `runs`: of `by_seed`; `rates`: on which texts theirs were chosen. `error bound`: training error
    + √(crossing ÷ m); `with its constant`: `generalization_bound`; `test error`: of the same runs.
    """
    from shapelib.finetuning.bound import generalization_bound

    runs = runs[runs["rates"] == rates]
    held = runs[(runs["definition"] == "papers") & (runs["init"] == "pre-trained")]
    held = held.dropna(subset=["crossing"]).reset_index(drop=True)
    if held.empty:
        return pd.DataFrame()
    error = 1 - held["train_score"]
    proven = [
        generalization_bound(round(d), int(m), wrong).value
        for d, m, wrong in zip(held["crossing"], held["m"], error, strict=True)
    ]
    held = held.assign(
        error=error,
        bound=error + (held["crossing"] / held["m"]) ** 0.5,
        proven=proven,
        wrong=1 - held["score"],
    )
    place = held.groupby(_RUNS, sort=False, dropna=False).ngroup()
    columns = ["crossing", "bound", "proven", "error", "wrong", "D", "m"]
    means = held.groupby(place)[columns].mean()
    shown = pd.DataFrame({
        "mean crossing": means["crossing"].map(_rounded),
        "error bound": means["bound"].map("{:.2f}".format),
        "with its constant": means["proven"].map("{:.2f}".format),
        "training error": means["error"].map(_accuracy),
        "test error": means["wrong"].map(_accuracy),
        "D": means["D"].map(count),
    })  # fmt: skip
    return _labelled(shown, *labels(held[~place.duplicated()]))


def published_table(reported: pd.DataFrame) -> pd.DataFrame:
    """The d90 of `published.published_d90`: models down, tasks and methods across."""
    wide = reported.pivot(index="model", columns=["task", "method"], values="d90")
    # A named index has a row of its own in a head of two.
    return wide.loc[list(dict.fromkeys(reported["model"]))].rename_axis(index=None)


def _of_all(first: pd.DataFrame, rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """D, and d90 as a share of it, in the order of `first`."""
    sizes = runs.drop_duplicates("model").set_index("model")["D"]
    held = rows[rows["definition"] == "papers"]
    found = first[_RUNS].merge(held[[*_RUNS, "d90"]], on=_RUNS, how="left")
    D = found["model"].map(sizes)
    shares = found["d90"] / D
    return pd.DataFrame({
        "D": D.map(count),
        "d90 ÷ D": ["–" if math.isnan(each) else f"{100 * each:.2g} %" for each in shares],
    })  # fmt: skip


def adapters_table(reported: pd.DataFrame) -> pd.DataFrame:
    """`published.published_adapters`: what each reaches, as a share of full fine-tuning as well."""
    whole = reported["method"] == "full fine-tuning"
    full = float(reported.loc[whole, "accuracy"].iloc[0])
    rows = reported.sort_values("trained", kind="stable")
    return _by_numbers(rows["method"], rows["trained"], rows["accuracy"], full)


def maps_table(tuning: pd.DataFrame, rates: str = SCORED) -> pd.DataFrame:
    """The points of `curves` by method and trained numbers: what each reaches, as a share of full
    fine-tuning as well, two standard errors over seeds, and the rates of the seeds."""
    points = curves(tuning, rates)
    full = float(points.loc[points["method"] == "full", "accuracy"].iloc[0])
    rows = points.sort_values(["method", "d"], kind="stable")
    shown = _by_numbers(rows["method"], rows["d"], rows["accuracy"], full)
    shown.insert(2, "two standard errors", rows["two_errors"].map(_accuracy).to_list())
    shown["rates"] = [", ".join(dict.fromkeys(each.split())) for each in rows["rates"]]
    return shown


def _by_numbers(
    method: "pd.Series[str]", trained: "pd.Series[int]", accuracy: "pd.Series[float]", full: float
) -> pd.DataFrame:
    """What each method reaches with so many trained numbers."""
    shown = pd.DataFrame({
        "trained numbers": trained.map(count),
        "accuracy": accuracy.map(_accuracy),
        "of full fine-tuning": (100 * accuracy / full).map("{:.0f} %".format),
    })  # fmt: skip
    return _labelled(shown, list(method), "method")


def _of_seeds(first: pd.DataFrame, runs: pd.DataFrame, rates: str) -> pd.DataFrame:
    """The crossing of each seed by the papers' definition, in the order of `first`."""
    held = runs[(runs["definition"] == "papers") & (runs["rates"] == rates)]
    found = first[_RUNS].merge(held, on=_RUNS, how="left")
    place = found.groupby(_RUNS, sort=False, dropna=False).ngroup()
    shown = found["crossing"].map(lambda d: "not reached" if math.isnan(d) else _rounded(d))
    wide = found.assign(place=place, shown=shown).pivot(
        index="place", columns="seed", values="shown"
    )
    wide.columns = pd.Index([f"crossing, seed {seed}" for seed in wide])
    # A seed that was not run is none that did not get there.
    return wide.fillna("–")


def _starred(scores: "pd.Series[float]", stopped: "pd.Series[int]") -> "pd.Series[str]":
    return scores.map(_accuracy) + stopped.map(lambda runs: "*" if runs else "")


def _across(rows: pd.DataFrame, by: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is `shown`, a row for each of `by` and d across, and the first of the rows of each."""
    rows = rows.reset_index(drop=True)
    place = rows.groupby(by, sort=False, dropna=False).ngroup()
    wide = rows.assign(place=place).pivot(index="place", columns="d", values="shown")
    return wide.fillna("–").rename(columns=count), rows[~place.duplicated()].reset_index(drop=True)


def _labelled(shown: pd.DataFrame, names: list[str], told: str) -> pd.DataFrame:
    """With the rows' names, and above them what they say: a row of its own would be empty."""
    shown.index = pd.Index(names)
    levels = [None] * (shown.columns.nlevels - 1)
    return shown.rename_axis(columns=[*levels, told])


def _d90(row: "pd.Series[Any]") -> str:
    if pd.isna(row["threshold"]):
        return "nothing learned"
    if pd.isna(row["d90"]):
        return f"not reached at {count(row['above'])}"
    at_most = "" if pd.isna(row["below"]) else "≤ "
    return f"{at_most}{_rounded(row['d90'])}"


def _range(row: "pd.Series[Any]") -> str:
    if pd.isna(row["threshold"]):
        return "–"
    if not math.isfinite(row["low"]):
        return "not reached"
    if not math.isfinite(row["high"]):
        return f"{_rounded(row['low'])} or more"
    return f"{_rounded(row['low'])} to {_rounded(row['high'])}"


def _accuracy(score: float) -> str:
    return "–" if pd.isna(score) else f"{score:.3f}"


def _rounded(number: float) -> str:
    """An estimate to three digits: no interval here is so narrow that more would tell anything."""
    return count(round(number, _DIGITS - 1 - math.floor(math.log10(number))))


def count(number: float) -> str:
    """A whole number with its thousands apart, which no line break parts."""
    return f"{round(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def like(table: pd.DataFrame, pattern: pd.DataFrame) -> pd.DataFrame:
    """The runs of `table` with settings that `pattern` has: initialisation, method, learning rate
    before its factor, and d, which for full fine-tuning is the model's own."""

    def settings(runs: pd.DataFrame) -> pd.Series:
        d = runs["d"].where(runs["method"] != "full", 0)
        keys = zip(runs["init"], runs["method"], runs["rate"], d, strict=True)
        return pd.Series(list(keys), index=runs.index, dtype=object)

    return table[settings(table).isin(set(settings(pattern)))]
