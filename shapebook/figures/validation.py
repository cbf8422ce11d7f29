"""The figures of the page on which dimensions to trust, each a function of a table."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapebook.figures.shown import NEUTRAL
from shapelib.figures import PALETTE, keep, model_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {
    "two_nn": "TwoNN, lowest 90 %",
    "two_nn_lowest20": "TwoNN, lowest 20 %",
    "mada_k20": "MADA, k = 20",
    "mom_k20": "moments, k = 20",
    "mom_k100": "moments, k = 100",
}
# The panels of the figure of choices, and what each of them varies.
_CHOICES = {
    "TwoNN by share discarded": "share of ratios discarded",
    "MADA by k": "neighbours, k",
    "moments by k": "neighbours, k",
}


def figure(name: str, table: pd.DataFrame) -> "Figure":
    """``manifolds``, ``bias`` and ``misprint`` from their tables; ``copies``, ``near-copies``,
    ``tokens`` and ``choices`` from that of `shapebook.experiments.validation.stress`."""
    rows = table.assign(line=table["metric"].map(_LABELS), panel="", style="")
    if "d" in rows:
        rows["y"] = rows["value"] / rows["d"]
    if name == "manifolds":
        rows = rows.assign(x=rows["manifold"], style=rows["by"])
        return _draw(rows, "manifold, d", "estimate ÷ d", guides=(1,), joined=False)
    if name == "bias":
        rows = rows.assign(x=rows["n"], panel=rows["line"], line="d = " + rows["d"].astype(str))
        return _draw(rows, "points", "estimate ÷ d", 3, of="true dimension", guides=(1,))
    if name == "misprint":
        share = (100 * rows["discard"]).map("{:.0f} % discarded".format)
        rows = rows.assign(x=rows["d"], line=rows["metric"] + " formula", style=share)
        guides = (1, 0.2916, 1 / 8)
        return _draw(rows, "true dimension d", "estimate ÷ d", of="formula", guides=guides)
    rows = rows.assign(x=rows["amount"], panel=rows["cloud"], y=rows["value"])
    if name == "choices":
        discard, mada, mom = _CHOICES
        panel = rows["metric"].map({"two_nn": discard, "mom": mom}).fillna(mada)
        style = rows["metric"].map({"mada_median": "median over points"}).fillna("mean")
        rows = rows.assign(panel=panel, line=rows["cloud"], style=style)
        rows = rows[rows["change"].isin(["discard", "k"])].sort_values("change", kind="stable")
        colours = _of_clouds(rows)
        return _draw(rows, _CHOICES, "dimension", 3, of="layer, or Gaussian", colours=colours)
    rows = rows[rows["change"] == name]
    if name == "tokens":
        return _draw(rows, "vectors", "dimension", 2)
    rows = rows.assign(y=rows["value"] / rows["base"], style=rows["by"])
    if name == "copies":
        rows = rows.assign(x=100 * rows["x"])
        return _draw(rows, "vectors copied, %", "estimate ÷\nthat without copies", 2, log=True)
    return _draw(rows, "noise ÷ distance", "estimate ÷\nthat without near-copies", 2, log=True)


def _of_clouds(rows: pd.DataFrame) -> dict[str, str]:
    """Layers in the colours of their models' roles, the Gaussian in none of them."""
    roles = dict(zip(rows["cloud"], rows["role"], strict=True))
    colours = model_colours({cloud: role for cloud, role in roles.items() if role})
    return {cloud: colours.get(cloud, NEUTRAL) for cloud in roles}


def _draw(
    rows: pd.DataFrame, xlabel: str | Mapping[str, str], ylabel: str, columns: int = 1, *,
    of: str = "estimator", colours: Mapping[str, str] | None = None,
    guides: Iterable[float] = (), log: bool = False, joined: bool = True,
) -> "Figure":  # fmt: skip
    """A panel for each `panel`, a colour for each `line`, dashes (or rings) for a second `style`:
    the mean of `y` at each `x`, and a band of one standard deviation.

    `xlabel`: one for all panels, or one for each by its title. `of`: what a colour stands for.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    panels, lines, styles = (list(rows[each].unique()) for each in ("panel", "line", "style"))
    height = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7, 2.2 + 2.1 * height), layout="constrained")
    grid = list(figure.subplots(height, columns, sharey=True, squeeze=False).flat)
    colours = colours or dict(zip(lines, PALETTE, strict=False))
    first: dict[str, Any] = {"marker": "o", "ms": 3, "linestyle": "-" if joined else "none"}
    second = first | ({"linestyle": "--"} if joined else {"ms": 8, "mfc": "none"})
    looks = dict(zip(styles, (first, second), strict=False))
    for axes in grid[len(panels) :]:
        axes.remove()
    for place, (name, axes) in enumerate(zip(panels, grid, strict=False)):
        here = rows[rows["panel"] == name]
        axes.set_title(name, fontsize="medium")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(xlabel if isinstance(xlabel, str) else xlabel[name])
        axes.set_ylabel("" if place % columns else ylabel)
        axes.set_yscale("log" if log else "linear")
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
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, title=f"colour: {of}"
    )
    return keep(figure, rows.rename(columns={"line": "curve"}))


def rounding(table: pd.DataFrame) -> pd.DataFrame:
    """By how much rounding all vectors to bfloat16 changes each estimate."""
    rows = table[table["change"] == "rounding"]
    change = 100 * (rows["value"] / rows["base"] - 1)
    wide = rows.assign(by=change.map(_percent)).pivot(index="cloud", columns="metric", values="by")
    wide = wide.loc[rows["cloud"].unique(), list(_LABELS)].rename(columns=_LABELS)
    return wide.rename_axis(index=None, columns=None)


def _percent(change: float) -> str:
    """With its sign, but for what rounds to nothing; a true minus, as in the book's verdicts."""
    shown = f"{change:+.1f} %".replace("-", "\N{MINUS SIGN}")
    return shown if shown[1:] != "0.0 %" else "0.0 %"
