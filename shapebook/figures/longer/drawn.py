"""The figures of a longer run, each a function of tables and of nothing else."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.claims.course import MIXED, course
from shapebook.figures.shown import NEUTRAL, grid_of_panels, round_labels
from shapelib.figures import STYLES, dress, keep, legend, model_colours
from shapelib.geometry.massive import FACTOR
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIMENSIONS = {
    "two_nn": "TwoNN, lowest 90 %",
    "two_nn_lowest20": "TwoNN, lowest 20 %",
    "mada_k20": "MADA, k = 20",
    "mom_k20": "moments, k = 20",
    "gride_1": "GRIDE, n = 1",
    "gride_8": "GRIDE, n = 8",
    "gride_64": "GRIDE, n = 64",
}
PERPLEXITY, LONGEST, ANISOTROPY = "perplexity", "longest", "anisotropy"
_TITLES = {
    PERPLEXITY: "held-out perplexity",
    LONGEST: "longest vector ÷ median",
    ANISOTROPY: "anisotropy (centered)",
    **DIMENSIONS,
}
_COLUMNS = 3


def lines(shape: pd.DataFrame, training: pd.DataFrame, massive: pd.DataFrame) -> pd.DataFrame:
    """Everything that the run's curves show: ``model, role, kind, window, tokens, metric, step,
    tokens_seen, value, left``.

    Anisotropy and dimensions are means over layers, the embedding and a layer after the final norm
    left out; the longest vector is that of the same layers. Perplexity has no window. `left` says
    whether the initialisation has been left: steps from the lowest TwoNN of the same window on,
    over all vectors.

    :param shape, training, massive: the tables of ``results/longer``.
    """
    parts = [_of_window(rows, training) for _, rows in shape.groupby("window", sort=False)]
    inner = massive[(massive["layer"] > 0) & ~massive["after_norm"]]
    by = ["model", "role", "window", "step", "tokens_seen"]
    longest = inner.groupby(by, sort=False)["longest"].max().rename("value").reset_index()
    parts.append(longest.assign(metric=LONGEST, tokens="all"))
    exam = training.dropna(subset=["perplexity"]).rename(columns={"perplexity": "value"})
    roles = exam["mask"].eq("full").map({True: "encoder", False: "decoder"})
    exam = exam[["model", "step", "tokens_seen", "value"]].assign(
        role=roles, window="", tokens="all", metric=PERPLEXITY
    )
    found = pd.concat([exam, *parts], ignore_index=True)
    found["kind"] = found["model"].map(dict(zip(training["model"], training["kind"], strict=True)))
    left = {
        place: rows.loc[rows["value"].idxmin(), "step"]
        for place, rows in chosen(found, {"metric": "two_nn", "tokens": "all"})
        .dropna(subset=["value"]).groupby(["model", "window"])
    }  # fmt: skip
    begins = [left.get(place, 0) for place in zip(found["model"], found["window"], strict=True)]
    found["left"] = found["step"] >= pd.Series(begins, index=found.index)
    return found.sort_values(["model", "window", "tokens", "metric", "step"], ignore_index=True)


def _of_window(shape: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    curves = course(shape, training)
    curves = curves[curves["mixing"] == MIXED]
    wanted = curves["metric"].isin(DIMENSIONS) | (
        curves["metric"].eq(ANISOTROPY) & curves["centered"].fillna(False).astype(bool)
    )
    columns = ["model", "role", "step", "tokens_seen", "tokens", "metric", "value"]
    return curves.loc[wanted, columns].assign(window=shape["window"].iloc[0])


def longer_run(
    shape: pd.DataFrame, training: pd.DataFrame, massive: pd.DataFrame, published: pd.DataFrame
) -> "Figure":
    """Held-out perplexity, the longest vector, anisotropy and every estimate of dimension against
    tokens read, and a published course of a large model in a panel of its own.

    A colour a model, a style a length of windows; dots are without massive vectors, where there are
    any. Dimensions are pale where the initialisation is still being left. GRIDE compares the
    distances to neighbours n and 2n. The dotted line is where a vector is called massive.

    :param shape, training, massive: the tables of ``results/longer``.
    :param published: what `shapebook.experiments.published.published_training` gives.
    """
    found = _worth_drawing(lines(shape, training, massive), shape)
    figure, panels = grid_of_panels(len(_TITLES) + 1, _COLUMNS)
    colours = model_colours(dict(zip(found["model"], found["role"], strict=True)))
    lengths = list(dict.fromkeys(shape["window"]))[::-1]
    styles = {"": "-", **dict(zip(lengths, STYLES, strict=False))}
    for axes, (metric, title) in zip(panels, _TITLES.items(), strict=False):
        dress(axes, title, "tokens read", None)
        for (model, window, tokens), rows in found[found["metric"] == metric].groupby(
            ["model", "window", "tokens"], sort=False
        ):
            _line(axes, rows, colours[str(model)], styles[str(window)], _named(rows), str(tokens))
        _by_tokens(axes)
    panels[1].axhline(FACTOR, color=NEUTRAL, linewidth=0.8, linestyle=":")
    for axes in panels[:2]:
        axes.set_yscale("log")
        round_labels(axes)
    _published(panels[-1], published)
    for axes in panels[2:]:
        axes.set_ylim(bottom=0)
    legend(figure, panels, ncols=2)
    told = ["kind", "window", "tokens", "metric", "step", "tokens_seen", "value", "left"]
    ours = found[told].assign(of="here")
    theirs = published[["step", "tokens_seen", "value"]].assign(
        of=published["model"] + ", " + published["part"], metric="gride", tokens="all"
    )
    return keep(figure, pd.concat([ours, theirs], ignore_index=True))


def massive_map(massive: pd.DataFrame, window: str) -> "Figure":
    """The longest vector of every layer along training, ÷ the layer's median: layers up, steps
    across, a panel a model. Crosses: layers with massive vectors.

    :param massive: the table of ``results/longer``.
    :param window: of which windows, as the table says it.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    rows = chosen(massive, {"window": window})
    models = list(dict.fromkeys(rows["model"]))
    figure = Figure(figsize=(3.6 * len(models) + 0.6, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(models), squeeze=False, sharey=True).flat)
    # The threshold lies inside the scale, whether anything has reached it or not.
    scale = LogNorm(1, max(2 * FACTOR, float(rows["longest"].max())))
    drawn = None
    for axes, model in zip(panels, models, strict=True):
        own = rows[rows["model"] == model]
        values = own.pivot(index="layer", columns="step", values="longest")
        drawn = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis", norm=scale,
                            interpolation="nearest")  # fmt: skip
        there = own.pivot(index="layer", columns="step", values="massive").to_numpy() > 0
        up, across = np.nonzero(there)
        axes.plot(across, up, "x", color="white", markersize=4)
        axes.set_title(own["role"].iloc[0])
        axes.set_xlabel("step")
        shown = range(0, values.shape[1], max(1, values.shape[1] // 6))
        axes.set_xticks(list(shown), [str(values.columns[at]) for at in shown], rotation=45)
        axes.set_yticks(range(values.shape[0]), [str(layer) for layer in values.index])
    panels[0].set_ylabel("layer (0: the embedding)")
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label="longest vector ÷ median length")
    told = ["model", "role", "window", "step", "layer", "longest", "longest_on", "massive",
            "at_first", "token", "of_token"]  # fmt: skip
    return keep(figure, rows[told])


def _worth_drawing(found: pd.DataFrame, shape: pd.DataFrame) -> pd.DataFrame:
    """The curves without massive vectors only of models and windows that have any."""
    left_out = shape[(shape["tokens"] == "rest") & (shape["removed"] > 0)]
    with_some = set(zip(left_out["model"], left_out["window"], strict=True))
    some = [place in with_some for place in zip(found["model"], found["window"], strict=True)]
    return found[(found["tokens"] == "all") | pd.Series(some, index=found.index)]


def _named(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    length = f", {first['window']}" if first["window"] else ", held-out"
    without = ", no massive" if first["tokens"] == "rest" else ""
    return f"{first['kind']}{length}{without}"


def _line(
    axes: "Axes", rows: pd.DataFrame, colour: Any, style: str, name: str, tokens: str
) -> None:
    look: dict[str, Any] = {"color": colour, "linewidth": 1.5}
    style = "." if tokens == "rest" else style
    if rows["metric"].iloc[0] not in DIMENSIONS:
        axes.plot(rows["tokens_seen"], rows["value"], style, label=name, **look)
        return
    axes.plot(rows["tokens_seen"], rows["value"], style, alpha=0.3, **look)
    left = rows[rows["left"]]
    axes.plot(left["tokens_seen"], left["value"], style, label=name, **look)


def _by_tokens(axes: "Axes") -> None:
    """Tokens read: logarithmic, but for the first forty thousand."""
    axes.set_xscale("symlog", linthresh=4e4)
    axes.set_xlim(left=0)
    axes.set_xticks([0, 1e5, 1e6, 1e7], ["0", "10⁵", "10⁶", "10⁷"])


def _published(axes: "Axes", published: pd.DataFrame) -> None:
    model = str(published["model"].iloc[0])
    dress(axes, f"GRIDE, {model}\n(published)", "tokens read", None)
    for (part, rows), style in zip(published.groupby("part", sort=False), STYLES, strict=False):
        line = rows.sort_values("step")
        axes.plot(line["tokens_seen"], line["value"], style, marker=".", color=NEUTRAL,
                  label=f"{model}, {part}")  # fmt: skip
    axes.set_xscale("log")
