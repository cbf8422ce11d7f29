"""A reading that encoders or random weights pass says nothing, and is told so."""

import pandas as pd
import pytest

from shapebook.claims.controls import Controls

BELL = [0.9, 0.1, 0.2, 0.7, 0.8, 0.2, 0.1, 0.9]
FLAT = [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9]


def shape(model: str, values: list[float], role: str = "decoder") -> pd.DataFrame:
    last = len(values) - 1
    return pd.DataFrame(
        {
            "model": model, "role": role, "layer": range(last + 1),
            "depth": [n / last for n in range(last + 1)],
            "after_norm": [n == last for n in range(last + 1)], "window": "512 characters",
            "metric": "anisotropy", "centered": True, "tokens": "all", "value": values,
            "stderr": 0.001, "groups": 8,
        }
    )  # fmt: skip


def shown(*tables: pd.DataFrame) -> pd.DataFrame:
    return Controls("decoder-bell", pd.concat(tables, ignore_index=True)).shown()


def test_a_reading_that_no_control_passes_keeps_its_worth():
    found = shown(
        shape("real", BELL),
        shape("flat", FLAT, "encoder"),
        *(shape(f"real, random weights {n}", FLAT) for n in (0, 1)),
    )
    assert list(found.columns) == ["real", "flat", "real, random weights", "worth"]
    rule = found.loc["by the rule"]
    assert rule["real"] == "0.60 [0.60, 0.60], passes"
    assert rule["flat"] == "0.00 [\N{MINUS SIGN}0.00, 0.00]"
    assert rule["real, random weights"] == "0.00 to 0.00, 2 draws"
    assert set(found["worth"]) == {""}
    assert "content tokens only" not in found.index, "the table has none"


@pytest.mark.parametrize(
    "control", [shape("other", BELL, "encoder"), shape("real, random weights 3", BELL)]
)
def test_a_reading_that_a_control_passes_says_nothing(control: pd.DataFrame):
    found = shown(shape("real", BELL), shape("flat", FLAT, "encoder"), control)
    assert found.loc["by the rule", "worth"] == "nothing: controls pass"
    assert found.loc["every layer as the paper draws them", "worth"] == ""


def test_too_few_layers_pass_nothing():
    found = shown(shape("real", BELL), shape("small", [0.1, 0.9, 0.1], "encoder"))
    assert found.loc["by the rule", "small"] == "\N{EN DASH}"
    assert found.loc["by the rule", "worth"] == ""


def test_another_decoder_that_passes_is_no_control():
    assert Controls("decoder-bell", shape("real", BELL)).empty == {}


def test_the_depth_of_a_top_passes_nothing():
    assert not [each for each in shown(shape("real", BELL)).index if "depth" in each]
