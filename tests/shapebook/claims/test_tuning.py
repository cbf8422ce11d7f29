"""Verdicts on fine-tuning from made-up crossings whose answer is known."""

import math

import pandas as pd
import pytest

from shapebook.claims.judge import judge
from shapebook.claims.records import sentence
from shapebook.claims.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTABLE
from shapelib.errors import ShapelibError
from shapelib.finetuning.settings import OTHER, SCORED

DEFINITIONS = ("papers", "chance-corrected", "against pre-trained")
MEAN_CURVE = 987.6


def runs(
    crossings: list[float], model: str = "m", task: str = "t", init: str = "pre-trained",
    method: str = "DID", size: int = 10**8, train_score: float = 0.9,
    seen: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The crossings of seeds 0, 1, …, the same by every definition and choice of rates."""
    one = pd.DataFrame(
        {
            "task": task, "model": model, "role": "encoder", "init": init, "method": method,
            "seed": range(len(crossings)), "D": size, "m": 5000, "crossing": crossings,
            "d90": MEAN_CURVE, "largest_tried": 30_000, "score": 0.8, "train_score": train_score,
            "step": None, "tokens_seen": seen,
        }
    ).astype({"tokens_seen": "Int64", "step": "Int64"})  # fmt: skip
    return pd.concat(
        [one.assign(definition=each, rates=way) for each in DEFINITIONS for way in (SCORED, OTHER)],
        ignore_index=True,
    )


def judged(claim: str, *tables: pd.DataFrame):
    return judge(claim, pd.concat(tables, ignore_index=True))


def test_a_hundredth_of_the_parameters_is_tiny_and_a_tenth_is_not():
    record = judged("d90-tiny", runs([9e4, 1e5, 1.1e5], "a"), runs([9e3, 1e4, 1.1e4], "b"))
    assert (record["verdict"], record["beside"]) == (SUPPORTED, [])
    assert [m["model"] for m in record["models"]] == ["a on t", "b on t"]
    # Student's 97.5 % quantile with 2 degrees of freedom.
    half = 4.302653 * 1e4 / math.sqrt(3) / 1e8
    assert record["models"][0]["high"] == pytest.approx(0.001 + half, abs=1e-6)
    assert judged("d90-tiny", runs([9e6, 1e7, 1.1e7]))["verdict"] == CONTRADICTED
    assert judged("d90-tiny", runs([900, 1000]))["verdict"] == UNTESTABLE


def test_d90_itself_stands_beside_the_share():
    """That of the mean curve, as tables have it; the share is of the seeds' mean crossing."""
    record = judged("d90-tiny", runs([900, 1000, 1100]))
    assert sentence(record["models"][0]).endswith("(d90 988)")
    assert record["models"][0]["details"]["mean_crossing"] == 1000
    assert record["models"][0]["statistic"] == 1000 / 10**8


def test_two_tasks_of_one_model_are_one_model():
    record = judged("d90-tiny", runs([900, 1000, 1100]), runs([900, 1000, 1100], task="u"))
    assert (record["verdict"], record["beside"]) == (SUPPORTED, ["one model alone"])


def test_an_interval_of_two_standard_errors_would_not_do():
    """That of 82 % lies below the margin, and the 4.3 errors of 95 % do not."""
    record = judged("d90-tiny", runs([7e5, 8e5, 9e5]))
    assert 0.008 + 2 * 0.001 / math.sqrt(3) < record["margin"]
    assert record["verdict"] == UNDECIDED


def test_a_model_that_read_little_is_no_pretrained_one():
    for small in (runs([9, 10, 11], size=10**6), runs([9, 10, 11], seen=2_600_000)):
        for claim in ("d90-tiny", "bound-says-something"):
            assert judged(claim, small)["verdict"] == UNTESTABLE
    assert judged("d90-tiny", runs([9, 10, 11], seen=3 * 10**9))["verdict"] == SUPPORTED


def test_the_learning_rates_choice_on_scored_texts_stands_beside():
    table = runs([900, 1000, 1100])
    table.loc[table["rates"] == SCORED, "crossing"] /= 2
    record = judged("d90-tiny", table)
    assert record["models"][0]["details"]["mean_crossing"] == 1000
    (beside,) = (each for each in record["readings"] if "as the papers do" in each["what"])
    assert beside["details"]["mean_crossing"] == 500


def test_a_run_that_never_reached_its_bar_needs_all_parameters():
    record = judged("d90-tiny", runs([9e4, 1e5, math.nan]).assign(largest_tried=10**7))
    assert record["verdict"] == UNDECIDED
    assert record["models"][0]["statistic"] == pytest.approx((0.0009 + 0.001 + 1) / 3, abs=1e-5)
    assert record["models"][0]["details"]["runs_that_did_not_reach_it"] == 1
    assert record["models"][0]["censored"] == "at most"


def test_what_was_not_tried_far_enough_is_not_judged():
    large = runs([900, 1000, math.nan], size=10**9)
    assert judged("d90-tiny", large)["verdict"] == UNTESTABLE
    few = runs([50, 50, math.nan]).assign(largest_tried=60)
    record = judged("bound-says-something", few)
    assert record["verdict"] == UNTESTABLE
    assert "its bound may be higher" in record["models"][0]["outside"]
    many = judged("bound-says-something", runs([50, 50, math.nan]).assign(largest_tried=80_000))
    assert many["verdict"] == UNDECIDED
    assert many["models"][0]["censored"] == "at least"
    found = many["models"][0]["statistic"]
    assert found == pytest.approx((2 * (0.1 + 0.1) + 4 + 0.1) / 3, abs=1e-6)


def test_doublings_are_taken_seed_by_seed():
    record = judged(
        "pretraining-lowers-d90", runs([100, 200, 400]), runs([800, 1600, 3200], init="random")
    )
    assert record["verdict"] == SUPPORTED
    found = record["models"][0]
    assert (found["statistic"], found["low"], found["high"]) == (3.0, 3.0, 3.0)
    other = judged("pretraining-lowers-d90", runs([800] * 3), runs([100] * 3, init="random"))
    assert other["verdict"] == CONTRADICTED
    assert {each["what"] for each in record["readings"]} >= {
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
    assert record["models"][0]["statistic"] == pytest.approx(math.log2(300 / 1e8), abs=1e-5)
    assert judged(claim, runs(never), runs(never, init="random"))["verdict"] == UNTESTABLE


def test_half_a_doubling_is_still_at_or_below():
    claim = "said-below-did"
    did = runs([1000, 1100, 1200])
    for factor, word in ((1, SUPPORTED), (1.3, SUPPORTED), (2, CONTRADICTED)):
        said = runs([1000 * factor, 1100 * factor, 1200 * factor], method="SAID")
        assert judged(claim, did, said)["verdict"] == word


def test_sizes_are_compared_at_their_ends():
    sizes = [
        runs([d] * 3, f"w{size}", size=size * 10**7, seen=10**10)
        for d, size in ((400, 1), (999, 2), (100, 3))
    ]
    record = judged("larger-lower-d90", *sizes)
    assert record["verdict"] == SUPPORTED
    assert record["models"][0]["model"] == "t"
    assert record["models"][0]["statistic"] == 2.0
    assert judged("larger-lower-d90", *sizes[:2])["verdict"] == UNTESTABLE


def test_sizes_are_compared_at_one_step_and_inside_their_regime():
    def sizes(parameters: int, steps: tuple[int, ...], seen: float | None) -> pd.DataFrame:
        each = [
            runs([100] * 3, f"w{n}", size=parameters * n, seen=seen).assign(step=step)
            for n, step in zip((1, 2, 3), steps, strict=True)
        ]
        return pd.concat(each, ignore_index=True)

    def why(table: pd.DataFrame) -> str:
        record = judge("larger-lower-d90", table)
        assert record["verdict"] == UNTESTABLE
        return record["models"][0]["outside"]

    assert "equally many updates" in why(sizes(10**7, (1, 1, 2), 1e10))
    assert "0.2 million parameters" in why(sizes(200_000, (1, 1, 1), 1e10))
    assert "2.6 million tokens read" in why(sizes(10**7, (1, 1, 1), 2.6e6))
    assert "tokens read is not recorded" in why(sizes(10**7, (1, 1, 1), None))
    assert judge("larger-lower-d90", sizes(10**7, (1, 1, 1), 1e10))["verdict"] == CONTRADICTED


def test_a_bound_above_one_says_nothing():
    record = judged("bound-says-something", runs([50, 50, 50]))
    assert (record["verdict"], record["asked"]) == (SUPPORTED, "this book")
    assert record["models"][0]["statistic"] == pytest.approx(0.1 + 0.1, abs=1e-6)
    everything = record["models"][0]["details"]["same_for_all_parameters"]
    assert everything == pytest.approx((10**8 / 5000) ** 0.5)
    assert judged("bound-says-something", runs([5500] * 3))["verdict"] == CONTRADICTED


def test_what_is_no_table_of_crossings():
    with pytest.raises(ShapelibError, match=r"a table of the crossings of single runs, .* 'D'"):
        judge("d90-tiny", pd.DataFrame())
