"""Tables as a terminal shows them: the decisive columns of a profile and of an estimate of d90."""

from typing import TYPE_CHECKING, Any

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
        **{f"of\n{other}": ("anisotropy", True, other) for other in others},
        "average\ncosine": ("average_cosine", False, main),
        "TwoNN\n90 %": ("two_nn", None, main),
        "TwoNN\n20 %": ("two_nn_lowest20", None, main),
    }
    first = table.iloc[0]
    what = f"{first['part']} half, " if isinstance(first["part"], str) else ""
    shown = Table(
        title=f"{first['model']} ({what}{first['role']}), {first['corpus']}, "
        f"{main} tokens, {first['batches']} batches of {first['batch_size']}",
    )  # fmt: skip
    # Of a narrow window the layer gives way: its words can go on two lines, a number cannot.
    shown.add_column("layer")
    for label in (*columns, "copies"):
        shown.add_column(label, no_wrap=True)
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
    """An estimate of d90 with one line for each model, method and definition.

    What is the same in all lines stands below the table, so that the rest fits a narrow window.
    """
    from rich.table import Table

    lines = [_line(row) for row in table.itertuples()]
    alike = [name for name in _OFTEN_ALIKE if len({line[name] for line in lines}) == 1]
    shown = Table(
        title=f"{', '.join(dict.fromkeys(table['task']))}: the smallest d that reaches "
        f"{table['level'].iloc[0]:.0%} of full fine-tuning",
        caption="; ".join(f"{name}: {lines[0][name]}" for name in alike) or None,
    )
    heads = [name for name in lines[0] if name not in alike] if lines else []
    for name in heads:
        shown.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    for line in lines:
        shown.add_row(*(line[name] for name in heads))
    return shown


_OFTEN_ALIKE = ("model", "init", "method", "majority", "failed")
_WHOLE = ("method", "definition", "full", "threshold", "majority", "failed")


def _line(row: Any) -> dict[str, str]:
    """An estimate's row as text, by heading."""
    import pandas

    name = row.model if row.checkpoint == "final" else f"{row.model}@{row.checkpoint}"
    if pandas.isna(row.threshold):
        value, interval, bar = "nothing learned", "none", "none"
    else:
        at_most = "" if pandas.isna(row.below) else "at most "
        value = f"not reached at {row.above}" if pandas.isna(row.d90) else f"{at_most}{row.d90:.0f}"
        ends = (f"{end:.0f}" if end < float("inf") else "∞" for end in (row.low, row.high))
        # No draw reaches the threshold: there is nothing to bound.
        interval = " – ".join(ends) if row.low < float("inf") else "none"
        bar = f"{row.threshold:.3f}"
    return {
        "model": name, "init": row.init, "method": row.method, "definition": row.definition,
        "d90": value, "95 % interval": interval, "full": f"{row.full:.3f}", "threshold": bar,
        "majority": f"{row.majority:.3f}", "failed": str(row.failed),
    }  # fmt: skip
