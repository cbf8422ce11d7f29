"""The recorded benchmarks as a figure: what each package takes for each measure."""

from typing import TYPE_CHECKING

import pandas as pd

from shapebook.pages import timings
from shapelib.figures import PALETTE, dress, keep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A package has one colour in all panels.
_COLOURS = dict(zip((*timings.PACKAGES, "NumPy, full SVD"), PALETTE, strict=False))
_AXIS = "multiples of one product $X X^\\top$, logarithmic; left of 1 is cheaper than it"


def speed(rows: pd.DataFrame) -> "Figure":
    """The rows of `timings.rows` as bars from 1, the product, on a logarithmic axis: a panel for
    each measure.

    Bars are medians over the turns, whiskers the least and the greatest of them.
    """
    from matplotlib.figure import Figure

    panels = dict(list(rows.groupby("measure", sort=False)))
    figure = Figure(figsize=(7, 0.9 + 0.36 * len(panels) + 0.22 * len(rows)), layout="constrained")
    heights = [len(panel) for panel in panels.values()]
    every: list[Axes] = list(
        figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False).flat
    )
    for axes, (measure, panel) in zip(every, panels.items(), strict=True):
        dress(axes, "", "", limits=None)
        axes.set_title(measure, loc="left", fontsize="medium")
        _bars(axes, panel)
    every[-1].set_xlabel(_AXIS)
    every[-1].xaxis.set_major_formatter(lambda tick, _: timings.plain(tick))
    # Room for the numbers at both ends.
    every[0].set_xlim(rows["least"].min() / 3, rows["greatest"].max() * 4)
    return keep(figure, rows)


def _bars(axes: "Axes", panel: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    for place, row in enumerate(panel.to_dict("records")):
        value, least, greatest = row["value"], row["least"], row["greatest"]
        axes.barh(place, value - 1, left=1, color=_COLOURS[row["package"]], height=0.7)
        axes.plot([least, greatest], [place, place], color="black", linewidth=1, marker="|")
        cheaper = value < 1
        axes.annotate(
            timings.plain(value),
            (min(least, 1.0) if cheaper else max(greatest, 1.0), place),
            xytext=(-5 if cheaper else 5, 0), textcoords="offset points",
            ha="right" if cheaper else "left", va="center", fontsize="small",
        )  # fmt: skip
    axes.set_yticks(range(len(panel)), panel["package"])
    axes.set_ylim(len(panel) - 0.5, -0.5)
    axes.grid(False, axis="y")
