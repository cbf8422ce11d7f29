"""Several estimators of dimension beside each other: a figure and a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapebook.claims.layers import LEAST, Means
from shapebook.figures.own_words import by_model
from shapebook.figures.shown import grid_of_panels, round_labels
from shapelib.figures import PALETTE, dress, keep, legend
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ESTIMATORS = {
    "two_nn": "TwoNN", "mada_k20": "MADA, k = 20",
    "mom_k20": "moments, k = 20", "mom_k100": "moments, k = 100",
}  # fmt: skip

_THIRDS = ("first third", "middle third", "last third")


def by_estimator(table: pd.DataFrame) -> "Figure":
    """Figure 5 of the paper, over layers: a panel a model, a line an estimator.

    The axis of dimension is logarithmic, since one estimator of a model may be a hundred times
    another. Bands are one standard deviation over batches; open markers the embedding and layers
    after the final norm.

    :param table: of `shapelib.profile`, of any number of models.
    """
    rows = table[(table["tokens"] == "all") & table["metric"].isin(_ESTIMATORS)]
    models = list(rows.groupby("model", sort=False))
    figure, panels = grid_of_panels(len(models), min(len(models), 3))
    for axes, (model, own) in zip(panels, models, strict=True):
        dress(axes, str(model), "relative depth")
        axes.set_yscale("log")
        for (metric, name), colour in zip(_ESTIMATORS.items(), PALETTE, strict=False):
            line = own[own["metric"] == metric].sort_values("layer")
            spread = line["std"].fillna(0)
            axes.plot(line["depth"], line["value"], color=colour, linewidth=1.3, label=name)
            low = (line["value"] - spread).clip(lower=1e-3 * line["value"])
            axes.fill_between(
                line["depth"], low, line["value"] + spread, color=colour, alpha=0.2, linewidth=0
            )
            apart = line[(line["layer"] == 0) | line["after_norm"]]
            axes.plot(apart["depth"], apart["value"], "o", color=colour, markersize=4, mfc="white")
        round_labels(axes)
    for axes in panels[:: min(len(models), 3)]:
        axes.set_ylabel("dimension")
    legend(figure, panels, ncols=4)
    return keep(figure, rows)


def tabulate_thirds(table: pd.DataFrame, measures: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The mean of several measures over each third of the layers that count, a column a measure.

    :param table: of `shapelib.profile`, of any number of models.
    :param measures: what to call a measure, and the columns that choose its rows, as ``{"TwoNN":
        {"metric": "two_nn"}}``.
    :returns: three rows a model; a dash where fewer layers count than thirds need.
    """
    rows = {}
    for model, _, own in by_model(table):
        means: dict[str, list[str]] = {}
        for called, which in measures.items():
            layers = chosen(own, {"tokens": "all", **which}).dropna(subset=["value"])
            few = layers["layer"].nunique() < LEAST
            parts = [] if few else [f"{mean:.1f}" for mean in Means.of(layers)]
            means[called] = parts or ["–"] * len(_THIRDS)
        for place, third in enumerate(_THIRDS):
            rows[f"{model}, {third}"] = {called: each[place] for called, each in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index")
