"""What the book's explorer draws, as plain data: profiles over depth and curves along training."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from shapebook.claims.course import curve
from shapelib.figures import PALETTE

Plain = dict[str, Any]
# In the order in which they are offered; a metric that is not named here follows under its own.
_METRICS = {
    ("anisotropy", True): "anisotropy: share of σ₁², centered",
    ("anisotropy", False): "share of σ₁², not centered",
    ("average_cosine", False): "average cosine, not centered",
    ("average_cosine", True): "average cosine, centered",
    ("two_nn", None): "dimension: TwoNN, lowest 90 %",
    ("two_nn_lowest20", None): "dimension: TwoNN, lowest 20 %",
    ("mada_k20", None): "dimension: MADA, k = 20",
    ("mom_k20", None): "dimension: moments, k = 20",
    ("mom_k100", None): "dimension: moments, k = 100",
}
_TOKENS = {
    "all": "all vectors",
    "content": "content only (no special tokens)",
    "rest": "without massive vectors",
    "later": "without first positions",
}
# The other figures' colour for each kind of model, then shades of it for its other models. All
# stand out by 3 to 1 from the grounds of both colour schemes.
_SHADES = {
    "decoder": (PALETTE[0], "#7a6ff0", "#0e8fa3", "#5b7fa6"),
    "encoder": (PALETTE[1], "#a9771b", "#c94c4c", "#967355"),
    "causal-masked": (PALETTE[2],),
    "prefix": (PALETTE[3],),
}
# Five, where shades are four or one: models of a kind share both only after many.
_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross")
_DIGITS = 5


def data(profiles: pd.DataFrame, training: pd.DataFrame) -> Plain:
    """Two views of plain values: `profiles`, a shape table, and `training`, curves
    (`shapebook.claims.course.course`).

    A view has its ``groups`` (models, or recipes), ``sets`` (token sets, or ways of making batches)
    and ``metrics``, each an id and a name, what a reader calls one of its groups and sets
    (``words``), the ``axes`` that a curve can stand over, the first of them drawn at first, each
    group's colour and marker (``looks``), what a ``band`` is where there is one and where there is
    none, and its ``curves``: one for each group, set and metric that was measured, with a list for
    each axis, ``value``, half the width of the band (``half``, null where one measurement gives
    none), the number of measurements that the band is ``over``, and which points stand ``apart``.
    """
    return {"views": {"profiles": _profiles(profiles), "training": _training(training)}}


def _profiles(table: pd.DataFrame) -> Plain:
    table = _keyed(table)
    curves = []
    for (model, tokens, metric), rows in table.groupby(["model", "tokens", "key"], sort=False):
        line = rows.sort_values("layer")
        apart = (line["layer"] == 0) | line["after_norm"]
        curves.append(
            {
                "group": model, "set": tokens, "metric": metric,
                "depth": _plain(line["depth"]), "layer": line["layer"].tolist(),
                "value": _plain(line["value"]), "half": _plain(line["std"]),
                "over": int(line["batches"].min()), "apart": apart.tolist(),
            }
        )  # fmt: skip
    roles = table.drop_duplicates("model").set_index("model")["role"]
    return {
        "title": "over depth, trained models",
        "words": ["model", "set of tokens"],
        "groups": [[model, f"{model} ({role})"] for model, role in roles.items()],
        "sets": _named(table["tokens"], _TOKENS),
        "metrics": _metrics(table),
        "axes": [["depth", "relative depth (layer ÷ last layer)"], ["layer", "layer"]],
        "looks": _looks(roles.to_dict()),
        "band": ["± one standard deviation of {} batches", "one batch, so no band"],
        "curves": curves,
    }


def _training(curves: pd.DataFrame) -> Plain:
    curves = _keyed(curves)
    found = []
    for (recipe, mixing, metric), rows in curves.groupby(["recipe", "mixing", "key"], sort=False):
        wide = curve(rows)
        half = 2 * wide.std(axis=1, ddof=1) / math.sqrt(wide.shape[1])
        found.append(
            {
                "group": recipe, "set": mixing, "metric": metric,
                "logarithmic": [int(step) + 1 for step in wide.index],
                "step": [int(step) for step in wide.index],
                "value": _plain(wide.mean(axis=1)), "half": _plain(half),
                "over": wide.shape[1], "apart": [False] * len(wide),
            }
        )  # fmt: skip
    runs = curves.groupby("recipe", sort=False)["run"].nunique()
    recipes = curves.drop_duplicates("recipe").set_index("recipe")
    # A kind that has no colour of its own takes that of its role.
    kinds = recipes["kind"].where(recipes["kind"].isin(_SHADES), recipes["role"])
    return {
        "title": "along training, mean over layers",
        "words": ["recipe", "way of making batches"],
        "groups": [
            [recipe, f"{recipe} ({count} run{'s' if count > 1 else ''})"]
            for recipe, count in runs.items()
        ],
        "sets": _named(curves["mixing"], {}),
        "metrics": _metrics(curves),
        "axes": [["logarithmic", "step + 1, logarithmic"], ["step", "step"]],
        "looks": _looks(kinds.to_dict()),
        "band": ["± two standard errors of {} runs", "one run, so no band"],
        "curves": found,
    }


def _looks(kinds: dict[str, str]) -> Plain:
    """A colour and a marker for each group, from its kind: no two groups have both in common."""
    seen: dict[str, int] = {}
    looks = {}
    for group, kind in kinds.items():
        at = seen[kind] = seen.get(kind, -1) + 1
        shades = _SHADES[kind]
        looks[group] = [shades[at % len(shades)], _MARKERS[at % len(_MARKERS)]]
    return looks


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """With a column ``key`` that names a metric and whether it is centered."""
    keys = [_key(*each) for each in zip(table["metric"], table["centered"], strict=True)]
    return table.assign(key=keys)


def _key(metric: str, centered: Any) -> str:
    if pd.isna(centered):
        return metric
    return f"{metric}, {'' if centered else 'not '}centered"


def _metrics(table: pd.DataFrame) -> list[list[str]]:
    return _named(table["key"], {_key(*each): name for each, name in _METRICS.items()})


def _named(found: Iterable[str], names: dict[str, str]) -> list[list[str]]:
    """The distinct values, each with its name: those with a known name first, in its order."""
    there = list(dict.fromkeys(found))
    known = [each for each in names if each in there]
    return [[each, names.get(each, each)] for each in (*known, *(set_ for set_ in there
            if set_ not in names))]  # fmt: skip


def _plain(values: pd.Series) -> list[float | None]:
    """Rounded; a missing number, which JSON does not have, is None."""
    return [
        None if pd.isna(v) else float(np.format_float_positional(v, _DIGITS, fractional=False))
        for v in values
    ]
