"""What a figure shows, in sentences computed from its table: true of whichever run it is."""

from collections.abc import Iterable
from html import escape

import pandas as pd

from shapebook.claims.layers import LEAST, top
from shapebook.claims.statistic import spearman
from shapelib.store.tables import chosen

FITS = ("two_nn", "two_nn_lowest20")
# Rank correlations from which two fits are said to go together, and up to which to part.
_TOGETHER, _APART = 0.8, 0.5


class Sentences:
    """Sentences as a notebook shows them: a list."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = list(sentences)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        items = "".join(f"<li>{escape(each)}</li>" for each in self.sentences)
        return {"text/html": f"<ul class='computed'>{items}</ul>",
                "text/plain": "\n".join(self.sentences)}  # fmt: skip


def anisotropy(table: pd.DataFrame) -> Sentences:
    """Where each model's anisotropy is highest and lowest, and what massive vectors do to that.

    :param table: of `shapelib.profile`, of any number of models.
    :returns: for each model where its top lies, and how surely; how low it gets; and where the
        table has the token set ``rest``, how many vectors are massive and what is left without
        them. Layers that count are all but the embedding and a layer after the final norm.
    """
    return Sentences(each for name, role, rows in by_model(table)
                     for each in _of_anisotropy(f"{name} ({role})", rows))  # fmt: skip


def dimension(table: pd.DataFrame) -> Sentences:
    """For each model how far TwoNN's two fits go, and whether they order its layers alike."""
    return Sentences(each for name, role, rows in by_model(table)
                     for each in _of_dimension(f"{name} ({role})", rows))  # fmt: skip


def _of_anisotropy(name: str, rows: pd.DataFrame) -> list[str]:
    rows = chosen(rows, {"metric": "anisotropy", "centered": True})
    main = chosen(rows, {"tokens": "all"})
    if main["layer"].nunique() < LEAST:
        return [f"{name}: fewer than {LEAST} layers count."]
    high, low = (main.loc[place] for place in (main["value"].idxmax(), main["value"].idxmin()))
    said = [
        f"{name}: of the {len(main)} layers that count, layer {high['layer']} is the highest, "
        f"with {high['value']:.2f} at {high['depth']:.2f} of the depth; layer {low['layer']} is "
        f"the lowest, with {low['value']:.2f}."
    ]
    found = top(main)
    if found.testable and found.low < found.high:
        said.append(
            f"{name}: layers from {found.low:.2f} to {found.high:.2f} of the depth may be the top: "
            "those at the ends of that range differ from the highest by no more than both errors."
        )
    return said + _of_massive(name, main, chosen(rows, {"tokens": "rest"}))


def _of_massive(name: str, main: pd.DataFrame, rest: pd.DataFrame) -> list[str]:
    if rest.empty:
        return []
    most = rest.loc[rest["removed"].idxmax()]
    if not most["removed"] > 0:
        return [f"{name}: no vector is massive in these layers."]
    said = [
        f"{name}: up to {most['removed']:.1%} of a layer's vectors are massive (layer "
        f"{most['layer']})."
    ]
    left = rest.dropna(subset=["value"])
    if left.empty:
        return [*said, f"{name}: too few vectors are left without them to measure."]
    highest = left.loc[left["value"].idxmax()]
    at_top = main.loc[main["value"].idxmax()]
    there = left.loc[left["layer"] == at_top["layer"], "value"]
    if len(there):
        said.append(
            f"{name}: without them layer {at_top['layer']}, the highest, falls from "
            f"{at_top['value']:.2f} to {there.iloc[0]:.2f}, and layer {highest['layer']} is the "
            f"highest of the rest, with {highest['value']:.2f}."
        )
    return said


def _of_dimension(name: str, rows: pd.DataFrame) -> list[str]:
    fits = [
        chosen(rows, {"metric": each, "tokens": "all"})
        .sort_values("layer")
        .dropna(subset=["value"])
        for each in FITS
    ]
    layers = set(fits[0]["layer"]) & set(fits[1]["layer"])
    if len(layers) < LEAST:
        return [f"{name}: fewer than {LEAST} layers count."]
    by_fit = [one[one["layer"].isin(layers)].sort_values("layer") for one in fits]
    wide, narrow = (one["value"] for one in by_fit)
    agreement = spearman(wide.to_numpy(), narrow.to_numpy())
    words = (
        "order the layers alike" if agreement >= _TOGETHER
        else "part: they order the layers differently" if agreement < _APART
        else "order the layers only roughly alike"
    )  # fmt: skip
    return [
        f"{name}: TwoNN lies between {wide.min():.1f} and {wide.max():.1f} by the fit to the "
        f"lowest 90 %, and between {narrow.min():.1f} and {narrow.max():.1f} by that to the "
        "lowest 20 %.",
        f"{name}: the two fits {words} (rank correlation "
        f"{f'{agreement:.2f}'.replace('-', '−')} over {len(layers)} layers).",
    ]


def by_model(table: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Each model's name, its role, and the rows of its layers that count."""
    inner = table[(table["layer"] > 0) & ~table["after_norm"]]
    for name, rows in inner.groupby("model", sort=False):
        yield str(name), str(rows["role"].iloc[0]), rows
