"""Families of models, each tried whole: a dozen, and under stress every one of the list.

What is tried and what is wrong is said in `matrix`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import matrix
import pytest
from matrix import Family, Outcome, families
from stress import STRESS

from shapebook.pages.timings import records
from shapelib.states.pool import pool

pytestmark = pytest.mark.usefixtures("one_thread")
KEPT = Path(__file__).parents[2] / "benchmarks" / "records" / "families.json"
TRIED = [each for each in families() if STRESS or each.dozen]


@pytest.mark.parametrize("family", TRIED, ids=lambda each: each.name)
def test_states_and_metrics_are_those_of_windows_alone(family: Family, tmp_path: Path):
    outcome = matrix.tried(family, tmp_path, every=STRESS)
    assert matrix.wrong(family, outcome) is None, outcome


def test_the_list_holds_sixty_families_and_a_dozen_of_them():
    assert len({each.type for each in families()}) >= 60
    assert len({each.type for each in families() if each.refused is None}) >= 60
    assert len([each for each in families() if each.dozen]) == 12
    assert max(Counter(each.name for each in families()).values()) == 1


def test_what_the_page_shows_is_of_this_list_and_right():
    """The record of `python benchmarks/families.py`."""
    record = records.read(KEPT)
    assert record is not None
    kept = [Outcome(**each) for each in record["families"]]
    assert [each.family for each in kept] == [each.name for each in families()]
    for family, outcome in zip(families(), kept, strict=True):
        assert matrix.wrong(family, outcome) is None, outcome


def test_a_state_a_little_off_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def spoiled(*given: Any, **more: Any) -> Any:
        pooled = pool(*given, **more)
        pooled.states[1][3, 2] += 1e-4 * abs(pooled.states[1]).max()
        return pooled

    monkeypatch.setattr(matrix, "pool", spoiled)
    (family,) = (each for each in families() if each.name == "gpt2")
    outcome = matrix.tried(family, tmp_path, every=False)
    assert "states are off by 1.0e-04" in str(matrix.wrong(family, outcome))


RIGHT = {"family": "x", "states": 1e-7, "metrics": 1e-9, "half": 1e-2, "reordered": 1e-2}


@pytest.mark.parametrize(
    ("family", "outcome", "said"),
    [
        ({}, {}, None),
        ({}, {"states": float("nan")}, "states are off"),
        ({}, {"metrics": 2e-5}, "metrics are off"),
        ({}, {"half": 3e-2}, "another order of reading makes 1.0e-02"),
        ({}, {"refused": "x: no"}, "refused: x: no"),
        ({"refused": "yes"}, {"refused": "x: no"}, "refused otherwise"),
        ({"refused": "no$"}, {"refused": "x: no"}, None),
        ({"refused": "no"}, {}, "measured, though"),
        ({"low": False}, {}, "runs in bfloat16, though"),
        ({}, {"half_refused": "x does not run in bfloat16", "half_runs": False}, "in bfloat16: x"),
        ({"low": False}, {"half_refused": "does not run in bfloat16", "half_runs": True}, "in bf"),
        ({"low": False}, {"half_refused": "does not run in bfloat16", "half_runs": False}, None),
    ],
)
def test_what_counts_as_wrong(family: dict[str, Any], outcome: dict[str, Any], said: str | None):
    found = matrix.wrong(Family("x", **family), Outcome(**{**RIGHT, **outcome}))
    assert found is None if said is None else said in str(found), found
