"""Verdicts on fine-tuning from made-up d90 whose answer is known."""

import math

import pandas as pd
import pytest

from shapebook.claims.judge import FAILS, HOLDS, IN_PART, UNTESTABLE, judge
from shapelib.errors import ShapelibError

DEFINITIONS = ("papers", "chance-corrected", "against pre-trained")


def runs(
    d90: list[float], model: str = "m", task: str = "t", init: str = "pre-trained",
    method: str = "DID", size: int = 1_000_000, train_score: float = 0.9,
) -> pd.DataFrame:  # fmt: skip
    """The d90 of runs with seeds 0, 1, …, the same by every definition."""
    one = pd.DataFrame(
        {
            "task": task, "model": model, "role": "encoder", "init": init, "method": method,
            "seed": range(len(d90)), "D": size, "m": 5000, "d90": d90, "largest_tried": 30_000,
            "score": 0.8, "train_score": train_score,
        }
    )  # fmt: skip
    return pd.concat([one.assign(definition=each) for each in DEFINITIONS], ignore_index=True)


def judged(claim: str, *tables: pd.DataFrame):
    return judge(claim, pd.concat(tables, ignore_index=True))


def test_a_hundredth_of_the_parameters_is_tiny_and_a_tenth_is_not():
    record = judged("d90-tiny", runs([900, 1000, 1100], "a"), runs([90, 100, 110], "b"))
    assert record["verdict"] == HOLDS
    assert [m["model"] for m in record["models"]] == ["a on t", "b on t"]
    half = 2 * 100 / math.sqrt(3) / 1e6
    assert record["models"][0]["high"] == pytest.approx(0.001 + half, abs=1e-6)
    assert judged("d90-tiny", runs([9e4, 1e5, 1.1e5]))["verdict"] == FAILS
    assert judged("d90-tiny", runs([900, 1000]))["verdict"] == UNTESTABLE


def test_three_runs_are_judged_by_wider_intervals_too():
    """Two standard errors lie below the margin, and the 4.3 of Student's 95 % do not."""
    record = judged("d90-tiny", runs([7000, 8000, 9000]))
    assert (record["verdict"], record["verdict_at_95"]) == (IN_PART, FAILS)
    high = record["models"][0]["high"]
    assert high == pytest.approx(0.008 + 2 * 0.001 / math.sqrt(3), abs=1e-6)
    assert 0.008 + 4.303 * 0.001 / math.sqrt(3) > 0.01
    record = judged("d90-tiny", runs([900, 1000, 1100]))
    assert record["verdict"] == record["verdict_at_95"] == IN_PART
    assert record["models"][0]["censored"] == ""


def test_a_run_that_never_reached_its_bar_needs_all_parameters():
    record = judged("d90-tiny", runs([900, 1000, math.nan]))
    assert record["verdict"] == FAILS
    assert record["models"][0]["statistic"] == pytest.approx((0.0009 + 0.001 + 1) / 3, abs=1e-5)
    assert record["models"][0]["details"]["runs_that_did_not_reach_it"] == 1
    assert record["models"][0]["censored"] == "at most"


def test_what_was_not_tried_far_enough_is_not_judged():
    large = runs([900, 1000, math.nan], size=10**9)
    assert judged("d90-tiny", large)["verdict"] == UNTESTABLE
    few = runs([50, 50, math.nan]).assign(largest_tried=60)
    assert judged("bound-says-something", few)["verdict"] == UNTESTABLE
    many = judged("bound-says-something", runs([50, 50, math.nan]).assign(largest_tried=80_000))
    assert many["verdict"] == FAILS
    assert many["models"][0]["censored"] == "at least"
    found = many["models"][0]["statistic"]
    assert found == pytest.approx((2 * (0.1 + 0.1) + 4 + 0.1) / 3, abs=1e-6)


def test_doublings_are_taken_seed_by_seed():
    record = judged(
        "pretraining-lowers-d90", runs([100, 200, 400]), runs([800, 1600, 3200], init="random")
    )
    assert record["verdict"] == IN_PART
    found = record["models"][0]
    assert (found["statistic"], found["low"], found["high"]) == (3.0, 3.0, 3.0)
    other = judged("pretraining-lowers-d90", runs([800] * 3), runs([100] * 3, init="random"))
    assert other["verdict"] == FAILS
    assert {each["what"] for each in record["sensitivity"]} >= {
        "counting from chance", "both held against the pre-trained model",
    }  # fmt: skip


def test_what_was_not_reached_speaks_against_the_claim():
    never = [math.nan] * 3
    claim = "pretraining-lowers-d90"
    # The random one needs at least the largest d tried: fewer doublings than it may be.
    record = judged(claim, runs([300] * 3), runs(never, init="random"))
    assert record["models"][0]["statistic"] == pytest.approx(math.log2(100), abs=1e-5)
    assert record["models"][0]["details"]["first_not_reached"] == 3
    assert record["models"][0]["censored"] == "at least"
    # The pre-trained one may need all parameters.
    record = judged(claim, runs(never), runs([300] * 3, init="random"))
    assert record["models"][0]["statistic"] == pytest.approx(math.log2(300 / 1e6), abs=1e-5)
    assert judged(claim, runs(never), runs(never, init="random"))["verdict"] == UNTESTABLE


def test_half_a_doubling_is_still_at_or_below():
    claim = "said-below-did"
    did = runs([1000, 1100, 1200])
    assert judged(claim, did, runs([1000, 1100, 1200], method="SAID"))["verdict"] == IN_PART
    assert judged(claim, did, runs([1300, 1430, 1560], method="SAID"))["verdict"] == IN_PART
    assert judged(claim, did, runs([2000, 2200, 2400], method="SAID"))["verdict"] == FAILS


def test_sizes_are_compared_at_their_ends():
    sizes = [runs([d] * 3, f"w{size}", size=size) for d, size in ((400, 10), (999, 20), (100, 30))]
    record = judged("larger-lower-d90", *sizes)
    assert record["verdict"] == IN_PART
    assert record["models"][0]["model"] == "t"
    assert record["models"][0]["statistic"] == 2.0
    assert judged("larger-lower-d90", *sizes[:2])["verdict"] == UNTESTABLE


def test_a_bound_above_one_says_nothing():
    record = judged("bound-says-something", runs([50, 50, 50]))
    assert record["verdict"] == IN_PART
    assert record["models"][0]["statistic"] == pytest.approx(0.1 + 0.1, abs=1e-6)
    assert record["models"][0]["details"]["same_for_all_parameters"] == pytest.approx(200**0.5)
    assert judged("bound-says-something", runs([4500] * 3))["verdict"] == FAILS


def test_what_is_no_table_of_d90():
    with pytest.raises(ShapelibError, match=r"no table of the d90 of single runs: .* 'D'"):
        judge("d90-tiny", pd.DataFrame())
