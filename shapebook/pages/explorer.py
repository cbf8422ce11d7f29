"""What the book's explorer draws, as plain data: profiles over depth and curves along training.

The page carries it, so it is kept small: numbers have the digits that a screen shows, and what many
curves stand over is there once.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from shapebook.claims.course import curve
from shapelib.figures import PALETTE

Plain = dict[str, Any]
_OWN, _OTHER = "own", "other"
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
_BEGINNINGS = {_OWN: "as its tokenizer has it", _OTHER: "the other: with or without a token"}
# The columns of a shape table that curves are made of.
_SHOWN = ["role", "tokens", "key", "layer", "depth", "after_norm", "value", "std", "batches"]
# The other figures' colour for each kind of model, then shades of it for its other models. All
# stand out by 3 to 1 from the grounds of both colour schemes.
_SHADES = {
    "decoder": (PALETTE[0], "#7a6ff0", "#0e8fa3", "#5b7fa6"),
    "encoder": (PALETTE[1], "#a9771b", "#c94c4c", "#967355"),
    "causal-masked": (PALETTE[2],),
    "prefix": (PALETTE[3],),
}
# For what a reader adds to profiles.
_SPARE = (PALETTE[2], PALETTE[3])
# Five, where shades are four or one: models of a kind share both only after many.
_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross")
# Of a value, of half a band's width, and of a place.
_DIGITS = {"value": 4, "half": 3, "depth": 4}


def data(profiles: pd.DataFrame, training: pd.DataFrame, windows: pd.DataFrame) -> Plain:
    """Two views of plain values: `profiles`, a shape table, with what `windows` adds to it, and
    `training`, curves (`shapebook.claims.course.course`).

    A view has its ``groups`` (models, or recipes), ``sets`` (token sets, or ways of making batches)
    and ``metrics``, each an id and a name, what a reader calls one of its groups and sets
    (``words``), its ``settings`` (a name, what it is called, and its choices; of training none),
    the ``axes`` that a curve can stand over, the first of them drawn at first, each group's colour
    and marker (``looks``), of profiles those for what a reader adds
    (``spare``), what a ``band`` is where there is one and where there is none, and its
    ``curves``: one for each group, set, metric and setting that was measured, with ``value``, half
    the width of the band (``half``, null where one measurement gives none), the number of
    measurements that the band is ``over``, and ``at``, which of the view's ``places`` it stands
    over: a list for each axis, and which points stand ``apart``.

    :param windows: a kept table of real models (`shapebook.experiments.real_models.kept`): models
        at other windows and beginnings.
    """
    return {"views": {"profiles": _profiles(profiles, windows), "training": _training(training)}}


class _Places:
    """What curves stand over, each kept once."""

    def __init__(self) -> None:
        self.all: list[Plain] = []

    def at(self, place: Plain) -> int:
        if place not in self.all:
            self.all.append(place)
        return self.all.index(place)


def _profiles(page: pd.DataFrame, windows: pd.DataFrame) -> Plain:
    names = ["model", "window", "native"]
    page = _keyed(page.assign(native=_OWN))
    windows = _keyed(windows.assign(native=np.where(windows["native"], _OWN, _OTHER)))
    there = pd.MultiIndex.from_frame(page[names])
    others = ~pd.MultiIndex.from_frame(windows[names]).isin(there)
    others &= windows["key"].isin(page["key"]) & windows["tokens"].isin(page["tokens"])
    columns = [*names, *_SHOWN]
    table = pd.concat([page[columns], windows.loc[others, columns]], ignore_index=True)
    curves, places = [], _Places()
    keys = [*names, "tokens", "key"]
    for (model, window, native, tokens, metric), rows in table.groupby(keys, sort=False):
        line = rows.sort_values("layer")
        apart = (line["layer"] == 0) | line["after_norm"]
        place = {
            "depth": _plain(line["depth"], "depth"),
            "layer": line["layer"].tolist(),
            "apart": apart.tolist(),
        }
        curves.append(
            {
                "group": model, "set": tokens, "metric": metric, "setting": [window, native],
                "value": _plain(line["value"], "value"), "half": _plain(line["std"], "half"),
                "over": int(line["batches"].min()), "at": places.at(place),
            }
        )  # fmt: skip
    roles = table.drop_duplicates("model").set_index("model")["role"]
    return {
        "title": "over depth, trained models",
        "words": ["model", "set of tokens"],
        "groups": [[model, f"{model} ({role})"] for model, role in roles.items()],
        "sets": _named(table["tokens"], _TOKENS),
        "metrics": _metrics(table),
        "settings": [
            ["window", "Window", _windows(table["window"], page["window"].iloc[0])],
            ["native", "Beginning", _named(table["native"], _BEGINNINGS)],
        ],
        "axes": [["depth", "relative depth (layer ÷ last layer)"], ["layer", "layer"]],
        "looks": _looks(roles.to_dict()),
        "spare": [[colour, marker] for marker in _MARKERS for colour in _SPARE],
        "band": ["± one standard deviation of {} batches", "one batch, so no band"],
        "places": places.all,
        "curves": curves,
    }


def _windows(found: pd.Series, first: str) -> list[list[str]]:
    """The lengths of windows, that of the page first and the others as they grow."""
    others = sorted(set(found) - {first}, key=lambda each: int(each.split()[0]))
    return [[each, each] for each in (first, *others)]


def _training(curves: pd.DataFrame) -> Plain:
    curves = _keyed(curves)
    found, places = [], _Places()
    for (recipe, mixing, metric), rows in curves.groupby(["recipe", "mixing", "key"], sort=False):
        wide = curve(rows)
        half = 2 * wide.std(axis=1, ddof=1) / math.sqrt(wide.shape[1])
        steps = [int(step) for step in wide.index]
        place = {
            "logarithmic": [step + 1 for step in steps],
            "step": steps,
            "apart": [False] * len(steps),
        }
        found.append(
            {
                "group": recipe, "set": mixing, "metric": metric, "setting": [],
                "value": _plain(wide.mean(axis=1), "value"), "half": _plain(half, "half"),
                "over": wide.shape[1], "at": places.at(place),
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
        "settings": [],
        "axes": [["logarithmic", "step + 1, logarithmic"], ["step", "step"]],
        "looks": _looks(kinds.to_dict()),
        "band": ["± two standard errors of {} runs", "one run, so no band"],
        "places": places.all,
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


def _plain(values: pd.Series, kind: str) -> list[float | None]:
    """Rounded; a missing number, which JSON does not have, is None."""
    digits = _DIGITS[kind]
    return [
        None if pd.isna(v) else float(np.format_float_positional(v, digits, fractional=False))
        for v in values
    ]
