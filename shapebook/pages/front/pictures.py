"""The pictures of the first page, small: what was measured, and what others published beside it.

Numbers of others stand in a panel of their own, and are never mixed with ours.
"""

from typing import TYPE_CHECKING

import pandas as pd

from shapelib.figures import PALETTE, dress, keep, model_colours
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches, of a picture that is a third of a page or the width of a phone.
_SIZE = (3.9, 2.9)
_THEIRS = "#595959"


def bell(rows: pd.DataFrame) -> "Figure":
    """Figure 1 of the first paper in one panel: anisotropy over relative depth, decoders solid and
    encoders dotted.

    :param rows: what the figure of the page on profiles shows, a row a layer and token set.
    """
    figure, axes = _panel()
    dress(axes, "", "relative depth", (-0.02, 1.02))
    rows = chosen(rows, {"tokens": "all"})
    colours = model_colours(dict(zip(rows["model"], rows["role"], strict=True)))
    for model, own in rows.groupby("model", sort=False):
        line = own.sort_values("layer")
        style = "-" if line["role"].iloc[0] == "decoder" else ":"
        axes.plot(
            line["depth"], line["value"], style, color=colours[str(model)], linewidth=1.8,
            label=str(model),
        )  # fmt: skip
    axes.set_ylabel("anisotropy")
    axes.set_ylim(0, 1.02)
    _legend(figure, axes, 2)
    return keep(figure, rows)


def rise(published: pd.DataFrame, ours: pd.DataFrame) -> "Figure":
    """The dimension, mean over layers, along training: published, and of the decoder trained here.

    :param published: `shapebook.experiments.published.published_training`.
    :param ours: ``step`` and ``value``, a row for each run and step.
    """
    figure, (left, right) = _pair()
    _title(left, "Pythia-6.9B\npublished", "step")
    for (part, line), style in zip(published.groupby("part", sort=False), ("-", ":", "--")):  # noqa: B905
        left.plot(line["step"], line["value"], style, color=_THEIRS, linewidth=1.6, label=str(part))
    left.legend(frameon=False, fontsize=7, loc="upper left")
    left.set_ylim(0, 75)
    left.set_ylabel("dimension")
    _title(right, "0.8 million\ntrained here", "step + 1")
    for _, line in ours.groupby("run"):
        right.plot(line["step"] + 1, line["value"], color=PALETTE[0], linewidth=1.2)
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xscale("log")
    return keep(figure, pd.concat([published, ours]))


def sizes(published: pd.DataFrame, ours: pd.DataFrame) -> "Figure":
    """d90 against the number of parameters: published, and measured here.

    :param published: ``model``, ``parameters`` and ``d90``.
    :param ours: ``model``, ``D`` and ``d90`` with its interval, ``low`` to ``high``.
    """
    from matplotlib.ticker import NullLocator

    figure, (left, right) = _pair(sharey=True)
    for axes, title in ((left, "published\nMRPC"), (right, "measured here\nquestions")):
        _title(axes, title, "million parameters")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    for name, mark in (("BERT", "o"), ("RoBERTa", "s")):
        line = published[published["model"].str.startswith(name)].sort_values("parameters")
        left.plot(
            line["parameters"] / 1e6, line["d90"], f"-{mark}", color=_THEIRS, linewidth=1,
            markersize=5, markerfacecolor="white", label=name,
        )  # fmt: skip
    left.legend(frameon=False, fontsize=8)
    left.set_xlim(80, 500)
    left.set_xticks([100, 300], ["100", "300"])
    right.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    left.set_ylabel("d90")
    for trained, own in ours.groupby("here", sort=False):
        colour = PALETTE[4] if trained else PALETTE[1]
        errors = [own["d90"] - own["low"], (own["high"] - own["d90"]).clip(upper=own["d90"] * 4)]
        right.errorbar(
            own["D"] / 1e6, own["d90"], errors, fmt="o", color=colour, markersize=5, capsize=2,
            label="trained here" if trained else str(own["model"].iloc[0]),
        )  # fmt: skip
    right.legend(frameon=False, fontsize=8, loc="lower left")
    return keep(figure, pd.concat([published, ours]))


def _panel() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.subplots()


def _pair(sharey: bool = False) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, list(figure.subplots(1, 2, sharey=sharey))


def _title(axes: "Axes", title: str, label: str) -> None:
    dress(axes, "", label, None)
    axes.set_title(title, fontsize=9)


def _legend(figure: "Figure", axes: "Axes", columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8,
        columnspacing=1.2, handlelength=1.6,
    )  # fmt: skip
