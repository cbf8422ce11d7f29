"""What the tables of a longer run say, in sentences computed from them."""

import pandas as pd

from shapebook.claims.layers import Means
from shapebook.claims.statistic import two_decimals
from shapebook.figures.longer.drawn import ANISOTROPY, DIMENSIONS, PERPLEXITY, lines
from shapebook.figures.own_words import Sentences
from shapelib.geometry.massive import FACTOR
from shapelib.store.tables import chosen


def longer(shape: pd.DataFrame, training: pd.DataFrame, massive: pd.DataFrame) -> Sentences:
    """For each model how long it was trained and what it reached; when massive vectors come, where
    and on what, or that none does; whether a bell comes; and what every estimate of dimension does
    once the initialisation has been left.

    :param shape, training, massive: the tables of ``results/longer``.
    """
    found = lines(shape, training, massive)
    told = {run["model"]: run for run in training.attrs.get("provenance", [])}
    said = []
    for model, rows in found.groupby("model", sort=False):
        name = str(rows["kind"].iloc[0])
        said += [_trained(name, rows, told.get(str(model), {}))]
        said += _massive(name, massive[massive["model"] == model])
        for window, own in rows[rows["window"] != ""].groupby("window", sort=False):
            where = f"{name}, windows of {window}"
            of_window = chosen(shape, {"model": model, "window": window})
            said += [*_bell(where, of_window), *_dimensions(where, own)]
    return Sentences(said)


def _trained(name: str, rows: pd.DataFrame, told: dict[str, object]) -> str:
    exam = chosen(rows, {"metric": PERPLEXITY}).sort_values("step")
    end, best = exam.iloc[-1], exam.loc[exam["value"].idxmin()]
    epoch = told.get("epoch_tokens")
    epochs = f", {end['tokens_seen'] / epoch:.1f} epochs" if isinstance(epoch, int) else ""
    lowest = (
        "its lowest" if best["step"] == end["step"]
        else f"lowest at step {best['step']}, with {best['value']:.1f}"
    )  # fmt: skip
    return (
        f"{name}: {end['step']} steps, {end['tokens_seen'] / 1e6:.1f} million tokens{epochs}; "
        f"held-out perplexity ends at {end['value']:.1f}, {lowest}."
    )


def _massive(name: str, massive: pd.DataFrame) -> list[str]:
    inner = massive[(massive["layer"] > 0) & ~massive["after_norm"]]
    there = inner[inner["massive"] > 0]
    if there.empty:
        far = inner.loc[inner["longest"].idxmax()]
        return [
            f"{name}: no vector is massive (longer than {FACTOR:.0f} times the median) at any of "
            f"{inner['step'].nunique()} checkpoints; the longest, at step {far['step']} in layer "
            f"{far['layer']} on {far['longest_on']}, is {far['longest']:.1f} times as long."
        ]
    first, said = there.sort_values(["step", "layer"]).iloc[0], []
    said.append(
        f"{name}: massive vectors come first at step {first['step']}, in layer {first['layer']} "
        f"(windows of {first['window']}), the longest on {first['longest_on']}."
    )
    end = inner[inner["step"] == inner["step"].max()]
    for window, rows in end.groupby("window", sort=False):
        own = rows[rows["massive"] > 0]
        if own.empty:
            said.append(f"{name}, windows of {window}: at the end no layer holds any.")
            continue
        most = own.loc[own["massive"].idxmax()]
        others = (
            f", the others at position {most['position']:.0f} in the median, on {most['kinds']} "
            f"different tokens, the commonest {most['token']} ({most['of_token']})"
            if most["kinds"] else ""
        )  # fmt: skip
        said.append(
            f"{name}, windows of {window}: at the end {len(own)} of {len(rows)} layers hold some; "
            f"most are in layer {most['layer']}, {most['massive']} of {most['vectors']} vectors, "
            f"{most['at_first']} of them at first positions{others}; they have "
            f"{most['squares']:.0%} of its squared lengths."
        )
    return said


def _bell(where: str, shape: pd.DataFrame) -> list[str]:
    rows = chosen(shape, {"metric": ANISOTROPY, "centered": True})
    rows = rows[(rows["layer"] > 0) & ~rows["after_norm"] & (rows["step"] == rows["step"].max())]
    found = []
    for tokens, called in (("all", ""), ("rest", ", without massive vectors")):
        own = chosen(rows, {"tokens": tokens}).dropna(subset=["value"])
        if own.empty or (tokens == "rest" and not own["removed"].gt(0).any()):
            continue
        means = Means.of(own)
        first, middle, last = means
        found.append(
            f"{where}{called}: at the end anisotropy is {first:.2f}, {middle:.2f} and {last:.2f} "
            "in the thirds of the layers: the middle minus the higher outer third is "
            f"{two_decimals(means.bell)}."
        )
    return found


def _dimensions(where: str, rows: pd.DataFrame) -> list[str]:
    own = chosen(rows, {"tokens": "all"})
    own = own[own["left"] & own["metric"].isin(DIMENSIONS)].dropna(subset=["value"])
    if own.empty:
        return []
    moves = []
    for metric, called in DIMENSIONS.items():
        line = own[own["metric"] == metric].sort_values("step")
        if len(line) > 1:
            peak = line.loc[line["value"].idxmax()]
            between = (
                "" if peak["step"] in (line["step"].iloc[0], line["step"].iloc[-1])
                else f" by {peak['value']:.1f} at step {peak['step']}"
            )  # fmt: skip
            ends = (line["value"].iloc[0], line["value"].iloc[-1])
            moves.append(f"{called}: {ends[0]:.1f}{between} to {ends[1]:.1f}")
    start = own["step"].min()
    if not moves:
        return [f"{where}: TwoNN is lowest at the last checkpoint, step {start}."]
    return [f"{where}: from step {start}, where TwoNN is lowest, to the end. {'; '.join(moves)}."]
