"""Shape tables of suites as curves along training: a value for each run, step and metric."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from shapebook.claims.statistic import by_group
from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import MOM_K

MIXED, WHOLE = "windows mixed", "whole windows"


def course(shape: pd.DataFrame, training: pd.DataFrame | None = None) -> pd.DataFrame:
    """Layer averages of a shape table of checkpoints, joined with how the runs went.

    :param shape: as `profile` makes it, of the checkpoints of one suite or of several; ``step`` is
        required, ``mom_k100`` is left out.
    :param training: the tables of `pretraining.table`, if there are. Without them a suite is one
        recipe with one run.
    :returns: a row for each suite, step, token set and metric:

        ``model``, ``role``, ``step``, ``tokens_seen``, ``tokens``, ``metric``, ``centered``
            As in `profile`.
        ``mixing``
            Whether a batch mixes vectors of many windows or holds all vectors of a few (``windows
            mixed``, ``whole windows``): dimensions differ.
        ``value``, ``stderr``
            The mean over layers, the embedding and a layer after the final norm left out, of the
            means over seeds of the sample; and that of their standard errors over windows, which
            layers share.
        ``by_group``
            That mean in each group of windows, as in `profile`; empty where `shape` has no groups,
            or not the same number in every layer.
        ``family``, ``recipe``, ``run``
            The run without warm-up and seed; without its seed; the seed.
        ``kind``, ``width``, ``warmup``
            What was trained, see `Recipe`; ``width`` only where `training` is given. Without it
            ``warmup`` is missing.
        ``warmup_tokens``
            Tokens read when the learning rate was at its height; of a published suite the
            catalogue's, as the provenance of `shape` tells them, else missing.
        ``perplexity``, ``learning_rate``
            As in `pretraining.table`.
    :raises ShapelibError: for rows without a step, and for a run that the training table lacks.
    """
    if "step" not in shape or shape["step"].isna().any():
        raise ShapelibError("this is no table of checkpoints: it has rows without a step")
    inner = shape[(shape["layer"] > 0) & ~shape["after_norm"]]
    # It is measured in one batch however many there are, so its batches say nothing of mixing.
    inner = inner[inner["metric"] != f"mom_k{MOM_K}"].copy()
    inner = _with_mixing(inner)
    inner["centered"] = inner["centered"].astype("boolean")
    by = ["model", "role", "step", "tokens_seen", "mixing", "tokens", "metric", "centered"]
    points = inner.groupby(by, dropna=False, sort=False)
    curves = points[["value", "stderr"]].mean().reset_index()
    curves["by_group"] = "" if "by_group" not in inner else [_groups(rows) for _, rows in points]
    runs_of_shape = shape.attrs.get("provenance", [])
    curves.attrs["provenance"] = runs_of_shape
    if training is None:
        warm = {run.get("model"): run.get("warmup_tokens") for run in runs_of_shape}
        return curves.assign(
            family=curves["model"], recipe=curves["model"], kind=curves["role"], run=0,
            warmup=pd.NA, perplexity=pd.NA, learning_rate=pd.NA,
            warmup_tokens=curves["model"].map(warm),
        )  # fmt: skip
    runs = training[
        ["model", "kind", "seed", "width", "warmup", "step", "perplexity", "learning_rate"]
    ].rename(columns={"seed": "run"})
    runs["family"] = runs["kind"] + "-" + runs["width"].astype(str)
    runs["recipe"] = runs["family"] + "-warmup" + runs["warmup"].astype(str)
    joined = curves.merge(runs, on=["model", "step"], how="left", validate="many_to_one")
    if joined["recipe"].isna().any():
        lacking = joined.loc[joined["recipe"].isna(), "model"].iloc[0]
        raise ShapelibError(f"the training table has no run {lacking!r} at every measured step")
    # Every step of such a run reads as many tokens.
    a_step = (joined["tokens_seen"] / joined["step"]).groupby(joined["model"]).transform("max")
    joined["warmup_tokens"] = joined["warmup"] * a_step
    joined.attrs["provenance"] = runs_of_shape
    return joined


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """One metric's rows as a matrix: the steps that all runs have down, the runs across."""
    wide = rows.pivot(index="step", columns="run", values="value").sort_index()
    return wide.dropna()


class Copies(NamedTuple):
    """Curves of one metric that differ by chance alone: training runs, or groups of windows."""

    curves: Float[np.ndarray, "steps copies"]
    steps: list[int]
    of: str
    """``runs`` or ``groups of windows``; empty where there is one curve and nothing beside it."""
    runs: int
    """Training runs behind them."""

    @property
    def over(self) -> str:
        """What an interval over them is over."""
        return f"{self.curves.shape[1]} {self.of}"


RUNS = 3
"""Training runs that an interval over runs needs."""


def copies(rows: pd.DataFrame) -> Copies:
    """One metric's curves: of three or more runs each run's; of fewer each group of windows'.

    A group is measured in all layers and checkpoints at once, so what its windows do to one they do
    to all. Of two runs the groups' curves are averaged. Where there are no groups either, there is
    the mean curve alone.
    """
    wide = curve(rows)
    steps = [int(step) for step in wide.index]
    if wide.empty:
        return Copies(np.empty((0, 1)), steps, "", 0)
    values = wide.to_numpy(float)
    if wide.shape[1] >= RUNS:
        return Copies(values, steps, "runs", wide.shape[1])
    of_runs = [
        by_group(own[own["step"].isin(steps)].sort_values("step"))
        for _, own in rows.groupby("run", sort=False)
    ]
    if not of_runs or len({each.shape for each in of_runs}) != 1 or of_runs[0].shape[1] < 3:
        return Copies(values.mean(axis=1, keepdims=True), steps, "", wide.shape[1])
    return Copies(np.mean(of_runs, axis=0), steps, "groups of windows", wide.shape[1])


def _with_mixing(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what their batches are of.

    GRIDE and its like are measured in the first of many batches, so that their own number says
    nothing of mixing, and that of the other metrics of the measurement tells. Where one sample was
    measured both ways, rows cannot be told apart by that, and those of such metrics are left out.
    """
    by = [each for each in ("model", "step", "seed", "tokens", "layer") if each in rows]
    most = rows.groupby(by, dropna=False)["batches"].transform("max")
    one = [*by, "metric", "centered"]
    twice = rows.duplicated(one, keep=False)
    own = rows.groupby(one, dropna=False)["batches"].transform("max")
    batches = rows["batches"].where(twice, most)
    found = rows.assign(mixing=batches.gt(1).map({True: MIXED, False: WHOLE}))
    return found[~(twice & (own < most))]


def _groups(rows: pd.DataFrame) -> str:
    """The mean over layers of each group of windows."""
    means = by_group(rows).mean(axis=0)
    return " ".join(f"{each:.7g}" for each in means)
