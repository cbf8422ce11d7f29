"""What the records say of each package, as rows: for comparing them, and for time against size."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from shapebook.pages.timings import records

LAYER, APART = "A layer", "DADApy, measured apart"
"""The sections of ``estimators``."""
PACKAGES = ("shapelib", "scikit-dimension", "DADApy", "LLM-Microscope")
# For each measure what a benchmark calls it in each package; None where a package has no such.
PEERS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "TwoNN": (
        "shapelib three dimensions, ordinary", "scikit-dimension TwoNN", "DADApy TwoNN",
        "llm-microscope TwoNN, a later one",
    ),
    "MADA": ("shapelib three dimensions, ordinary", "scikit-dimension MADA", None, None),
    "method of moments, k = 100": (
        "shapelib three dimensions, k = 100", "scikit-dimension MoM", None, None,
    ),
    "anisotropy": ("shapelib anisotropy, ordinary", None, None, "llm-microscope anisotropy"),
    "average cosine": ("shapelib average cosine", None, None, None),
}  # fmt: skip
WHOLE = "all of a layer"
# What is no package's measure, and stands in the figure alone.
_BESIDE = {
    ("anisotropy", "NumPy, full SVD"): "NumPy SVD, singular values",
    (WHOLE, "shapelib"): "shapelib all of a layer",
}
_SPREAD = ["value", "least", "greatest", "turns"]


def compared(of: dict[str, records.Record]) -> pd.DataFrame:
    """What the packages take for each measure, from ``estimators`` of some processors: one thread,
    the middle number of features; the measures that two can be compared by, and all of a layer.

    Columns ``processor, measure, package, value, least, greatest, turns``; `value` is the median
    over the turns, and all but `turns` are multiples of one float32 product X·Xᵀ.
    """
    wanted = [
        (measure, package, name)
        for measure, names in PEERS.items()
        for package, name in zip(PACKAGES, names, strict=True)
    ]
    wanted += [(measure, package, name) for (measure, package), name in _BESIDE.items()]
    made = []
    for record in of.values():
        here, shown = found(record), records.shown(record["processor"])
        made += [
            {"processor": shown, "measure": measure, "package": package, **_spread(here[name])}
            for measure, package, name in wanted if name in here
        ]  # fmt: skip
    table = pd.DataFrame(made, columns=["processor", "measure", "package", *_SPREAD])
    several = table.groupby(["processor", "measure"])["package"].transform("size") > 1
    return table[several | (table["measure"] == WHOLE)].reset_index(drop=True)


def _spread(row: dict[str, float]) -> dict[str, float]:
    return {"value": row["median"], **{each: row[each] for each in _SPREAD[1:]}}


def middle(record: records.Record) -> int:
    """The middle one of the numbers of features that a layer was timed at."""
    layer = records.section(record, LAYER)
    features = sorted({int(row["features"]) for row in layer["ratios"]}) if layer else []
    return features[len(features) // 2]


def found(record: records.Record) -> dict[str, dict[str, float]]:
    """By its name, what each contestant took at one thread and the middle number of features.

    Of what was measured apart, the peer alone: what stood beside it was measured twice.
    """
    apart = records.section(record, APART) or {"ratios": []}
    layer = records.section(record, LAYER) or {"ratios": []}
    every = [row for row in apart["ratios"] if row["name"].startswith("DADApy")]
    width = middle(record)
    return {
        row["name"]: row
        for row in (*every, *layer["ratios"])
        if row["threads"] == 1 and row["features"] == width
    }


def grown(of: dict[str, records.Record]) -> pd.DataFrame:
    """Time against the number of points, from ``sizes`` of some processors.

    Columns ``processor, package, points, value, exponent``; `value` is in products of the fewest
    points, so that a product of n points takes (n / fewest)², and `exponent` is fitted over all
    sizes of a search.
    """
    every = []
    for record in of.values():
        rows = records.rows({"": record})
        least = rows["points"].min()
        for name, its in rows.groupby("name", sort=False):
            points, ratios = its["points"].to_numpy(), its["median"].to_numpy()
            slope = exponent(points, ratios) if len(its) > 1 else math.nan
            every += [
                {"processor": records.shown(record["processor"]), "package": name,
                 "points": int(n), "value": ratio * (n / least) ** 2, "exponent": slope}
                for n, ratio in zip(points, ratios, strict=True)
            ]  # fmt: skip
    columns = ["processor", "package", "points", "value", "exponent"]
    return pd.DataFrame(every, columns=columns)


def exponent(points: Sequence[float], ratios: Sequence[float]) -> float:
    """b in time ~ nᵇ, by least squares of the logarithms; ratios are to products of n points each,
    whose time is taken to grow as n²."""
    sizes = np.log(np.asarray(points, dtype=float))
    return 2 + float(np.polyfit(sizes, np.log(np.asarray(ratios, dtype=float)), 1)[0])
