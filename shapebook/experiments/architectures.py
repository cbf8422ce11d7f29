"""Table 1 of the first paper, and what the configurations in the models' repositories say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError, foreign
from shapelib.models import catalogue
from shapelib.models.sources import find
from shapelib.store import tables

FIELDS = {
    "layers": "num_hidden_layers", "hidden_size": "hidden_size", "heads": "num_attention_heads",
    "vocabulary": "vocab_size", "context": "max_position_embeddings", "tied": "tie_word_embeddings",
}  # fmt: skip
"""What a configuration of transformers calls the rows of the table that it can tell."""


def architectures(models: Sequence[str], fetch: bool = False) -> pd.DataFrame:
    """Table 1 beside the repositories' configurations.

    :param models: of the catalogue, with a column of Table 1.
    :param fetch: whether configurations are asked of the hub (or its cache); no weights are.
    :returns: a row for each model and row of the table, with the columns ``model, row, printed,
        public`` (the catalogue's, where it differs from the print) and ``repository`` (missing
        where the configuration does not tell). What the hub did not give is in
        ``table.attrs["failures"]``.
    :raises ShapelibError: for a model without a column.
    """
    rows, failures, runs = [], [], []
    for name in models:
        entry = catalogue.models().get(name)
        if entry is None or entry.table1 is None:
            known = ", ".join(each.name for each in catalogue.models().values() if each.table1)
            raise ShapelibError(f"Table 1 has no column {name!r}; it has {known}")
        told: dict[str, Any] = {}
        revision = None
        if fetch:
            try:
                source = find(name, allow_pickle=True, fetch=False)
                told, revision = _configured(source.folder), source.revision
            except ShapelibError as error:
                failures.append((name, str(error)))
        runs.append(tables.provenance(model=name, revision=revision, seconds=0.0))
        for row, printed in entry.table1.printed.items():
            public = entry.table1.public.get(row)
            rows.append((name, row, printed, public, told.get(row)))
    columns = ["model", "row", "printed", "public", "repository"]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    table.attrs = {"provenance": runs, "failures": failures}
    return table


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """The table as the paper has it, models across: the print, and in brackets what differs."""
    cells = table.assign(shown=[_cell(row) for row in table.itertuples(index=False)])
    wide = cells.pivot(index="row", columns="model", values="shown")
    order = list(dict.fromkeys(table["row"])), list(dict.fromkeys(table["model"]))
    return wide.loc[order].rename_axis(index=None, columns=None)


def _cell(row: Any) -> str:
    said = [str(row.printed)]
    if row.public is not None:
        said.append(f"public: {row.public}")
    if row.repository is not None and row.repository != row.printed:
        said.append(f"repository: {row.repository}")
    return said[0] if len(said) == 1 else f"{said[0]} ({'; '.join(said[1:])})"


def _configured(folder: Path) -> dict[str, Any]:
    """What a configuration says of the rows that it can tell."""
    from transformers import AutoConfig

    with foreign("its config.json cannot be read"):
        config = AutoConfig.from_pretrained(folder)
    found = {row: getattr(config, name, None) for row, name in FIELDS.items()}
    return {row: value for row, value in found.items() if value is not None}
