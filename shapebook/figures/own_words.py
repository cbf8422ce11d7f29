"""What a figure shows, in sentences computed from its table: true of whichever run it is."""

import itertools
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

from shapebook.claims.layers import LEAST, Means, top
from shapebook.claims.statistic import spearman, two_decimals
from shapelib.store.tables import chosen

FITS = ("two_nn", "two_nn_lowest20")
# Rank correlations from which two fits are said to go together, and up to which to part.
_TOGETHER, _APART = 0.8, 0.5
# So many sentences are shown at once; more are folded.
_AT_ONCE = 12


class Sentences:
    """Sentences as a notebook shows them: a list, folded where it is long."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = list(sentences)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        items = "".join(f"<li>{escape(each)}</li>" for each in self.sentences)
        shown = f"<ul class='computed'>{items}</ul>"
        if len(self.sentences) > _AT_ONCE:
            head = f"{len(self.sentences)} sentences computed from these numbers"
            shown = f"<details><summary>{head}</summary>{shown}</details>"
        return {"text/html": shown, "text/plain": "\n".join(self.sentences)}


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


def agreement(table: pd.DataFrame, measures: Mapping[str, Mapping[str, Any]]) -> Sentences:
    """Where each of several measures is highest and lowest, and how alike they order the layers.

    :param measures: what to call a measure, and the columns that choose its rows, as ``{"TwoNN":
        {"metric": "two_nn"}}``.
    """
    return Sentences(each for name, role, rows in by_model(table)
                     for each in _of_agreement(f"{name} ({role})", rows, measures))  # fmt: skip


def centering(table: pd.DataFrame, metric: str, called: str) -> Sentences:
    """In how many layers centering raises a measure, and where it changes it most."""
    return Sentences(
        each
        for name, role, rows in by_model(table)
        for each in _of_centering(f"{name} ({role})", rows, metric, called)
    )


def factors(table: pd.DataFrame) -> Sentences:
    """Claim 1's statistic without massive vectors, at each factor that may define them.

    :param table: the ``factors`` of `shapebook.experiments.dissect.Dissection`.
    """
    said = []
    for name, role, rows in by_model(table):
        for factor, own in rows.rename(columns={"anisotropy": "value"}).groupby("factor"):
            if own["layer"].nunique() < LEAST:
                said.append(f"{name} ({role}): fewer than {LEAST} layers count.")
                break
            means = Means.of(own)
            said.append(
                f"{name} ({role}): without vectors longer than {factor:.0f} times the median, up "
                f"to {own['massive'].max():.1%} of a layer's, anisotropy is {means.middle:.2f} "
                f"in the middle third, {means.first:.2f} in the first and {means.last:.2f} in the "
                "last: the middle minus the higher outer third is "
                f"{two_decimals(means.bell)}."
            )
    return Sentences(said)


def interventions(table: pd.DataFrame) -> Sentences:
    """What the middle third's anisotropy is as a model stands, and which change moves it most.

    :param table: of `shapebook.experiments.interventions.interventions`.
    """
    from shapebook.experiments.interventions import PLAIN

    said = []
    for name, _, rows in by_model(table[table["tokens"] == "all"].assign(role="")):
        found = {
            str(change): Means.of(own).middle
            for change, own in rows.groupby("intervention", sort=False)
            if own["layer"].nunique() >= LEAST
        }
        if PLAIN not in found:
            said.append(f"{name}: fewer than {LEAST} layers count.")
            continue
        plain = found.pop(PLAIN)
        said.append(f"{name}: as it is, the middle third's anisotropy is {plain:.2f}.")
        order = sorted(found, key=lambda change: -abs(found[change] - plain))
        told = ", ".join(f"{change}: {found[change]:.2f}" for change in order)
        said.append(f"{name}: changed, from what moves it most to what moves it least: {told}.")
    return Sentences(said)


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
    together = spearman(wide.to_numpy(), narrow.to_numpy())
    return [
        f"{name}: TwoNN lies between {wide.min():.1f} and {wide.max():.1f} by the fit to the "
        f"lowest 90 %, and between {narrow.min():.1f} and {narrow.max():.1f} by that to the "
        "lowest 20 %.",
        f"{name}: the two fits {_alike(together)} (rank correlation {two_decimals(together)} over "
        f"{len(layers)} layers).",
    ]


def _of_agreement(
    name: str, rows: pd.DataFrame, measures: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    found = {
        called: chosen(rows, {"tokens": "all", **which})
        .dropna(subset=["value"])
        .set_index("layer")["value"]
        for called, which in measures.items()
    }
    found = {called: values for called, values in found.items() if len(values)}
    layers = sorted(set.intersection(*(set(each.index) for each in found.values())))
    if len(layers) < LEAST:
        return [f"{name}: fewer than {LEAST} layers count."]
    said = []
    for called, values in found.items():
        said.append(
            f"{name}: {called} is highest in layer {values.idxmax()}, with {values.max():.3g}, and "
            f"lowest in layer {values.idxmin()}, with {values.min():.3g}."
        )
    for first, second in itertools.combinations(found, 2):
        one, other = (found[each].loc[layers].to_numpy() for each in (first, second))
        value = spearman(one, other)
        said.append(
            f"{name}: {first} and {second} {_alike(value)} (rank correlation "
            f"{two_decimals(value)} over {len(layers)} layers)."
        )
    return said


def _of_centering(name: str, rows: pd.DataFrame, metric: str, called: str) -> list[str]:
    rows = chosen(rows, {"metric": metric, "tokens": "all"})
    plain, centered = (
        rows[rows["centered"].eq(state)].set_index("layer")["value"].dropna()
        for state in (False, True)
    )
    change = (centered - plain).dropna()
    if len(change) < LEAST:
        return [f"{name}: fewer than {LEAST} layers count."]
    most = change.abs().idxmax()
    return [
        f"{name}: centering raises {called} in {(change > 0).sum()} of {len(change)} layers, and "
        f"changes it most in layer {most}, from {two_decimals(plain[most])} to "
        f"{two_decimals(centered[most])}."
    ]


def _alike(agreement: float) -> str:
    return (
        "order the layers alike" if agreement >= _TOGETHER
        else "part: they do not order the layers alike" if agreement < _APART
        else "order the layers only roughly alike"
    )  # fmt: skip


def by_model(table: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    """Each model's name, its role, and the rows of its layers that count."""
    inner = table[(table["layer"] > 0) & ~table["after_norm"]]
    for name, rows in inner.groupby("model", sort=False):
        yield str(name), str(rows["role"].iloc[0]), rows
