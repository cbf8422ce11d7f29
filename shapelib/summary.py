"""A profile as a terminal shows it: the decisive columns, a row a layer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def summary(table: "pd.DataFrame") -> "Table":
    """A shape table of one model with one line for each layer."""
    from rich.table import Table

    main, *others = table["tokens"].unique()
    columns = {
        "anisotropy": ("anisotropy", True, main),
        "± std": ("anisotropy", True, main),
        **{f"of {other}": ("anisotropy", True, other) for other in others},
        "average cosine": ("average_cosine", False, main),
        "TwoNN 90 %": ("two_nn", None, main),
        "TwoNN 20 %": ("two_nn_lowest20", None, main),
    }
    first = table.iloc[0]
    shown = Table(
        "layer", *columns, "copies",
        title=f"{first['model']} ({first['role']}), {first['corpus']}, "
        f"{main} tokens, {first['batches']} batches of {first['batch_size']}",
    )  # fmt: skip
    for layer, rows in table.groupby("layer"):
        cells = []
        for label, (metric, centered, tokens) in columns.items():
            chosen = rows[(rows["metric"] == metric) & (rows["tokens"] == tokens)]
            if centered is not None:
                chosen = chosen[chosen["centered"] == centered]
            field = "std" if label.startswith("±") else "value"
            cells.append(f"{chosen.iloc[0][field]:.3f}")
        mark = " after norm" if rows["after_norm"].iloc[0] else ""
        copies = rows.loc[rows["tokens"] == main, "duplicates"].iloc[0]
        shown.add_row(f"{layer}{mark}", *cells, str(copies))
    return shown
