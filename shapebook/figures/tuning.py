"""The figures of fine-tuning, each a function of tables and of nothing else."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapebook.figures.shown import round_labels
from shapebook.figures.tuning_tables import count, curves, labels, named, over_budgets
from shapelib.figures import PALETTE, dress, keep, legend
from shapelib.finetuning.settings import LEVEL, SCORED
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {("pre-trained", "DID"): 0, ("pre-trained", "SAID"): 2, ("random", "DID"): 1,
            ("random", "SAID"): 3}  # fmt: skip
_MARKS = {"DID": "o", "SAID": "s"}
_GREY = "#444444"
_SIDES = {"score": "test texts", "train_score": "training texts"}
# Where an axis of d90 ends, by the largest number on it.
_BEYOND = 1.5
_GIVEN_UP = "open: some of its runs were stopped at half"


def accuracy_against_d(
    tuning: pd.DataFrame, estimates: pd.DataFrame, rates: str = SCORED
) -> "Figure":
    """Accuracy against d, log axis: a panel for each model and task, a line for each way.

    `tuning`: the runs of `shapelib.dimension_sweep`. A point is the best learning rate of each
    seed, averaged over seeds; bars are two standard errors over them. It is open where one of these
    runs was stopped at half of its steps; so is a square at the end of the line of full
    fine-tuning. `rates`: on which texts a rate is chosen. `estimates`: of `shapelib.d90`; its
    papers' definition gives the dashed line, 90 % of full fine-tuning (solid) of that colour's
    initialisation; dotted is the majority class.
    """
    from matplotlib.figure import Figure

    points = curves(tuning, rates)
    tasks, models = points["task"].unique(), points["model"].unique()
    # Several tasks stand side by side, and models below each other.
    down, across = (len(models), len(tasks)) if len(tasks) > 1 else (1, len(models))
    size = (5.2 if across == 1 else max(6.4, 3.2 * across), 3.2 * down + 1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex="row")
    panels: list[Axes] = list(grid.flat)
    short, held = named(models), estimates[estimates["definition"] == "papers"]
    for axes, (model, task) in zip(panels, itertools.product(models, tasks), strict=True):
        here = {"task": task, "model": model}
        rows = chosen(points, here)
        if rows.empty:
            axes.set_visible(False)
            continue
        title = f"{task}\n{short[model]}" if len(tasks) > 1 else short[model]
        dress(axes, title, "d, trained numbers", None)
        axes.set_xscale("log")
        _lines(axes, rows, chosen(held, here))
        round_labels(axes, across=True)
        axes.axhline(rows["majority"].iloc[0], color="#777777", linestyle=":", linewidth=1)
    for row in grid:
        # Numbers stand at the first panel of a row, which need not be in the first column.
        left = next(axes for axes in row if axes.get_visible())
        left.set_ylabel("accuracy")
        left.tick_params(labelleft=True)
    if (points["stopped"] > 0).any():
        # Drawn like the curves and in the last panel, the legend has it last.
        panels[-1].errorbar(
            [], [], fmt="o", color=_GREY, markersize=4.5, markerfacecolor="white", label=_GIVEN_UP
        )
    legend(figure, panels)
    bars = held[["task", "model", "checkpoint", "step", "init", "threshold"]].drop_duplicates()
    return keep(figure, points.merge(bars, how="left"))


def _lines(axes: "Axes", points: pd.DataFrame, estimates: pd.DataFrame) -> None:
    """The curves of one panel, and the bars that they are held against."""
    for (init, method), colour in _COLOURS.items():
        own = chosen(points, {"init": init, "method": method}).sort_values("d")
        if own.empty:
            continue
        d, paint, mark = own["d"].astype(float), PALETTE[colour], _MARKS[method]
        axes.errorbar(
            d, own["accuracy"], yerr=own["two_errors"] if own["seeds"].max() > 1 else None,
            color=paint, marker=mark, markersize=4, linewidth=1.3, capsize=2,
            label=f"{init}, {method}",
        )  # fmt: skip
        half = own["stopped"] > 0
        axes.plot(
            d[half], own["accuracy"][half], mark, color=paint, markersize=4.5,
            markerfacecolor="white", zorder=3,
        )  # fmt: skip
        bar = chosen(estimates, {"init": init, "method": method})
        if method == "DID" and len(bar):
            axes.axhline(bar["full"].iloc[0], color=paint, linewidth=0.9)
            axes.axhline(bar["threshold"].iloc[0], color=paint, linestyle="--", lw=0.9)
            if (chosen(points, {"init": init, "method": "full"})["stopped"] > 0).any():
                axes.plot(
                    [1], [bar["full"].iloc[0]], "s", color=paint, markersize=5, clip_on=False,
                    markerfacecolor="white", transform=axes.get_yaxis_transform(),
                )  # fmt: skip


def by_method(tuning: pd.DataFrame, rates: str = SCORED) -> "Figure":
    """Accuracy against the numbers that are trained, log axis: a line for each method, of one model
    on one task.

    `tuning` and `rates` as above; methods have any names. Grey lines: full fine-tuning, and nine
    tenths of it (dashed).
    """
    points = curves(tuning, rates)
    full = float(points.loc[points["method"] == "full", "accuracy"].iloc[0])
    inside = points[points["method"] != "full"]
    figure, axes = _one_panel("trained numbers", 4.4)
    axes.set_ylabel("accuracy")
    looks = itertools.cycle(zip((*PALETTE, _GREY, "black"), "osv^D<>P", strict=True))
    for (method, own), (colour, mark) in zip(inside.groupby("method", sort=False), looks):  # noqa: B905
        line = own.sort_values("d")
        axes.errorbar(
            line["d"].astype(float), line["accuracy"], yerr=line["two_errors"], color=colour,
            marker=mark, markersize=4, linewidth=1.3, capsize=2, label=str(method),
        )  # fmt: skip
    for height, style in ((full, "-"), (LEVEL * full, "--")):
        axes.axhline(height, color="#777777", linestyle=style, linewidth=0.9)
    round_labels(axes, across=True)
    legend(figure, [axes], ncols=3)
    return keep(figure, points)


def over_updates(tuning: pd.DataFrame) -> "Figure":
    """Accuracy against how many updates a run had, log axis: a panel for each model and
    initialisation, a colour for each way of tuning.

    `tuning`: runs of one seed at several budgets of updates. A point is the run that is best on the
    test texts, of all rates tried; solid: its accuracy on these, dashed: on the training texts.
    """
    from matplotlib.figure import Figure

    points = over_budgets(tuning)
    wholes = list(points.groupby(["model", "init"], sort=False))
    figure = Figure(figsize=(5.2 if len(wholes) == 1 else 6.4, 4.2), layout="constrained")
    grid = figure.subplots(1, len(wholes), squeeze=False, sharex=True, sharey=True)
    panels: list[Axes] = list(grid.flat)
    budgets = sorted(points["steps"].unique())
    for axes, ((model, init), here) in zip(panels, wholes, strict=True):
        dress(axes, f"{named([model])[model]}, {init}", "updates", None)
        axes.set_xscale("log", base=2)
        for method, own in here.groupby("method", sort=False):
            line = own.sort_values("steps")
            inside = method != "full"
            paint = PALETTE[_COLOURS[str(init), str(method)]] if inside else _GREY
            name = f"{method}, d = {count(line['d'].iloc[0])}" if inside else "full"
            for (side, words), style in zip(_SIDES.items(), ("o-", "o--"), strict=True):
                axes.plot(
                    line["steps"], line[side], style, color=paint, markersize=4, linewidth=1.3,
                    label=f"{name}, {words}",
                )  # fmt: skip
        axes.set_xticks(budgets, [str(each) for each in budgets])
    panels[0].set_ylabel("accuracy")
    legend(figure, panels)
    return keep(figure, points)


def intervals(estimates: pd.DataFrame) -> "Figure":
    """d90 with its interval, a row for each estimate.

    An interval without an upper end reaches the edge and has an arrowhead there; a cross is the
    largest d tried, where d90 was not reached.
    """
    rows = estimates.reset_index(drop=True)
    figure, axes = _one_panel("d90, trained numbers", 1.2 + 0.26 * len(rows))
    for place, (_, row) in enumerate(rows.iterrows()):
        colour = PALETTE[_COLOURS[str(row["init"]), str(row["method"])]]
        _estimate(axes, row, place, colour, _edge(rows), upright=False)
    axes.set_xlim(right=_edge(rows))
    round_labels(axes, across=True)
    axes.set_yticks(range(len(rows)), labels(rows)[0], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _explain(axes, rows, ">")
    legend(figure, [axes], ncols=3)
    return keep(figure, rows)


def together(course: pd.DataFrame, estimates: pd.DataFrame) -> "Figure":
    """Anisotropy, representation dimension and d90 of one run, one above the other, over steps.

    `course`: `shapebook.claims.course.course` of the run. `estimates`: of `shapelib.d90` at its
    checkpoints, one row a step.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 7.2), layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    wanted = [
        ("anisotropy (centered)", {"anisotropy": ("", _GREY)}),
        ("representation dimension", {
            "two_nn": ("TwoNN", PALETTE[0]), "mada_k20": ("MADA", PALETTE[1]),
            "mom_k20": ("moments", PALETTE[2]),
        }),
    ]  # fmt: skip
    for axes, (label, metrics) in zip(panels, wanted, strict=False):
        dress(axes, "", "", None)
        axes.set_ylabel(label)
        for metric, (name, colour) in metrics.items():
            rows = course[(course["metric"] == metric) & course["centered"].fillna(True)]
            line = rows.groupby("step")["value"].mean()
            axes.plot(line.index, line, "o-", markersize=3, color=colour, label=name or None)
    # The names stand with the curves they are of: the panel below has another.
    panels[1].legend(loc="upper right", frameon=False)
    axes = panels[2]
    dress(axes, "", "step", None)
    axes.set_ylabel("d90 (fine-tuning dimension)")
    axes.set_yscale("log")
    _over(axes, estimates, estimates["step"].astype(float), _GREY)
    axes.set_xscale("symlog", linthresh=10)
    # A bar at step 0 would lie on the axis.
    axes.set_xlim(left=-0.8)
    legend(figure, [axes], ncols=3)
    told = course.loc[course["metric"].isin(metric for _, each in wanted for metric in each)]
    return keep(figure, pd.concat([told[["step", "metric", "centered", "value"]], estimates]))


def against_size(estimates: pd.DataFrame, sizes: dict[str, int]) -> "Figure":
    """d90 against the number of parameters: a line for each task. `sizes`: D by model."""
    figure, axes = _over_parameters(3.9)
    many = estimates["task"].nunique() > 1
    for (task, rows), colour in zip(estimates.groupby("task", sort=False), PALETTE, strict=False):
        _over(
            axes, rows, rows["model"].map(sizes).astype(float), colour, str(task) if many else "",
            _edge(estimates),
        )  # fmt: skip
    _millions(axes, sorted({sizes[model] for model in estimates["model"]}))
    legend(figure, [axes])
    return keep(figure, estimates.assign(D=estimates["model"].map(sizes)))


def released(estimates: pd.DataFrame, sizes: dict[str, int], published: pd.DataFrame) -> "Figure":
    """d90 of released models against their parameters: ours, and beside it what the papers report.

    `estimates`: by one method, a row for each model and task. `sizes`: D by model. `published`: of
    `shapebook.experiments.published.published_d90`, of that method; its marks are grey, and joined
    within a task and a family of models.
    """
    figure, axes = _over_parameters(4.4)
    family = published["model"].str.partition("-")[0]
    for (task, rows), mark in zip(published.groupby("task", sort=False), "^v", strict=True):
        for which, own in rows.groupby(family, sort=False):
            line = own.sort_values("parameters")
            axes.plot(
                line["parameters"], line["d90"], f"{mark}-", color="#999999", markersize=4,
                linewidth=0.8, label=f"{which}, {task}, as reported",
            )  # fmt: skip
    edge = max(_edge(estimates), _BEYOND * float(published["d90"].max()))
    for (task, rows), colour in zip(estimates.groupby("task", sort=False), PALETTE, strict=False):
        _over(axes, rows, rows["model"].map(sizes).astype(float), colour, str(task), edge)
    ours = {sizes[model] for model in estimates["model"]}
    _millions(axes, sorted(ours | {int(published["parameters"].max())}))
    legend(figure, [axes], ncols=2)
    theirs = published.rename(columns={"parameters": "D"}).assign(of="the papers")
    here = estimates.assign(D=estimates["model"].map(sizes), of="here")
    return keep(figure, pd.concat([here, theirs], ignore_index=True))


def _over_parameters(height: float) -> "tuple[Figure, Axes]":
    """Axes of d90 against the number of parameters, both logarithmic."""
    figure, axes = _one_panel("parameters, D, in millions", height)
    axes.set_yscale("log")
    axes.set_ylabel("d90")
    return figure, axes


def _one_panel(label: str, height: float) -> "tuple[Figure, Axes]":
    """A figure of one panel, over a logarithmic axis of this label."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, height), layout="constrained")
    axes: Axes = figure.subplots()
    dress(axes, "", label, None)
    axes.set_xscale("log")
    return figure, axes


def _millions(axes: "Axes", shown: list[int]) -> None:
    from matplotlib.ticker import NullLocator

    axes.xaxis.set_minor_locator(NullLocator())
    millions = [size / 1e6 for size in shown]
    axes.set_xticks(shown, [f"{each:.2g}" if each < 100 else f"{each:.0f}" for each in millions])


def _over(
    axes: "Axes", rows: pd.DataFrame, at: "pd.Series[float]", colour: Any, name: str = "",
    edge: float | None = None,
) -> None:  # fmt: skip
    """d90 with its interval over what `at` says; a line joins neighbours that were reached."""
    edge = edge or _edge(rows)
    order = at.argsort().to_numpy()
    axes.plot(
        at.iloc[order], rows["d90"].iloc[order], "-", color=colour, linewidth=1.3,
        label=name or None,
    )  # fmt: skip
    for place, (_, row) in zip(at, rows.iterrows(), strict=True):
        _estimate(axes, row, place, colour, edge, upright=True)
    axes.set_ylim(top=edge)
    _explain(axes, rows, "^")


def _edge(estimates: pd.DataFrame) -> float:
    """Where an axis of d90 ends: a little beyond all that is finite."""
    ends = pd.concat([estimates[name].astype(float) for name in ("d90", "low", "high", "above")])
    return _BEYOND * float(ends[ends < math.inf].max())


def _estimate(
    axes: "Axes", row: "pd.Series[Any]", place: float, colour: Any, edge: float, *, upright: bool
) -> None:
    """A d90 with its interval, open towards the edge where it has no upper end."""

    def draw(along: list[float], style: str, **how: Any) -> None:
        across = [place] * len(along)
        pair = (across, along) if upright else (along, across)
        axes.plot(*pair, style, color=colour, clip_on=False, **how)

    if math.isfinite(row["low"]):
        unbounded = not math.isfinite(row["high"])
        draw([row["low"], edge if unbounded else row["high"]], "-", linewidth=1.5)
        if unbounded:
            draw([edge], "^" if upright else ">", markersize=6)
    reached = pd.notna(row["d90"])
    if reached:
        draw([row["d90"]], "o", markersize=5)
    else:
        draw([float(row["above"])], "x", markersize=8, markeredgewidth=1.6)


def _explain(axes: "Axes", estimates: pd.DataFrame, arrow: str) -> None:
    """Names for the marks of `_estimate` that occur, for a legend."""
    unbounded = estimates["low"].map(math.isfinite) & ~estimates["high"].map(math.isfinite)
    marks = [
        (estimates["d90"].notna(), "o", "d90"),
        (unbounded, arrow, "no upper end"),
        (estimates["d90"].isna(), "x", "not reached at the largest d tried"),
    ]
    for there, mark, name in marks:
        if there.any():
            axes.plot([], [], mark, color=_GREY, markersize=6, label=name)
