"""The figures of training, each a function of curves (`claims.course`) and of nothing else."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.claims.course import MIXED, WHOLE, curve
from shapebook.claims.layers import Means
from shapebook.figures.shown import NEUTRAL, grid_of_panels
from shapelib.figures import (
    STYLES,
    dress,
    keep,
    legend,
    model_colours,
    role_panels,
)
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What the data of a figure of curves say, where it varies.
_TOLD = ["recipe", "run", "step", "mixing", "metric", "value", "stderr"]
_ANISOTROPY = {"metric": "anisotropy", "centered": True}
_ESTIMATORS = {
    "two_nn": "TwoNN, lowest 90 %",
    "two_nn_lowest20": "TwoNN, lowest 20 %",
    "mada_k20": "MADA, k = 20",
    "mom_k20": "moments, k = 20",
}

_BY_WIDTH = {
    "anisotropy": "anisotropy (centered)",
    "two_nn": "TwoNN, lowest 90 %",
    "mada_k20": "MADA, k = 20",
}


def layer_step_maps(shape: pd.DataFrame, titles: dict[str, str]) -> "Figure":
    """Centered anisotropy as a map, layers up and steps across: a panel for each of `titles`.

    `shape`: a shape table of checkpoints. `titles`: what to call a model, by its name; several
    models of one title (runs) are averaged.
    """
    from matplotlib.figure import Figure

    rows = chosen(shape, _ANISOTROPY)
    rows = rows.assign(title=rows["model"].map(titles)).dropna(subset=["title"])
    names = list(dict.fromkeys(titles.values()))
    figure = Figure(figsize=(3.6 * len(names) + 0.6, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(names), squeeze=False, sharey=True).flat)
    drawn = None
    for axes, name in zip(panels, names, strict=True):
        values = rows[rows["title"] == name].pivot_table(
            index="layer", columns="step", values="value"
        )
        drawn = axes.imshow(
            values, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=1,
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(name)
        axes.set_xlabel("step")
        shown = range(0, values.shape[1], max(1, values.shape[1] // 6))
        steps = [str(values.columns[at]) for at in shown]
        axes.set_xticks(list(shown), steps)
        # Those of a published suite are too long to stand side by side.
        if max(map(len, steps)) > 4:
            axes.tick_params(axis="x", labelrotation=45)
        axes.set_yticks(range(values.shape[0]))
    panels[0].set_ylabel("layer (0: the embedding)")
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label="anisotropy (centered)")
    means = rows.groupby(["title", "layer", "step"], sort=False)["value"].mean().reset_index()
    return keep(figure, means)


def training_curves(
    curves: pd.DataFrame, metric: str, label: str, live: pd.DataFrame | None = None
) -> "Figure":
    """One metric, averaged over layers, against steps: a line a recipe, a band two standard errors.

    Crosses: `live`, curves of the run made for this page.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.9), layout="constrained")
    axes: Axes = figure.subplots()
    dress(axes, "", "step", None)
    wanted = curves[(curves["metric"] == metric) & (curves["mixing"] == MIXED)]
    looks = _looks(wanted)
    for recipe, rows in wanted.groupby("recipe", sort=False):
        band(axes, _centered(rows), *looks[str(recipe)], str(recipe))
    if live is not None:
        rows = live[(live["metric"] == metric) & (live["mixing"] == MIXED)]
        looks = _looks(rows)
        for recipe, own in rows.groupby("recipe", sort=False):
            line = curve(_centered(own))
            axes.plot(
                line.index, line.mean(axis=1), "x", markersize=6,
                color=looks[str(recipe)][0], label=f"{recipe}, this page's run",
            )  # fmt: skip
    by_steps(axes)
    axes.set_ylabel(label)
    # Names of recipes are long.
    legend(figure, [axes], ncols=1)
    told = {"full runs": wanted} if live is None else {"full runs": wanted, "this page's run": live}
    return keep(
        figure,
        pd.concat(
            [
                _centered(rows[(rows["metric"] == metric) & (rows["mixing"] == MIXED)])[_TOLD]
                for rows in told.values()
            ],
            keys=told,
            names=["of"],
        ).reset_index("of"),
    )


def estimators_in_training(curves: pd.DataFrame) -> "Figure":
    """Figures 4 and 5 of the paper: each estimator against steps, by how batches are made where
    `curves` have both ways."""
    ways = [each for each in (MIXED, WHOLE) if each in set(curves["mixing"])] or [MIXED]
    figure, panels = grid_of_panels(len(ways) * len(_ESTIMATORS), 2)
    looks = _looks(curves)
    for row, (metric, title) in enumerate(_ESTIMATORS.items()):
        for column, mixing in enumerate(ways):
            axes = panels[len(ways) * row + column]
            dress(axes, f"{title}\n{mixing}", "step", None)
            rows = curves[(curves["metric"] == metric) & (curves["mixing"] == mixing)]
            for recipe, own in rows.groupby("recipe", sort=False):
                band(axes, own, *looks[str(recipe)], str(recipe))
            by_steps(axes)
    for axes in panels[::2]:
        axes.set_ylabel("dimension")
    legend(figure, panels)
    return keep(figure, curves.loc[curves["metric"].isin(_ESTIMATORS), _TOLD])


def by_width(curves: pd.DataFrame) -> "Figure":
    """Anisotropy and two estimates of dimension against steps: a row a kind, dashes a width.

    `curves`: from training tables, so that a recipe is named by its kind and width.
    """
    kinds = curves["kind"].unique()
    shown = curves[curves["metric"].isin(_BY_WIDTH) & (curves["mixing"] == MIXED)]
    shown = _centered(shown).assign(width=shown["family"].str.extract(r"(\d+)$")[0].astype(int))
    styles = dict(zip(sorted(shown["width"].unique()), STYLES * 5, strict=False))
    colours = model_colours(dict(zip(shown["kind"], shown["role"], strict=True)))
    figure, panels = grid_of_panels(len(_BY_WIDTH) * len(kinds), len(_BY_WIDTH))
    places = [(kind, metric) for kind in kinds for metric in _BY_WIDTH]
    for axes, (kind, metric) in zip(panels, places, strict=True):
        dress(axes, f"{kind}\n{_BY_WIDTH[metric]}", "step", None)
        own = shown[(shown["kind"] == kind) & (shown["metric"] == metric)]
        for width, rows in own.groupby("width"):
            band(axes, rows, colours[kind], styles[width], f"{kind}, width {width}")
        by_steps(axes)
    for column in range(len(_BY_WIDTH)):
        # Kinds share an axis, so that they can be compared.
        alike = panels[column :: len(_BY_WIDTH)]
        top = max(axes.get_ylim()[1] for axes in alike)
        for axes in alike:
            axes.set_ylim(0, top)
    legend(figure, panels, ncols=len(kinds))
    return keep(figure, shown[["kind", "width", *_TOLD[1:]]])


def loss_and_rate(training: pd.DataFrame) -> "Figure":
    """Held-out perplexity and learning rate against steps: what the dimension could follow.

    Runs that have one learning rate at every step share a line of it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    above, below = figure.subplots(1, 2)
    dress(above, "held-out perplexity", "step", None)
    dress(below, "learning rate", "step", None)
    encodes = training["mask"] == "full"
    runs = training.assign(
        recipe=training["kind"] + ", warm-up " + training["warmup"].astype(str),
        family=training["kind"], role=encodes.map({True: "encoder", False: "decoder"}),
    )  # fmt: skip
    looks = _looks(runs)
    schedules: dict[Any, list[str]] = {}
    for recipe, rows in runs.groupby("recipe", sort=False):
        colour, style = looks[str(recipe)]
        exam = rows.dropna(subset=["perplexity"]).pivot(
            index="step", columns="seed", values="perplexity"
        )
        above.plot(exam.index, exam.mean(axis=1), style, color=colour, label=str(recipe))
        one = rows[rows["seed"] == rows["seed"].iloc[0]].dropna(subset=["learning_rate"])
        line = tuple(one["step"]), tuple(one["learning_rate"])
        schedules.setdefault((one["warmup"].iloc[0], line), []).append(str(recipe))
    for (warmup, line), (recipe, *others) in schedules.items():
        colour, style = looks[recipe]
        name = f"warm-up {warmup}" if others else recipe
        below.plot(
            *line, style, color=NEUTRAL if others else colour, label=f"learning rate, {name}"
        )
    above.set_yscale("log")
    for axes in (above, below):
        by_steps(axes)
    legend(figure, [above, below])
    told = ["kind", "warmup", "seed", "step", "perplexity", "learning_rate"]
    # The learning rate of every step would be ten thousand rows for a line that a few describe.
    return keep(figure, training.dropna(subset=["perplexity"])[told])


def final_profiles(shape: pd.DataFrame, titles: dict[str, str]) -> "Figure":
    """Centered anisotropy over depth at the last checkpoint, a line for each of `titles`."""
    last = _at_the_end(shape)
    last = last.assign(model=last["model"].map(titles)).dropna(subset=["model"])
    by = ["model", "role", "layer", "depth", "after_norm"]
    means = last.groupby(by, sort=False)[["value", "std"]].mean().reset_index()
    return role_panels(means, [({}, "")], "anisotropy (centered)", (0, 1.02))


def by_steps(axes: "Axes") -> None:
    """Steps of training: logarithmic, but for the first ten."""
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)


def _looks(runs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and line style of each recipe: a colour by role, dashes for a longer warm-up.

    Recipes of one family and one warm-up differ in something else, and so in colour.
    """
    recipes = runs.drop_duplicates("recipe")
    place = recipes.groupby(["family", "warmup"], dropna=False).cumcount().astype(str)
    lines = recipes["family"] + " " + place
    colours = model_colours(dict(zip(lines, recipes["role"], strict=True)))
    late = recipes["warmup"].groupby(lines).rank("dense").fillna(1).astype(int) - 1
    return {
        recipe: (colours[line], STYLES[at % len(STYLES)])
        for recipe, line, at in zip(recipes["recipe"], lines, late, strict=True)
    }


def _at_the_end(shape: pd.DataFrame) -> pd.DataFrame:
    """Centered anisotropy at each model's last checkpoint."""
    last = shape[shape["step"] == shape.groupby("model")["step"].transform("max")]
    return chosen(last, _ANISOTROPY)


def _centered(rows: pd.DataFrame) -> pd.DataFrame:
    """Of a metric that has both, the centered one."""
    return rows[rows["centered"].isna() | rows["centered"].fillna(True).astype(bool)]


def band(axes: "Axes", rows: pd.DataFrame, colour: Any, style: str, name: str) -> None:
    """The mean over runs and two standard errors about it."""
    wide = curve(rows)
    mean = wide.mean(axis=1)
    axes.plot(wide.index, mean, style, color=colour, label=name, linewidth=1.5, marker=".")
    if wide.shape[1] > 1:
        half = 2 * wide.std(axis=1, ddof=1) / np.sqrt(wide.shape[1])
        axes.fill_between(wide.index, mean - half, mean + half, color=colour, alpha=0.2, lw=0)


def bells(shape: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """How bell-shaped each of `titles` is at the last checkpoint, over its runs.

    `bell`: mean anisotropy of the middle third of the layers minus that of the higher outer third,
    as `layers.bell` takes it, the mean over runs; `± two s.e.` over them, where there are
    at least three.
    """
    last = _at_the_end(shape)
    last = last[(last["layer"] > 0) & ~last["after_norm"]]
    found: dict[str, list[float]] = {}
    for model, rows in last.groupby("model", sort=False):
        if model in titles:
            values = rows.groupby("layer")["value"].mean().reset_index()
            found.setdefault(titles[str(model)], []).append(Means.of(values).bell)
    return pd.DataFrame(
        {
            "runs": {name: len(each) for name, each in found.items()},
            "bell": {name: round(float(np.mean(each)), 3) for name, each in found.items()},
            "± two s.e.": {
                name: round(2 * float(np.std(each, ddof=1)) / len(each) ** 0.5, 3)
                if len(each) > 2
                else None
                for name, each in found.items()
            },
        }
    )
