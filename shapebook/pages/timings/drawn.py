"""The figures of the page on speed: time against the number of points, and the packages beside each
other; each processor by itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.pages.timings import packages, records
from shapebook.pages.timings.packages import PACKAGES
from shapebook.pages.timings.tables import plain
from shapelib.figures import PALETTE, STYLES, dress, keep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A package has one colour in all panels.
_COLOURS = dict(zip((*PACKAGES, "NumPy, full SVD", "scikit-learn"), PALETTE, strict=True))
_COLOURS["faiss"] = "#666666"
_AXIS = "multiples of one product $X X^\\top$, logarithmic; left of 1 is cheaper than it"
_MARKERS = ("o", "s", "^", "D", "v", "P")


def figures(kept: Path) -> "dict[str, Figure]":
    """``growth`` and ``speed`` of the records in a folder, where there are such."""
    grown = packages.grown(records.of_processors(kept, "sizes"))
    compared = packages.compared(records.of_processors(kept, "estimators"))
    drawn = {"growth": (growth, grown), "speed": (speed, compared)}
    return {name: draw(rows) for name, (draw, rows) in drawn.items() if len(rows)}


def growth(rows: pd.DataFrame) -> "Figure":
    """Time against the number of points, both logarithmic: a panel for each processor of
    `packages.grown`, a line for each search and estimator, with its exponent.

    The dashed line is the product itself.
    """
    from matplotlib.figure import Figure

    panels = dict(list(rows.groupby("processor", sort=False)))
    figure = Figure(figsize=(7, 5.4 * len(panels)), layout="constrained")
    every: list[Axes] = list(figure.subplots(len(panels), 1, squeeze=False).flat)
    for axes, (processor, panel) in zip(every, panels.items(), strict=True):
        _lines(axes, panel)
        dress(axes, str(processor), "number of points", limits=None)
        axes.set_ylabel(f"time, in products of {panel['points'].min()} points")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize=8)
    return keep(figure, rows)


def _lines(axes: "Axes", panel: pd.DataFrame) -> None:
    sizes = np.array(sorted(panel["points"].unique()))
    axes.plot(sizes, (sizes / sizes[0]) ** 2.0, "--", color="black", linewidth=1,
              label="one product, exponent 2")  # fmt: skip
    seen: dict[str, int] = {}
    for name, line in panel.groupby("package", sort=False):
        package = next(each for each in _COLOURS if str(name).startswith(each))
        nth = seen[package] = seen.get(package, -1) + 1
        slope = line["exponent"].iloc[0]
        told = "" if np.isnan(slope) else f", exponent {slope:.2f}"
        axes.plot(
            line["points"], line["value"], STYLES[nth % len(STYLES)], linewidth=1.5, markersize=4,
            marker=_MARKERS[nth % len(_MARKERS)], color=_COLOURS[package],
            label=f"{name}{told}",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size}" for size in sizes])
    axes.yaxis.set_major_formatter(lambda tick, _: plain(tick))


def speed(rows: pd.DataFrame) -> "Figure":
    """The rows of `packages.compared` as bars from 1, the product, on a logarithmic axis: a panel
    for each measure on each processor.

    Bars are medians over the turns, whiskers the least and the greatest of them.
    """
    from matplotlib.figure import Figure

    panels = dict(list(rows.groupby(["processor", "measure"], sort=False)))
    height = 0.9 + 0.36 * len(panels) + 0.22 * len(rows)
    figure = Figure(figsize=(7, height), layout="constrained")
    heights = [len(panel) for panel in panels.values()]
    every: list[Axes] = list(
        figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False).flat
    )
    for axes, ((processor, measure), panel) in zip(every, panels.items(), strict=True):
        dress(axes, "", "", limits=None)
        axes.set_title(f"{measure} · {processor}", loc="left", fontsize="medium")
        _bars(axes, panel)
    every[-1].set_xlabel(_AXIS)
    every[-1].xaxis.set_major_formatter(lambda tick, _: plain(tick))
    # Room for the numbers at both ends.
    every[0].set_xlim(rows["least"].min() / 3, rows["greatest"].max() * 4)
    return keep(figure, rows)


def _bars(axes: "Axes", panel: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    rows: list[dict[str, Any]] = panel.to_dict("records")
    for place, row in enumerate(rows):
        value, least, greatest = row["value"], row["least"], row["greatest"]
        axes.barh(place, value - 1, left=1, color=_COLOURS[row["package"]], height=0.7)
        axes.plot([least, greatest], [place, place], color="black", linewidth=1, marker="|")
        cheaper = value < 1
        axes.annotate(
            plain(value),
            (min(least, 1.0) if cheaper else max(greatest, 1.0), place),
            xytext=(-5 if cheaper else 5, 0), textcoords="offset points",
            ha="right" if cheaper else "left", va="center", fontsize="small",
        )  # fmt: skip
    axes.set_yticks(range(len(panel)), panel["package"])
    axes.set_ylim(len(panel) - 0.5, -0.5)
    axes.grid(False, axis="y")
