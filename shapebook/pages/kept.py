"""Tables kept as data, as Markdown for the page on method: whether printed errors are as wide as
they say (results/coverage.py), and what bfloat16 passes (results/precision.py) and weights of few
bits (results/quantisation.py) change."""

from pathlib import Path

import pandas as pd

from shapebook.claims.judge import claims
from shapebook.claims.statistic import two_decimals
from shapelib.store import tables as store

_COVERAGE = Path("coverage") / "coverage.parquet"
_PRECISION = Path("precision") / "metrics.parquet"
_QUANTISATION = Path("quantisation") / "metrics.parquet"
_METRICS = {
    "anisotropy": "anisotropy",
    "anisotropy, not centered": "anisotropy, not centered",
    "average_cosine": "average cosine, centered",
    "average_cosine, not centered": "average cosine",
    "two_nn": "TwoNN, lowest 90 %",
    "two_nn_lowest20": "TwoNN, lowest 20 %",
    "mada_k20": "MADA, 20 neighbours",
    "mom_k20": "moments, 20 neighbours",
}


def tables(results: Path) -> dict[str, str]:
    """``coverage``, ``precision`` and ``quantisation`` as Markdown, by the names of their files;
    empty where nothing is kept."""
    made = {
        "coverage": (_COVERAGE, _coverage),
        "precision": (_PRECISION, _moved),
        "quantisation": (_QUANTISATION, _quantisation),
    }
    return {
        name: write(store.read_table(results / file)) if (results / file).is_file() else ""
        for name, (file, write) in made.items()
    }


def _coverage(found: pd.DataFrame) -> str:
    """A row for each metric, over layers and splits, and for each claim, over splits."""
    models = ", ".join(dict.fromkeys(found["model"]))
    lines = [
        f"| of {models} | splits | differences | within 95 % | spread ÷ printed error |",
        "|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        cells = [
            _named(str(row.what)), f"{row.splits}", f"{row.pairs}",
            f"{100 * float(row.covered):.0f} %", two_decimals(float(row.too_narrow)),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _named(what: str) -> str:
    """A metric in words, or the statistic of a claim."""
    known = claims()
    if what in known:
        return f"claim {known[what].number}: {known[what].effect}"
    return _METRICS.get(what, what)


def _quantisation(found: pd.DataFrame) -> str:
    """As `_moved`, a column for each model and type of weights."""
    return _moved(found.assign(model=found["model"] + " in " + found["type"]))


def _moved(found: pd.DataFrame) -> str:
    """A row a metric, a column a model: the median and the largest change in standard errors."""
    centered = found["centered"].map({True: ", centered", False: ", not centered"}).fillna("")
    found = found.assign(metric="`" + found["metric"] + "`" + centered)
    moved = found.groupby(["metric", "model"], sort=False)["moved"].agg(["median", "max"])
    models = list(dict.fromkeys(found["model"]))
    lines = [f"| metric | {' | '.join(models)} |", "|---" * (len(models) + 1) + "|"]
    for metric in dict.fromkeys(found["metric"]):
        cells = [moved.loc[(metric, model)] for model in models]
        told = [f"{each['median']:.2f} ({each['max']:.1f})" for each in cells]
        lines.append(f"| {metric} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"
