"""A reader's own profile for a page: checked, its runs told apart, the book's models beside."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from shapebook.experiments import real_models
from shapelib.errors import ShapelibError
from shapelib.store.tables import combine, read_table

NEEDED = (
    *("model", "role", "layer", "depth", "after_norm", "tokens", "removed", "metric"),
    *("centered", "value", "std", "stderr", "groups"),
)
"""The columns without which nothing is drawn or said."""
_TYPES = {"layer": int, "depth": float, "after_norm": bool, "centered": "boolean", "value": float}
# What tells the runs of one model apart, where a table has several.
_RUNS = ("part", "checkpoint", "step", "corpus", "window", "seed", "dtype", "beginning")
# So many lines a figure bears.
_MOST = 8
_MAKES = "shapelib profile MODEL TEXT --out mine.parquet makes one"


class Own(NamedTuple):
    """A reader's table, in which each run has a name of its own, and what stands beside it."""

    name: str
    table: pd.DataFrame
    book: pd.DataFrame
    """Rows of the book's models at the setting of its rules; none away from a checkout."""

    @property
    def models(self) -> list[str]:
        """The names of its runs."""
        return [str(each) for each in self.table["model"].unique()]

    def together(self, beside: str) -> pd.DataFrame:
        """Its rows, and after them those of the book's models ``all``, of its own ``roles``, or
        ``none``."""
        book = self.book
        if beside != "all":
            book = book[book["role"].isin(self.table["role"] if beside == "roles" else [])]
        return combine([self.table, book]) if len(book) else self.table


def read(path: Path) -> Own:
    """A table of `shapelib.profile`, .parquet or .csv, for a page.

    :raises ShapelibError: for another table, and for one of more runs than a figure bears.
    """
    table = read_table(path)
    if lacking := [name for name in NEEDED if name not in table]:
        raise ShapelibError(
            f"{str(path)!r} is no table of shapelib profile: it has no column "
            f"{', '.join(map(repr, lacking))}; {_MAKES}"
        )
    if not len(table):
        raise ShapelibError(f"{str(path)!r} has no rows; {_MAKES}")
    if other := sorted(set(map(str, table["role"])) - {"encoder", "decoder"}):
        raise ShapelibError(f"{str(path)!r}: a role is {other[0]!r}; accepted: encoder, decoder")
    table = _runs_apart(_typed(table, path))
    if (count := table["model"].nunique()) > _MOST:
        raise ShapelibError(
            f"{str(path)!r} holds {count} models and runs, and a page shows {_MOST} at most; "
            "write those that are to be shown into a table of their own"
        )
    twice = table.duplicated(["model", "layer", "tokens", "metric", "centered"])
    if twice.any():
        row = table[twice].iloc[0]
        raise ShapelibError(
            f"{str(path)!r} has layer {row['layer']} of {row['model']} twice for {row['metric']}, "
            f"{row['tokens']}; one row each is needed"
        )
    return Own(path.stem, table, _book(table))


def _typed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """With the types that a Parquet file keeps and a CSV file does not."""
    runs = table.attrs["provenance"]
    for name, kind in _TYPES.items():
        try:
            table = table.astype({name: kind})
        except (TypeError, ValueError) as error:
            raise ShapelibError(
                f"{str(path)!r} is no table of shapelib profile: {name}: {error}"
            ) from error
    table.attrs["provenance"] = runs
    return table


def _runs_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Where a model has several runs, each named by what tells it from the others; so is the
    provenance, which says of which model a run is."""
    names = table["model"].astype(str).copy()
    for _, rows in table.groupby("model", sort=False):
        differ = [each for each in _RUNS if each in rows and rows[each].nunique(dropna=False) > 1]
        for column in differ:
            told = rows[column].astype(object).where(rows[column].notna(), "none").astype(str)
            shown = told if column in ("window", "corpus") else f"{column} " + told
            names.loc[rows.index] += ", " + shown
    runs = [
        {**run, "model": name}
        for run in table.attrs["provenance"]
        for name in names[table["model"] == run.get("model")].unique()
    ]
    table = table.assign(model=names)
    table.attrs["provenance"] = runs
    return table


def _book(table: pd.DataFrame) -> pd.DataFrame:
    """The kept models at the setting at which rules are fixed: in the token sets and metrics that
    the table has, dimensions only of batches as large; a model of the table's name is marked."""
    try:
        kept = real_models.primary(real_models.kept())
    except ShapelibError:
        return table.iloc[:0]
    runs = kept.attrs["provenance"]
    kept.attrs = {}
    marked = kept["model"].where(~kept["model"].isin(table["model"]), kept["model"] + " (book)")
    book = kept.assign(model=marked)[real_models.measured_alike(kept, table)].reset_index(drop=True)
    book.attrs["provenance"] = runs
    return book
