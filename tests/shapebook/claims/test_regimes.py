"""Whether a claim speaks of a model: by what was loaded, each condition by itself."""

import pandas as pd
import pytest

from shapebook.claims.regimes import Facts, count, facts, outside
from shapebook.claims.rulebook import Regime


def regime(**given) -> Regime:
    return Regime("r", "some models", "another model", **given)


@pytest.mark.parametrize(
    ("asked", "inside", "out", "said"),
    [
        ({"parameters": 1e8}, {"parameters": 1.4e8}, {"parameters": 9e5}, "0.9 million parameters"),
        ({"tokens": 1e11}, {"tokens": 3e11}, {"tokens": 2.6e6}, "2.6 million tokens read"),
        ({"tokens_if_known": 1e9}, {"tokens": 1e9}, {"tokens": 1e6}, "1 million tokens read"),
        ({"checkpoints": 8}, {"checkpoints": 9}, {"checkpoints": 7}, "7 checkpoints"),
        (
            {"begins": 0.01}, {"first": 1e9, "tokens": 3e11}, {"first": 1e10, "tokens": 1e11},
            "after 10% of the tokens",
        ),
        (
            {"training": ("language modelling",)}, {"training": "language modelling"},
            {"training": "contrastive"}, "its training is contrastive",
        ),
    ],
)  # fmt: skip
def test_each_condition_by_itself(asked: dict, inside: dict, out: dict, said: str):
    assert outside(regime(**asked), Facts(**inside)) == ""
    assert said in outside(regime(**asked), Facts(**out))


def test_what_is_not_recorded_is_outside_unless_it_is_asked_only_where_known():
    unknown = Facts()
    assert "number of parameters is not recorded" in outside(regime(parameters=1e8), unknown)
    assert "of a kind that is not recorded" in outside(regime(training=("contrastive",)), unknown)
    assert outside(regime(tokens_if_known=1e9), unknown) == ""
    assert outside(regime(), unknown) == ""


def test_all_reasons_are_named():
    said = outside(regime(parameters=1e8, tokens=1e11), Facts(parameters=1e6, tokens=1e6))
    assert "1 million parameters, and 100 million are needed; 1 million tokens" in said


def test_facts_come_from_rows_and_provenance():
    rows = pd.DataFrame(
        {"model": ["a"] * 3, "step": [1, 2, 3], "tokens_seen": pd.array([10, 20, 30], "Int64")}
    )
    runs = [
        {"model": "a", "parameters": 5, "training": "contrastive"},
        {"model": "b", "parameters": 1, "training": "language modelling"},
    ]
    assert facts(rows, runs) == Facts(5.0, 30.0, 10.0, 3, "contrastive")
    assert facts(rows, []) == Facts(None, 30.0, 10.0, 3, None)
    # A name says nothing: the same rows under a published suite's are as small.
    named = facts(rows.assign(model="pythia-2.8b"), [])
    assert named.parameters is None


def test_of_several_models_the_furthest_counts():
    rows = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b"], "step": [1, 2, 1, 3],
            "tokens_seen": [10, 20, 1, 300], "D": [7, 7, 9, 9],
        }
    )  # fmt: skip
    assert facts(rows, []) == Facts(7.0, 20.0, 10.0, 2, None)


def test_numbers_in_words():
    said = [count(each) for each in (8, 4304, 219_000, 1e8, 1.5e9)]
    assert said == [
        "8",
        "4\N{NARROW NO-BREAK SPACE}304",
        "0.219 million",
        "100 million",
        "1.5 billion",
    ]
