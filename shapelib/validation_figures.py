"""The figures of the page on which dimensions to trust, each a function of a table."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapelib.figures import PALETTE, keep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {
    "two_nn": "TwoNN, lowest 90 %",
    "two_nn_lowest20": "TwoNN, lowest 20 %",
    "mada_k20": "MADA, k = 20",
    "mom_k20": "moments, k = 20",
    "mom_k100": "moments, k = 100",
}


def figure(name: str, table: pd.DataFrame) -> "Figure":
    """``manifolds``, ``bias`` and ``misprint`` from their tables; ``copies``, ``near-copies``,
    ``tokens`` and ``choices`` from that of `shapelib.validation.stress`."""
    rows = table.assign(line=table["metric"].map(_LABELS), panel="", style="")
    if "d" in rows:
        rows["y"] = rows["value"] / rows["d"]
    if name == "manifolds":
        rows = rows.assign(x=rows["manifold"], style=rows["by"])
        return _draw(rows, "", "estimate ÷ d", guides=(1,), joined=False)
    if name == "bias":
        rows = rows.assign(x=rows["n"], panel=rows["line"], line="d = " + rows["d"].astype(str))
        return _draw(rows, "points", "estimate ÷ d", 3, guides=(1,))
    if name == "misprint":
        share = (100 * rows["discard"]).map("{:.0f} % discarded".format)
        rows = rows.assign(x=rows["d"], line=rows["metric"] + " formula", style=share)
        return _draw(rows, "true dimension d", "estimate ÷ d", guides=(1, 0.2916, 1 / 8))
    rows = rows.assign(x=rows["amount"], panel=rows["cloud"], y=rows["value"])
    if name == "choices":
        titles = {"two_nn": "TwoNN by share discarded", "mom": "moments by k"}
        panel = rows["metric"].map(titles).fillna("MADA by k")
        style = rows["metric"].map({"mada_median": "median over points"}).fillna("mean")
        rows = rows.assign(panel=panel, line=rows["cloud"], style=style)
        rows = rows[rows["change"].isin(["discard", "k"])].sort_values("change", kind="stable")
        return _draw(rows, "share, or k", "dimension", 3)
    rows = rows[rows["change"] == name]
    if name == "tokens":
        return _draw(rows, "vectors", "dimension", 2)
    rows = rows.assign(y=rows["value"] / rows["base"], style=rows["by"])
    if name == "copies":
        rows = rows.assign(x=100 * rows["x"])
        return _draw(rows, "vectors copied, %", "estimate ÷ without copies", 2, log=True)
    return _draw(rows, "noise ÷ distance", "estimate ÷ without near-copies", 2, log=True)


def _draw(
    rows: pd.DataFrame, xlabel: str, ylabel: str, columns: int = 1, *,
    guides: Iterable[float] = (), log: bool = False, joined: bool = True,
) -> "Figure":  # fmt: skip
    """A panel for each `panel`, a colour for each `line`, dashes (or rings) for a second `style`:
    the mean of `y` at each `x`, and a band of one standard deviation."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    panels, lines, styles = (list(rows[each].unique()) for each in ("panel", "line", "style"))
    height = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7, 2.2 + 2.1 * height), layout="constrained")
    grid = list(figure.subplots(height, columns, sharey=True, squeeze=False).flat)
    colours = dict(zip(lines, PALETTE, strict=False))
    first: dict[str, Any] = {"marker": "o", "ms": 3, "linestyle": "-" if joined else "none"}
    second = first | ({"linestyle": "--"} if joined else {"ms": 8, "mfc": "none"})
    looks = dict(zip(styles, (first, second), strict=False))
    for axes in grid[len(panels) :]:
        axes.remove()
    for name, axes in zip(panels, grid, strict=False):
        here = rows[rows["panel"] == name]
        axes.set_title(name, fontsize="medium")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel=xlabel, yscale="log" if log else "linear")
        if joined and here["x"].min() > 0:
            axes.set_xscale("log")
            axes.set_xticks(at := sorted(here["x"].unique()), [f"{x:g}" for x in at], minor=False)
            axes.minorticks_off()
        axes.tick_params(axis="x", labelsize="small", rotation=0 if joined else 45)
        for guide in guides:
            axes.axhline(guide, color="black", linewidth=1, linestyle=":")
        for (line, style), some in here.groupby(["line", "style"], sort=False):
            y = some.groupby("x", sort=joined)["y"].agg(["mean", "std"]).fillna(0)
            axes.plot(y.index, y["mean"], color=colours[line], **looks[style])
            low, high = y["mean"] - y["std"], y["mean"] + y["std"]
            axes.fill_between(y.index, low, high, color=colours[line], alpha=0.2, linewidth=0)
    handles = [Line2D([], [], color=colours[each], label=each, **first) for each in lines]
    if len(styles) > 1:
        handles += [Line2D([], [], color="grey", label=each, **looks[each]) for each in styles]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.supylabel(ylabel, fontsize="medium")
    return keep(figure, rows.rename(columns={"line": "curve"}))


def rounding(table: pd.DataFrame) -> pd.DataFrame:
    """By how much rounding all vectors to bfloat16 changes each estimate."""
    rows = table[table["change"] == "rounding"]
    change = (100 * (rows["value"] / rows["base"] - 1)).map("{:+.1f} %".format)
    wide = rows.assign(by=change).pivot(index="cloud", columns="metric", values="by")
    wide = wide.loc[rows["cloud"].unique(), list(_LABELS)].rename(columns=_LABELS)
    return wide.rename_axis(index=None, columns=None)
