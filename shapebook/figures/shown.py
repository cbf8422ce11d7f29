"""What the figures of pages share, a figure in a notebook with the rows that it shows, and the
published numbers as a figure."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from shapelib.figures import STYLES, data, dress, keep, legend, model_colours

if TYPE_CHECKING:
    from IPython.display import SVG
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = "shapelib_data"
# For what is no model's, or that of several.
NEUTRAL = "#333333"


def published_profile(table: pd.DataFrame) -> "Figure":
    """Both published measures, over relative depth, a panel a model.

    :param table: what `shapebook.experiments.published.published` gives.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.9), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    names = {"first_direction_share": "share of the first direction", "average_cosine": "cosine"}
    colours = model_colours(dict(zip(table["model"], table["role"], strict=True)))
    for axes, (model, rows) in zip(panels, table.groupby("model"), strict=True):
        dress(axes, f"{model} (published)")
        for (metric, name), style in zip(names.items(), STYLES, strict=False):
            line = rows[rows["metric"] == metric].sort_values("layer")
            axes.plot(
                line["depth"], line["value"], style, marker="o", markersize=3, linewidth=1.5,
                color=colours[str(model)], label=f"{model}, {name}",
            )  # fmt: skip
    panels[0].set_ylabel("share, or cosine (published)")
    legend(figure, panels)
    panels[0].set_ylim(0, 1.02)
    return keep(figure, table)


def published_dimensions(table: pd.DataFrame) -> "Figure":
    """Published profiles of dimension over relative depth, a line a model.

    :param table: what `shapebook.experiments.published.published_dimension` gives.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes: Axes = figure.subplots()
    dress(axes, "published, of other people")
    colours = model_colours(dict(zip(table["model"], table["role"], strict=True)))
    for model, rows in table.groupby("model", sort=False):
        line = rows.sort_values("layer")
        axes.errorbar(
            line["depth"], line["value"], line["std"], marker="o", markersize=3, linewidth=1.5,
            color=colours[str(model)], label=str(model), elinewidth=0.7,
        )  # fmt: skip
    axes.set_ylabel("GRIDE dimension (published)")
    axes.set_ylim(bottom=0)
    legend(figure, [axes], ncols=3)
    return keep(figure, table)


def published_course(table: pd.DataFrame) -> "Figure":
    """A published dimension along training, over steps: of several summaries of the layers.

    :param table: what `shapebook.experiments.published.published_training` gives.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes: Axes = figure.subplots()
    model = str(table["model"].iloc[0])
    dress(axes, f"{model} (published)", "step of training", None)
    colour = model_colours(dict(zip(table["model"], table["role"], strict=True)))[model]
    names = {"mean": "mean over layers"}
    for (part, rows), style in zip(table.groupby("part", sort=False), STYLES, strict=False):
        line = rows.sort_values("step")
        axes.plot(
            line["step"], line["value"], style, marker="o", markersize=3, linewidth=1.5,
            color=colour, label=names.get(str(part), str(part)),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylabel("GRIDE dimension (published)")
    axes.set_ylim(bottom=0)
    legend(figure, [axes], ncols=3)
    return keep(figure, table)


def show(figure: "Figure", missing: Sequence[str] = ()) -> "SVG":
    """The figure as SVG for a notebook, its data beside it: one table gives the same bytes twice.

    The data (see `figures.data`) travel in the output's metadata, and the book offers them as a
    file.

    :param figure: any matplotlib figure.
    :param missing: what it lacks, because it could not be measured: named below it.
    """
    import io

    import matplotlib
    from IPython.display import SVG

    if missing:
        named = textwrap.fill(f"missing, since it failed: {', '.join(missing)}", 90)
        figure.text(0.5, -0.02, named, ha="center", va="top", fontsize=8, color=NEUTRAL)
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "shapelib"}):
        figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
    rows = data(figure)
    return SVG(drawn.getvalue(), metadata=None if rows is None else {ROWS: rows})


def grid_of_panels(count: int, columns: int) -> "tuple[Figure, list[Axes]]":
    """So many small panels, row by row."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(2.6 * columns, 2.4 * rows + 0.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def round_labels(axes: "Axes", *, across: bool = False) -> None:
    """Labels of a logarithmic vertical axis: decades; where fewer than two show, round values.

    :param across: of the horizontal axis instead.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    axis = axes.xaxis if across else axes.yaxis
    low, high = axes.get_xlim() if across else axes.get_ylim()
    decades = [each for each in axis.get_majorticklocs() if low <= each <= high]
    if len(decades) < 2:
        rounds = LogLocator(subs=(1, 2, 5))
        shown = [each for each in rounds.tick_values(low, high) if low <= each <= high]
        axis.set_major_locator(rounds if len(shown) > 1 else MaxNLocator(4))
        axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())
