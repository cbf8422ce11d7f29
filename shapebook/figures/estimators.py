"""The table of several estimators of dimension beside each other."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from shapebook.claims.layers import LEAST, thirds
from shapebook.figures.own_words import by_model
from shapelib.store.tables import chosen

_THIRDS = ("first third", "middle third", "last third")


def tabulate_thirds(table: pd.DataFrame, measures: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The mean of several measures over each third of the layers that count, a column a measure.

    :param table: of `shapelib.profile`, of any number of models.
    :param measures: what to call a measure, and the columns that choose its rows, as ``{"TwoNN":
        {"metric": "two_nn"}}``.
    :returns: three rows a model; a dash where fewer layers count than thirds need.
    """
    rows = {}
    for model, _, own in by_model(table):
        means: dict[str, list[str]] = {}
        for called, which in measures.items():
            layers = chosen(own, {"tokens": "all", **which}).dropna(subset=["value"])
            few = layers["layer"].nunique() < LEAST
            parts = [] if few else [f"{third['value'].mean():.1f}" for third in thirds(layers)]
            means[called] = parts or ["–"] * len(_THIRDS)
        for place, third in enumerate(_THIRDS):
            rows[f"{model}, {third}"] = {called: each[place] for called, each in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index")
