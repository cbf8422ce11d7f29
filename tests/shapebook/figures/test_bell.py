"""Tables of what makes the bell, from made-up layers whose thirds are known."""

import pandas as pd

from shapebook.figures.bell import tabulate_factors


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
