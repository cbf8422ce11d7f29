"""Shape tables of suites as curves along training: a value for each run, step and metric."""

import pandas as pd

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
        ``family``, ``recipe``, ``run``
            The run without warm-up and seed; without its seed; the seed.
        ``kind``, ``width``, ``warmup``
            What was trained, see `Recipe`; ``width`` only where `training` is given.
        ``perplexity``, ``learning_rate``
            As in `pretraining.table`.
    :raises ShapelibError: for rows without a step, and for a run that the training table lacks.
    """
    if "step" not in shape or shape["step"].isna().any():
        raise ShapelibError("this is no table of checkpoints: it has rows without a step")
    inner = shape[(shape["layer"] > 0) & ~shape["after_norm"]]
    # It is measured in one batch however many there are, so its batches say nothing of mixing.
    inner = inner[inner["metric"] != f"mom_k{MOM_K}"].copy()
    inner["mixing"] = inner["batches"].gt(1).map({True: MIXED, False: WHOLE})
    inner["centered"] = inner["centered"].astype("boolean")
    by = ["model", "role", "step", "tokens_seen", "mixing", "tokens", "metric", "centered"]
    means = inner.groupby(by, dropna=False, sort=False)[["value", "stderr"]].mean()
    curves = means.reset_index()
    if training is None:
        return curves.assign(
            family=curves["model"], recipe=curves["model"], kind=curves["role"], run=0,
            warmup=pd.NA, perplexity=pd.NA, learning_rate=pd.NA,
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
    return joined


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """One metric's rows as a matrix: the steps that all runs have down, the runs across."""
    wide = rows.pivot(index="step", columns="run", values="value").sort_index()
    return wide.dropna()
