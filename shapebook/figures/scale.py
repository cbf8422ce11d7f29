"""The figures of the page on scale, each a function of a table and of nothing else."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.claims.course import MIXED
from shapebook.claims.layers import LEAST
from shapebook.claims.statistic import spearman
from shapebook.experiments.parting import BOTH, EVERYONE, KINDS, OTHERS, REST, TYPES
from shapebook.figures.own_words import Sentences, by_model
from shapebook.figures.shown import NEUTRAL, grid_of_panels
from shapebook.figures.training import band, by_steps
from shapelib.figures import PALETTE, STYLES, dress, keep, legend
from shapelib.geometry.dimension import Estimate
from shapelib.geometry.scale.curves import SCALES, Curve, Plateau, plateau
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THREE = {
    "gride_1": "neighbours 1 and 2", "gride_8": "neighbours 8 and 16",
    "gride_64": "neighbours 64 and 128",
}  # fmt: skip
_FITS = {"two_nn": "TwoNN, lowest 90 %", "two_nn_lowest20": "TwoNN, lowest 20 %"}
_CLOUDS = {
    EVERYONE: ("-", PALETTE[0]), REST: ("--", PALETTE[0]), OTHERS: ("-", PALETTE[2]),
    TYPES: ("--", PALETTE[3]), BOTH: (":", PALETTE[1]),
}  # fmt: skip
_ASKED = "neighbours asked, 2n"
_LAYERS = 5
_APART = {"content": "without special tokens", "rest": "without massive vectors"}
# Two points that differ by less than this share of the axis have labels that touch.
_CLEAR = 0.06


def curves(table: pd.DataFrame, tokens: str = "all") -> Iterator[tuple[str, int, Curve]]:
    """GRIDE of every model and layer of a shape table as a curve over its scales; the errors are
    the table's, over groups of text. A layer that lacks a scale is passed over."""
    wanted = {f"gride_{n}": float(n) for n in SCALES}
    rows = chosen(table, {"tokens": tokens})
    rows = rows[rows["metric"].isin(wanted)].dropna(subset=["value"])
    for (model, layer), own in rows.groupby(["model", "layer"], sort=False):
        own = own.assign(scale=own["metric"].map(wanted)).sort_values("scale")
        if len(own) < len(wanted):
            continue
        estimates = tuple(Estimate(*each) for each in zip(own["value"], own["stderr"], strict=True))
        yield str(model), int(layer), Curve(
            "gride", tuple(own["scale"]), estimates, (np.nan,) * len(own), tuple(own["n"])
        )  # fmt: skip


def fewer(table: pd.DataFrame) -> dict[str, str]:
    """For each model the token set that leaves out most of what is apart from ordinary vectors:
    special tokens (``content``) or massive vectors (``rest``); none where neither was measured."""
    found = {}
    for model, rows in table.groupby("model", sort=False):
        left = rows[rows["tokens"].isin(_APART)].groupby("tokens")["removed"].max()
        if len(left) and left.max() > 0:
            found[str(model)] = str(left.idxmax())
    return found


def plateaus(table: pd.DataFrame, tokens: str = "all") -> dict[tuple[str, int], Plateau | None]:
    """The plateau of each model's layer, by `shapelib.plateau`; None where there is none."""
    return {(model, layer): plateau(curve) for model, layer, curve in curves(table, tokens)}


def said(table: pd.DataFrame) -> Sentences:
    """For each model what near and far neighbours say of its layers, who the first neighbours are,
    and how many layers have a plateau. The errors by which that is decided are the table's."""
    left_out = fewer(table)
    found = []
    for name, role, rows in by_model(table):
        flat = {"all": plateaus(rows)}
        if name in left_out:
            flat[left_out[name]] = plateaus(rows, left_out[name])
        found += _told(f"{name} ({role})", chosen(rows, {"tokens": "all"}), flat)
    return Sentences(found)


def _told(
    name: str, rows: pd.DataFrame, flat: dict[str, dict[tuple[str, int], Plateau | None]]
) -> list[str]:
    near, far = (
        chosen(rows, {"metric": f"gride_{n}"}).dropna(subset=["value"])
        for n in (SCALES[0], SCALES[-1])
    )
    if near["layer"].nunique() < LEAST or far["layer"].nunique() < LEAST:
        return [f"{name}: fewer than {LEAST} layers count."]
    told = [
        f"{name}: by the two nearest neighbours the dimension of a layer lies between "
        f"{near['value'].min():.1f} and {near['value'].max():.1f}, by neighbours {SCALES[-1]} and "
        f"{2 * SCALES[-1]} between {far['value'].min():.1f} and {far['value'].max():.1f}."
    ]
    for metric, what in (("same_token", "the same token"), ("same_window", "of the same window")):
        if len(share := chosen(rows, {"metric": metric})["value"].dropna()):
            told.append(
                f"{name}: the first neighbour is {what} for {share.min():.0%} to "
                f"{share.max():.0%} of a layer's vectors."
            )
    told += _gap(name, rows)
    for tokens, of_layers in flat.items():
        there = [one for one in of_layers.values() if one is not None]
        which = f" {_APART[tokens]}" if tokens in _APART else ""
        if not there:
            told.append(f"{name}{which}: none of {len(of_layers)} layers has a plateau.")
            continue
        levels = [one.value for one in there]
        told.append(
            f"{name}{which}: {len(there)} of {len(of_layers)} layers have a plateau, the lowest at "
            f"{min(levels):.1f}, the highest at {max(levels):.1f}."
        )
    return told


def _gap(name: str, rows: pd.DataFrame) -> list[str]:
    """Whether TwoNN's fits lie the farther apart the more first neighbours are the same token."""
    wide, narrow, share = (
        chosen(rows, {"metric": metric}).set_index("layer")["value"].sort_index().dropna()
        for metric in (*_FITS, "same_token")
    )
    layers = wide.index.intersection(narrow.index).intersection(share.index)
    if len(layers) < LEAST:
        return []
    gap = (narrow / wide)[layers]
    found = f"{spearman(gap.to_numpy(), share[layers].to_numpy()):.2f}".replace("-", "−")
    return [
        f"{name}: TwoNN's fit to the lowest 20 % is {gap.min():.1f} to {gap.max():.1f} times that "
        "to the lowest 90 %; the rank correlation of that factor with the share of first "
        f"neighbours that are the same token is {found} over {len(layers)} layers."
    ]


def by_size(table: pd.DataFrame) -> "Figure":
    """GRIDE against the number of neighbours: a column a model, a line for some of its layers, with
    two standard errors; a plateau is drawn broad. Above all vectors, below the ordinary ones.

    :param table: of `profile` with ``gride``, of any number of models.
    """
    left_out = fewer(table)
    names = list(dict.fromkeys(model for model, _, _ in curves(table)))
    rows = [dict.fromkeys(names, "all"), *([left_out] if left_out else [])]
    figure, panels = grid_of_panels(max(len(names), 1) * len(rows), max(len(names), 1))
    figure.set_size_inches(7, 3.1 * len(rows) + 0.3)
    drawn = [table.iloc[:0]]
    for place, axes in enumerate(panels):
        row, name = rows[place // max(len(names), 1)], (names or [""])[place % max(len(names), 1)]
        if name not in row:
            axes.set_visible(False)
            continue
        tokens = row[name]
        dress(axes, f"{name}\n{_APART.get(tokens, 'all vectors')}", _ASKED, None)
        axes.set_ylabel("" if place % len(names) else "dimension (GRIDE)")
        own = chosen(table, {"model": name})
        last = int(own["layer"].max())
        inner = [(layer, curve) for _, layer, curve in curves(own, tokens) if layer > 0]
        at = np.unique(np.linspace(0, len(inner) - 1, _LAYERS).round().astype(int))
        ends = [
            _line(axes, layer, curve, last, tokens, name, drawn)
            for layer, curve in (inner[each] for each in at)
        ]
        _sizes(axes)
        axes.set_ylim(bottom=0)
        _label(axes, ends)
    told = pd.concat(drawn[1:], ignore_index=True) if len(drawn) > 1 else drawn[0]
    return keep(figure, told)


def _line(
    axes: "Axes", layer: int, curve: Curve, last: int, tokens: str, name: str,
    drawn: list[pd.DataFrame],
) -> tuple[float, str, str]:  # fmt: skip
    """Draw one layer's curve; give where its name belongs, the name, and its colour."""
    colour = _ramp(layer / last)
    x = 2 * np.array(curve.scales)
    y, half = (np.array(each) for each in zip(*curve.estimates, strict=True))
    axes.fill_between(x, y - 2 * half, y + 2 * half, color=colour, alpha=0.2, lw=0)
    axes.plot(x, y, color=colour, marker="o", markersize=3, linewidth=1.2)
    flat = plateau(curve)
    on = np.zeros(len(x), bool)
    if flat is not None:
        on = (x >= 2 * flat.first) & (x <= 2 * flat.last)
        axes.plot(x[on], y[on], color=colour, linewidth=6, alpha=0.5, solid_capstyle="round")
    drawn.append(
        pd.DataFrame({"model": name, "tokens": tokens, "layer": layer, "neighbours": x,
                      "value": y, "stderr": half, "plateau": on})
    )  # fmt: skip
    return float(y[-1]), f"layer {layer}", colour


def _sizes(axes: "Axes") -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(at := [2 * n for n in SCALES], [str(n) for n in at])
    axes.minorticks_off()


def _label(axes: "Axes", ends: list[tuple[float, str, str]]) -> None:
    """Names at the ends of lines, moved apart where they would touch."""
    apart = _CLEAR * (axes.get_ylim()[1] - axes.get_ylim()[0])
    at = -np.inf
    for y, name, colour in sorted(ends):
        at = max(y, at + apart)
        axes.annotate(
            name, (1, at), xycoords=("axes fraction", "data"), xytext=(4, 0),
            textcoords="offset points", color=colour, va="center", fontsize="small",
        )  # fmt: skip


def parting(table: pd.DataFrame) -> "Figure":
    """Why TwoNN's fits part, a row of three panels for each layer: TwoNN's plot with both fits; who
    the first neighbours are along it; GRIDE with and without them.

    :param table: of `shapebook.experiments.parting.parting`, of one layer or several.
    """
    layers = list(table.groupby(["model", "layer"], sort=False))
    figure, panels = grid_of_panels(3 * len(layers), 3)
    figure.set_size_inches(7.4, 3.3 * len(layers) + 0.6)
    for row, ((model, layer), rows) in enumerate(layers):
        first, second, third = panels[3 * row : 3 * row + 3]
        every = rows[rows["cloud"] == EVERYONE]
        fits = every[every["what"] == "fit"].sort_values("x", ascending=False)
        line = every[every["what"] == "line"]
        dress(first, f"{model}, layer {layer}:\nTwoNN's plot", "ln(r₂ ÷ r₁)", None)
        first.plot(line["x"], line["value"], color=PALETTE[0], linewidth=2, label="the points")
        most = float(line["x"].quantile(0.97))
        for (x, value), style in zip(fits[["x", "value"]].to_numpy(), ("--", ":"), strict=True):
            first.plot(
                [0, most], [0, value * most], style, color=NEUTRAL, label=f"lowest {x:.0f} %"
            )
            third.axhline(value, linestyle=style, color=NEUTRAL, linewidth=1.2)
        first.set(xlim=(0, most), ylim=(0, 4), ylabel="−ln(1 − F)")
        dress(second, "who the first\nneighbours are", "points by r₂ ÷ r₁, %", None)
        for kind, colour in zip(KINDS, (PALETTE[1], PALETTE[2], PALETTE[3]), strict=True):
            own = every[every["what"] == kind]
            second.plot(own["x"], own["value"], "o-", color=colour, markersize=3,
                        label=f"first neighbour: {kind}")  # fmt: skip
        second.set(xlim=(0, 100), ylim=(0, 1), ylabel="share")
        dress(third, "GRIDE", _ASKED, None)
        for cloud, (style, colour) in _CLOUDS.items():
            own = rows[(rows["cloud"] == cloud) & (rows["what"] == "gride")]
            third.plot(2 * own["x"], own["value"], style, color=colour, marker=".", label=cloud)
        _sizes(third)
        third.tick_params(axis="x", labelsize="small")
        third.set_ylim(bottom=0)
        third.set_ylabel("dimension")
    legend(figure, panels)
    return keep(figure, table)


def without(table: pd.DataFrame) -> pd.DataFrame:
    """TwoNN's two fits and GRIDE's first and last scale of each cloud of `parting`."""
    wanted = {
        ("fit", 90.0): "TwoNN, lowest 90 %", ("fit", 20.0): "TwoNN, lowest 20 %",
        ("gride", 1.0): f"GRIDE, {THREE['gride_1']}",
        ("gride", 64.0): f"GRIDE, {THREE['gride_64']}",
    }  # fmt: skip
    rows = table[table["what"].isin(["fit", "gride"])].copy()
    rows["column"] = [
        wanted.get((what, round(x, 6)))
        for what, x in zip(rows["what"], rows["x"], strict=True)
    ]  # fmt: skip
    rows["layer"] = rows["model"] + ", layer " + rows["layer"].astype(str)
    by = ["layer", "cloud", "column"]
    wide = rows.dropna(subset=["column"]).set_index(by)["value"].unstack("column")
    order = rows.drop_duplicates(["layer", "cloud"]).set_index(["layer", "cloud"]).index
    found = wide.loc[order, [each for each in wanted.values() if each in wide]].round(1)
    return found.rename_axis(index=[None, None], columns=None)


def known(table: pd.DataFrame) -> "Figure":
    """GRIDE on clouds of known dimension, divided by it: a panel a manifold, a colour a dimension,
    dashes a number of points; a plateau is drawn broad.

    :param table: ``results/scale/manifolds.parquet``.
    """
    from matplotlib.lines import Line2D

    manifolds = list(table.groupby("manifold", sort=False))
    figure, panels = grid_of_panels(len(manifolds), 2)
    figure.set_size_inches(7, 3.0 * -(-len(manifolds) // 2) + 0.9)
    dimensions, sizes = sorted(table["dimension"].unique()), sorted(table["points"].unique())[::-1]
    colours = {d: _ramp(place / max(len(dimensions) - 1, 1)) for place, d in enumerate(dimensions)}
    looks: dict[Any, Any] = dict(zip(sizes, STYLES, strict=False))
    for axes, (manifold, rows) in zip(panels, manifolds, strict=True):
        dress(axes, str(manifold), _ASKED, None)
        axes.axhline(1, color="black", linewidth=1)
        for _, own in rows.groupby(["dimension", "points"]):
            d, points = own["dimension"].iloc[0], own["points"].iloc[0]
            x, y, flat = 2 * own["scale"], own["value"] / d, own["plateau"]
            axes.plot(x, y, looks[points], color=colours[d], linewidth=1.2)
            axes.plot(x[flat], y[flat], color=colours[d], linewidth=5, alpha=0.3)
        _sizes(axes)
        axes.set_ylim(0.4, 1.6)
    for axes in panels[::2]:
        axes.set_ylabel("GRIDE ÷ dimension")
    handles = [Line2D([], [], color=colours[d], label=f"d = {d}") for d in dimensions]
    handles += [
        Line2D([], [], color=NEUTRAL, linestyle=looks[n], label=f"{n} points") for n in sizes
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return keep(figure, table)


def _ramp(share: float) -> str:
    """A colour of the map viridis, without its palest end."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](round(217 * share)))


def in_training(courses: pd.DataFrame) -> "Figure":
    """GRIDE at three scales and TwoNN's two fits against steps of training, a panel a recipe.

    :param courses: curves of `shapebook.claims.course.course` with ``gride``.
    """
    rows = courses[courses["mixing"] == MIXED]
    recipes = list(rows.groupby("recipe", sort=False))
    figure, panels = grid_of_panels(max(len(recipes), 1), 2)
    figure.set_size_inches(7, 3.4 * -(-len(recipes) // 2) + 0.6)
    for axes, (recipe, own) in zip(panels, recipes, strict=False):
        dress(axes, str(recipe), "step", None)
        for metric, colour in zip(THREE, (PALETTE[0], PALETTE[2], PALETTE[3]), strict=True):
            band(axes, own[own["metric"] == metric], colour, "-", f"GRIDE, {THREE[metric]}")
        for metric, style in zip(_FITS, ("--", ":"), strict=True):
            band(axes, own[own["metric"] == metric], NEUTRAL, style, _FITS[metric])
        by_steps(axes)
        axes.set_ylim(bottom=0)
    for axes in panels[::2]:
        axes.set_ylabel("dimension")
    legend(figure, panels)
    wanted = rows[rows["metric"].isin({*THREE, *_FITS})]
    return keep(figure, wanted[["recipe", "run", "step", "metric", "value", "stderr"]])
