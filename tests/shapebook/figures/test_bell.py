"""Tables of what makes the bell, from made-up layers whose thirds are known."""

import pandas as pd
import pytest

from shapebook.figures.bell import carriers_side_by_side, massive_profile, tabulate_factors
from shapelib.figures import data


def factors(by_factor: dict[float, list[float]], massive: float = 0.03) -> pd.DataFrame:
    """What each factor leaves of layers 0 to n; the embedding and the last do not count."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "model": "mine", "role": "decoder", "layer": range(len(values)), "depth": 0.0,
                    "after_norm": [n == len(values) - 1 for n in range(len(values))],
                    "factor": factor, "massive": massive, "anisotropy": values,
                }
            )
            for factor, values in by_factor.items()
        ],
        ignore_index=True,
    )  # fmt: skip


def test_two_factors_stand_beside_each_other():
    table = factors(
        {
            5.0: [0.9, 0.1, 0.1, 0.08, 0.08, 0.05, 0.05, 0.9],
            10.0: [0.9, 0.5, 0.5, 0.1, 0.1, 0.05, 0.05, 0.9],
            20.0: [0.9] * 8,
        }
    )
    table.loc[table["factor"] == 10, "massive"] = [0, 0, 0.0123, 0, 0, 0, 0, 0.5]
    shown = tabulate_factors(table)
    assert list(shown.index) == ["mine"]
    assert list(dict.fromkeys(shown.columns.get_level_values(0))) == ["factor 10", "factor 5"]
    assert list(shown.loc["mine", "factor 10"]) == ["0.50", "0.10", "0.05", "−0.40", "1.2"]
    assert list(shown.loc["mine", "factor 5"]) == ["0.10", "0.08", "0.05", "−0.02", "3.0"]


def test_too_few_layers_have_no_thirds():
    shown = tabulate_factors(factors({5.0: [0.9, 0.1, 0.9], 10.0: [0.9, 0.1, 0.9]}))
    assert set(shown.loc["mine"]) == {"–"}


def profile(model: str, role: str, value: float) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "model": model, "role": role, "layer": range(5), "depth": [n / 4 for n in range(5)],
            "after_norm": False, "metric": "anisotropy", "centered": True, "value": value,
            "std": 0.0, "tokens": "all",
        }
    )  # fmt: skip
    return pd.concat([rows, rows.assign(tokens="rest", value=value / 2)], ignore_index=True)


def test_random_weights_are_thin_beneath_the_model_of_their_name():
    table = pd.concat([profile("enc", "encoder", 0.1), profile("dec", "decoder", 0.8)])
    untaught = pd.concat([profile("dec", "decoder", 0.05), profile("other", "decoder", 0.3)])
    plain, both = massive_profile(table), massive_profile(table, untaught)
    added = [len(b.lines) - len(a.lines) for a, b in zip(plain.axes, both.axes, strict=True)]
    assert added == [0, 1]
    thin, main = both.axes[1].lines[-1], both.axes[1].lines[0]
    assert thin.get_ydata().tolist() == [0.05] * 5
    assert thin.get_color() == main.get_color()
    assert thin.get_linewidth() < main.get_linewidth()
    assert "random weights" in data(both)
    assert data(massive_profile(table, untaught.iloc[:0])) == data(plain)


def test_carriers_of_several_models_add_up_to_one():
    rows = [
        {"model": model, "layer": layer, "tokens": tokens, "token": token, "rank": rank,
         "share": share}
        for model in ("a", "b") for layer in (0, 1) for tokens in ("all", "later")
        for rank, (token, share) in enumerate(
            [("first position", 0.5), ("x", 0.2), ("y", 0.1), ("z", 0.05), ("w", 0.04)])
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table = table[~((table["model"] == "b") & (table["token"] == "first position"))]
    figure = carriers_side_by_side(table)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    heights = [[bar.get_height() for bar in of] for of in figure.axes[0].containers]
    assert heights == [[0.5, 0.5], pytest.approx([0.35, 0.35]), pytest.approx([0.15, 0.15])]
    assert [bar.get_height() for bar in figure.axes[1].containers[0]] == [0, 0]
