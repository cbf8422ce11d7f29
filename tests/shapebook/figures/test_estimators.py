"""Estimators beside each other, from made-up layers."""

import pandas as pd

from shapebook.figures.estimators import tabulate_thirds

MEASURES = {"one": {"metric": "a"}, "another": {"metric": "b"}, "none": {"metric": "c"}}


def shape(metric: str, values: list[float]) -> pd.DataFrame:
    layers = range(len(values))
    return pd.DataFrame(
        {
            "model": "mine", "role": "decoder", "layer": layers, "depth": 0.0, "tokens": "all",
            "after_norm": [n == len(values) - 1 for n in layers], "metric": metric, "value": values,
        }
    )  # fmt: skip


def test_thirds_of_each_measure_stand_beside_each_other():
    """The embedding and the layer after the norm do not count, nor does another set of tokens."""
    a, b = shape("a", [99, 1, 2, 3, 4, 5, 6, 99]), shape("b", [99, 60, 50, 40, 30, 20, 10, 99])
    shown = tabulate_thirds(pd.concat([a, b, a.assign(tokens="rest", value=0.0)]), MEASURES)
    assert list(shown.columns) == list(MEASURES)
    assert shown["one"].to_dict() == {
        "mine, first third": "1.5", "mine, middle third": "3.5", "mine, last third": "5.5",
    }  # fmt: skip
    assert list(shown["another"]) == ["55.0", "35.0", "15.0"]
    assert list(shown["none"]) == ["–"] * 3


def test_too_few_layers_have_no_thirds():
    shown = tabulate_thirds(shape("a", [9, 1, 9]), {"one": {"metric": "a"}})
    assert list(shown["one"]) == ["–"] * 3
