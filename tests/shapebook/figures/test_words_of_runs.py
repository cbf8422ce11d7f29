"""Sentences about curves and about fine-tuning say what is in the tables, and change with them."""

import pandas as pd
import pytest

from shapebook.figures import words_of_runs
from shapelib.finetuning.d90 import COLUMNS

STEPS = [0, 10, 100, 1000]


def course(
    *runs: list[float], metric: str = "anisotropy", recipe: str = "mine",
    mixing: str = "windows mixed",
) -> pd.DataFrame:  # fmt: skip
    return pd.concat(
        pd.DataFrame(
            {
                "recipe": recipe, "run": run, "step": STEPS[: len(values)], "metric": metric,
                "centered": True if metric == "anisotropy" else None, "tokens": "all",
                "mixing": mixing, "value": values,
            }
        )
        for run, values in enumerate(runs)
    )  # fmt: skip


def test_where_anisotropy_begins_gets_and_ends():
    table = course([0.1, 0.3, 0.7, 0.2], [0.1, 0.3, 0.9, 0.2])
    assert words_of_runs.growth(table).sentences == [
        "mine (2 runs): anisotropy begins at 0.10 (step 0), is highest at step 100, with 0.80, and "
        "ends at 0.20 (step 1000), 0.10 above its beginning."
    ]
    falling = course([0.5, 0.3, 0.2, 0.1])
    assert "0.40 below its beginning" in words_of_runs.growth(falling).sentences[0]
    other = course([0.9] * 4, mixing="whole windows", recipe="other")
    assert words_of_runs.growth(pd.concat([table, other])).sentences == (
        words_of_runs.growth(table).sentences
    )
    assert words_of_runs.growth(course([0.1, 0.2])).sentences == [
        "mine (1 run): fewer than 3 checkpoints."
    ]


def test_how_far_dimensions_rise_and_fall():
    two_nn = course([8.0, 4.0, 6.0, 5.0], metric="two_nn")
    mada = course([8.0, 9.0, 10.0, 11.0], metric="mada_k20")
    told = words_of_runs.phases(pd.concat([two_nn, mada])).sentences
    assert told == [
        "mine (1 run): TwoNN by its fit to the lowest 90 % is lowest at step 10, with 4.0, rises "
        "by 2.0 to step 100, and falls by 1.0 to the end.",
        "mine (1 run): MADA is lowest at step 0, with 8.0, rises by 3.0 to step 1000, the last.",
        "mine (1 run): over all steps TwoNN by its fit to the lowest 90 % and MADA go together "
        "least (rank correlation \N{MINUS SIGN}0.40).",
    ]
    assert words_of_runs.phases(course([0.1] * 4)).sentences == [
        "mine (1 run): fewer than 3 checkpoints."
    ]


def estimate(**told: object) -> pd.DataFrame:
    known = {
        "task": "questions", "model": "m", "checkpoint": "final", "init": "pre-trained",
        "method": "DID", "definition": "papers", "level": 0.9, "full": 0.74, "majority": 0.23,
        "threshold": 0.66, "seeds": 3, "failed": 0,
    }  # fmt: skip
    return pd.DataFrame([known | told], columns=list(COLUMNS)).astype(COLUMNS)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"d90": 11413.4}, "d90 is 11\N{NARROW NO-BREAK SPACE}400."),
        ({"d90": 962.4}, "d90 is 962."),
        ({"above": 10000}, "no d up to 10\N{NARROW NO-BREAK SPACE}000 reaches it."),
        ({"d90": 300, "below": 300}, "the smallest d tried, 300, is enough."),
    ],
)
def test_what_d90_is(told: dict[str, float], said: str):
    found = words_of_runs.tuning(estimate(**told)).sentences
    assert found == [
        "m, pre-trained, DID, questions: full fine-tuning reaches 0.74, and the largest class is "
        f"0.23; 0.66 is to be reached, and {said}"
    ]


def test_where_nothing_is_learned_there_is_no_d90():
    found = words_of_runs.tuning(estimate(threshold=None, full=0.5, majority=0.5)).sentences
    assert found[0].endswith("0.50, no better than the largest class (0.50), so there is no d90.")
    assert words_of_runs.tuning(estimate(definition="chance-corrected")).sentences == []


def test_how_two_dimensions_move():
    curves = pd.concat([course([0.1, 0.7, 0.5, 0.2]), course([4, 5, 5.1, 5.3], metric="two_nn")])
    steps = pd.concat(
        [estimate(step=0), estimate(step=10, d90=2000), estimate(step=1000, d90=11413)]
    )
    assert words_of_runs.together(curves, steps).sentences == [
        "d90 was not reached at step 0.",
        "From step 10 to 1000 d90 goes from 2\N{NARROW NO-BREAK SPACE}000 to "
        "11\N{NARROW NO-BREAK SPACE}400.",
        "Over the same steps anisotropy goes from 0.70 to 0.20.",
        "Over the same steps TwoNN by its fit to the lowest 90 % goes from 5.00 to 5.30.",
    ]
    once = words_of_runs.together(curves, estimate(step=10, d90=2000)).sentences
    assert once == ["d90 was reached at fewer than two checkpoints."]
