"""The figures of fine-tuning, each a function of tables and of nothing else."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapelib.figures import PALETTE, dress, keep, legend
from shapelib.rules import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {("pre-trained", "DID"): 0, ("pre-trained", "SAID"): 2, ("random", "DID"): 1,
            ("random", "SAID"): 3}  # fmt: skip
_MARKS = {"DID": "o", "SAID": "s"}


def accuracy_against_d(tuning: pd.DataFrame, estimates: pd.DataFrame) -> "Figure":
    """Accuracy against d, log axis: a panel for each model and task, a line for each way.

    `tuning`: the runs of `shapelib.dimension_sweep`. A point is the best learning rate of each
    seed, averaged over seeds; bars are two standard errors over them. `estimates`: of
    `shapelib.d90`; its papers' definition gives the dashed line, 90 % of full fine-tuning (solid)
    of that colour's initialisation; dotted is the majority class.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    tasks, models = tuning["task"].unique(), tuning["model"].unique()
    # Several tasks stand side by side, and models below each other.
    down, across = (len(models), len(tasks)) if len(tasks) > 1 else (1, len(models))
    size = (max(6.4, 3.2 * across), 3.2 * down + 1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex="row")
    panels: list[Axes] = list(grid.flat)
    for axes, (model, task) in zip(panels, itertools.product(models, tasks), strict=True):
        rows = chosen(tuning, {"task": task, "model": model})
        if rows.empty:
            axes.set_visible(False)
            continue
        dress(axes, f"{task}\n{model}", "d, trained numbers", None)
        axes.set_xscale("log")
        # Labels between powers of ten overlap where there are few of those.
        axes.xaxis.set_minor_formatter(NullFormatter())
        held = chosen(estimates, {"task": task, "model": model, "definition": "papers"})
        for (init, method), colour in _COLOURS.items():
            own = chosen(rows, {"init": init, "method": method})
            if own.empty:
                continue
            best = own.groupby(["d", "seed"])["score"].max().unstack("seed")
            half = 2 * best.std(axis=1, ddof=1) / math.sqrt(best.shape[1])
            axes.errorbar(
                best.index.astype(float), best.mean(axis=1),
                yerr=half if best.shape[1] > 1 else None, color=PALETTE[colour],
                marker=_MARKS[method], markersize=4, linewidth=1.3, capsize=2,
                label=f"{init}, {method}",
            )  # fmt: skip
            bar = held[(held["init"] == init) & (held["method"] == method)]
            if method == "DID" and len(bar):
                axes.axhline(bar["full"].iloc[0], color=PALETTE[colour], linewidth=0.9)
                axes.axhline(
                    bar["threshold"].iloc[0], color=PALETTE[colour], linestyle="--", lw=0.9
                )
        axes.axhline(rows["majority"].iloc[0], color="#777777", linestyle=":", linewidth=1)
    for axes in panels[::across]:
        axes.set_ylabel("accuracy")
    legend(figure, panels)
    return keep(figure, tuning)


def intervals(estimates: pd.DataFrame) -> "Figure":
    """d90 with its interval: a row for each estimate; an arrow where it was not reached."""
    from matplotlib.figure import Figure

    rows = estimates.reset_index(drop=True)
    figure = Figure(figsize=(7, 0.9 + 0.26 * len(rows)), layout="constrained")
    axes: Axes = figure.subplots()
    dress(axes, "", "d90, trained numbers", None)
    axes.set_xscale("log")
    names = []
    for place, row in rows.iterrows():
        colour = PALETTE[_COLOURS[str(row["init"]), str(row["method"])]]
        names.append(f"{row['task']}, {row['model']}, {row['init']}, {row['method']}")
        _interval(axes, row, int(str(place)), colour)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    return keep(figure, rows)


def together(course: pd.DataFrame, estimates: pd.DataFrame) -> "Figure":
    """Anisotropy, representation dimension and d90 of one run, one above the other, over steps.

    `course`: `shapelib.course.course` of the run. `estimates`: of `shapelib.d90` at its
    checkpoints, one row a step.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 7.2), layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    wanted = [
        ("anisotropy", "anisotropy (centered)", [("anisotropy", "")]),
        ("dimension", "representation dimension",
         [("two_nn", "TwoNN"), ("mada_k20", "MADA"), ("mom_k20", "moments")]),
    ]  # fmt: skip
    for axes, (_, label, metrics) in zip(panels, wanted, strict=False):
        dress(axes, "", "", None)
        axes.set_ylabel(label)
        for (metric, name), colour in zip(metrics, PALETTE, strict=False):
            rows = course[(course["metric"] == metric) & course["centered"].fillna(True)]
            line = rows.groupby("step")["value"].mean()
            axes.plot(line.index, line, "o-", markersize=3, color=colour, label=name or None)
    legend(figure, panels[1:2])
    axes = panels[2]
    dress(axes, "", "step", None)
    axes.set_ylabel("d90 (fine-tuning dimension)")
    axes.set_yscale("log")
    for method, rows in estimates.groupby("method", sort=False):
        _over(axes, rows, rows["step"].astype(float), PALETTE[_COLOURS["pre-trained", str(method)]])
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(left=0)
    told = course.loc[course["metric"].isin(metric for _, _, m in wanted for metric, _ in m)]
    return keep(figure, pd.concat([told[["step", "metric", "centered", "value"]], estimates]))


def against_size(estimates: pd.DataFrame, sizes: dict[str, int]) -> "Figure":
    """d90 against the number of parameters: a line for each task. `sizes`: D by model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes: Axes = figure.subplots()
    dress(axes, "", "parameters, D", None)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("d90")
    for (task, rows), colour in zip(estimates.groupby("task", sort=False), PALETTE, strict=False):
        _over(axes, rows, rows["model"].map(sizes).astype(float), colour, str(task))
    legend(figure, [axes])
    return keep(figure, estimates.assign(D=estimates["model"].map(sizes)))


def _over(
    axes: "Axes", rows: pd.DataFrame, at: "pd.Series[float]", colour: Any, name: str = ""
) -> None:
    """d90 with its interval over what `at` says; where it was not reached, the largest d, open."""
    reached = rows["d90"].notna()
    value = rows["d90"].fillna(rows["above"].astype(float))
    low = value - rows["low"].clip(upper=value)
    high = rows["high"].replace(np.inf, np.nan).fillna(value) - value
    order = at.argsort().to_numpy()
    axes.plot(
        at.iloc[order], value.iloc[order], "-", color=colour, linewidth=1.3, label=name or None
    )
    axes.errorbar(
        at[reached], value[reached], yerr=[low[reached], high[reached].clip(lower=0)], fmt="o",
        markersize=4, color=colour, capsize=2,
    )  # fmt: skip
    axes.plot(at[~reached], value[~reached], "^", color=colour, markerfacecolor="none")


def _interval(axes: "Axes", row: pd.Series, place: int, colour: Any) -> None:
    if pd.isna(row["d90"]):
        axes.plot(float(row["above"]), place, ">", color=colour, markerfacecolor="none")
        return
    high = row["high"] if math.isfinite(row["high"]) else row["d90"]
    axes.plot([row["low"], high], [place, place], "-", color=colour, linewidth=1.5)
    axes.plot(row["d90"], place, "o", color=colour, markersize=5)
    if not math.isfinite(row["high"]):
        axes.plot(row["d90"], place, ">", color=colour, markersize=8, markerfacecolor="none")


def estimates_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """Estimates of `shapelib.d90` as a page shows them."""
    rows = estimates.reset_index(drop=True)
    shown = pd.DataFrame({name: rows[name] for name in ("task", "model", "init", "method")})
    if rows["step"].nunique() > 1:
        shown["step"] = rows["step"]
    shown["definition"] = rows["definition"]
    shown["full"] = rows["full"].map("{:.3f}".format)
    shown["largest class"] = rows["majority"].map("{:.3f}".format)
    shown["bar"] = rows["threshold"].map(lambda bar: "none" if pd.isna(bar) else f"{bar:.3f}")
    shown["d90"] = [_d90(row) for _, row in rows.iterrows()]
    shown["95 % interval"] = [_range(row) for _, row in rows.iterrows()]
    shown["seeds"] = rows["seeds"]
    # One task is named by the page.
    return (
        shown.set_index("task")
        if rows["task"].nunique() > 1
        else shown.iloc[:, 1:].set_index("model")
    )


def published_table(reported: pd.DataFrame) -> pd.DataFrame:
    """The d90 of `shapelib.published.published_d90`: models down, tasks and methods across."""
    return reported.pivot(index="model", columns=["task", "method"], values="d90").loc[
        list(dict.fromkeys(reported["model"]))
    ]


def bounds_table(runs: pd.DataFrame) -> pd.DataFrame:
    """What each d90 guarantees, averaged over the seeds that reached it (`shapelib.d90.by_seed`).

    `error bound`: training error + √(d90 ÷ m); `with its constant`: `generalization_bound` at the
    mean d90; `error`: on the test set.
    """
    from shapelib.d90 import generalization_bound

    shown = []
    held = runs[(runs["definition"] == "papers") & (runs["init"] == "pre-trained")]
    for (task, model, method), own in held.groupby(["task", "model", "method"], sort=False):
        own = own.dropna(subset=["d90"])
        if own.empty:
            continue
        d, m = float(own["d90"].mean()), int(own["m"].iloc[0])
        error = 1 - float(own["train_score"].mean())
        shown.append({
            "task": task, "model": model, "method": method, "D": int(own["D"].iloc[0]),
            "d90": round(d), "m": m, "training error": f"{error:.3f}",
            "error": f"{1 - own['score'].mean():.3f}",
            "error bound": f"{error + math.sqrt(d / m):.2f}",
            "with its constant": f"{generalization_bound(round(d), m, error).value:.2f}",
        })  # fmt: skip
    return pd.DataFrame(shown).set_index("task") if shown else pd.DataFrame()


def _d90(row: "pd.Series[Any]") -> str:
    if pd.isna(row["threshold"]):
        return "nothing learned"
    if pd.isna(row["d90"]):
        return f"not reached at {_count(row['above'])}"
    at_most = "" if pd.isna(row["below"]) else "≤ "
    return f"{at_most}{_count(row['d90'])}"


def _range(row: "pd.Series[Any]") -> str:
    if pd.isna(row["threshold"]):
        return "none"
    low, high = (
        _count(each) if math.isfinite(each) else "not reached" for each in (row["low"], row["high"])
    )
    return f"{low} to {high}"


def _count(number: float) -> str:
    """A whole number with its thousands apart, which no line break parts."""
    return f"{round(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
