"""Whether printed errors are as wide as they say, from the kept table of results/coverage.py."""

from pathlib import Path

import pandas as pd

from shapebook.claims.judge import claims
from shapebook.claims.statistic import two_decimals
from shapelib.store import tables as store

_FILE = Path("coverage") / "coverage.parquet"
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
    """``coverage`` as Markdown, by the name of its file; empty where nothing is kept."""
    file = results / _FILE
    return {"coverage": _coverage(store.read_table(file)) if file.is_file() else ""}


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
