"""Real models that were measured once and are kept (`results/models.py`), as pages read them."""

import pandas as pd

from shapebook.experiments.results import results
from shapelib.store.tables import combine, read_table

PRIMARY = "512 characters"
"""The window at which the rules about layers are fixed; each model's own beginning goes with it."""
# What the kept table has besides a shape table.
_OWN = ["weights", "native"]
# A dimension depends on how many points a batch has.
OF_ANY_BATCH = ("anisotropy", "average_cosine")


def kept(part: str = "trained") -> pd.DataFrame:
    """A kept table of real models: a shape table with the columns ``weights`` and ``native``.

    :param part: ``trained`` (every window, with and without a beginning), ``news``, or ``random``
        (as trained, with random weights).
    :returns: the table; without rows, where this part has not been made.
    :raises ShapelibError: where there is no checkout with a folder ``results/models``.
    """
    path = results("results/models") / f"{part}.parquet"
    if path.is_file():
        return read_table(path)
    empty = read_table(results("results/models") / "trained.parquet").iloc[:0]
    empty.attrs["provenance"] = []
    return empty


def primary(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a kept table at the setting at which rules are fixed, as a plain shape table."""
    runs, bare = table.attrs["provenance"], table.copy()
    bare.attrs = {}
    rows = bare[(bare["window"] == PRIMARY) & bare["native"]].drop(columns=_OWN)
    cells = f"{PRIMARY}, its own beginning"
    rows.attrs["provenance"] = [
        run for run in runs if run["cell"].endswith(cells) and "left_out" not in run
    ]
    return rows.reset_index(drop=True)


def stressed_beside(live: pd.DataFrame) -> pd.DataFrame:
    """Layers that a page put under stress, with those of other models, kept (`results/stress.py`).

    A reader's own layers stay alone: where any model that the page measured is none of the book's,
    or on another text, only what was measured comes back.

    :param live: of `shapebook.experiments.validation.stress`.
    """
    others = read_table(results("results/stress") / "stress.parquet")
    runs = others.attrs["provenance"]
    mine = [run for run in live.attrs["provenance"] if "model" in run]
    there = {run["model"] for run in mine}
    texts = {run["corpus_sha256"] for run in (*mine, *runs)}
    if not (there <= set(kept()["model"]) and len(texts) == 1):
        return live
    others.attrs = {}
    model = others["cloud"].str.rsplit(", layer", n=1).str[0]
    others = others[~model.isin(there)].reset_index(drop=True)
    others.attrs["provenance"] = [run for run in runs if run["model"] not in there]
    return combine([live, others])


def measured_alike(others: pd.DataFrame, live: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows of kept models are of token sets and metrics that another table has, dimensions
    only of batches as large as its own."""
    alike = others["metric"].isin(OF_ANY_BATCH)
    if "batch_size" in live:
        alike |= others["batch_size"].isin(set(live["batch_size"]))
    for column in ("tokens", "metric"):
        alike &= others[column].isin(set(live[column]))
    return alike


def beside(live: pd.DataFrame) -> pd.DataFrame:
    """What a page measured, with the other kept models at the primary setting after it.

    A reader's own models are judged alone: where any model that the page measured is none of the
    kept ones, or was read at another setting, only what was measured comes back.

    Of kept models come the token sets and metrics that the page measured, and dimensions only of
    batches as large as the page's.

    :param live: a shape table of `shapelib.profile`.
    :returns: a shape table; kept models have the provenance of their own runs.
    """
    others = primary(kept())
    there = set(live["model"])
    as_fixed = live["window"].eq(PRIMARY).all() and live["corpus"].isin(others["corpus"]).all()
    if not (as_fixed and there <= set(others["model"])):
        return live
    runs = [run for run in others.attrs["provenance"] if run["model"] not in there]
    others.attrs = {}
    alike = measured_alike(others, live)
    others = others[alike & ~others["model"].isin(there)].reset_index(drop=True)
    left = set(others["model"])
    others.attrs["provenance"] = [run for run in runs if run["model"] in left]
    return combine([live, others])
