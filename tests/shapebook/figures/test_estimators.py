"""Estimators beside each other, from made-up layers."""

import pandas as pd

from shapebook.figures.estimators import by_estimator, tabulate_thirds

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


def test_every_model_has_a_panel_and_every_estimator_a_line():
    names = ("two_nn", "mada_k20", "mom_k20", "mom_k100")
    parts = [shape(each, [9, at, 2 * at, 4000, 9]) for at, each in enumerate(names, 1)]
    table = pd.concat([*parts, shape("anisotropy", [0.5] * 5)]).assign(std=1.0)
    table["depth"] = table["layer"] / 4
    both = pd.concat([table, table.assign(model="yours")])
    figure = by_estimator(pd.concat([both, both.assign(tokens="rest", value=1.0)]))
    assert [axes.get_title() for axes in figure.axes] == ["mine", "yours"]
    for axes in figure.axes:
        assert axes.get_yscale() == "log"
        lines = [line for line in axes.lines if not line.get_label().startswith("_")]
        assert [line.get_label() for line in lines] == [
            "TwoNN", "MADA, k = 20", "moments, k = 20", "moments, k = 100",
        ]  # fmt: skip
        assert [line.get_ydata().tolist()[1] for line in lines] == [1, 2, 3, 4]
