"""Tables as a terminal shows them: the decisive columns of a profile and of an estimate of d90."""

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


def estimate(table: "pd.DataFrame") -> "Table":
    """An estimate of d90 with one line for each model, method and definition."""
    import pandas
    from rich.table import Table

    shown = Table(
        "model", "init", "method", "definition", "d90", "95 % interval", "full", "threshold",
        "majority", "failed",
        title=f"{', '.join(dict.fromkeys(table['task']))}: the smallest d that reaches "
        f"{table['level'].iloc[0]:.0%} of full fine-tuning",
    )  # fmt: skip
    for row in table.itertuples():
        name = row.model if row.checkpoint == "final" else f"{row.model}@{row.checkpoint}"
        if pandas.isna(row.threshold):
            value, interval, bar = "nothing learned", "none", "none"
        else:
            at_most = "" if pandas.isna(row.below) else "at most "
            missed = pandas.isna(row.d90)
            value = f"not reached at {row.above}" if missed else f"{at_most}{row.d90:.0f}"
            ends = (f"{end:.0f}" if end < float("inf") else "∞" for end in (row.low, row.high))
            interval, bar = " – ".join(ends), f"{row.threshold:.3f}"
        shown.add_row(
            name, row.init, row.method, row.definition, value, interval, f"{row.full:.3f}", bar,
            f"{row.majority:.3f}", str(row.failed),
        )  # fmt: skip
    return shown
