"""Verdicts from made-up tables whose answer is known, and records that are plain JSON."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from shapebook.claims import judge as claims
from shapebook.claims import layers, training, tuning
from shapebook.claims.judge import FAILS, HOLDS, IN_PART, UNTESTABLE, Shown, judge, sentence, words
from shapelib.errors import ShapelibError


def shape(
    values, model: str = "m", role: str = "decoder", stderr: float = 0.001, groups: int = 8,
    tokens: str = "all",
) -> pd.DataFrame:  # fmt: skip
    """A shape table of one metric: the first value is the embedding, the last is after a norm."""
    layers = np.arange(len(values))
    return pd.DataFrame(
        {
            "model": model, "role": role, "layer": layers, "depth": layers / (len(values) - 1),
            "after_norm": layers == len(values) - 1, "tokens": tokens, "metric": "anisotropy",
            "centered": pd.array([True] * len(values), dtype="boolean"), "value": values,
            "stderr": stderr, "groups": groups,
        }
    )  # fmt: skip


BELL = [0.9, 0.1, 0.2, 0.1, 0.7, 0.8, 0.7, 0.1, 0.2, 0.1, 0.9]
PLATEAU = [0.3, 0.1, 0.2, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1]
FLAT = [0.9, *[0.1, 0.15, 0.12] * 3, 0.9]


def verdict(claim: str, *tables: pd.DataFrame) -> str:
    return judge(claim, pd.concat(tables, ignore_index=True))["verdict"]


def test_two_bells_hold_and_one_holds_in_part():
    assert verdict("decoder-bell", shape(BELL, "a"), shape(BELL, "b")) == HOLDS
    assert verdict("decoder-bell", shape(BELL)) == IN_PART
    assert verdict("decoder-bell", shape(BELL, "a"), shape(PLATEAU, "b")) == IN_PART


def test_a_plateau_is_no_bell():
    assert verdict("decoder-bell", shape(PLATEAU)) == FAILS
    record = judge("decoder-bell", shape(PLATEAU))["models"][0]
    assert record["statistic"] == pytest.approx(0.0)
    assert record["details"]["first_third"] == pytest.approx(0.4 / 3, abs=1e-6)
    assert record["details"]["last_third"] == pytest.approx(0.9)


def test_a_bell_that_massive_vectors_make():
    table = pd.concat([shape(BELL), shape(FLAT[:1] + [0.1] * 9 + [0.9], tokens="rest")])
    assert verdict("decoder-bell", table) == IN_PART
    assert verdict("bell-without-massive", table) == FAILS
    without = judge("decoder-bell", table)["sensitivity"]
    assert [s["met"] for s in without if s["what"] == "without massive vectors"] == [False]
    record = judge("massive-carry-the-middle", table)
    assert record["verdict"] == IN_PART
    # The middle third is 0.7, 0.8, 0.7, of which 0.1 is left.
    assert record["models"][0]["statistic"] == pytest.approx(1 - 0.1 / (2.2 / 3), abs=1e-6)
    assert [s["what"][:11] for s in record["sensitivity"]] == ["every layer"]
    assert "1, asked by this book:" in Shown([record])._html()


def test_the_interval_of_what_is_carried_adds_relative_errors():
    table = pd.concat([shape(BELL, stderr=0.05), shape([0.2] * 11, tokens="rest", stderr=0.02)])
    found = judge("massive-carry-the-middle", table)["models"][0]
    ratio = 0.2 / (2.2 / 3)
    half = 2.364624 * ratio * (0.05 / (2.2 / 3) + 0.02 / 0.2)
    assert found["low"] == pytest.approx(1 - ratio - half, abs=1e-5)
    assert found["high"] == pytest.approx(1 - ratio + half, abs=1e-5)


def test_what_stays_is_not_carried():
    table = pd.concat([shape(BELL), shape(BELL, tokens="rest")])
    assert verdict("massive-carry-the-middle", table) == FAILS
    assert verdict("bell-without-massive", table) == IN_PART
    assert verdict("bell-without-massive", shape(BELL)) == UNTESTABLE
    assert verdict("massive-carry-the-middle", shape(BELL)) == UNTESTABLE


def test_neither_embedding_nor_final_norm_counts():
    only_ends = [0.0, *[0.5] * 9, 0.0]
    record = judge("decoder-bell", shape(only_ends))
    assert record["verdict"] == FAILS
    everywhere = next(s for s in record["sensitivity"] if s["what"].startswith("every layer"))
    assert everywhere["statistic"] > 0.1


def test_the_interval_must_clear_the_margin():
    assert verdict("decoder-bell", shape(BELL, stderr=0.2)) == FAILS
    record = judge("decoder-bell", shape(BELL, stderr=0.01))["models"][0]
    # Student's 97.5 % quantile with 7 degrees of freedom; two thirds' errors are added.
    half = 2.364624 * 0.02
    assert record["high"] - record["statistic"] == pytest.approx(half, abs=1e-5)


def test_encoders():
    assert verdict("encoder-uniform", shape(FLAT, role="encoder")) == IN_PART
    assert verdict("encoder-uniform", shape(BELL, role="encoder")) == FAILS
    assert verdict("encoder-uniform", shape(FLAT, role="encoder", stderr=0.02)) == FAILS


def test_nothing_to_test():
    assert verdict("encoder-uniform", shape(BELL, role="decoder")) == UNTESTABLE
    assert verdict("decoder-bell", shape(BELL, stderr=float("nan"), groups=2)) == UNTESTABLE
    assert verdict("decoder-bell", shape([0.1, 0.2, 0.3])) == UNTESTABLE
    record = judge("decoder-bell", shape([0.1, 0.2, 0.3]))
    assert sentence(record["models"][0]) == "– (no interval: too few windows or runs)"


def test_small_numbers_are_not_hidden():
    model = {"statistic": 0.000121, "low": -0.000096, "high": 0.0125}
    assert sentence(model) == "0.00012 [−0.000096, 0.013]"
    assert sentence({"statistic": 0.0, "low": -0.5, "high": 1}) == "0.000 [−0.500, 1.000]"


def test_a_bound_is_told_from_a_value():
    model = {"statistic": 2.0, "low": 1.0, "high": 3.0, "censored": "at least"}
    assert sentence(model) == "at least 2.000 [1.000, 3.000]"


def test_what_another_interval_would_say_is_said():
    record = {"because": "", "verdict": IN_PART, "verdict_at_95": IN_PART}
    assert claims.proviso(record) == ""
    record["verdict_at_95"] = FAILS
    assert claims.proviso(record) == ". By intervals of 95 %: does not hold here."
    record["because"] = "one stands in for another"
    assert claims.proviso(record) == (
        ". One stands in for another. By intervals of 95 %: does not hold here."
    )


def test_content_tokens_are_shown_beside():
    table = pd.concat([shape(BELL), shape(PLATEAU, tokens="content")], ignore_index=True)
    record = judge("decoder-bell", table)
    assert record["verdict"] == IN_PART
    content = next(s for s in record["sensitivity"] if s["what"].startswith("content"))
    assert not content["met"]


def test_a_record_is_plain_json_and_shown_in_full(capsys: pytest.CaptureFixture[str]):
    records = [judge("decoder-bell", shape(PLATEAU)), judge("encoder-uniform", shape(FLAT))]
    bundle, metadata = Shown(records)._repr_mimebundle_()
    assert json.loads(json.dumps(metadata[claims.RECORDS], allow_nan=False)) == records
    assert "does not hold here" in bundle["text/html"]
    assert "not testable here" in bundle["text/plain"]
    words(records)
    printed = capsys.readouterr().out
    assert printed == (
        "decoders have a bell: does not hold here\nencoders are uniform: not testable here\n"
    )
    assert not re.search(r"\d", printed)


def test_every_claim_is_complete():
    several = ("agree", "carried", "agree_in_training", "lies_above", "needs_more")
    assert set(claims.VERDICTS) == {HOLDS, IN_PART, FAILS, UNTESTABLE}
    for claim in claims.claims().values():
        known = {"shape": layers, "course": training, "d90": tuning}
        assert claim.rule in known[claim.table].RULES
        assert (claim.along in ("recipe", "family", "all")) == (claim.table == "course")
        assert claim.role in ("encoder", "decoder", "any")
        assert claim.at_most in ("", *claims.VERDICTS)
        assert bool(claim.at_most) == bool(claim.because)
        assert (claim.rule in several) == (len(claim.series) > 1)
        assert claim.margin > 0 or claim.rule in ("needs_more", "larger_needs_less")
        assert 0.5 < claim.confidence < 1
        assert not re.search(r"\d", claim.title)
        assert claim.effect[0].islower() or claim.effect.startswith("d90")
    # A paper's claim is judged once; what else is asked of it is this book's question.
    numbers = [claim.number for claim in claims.claims().values() if not claim.asked]
    assert sorted(numbers) == list(range(1, 14))


def test_the_rules_are_those_fixed_beforehand():
    bell, uniform = (claims.claims()[each] for each in ("decoder-bell", "encoder-uniform"))
    for claim in (bell, uniform):
        assert claim.select == {"metric": "anisotropy", "centered": True, "tokens": "all"}
        assert (claim.margin, claim.confidence) == (0.1, 0.95)


def estimates(model: str, *rankings: list[float], stderr: float = 0.001) -> pd.DataFrame:
    """A shape table of the three estimators, one ranking of layers each."""
    tables = []
    for metric, values in zip(("two_nn", "mada_k20", "mom_k20"), rankings, strict=True):
        one = shape([9.0, *values, 9.0], model, stderr=stderr)
        tables.append(one.assign(metric=metric, centered=pd.NA))
    return pd.concat(tables, ignore_index=True)


UP, DOWN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_estimators_that_agree_hold_in_part_at_most():
    both = pd.concat([estimates("a", UP, UP, UP), estimates("b", DOWN, DOWN, DOWN)])
    record = judge("estimators-agree", both)
    assert record["verdict"] == IN_PART
    assert "stand in for steps of training" in record["because"]
    assert [m["statistic"] for m in record["models"]] == [1.0, 1.0]


def test_one_estimator_that_disagrees_decides():
    record = judge("estimators-agree", estimates("a", UP, UP, DOWN))
    assert record["verdict"] == FAILS
    assert record["models"][0]["statistic"] == -1.0
    assert record["models"][0]["details"]["two_nn_and_mada_k20"] == 1.0


def test_agreement_within_the_error_is_none():
    record = judge("estimators-agree", estimates("a", UP, UP, UP, stderr=5.0))
    assert record["verdict"] == FAILS
    assert record["models"][0]["low"] < 0.5 < record["models"][0]["statistic"]


def test_rank_correlation_is_that_of_scipy():
    from scipy import stats

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (2, 40)).astype(float)
    assert layers.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(layers.spearman(a, np.full(40, 2.0)))


def test_a_gap_in_a_series_is_not_testable():
    table = estimates("a", UP, UP, [*UP[:-1], float("nan")])
    assert judge("estimators-agree", table)["verdict"] == UNTESTABLE


def test_one_model_of_each_role_is_no_class():
    def agreeing(model: str, role: str) -> pd.DataFrame:
        one = shape([9.0, *UP, 9.0], model, role)
        other = one.assign(metric="average_cosine", centered=False)
        return pd.concat([one, other], ignore_index=True)

    pair = [agreeing("d", "decoder"), agreeing("e", "encoder")]
    assert verdict("measures-agree", *pair) == IN_PART
    more = [agreeing("d2", "decoder"), agreeing("e2", "encoder")]
    assert verdict("measures-agree", *pair, *more) == HOLDS


def test_what_is_no_shape_table():
    with pytest.raises(ShapelibError, match="no shape table: it has no column 'centered'"):
        judge("decoder-bell", pd.DataFrame())


def test_an_unknown_claim():
    with pytest.raises(ShapelibError, match="did you mean 'decoder-bell'"):
        judge("decoder-bel", shape(BELL))
