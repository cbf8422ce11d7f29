"""Verdicts from made-up tables whose answer is known, and records that are plain JSON."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from shapebook.claims import judge as claims
from shapebook.claims import records
from shapebook.claims.judge import Shown, judge, words
from shapebook.claims.records import multiplicity, reason, sentence
from shapebook.claims.verdicts import (
    CONTRADICTED,
    MIXED,
    SUPPORTED,
    TOO_SMALL,
    UNDECIDED,
    UNTESTABLE,
)
from shapelib.errors import ShapelibError
from shapelib.store import tables as store


def shape(
    values, model: str = "m", role: str = "decoder", stderr: float = 0.001, groups: int = 8,
    tokens: str = "all", window: str = "512 characters", parameters: int | None = 10**9,
    training: str = "language modelling", shifts: object = None,
) -> pd.DataFrame:  # fmt: skip
    """A shape table of one metric: the first value is the embedding, the last is after a norm.

    `shifts`: by how much the groups of windows lie apart from the value, in all layers alike or (a
    row each) in each.
    """
    layers = np.arange(len(values))
    apart = np.broadcast_to(np.zeros(groups) if shifts is None else shifts, (len(values), groups))
    table = pd.DataFrame(
        {
            "model": model, "role": role, "layer": layers, "depth": layers / (len(values) - 1),
            "after_norm": layers == len(values) - 1, "tokens": tokens, "metric": "anisotropy",
            "centered": pd.array([True] * len(values), dtype="boolean"), "value": values,
            "stderr": stderr, "groups": groups, "window": window,
            "by_group": [" ".join(map(str, value + row)) for value, row in
                         zip(values, apart, strict=True)],
        }
    )  # fmt: skip
    table.attrs["provenance"] = [{"model": model, "parameters": parameters, "training": training}]
    return table


BELL = [0.9, 0.1, 0.2, 0.1, 0.7, 0.8, 0.7, 0.1, 0.2, 0.1, 0.9]
PLATEAU = [0.3, 0.1, 0.2, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1]
BOWL = [0.9, 0.8, 0.8, 0.8, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.9]
LOW_BELL = [0.9, 0.1, 0.1, 0.1, 0.15, 0.15, 0.15, 0.1, 0.1, 0.1, 0.9]
FLAT = [0.9, *[0.1, 0.15, 0.12] * 3, 0.9]


def verdict(claim: str, *tables: pd.DataFrame) -> str:
    return judge(claim, store.combine(list(tables)))["verdict"]


def test_each_word_of_a_bell():
    cases = [
        (SUPPORTED, shape(BELL)),
        (TOO_SMALL, shape(LOW_BELL)),
        (CONTRADICTED, shape(BOWL)),
        (UNDECIDED, shape(BELL, stderr=0.2)),
        (UNDECIDED, shape(PLATEAU)),
    ]
    for word, table in cases:
        assert verdict("decoder-bell", table) == word


def test_several_models_and_one_alone():
    both = judge("decoder-bell", store.combine([shape(BELL, "a"), shape(BELL, "b")]))
    assert (both["verdict"], both["beside"]) == (SUPPORTED, [])
    alone = judge("decoder-bell", shape(BELL))
    assert (alone["verdict"], alone["beside"]) == (SUPPORTED, ["one model alone"])
    assert verdict("decoder-bell", shape(BELL, "a"), shape(BOWL, "b")) == MIXED
    assert verdict("decoder-bell", shape(BELL, "a"), shape(LOW_BELL, "b")) == UNDECIDED


def test_a_plateau_is_no_bell():
    record = judge("decoder-bell", shape(PLATEAU))["models"][0]
    assert record["statistic"] == pytest.approx(0.0)
    assert record["details"]["first_third"] == pytest.approx(0.4 / 3, abs=1e-6)
    assert record["details"]["last_third"] == pytest.approx(0.9)


def reading(record: dict, what: str, model: str = "m") -> dict:
    (found,) = (
        each for each in record["readings"] if (each["what"], each["model"]) == (what, model)
    )
    return found


def test_what_a_figure_shows_stands_beside_the_word():
    """Low ends and a high middle anybody sees, where the last third is high but for its end."""
    seen = [0.05, 0.1, 0.3, 0.5, 0.7, 0.8, 0.8, 0.8, 0.8, 0.7, 0.1]
    record = judge("decoder-bell", shape(seen))
    assert record["verdict"] == UNDECIDED
    whole = reading(record, "both ends low, middle high, every layer")
    inner = reading(record, "both ends low, middle high")
    # Of every layer the middle third is that of eleven, and its ends are 0.05 and 0.1.
    assert whole["statistic"] == pytest.approx((0.7 + 0.8 + 0.8 + 0.8) / 4 - 0.1, abs=1e-6)
    assert inner["statistic"] == pytest.approx((0.7 + 0.8 + 0.8) / 3 - 0.7, abs=1e-6)
    assert whole["added"] is inner["added"] is True
    assert "word" not in whole
    top = reading(record, "depth of the top")
    assert (top["statistic"], top["low"], top["high"]) == (0.5, 0.5, 0.8)


def test_encoders_stand_beside_a_claim_about_decoders_and_the_other_way_round():
    table = store.combine([shape(BELL), shape(FLAT, "e", "encoder")])
    bell = judge("decoder-bell", table)
    assert [each["model"] for each in bell["models"]] == ["m"]
    assert reading(bell, "encoders, by the rule", "e")["statistic"] < 0.05
    flat = judge("encoder-uniform", table)
    fails = reading(flat, "decoders, by the rule: they should fail it")
    assert fails["low"] > flat["margin"]
    # From 0.1 to 0.15, whatever the difference.
    doublings = reading(flat, "highest divided by lowest, in doublings", "e")
    assert doublings["statistic"] == pytest.approx(np.log2(1.5), abs=1e-6)


def test_a_bell_that_massive_vectors_make():
    table = store.combine([shape(BELL), shape(FLAT[:1] + [0.1] * 9 + [0.9], tokens="rest")])
    assert verdict("decoder-bell", table) == SUPPORTED
    assert verdict("bell-without-massive", table) == UNDECIDED
    without = reading(judge("decoder-bell", table), "without massive vectors")
    assert without["statistic"] == pytest.approx(0)
    record = judge("massive-carry-the-middle", table)
    assert record["verdict"] == SUPPORTED
    # The middle third is 0.7, 0.8, 0.7, of which 0.1 is left.
    assert record["models"][0]["statistic"] == pytest.approx(1 - 0.1 / (2.2 / 3), abs=1e-6)
    assert "1, asked by this book:" in Shown([record])._html()


def test_the_interval_of_what_is_carried_adds_relative_errors():
    table = store.combine([shape(BELL, stderr=0.05), shape([0.2] * 11, tokens="rest", stderr=0.02)])
    found = judge("massive-carry-the-middle", table)["models"][0]
    ratio = 0.2 / (2.2 / 3)
    half = 2.364624 * ratio * (0.05 / (2.2 / 3) + 0.02 / 0.2)
    assert found["low"] == pytest.approx(1 - ratio - half, abs=1e-5)
    assert found["high"] == pytest.approx(1 - ratio + half, abs=1e-5)


def test_what_stays_is_not_carried():
    table = store.combine([shape(BELL), shape(BELL, tokens="rest")])
    assert verdict("massive-carry-the-middle", table) == UNDECIDED
    assert verdict("bell-without-massive", table) == SUPPORTED
    assert verdict("bell-without-massive", shape(BELL)) == UNTESTABLE
    assert verdict("massive-carry-the-middle", shape(BELL)) == UNTESTABLE


def test_neither_embedding_nor_final_norm_counts():
    only_ends = [0.0, *[0.5] * 9, 0.0]
    record = judge("decoder-bell", shape(only_ends))
    assert record["models"][0]["statistic"] == pytest.approx(0)
    assert reading(record, "every layer as the paper draws them")["statistic"] > 0.1


def test_the_interval_must_clear_the_margin():
    record = judge("decoder-bell", shape(BELL, stderr=0.01))["models"][0]
    # Student's 97.5 % quantile with 7 degrees of freedom; two thirds' errors are added.
    half = 2.364624 * 0.02
    assert record["high"] - record["statistic"] == pytest.approx(half, abs=1e-5)
    assert record["over"] == "8 groups of windows"


def test_encoders():
    assert verdict("encoder-uniform", shape(FLAT, role="encoder")) == SUPPORTED
    assert verdict("encoder-uniform", shape(BELL, role="encoder")) == CONTRADICTED
    assert verdict("encoder-uniform", shape(FLAT, role="encoder", stderr=0.02)) == UNDECIDED


@pytest.mark.parametrize(
    ("claim", "table", "said"),
    [
        ("decoder-bell", shape(BELL, parameters=900_000), "0.9 million parameters"),
        ("decoder-bell", shape(BELL, parameters=None), "parameters is not recorded"),
        ("decoder-bell", shape(BELL, window="64 tokens"), "its window is 64 tokens"),
        (
            "encoder-uniform", shape(FLAT, role="encoder", training="contrastive"),
            "its training is contrastive",
        ),
        (
            "encoder-uniform", shape(FLAT, role="encoder", training="of a kind that its files"),
            "and language modelling is needed",
        ),
        ("encoder-uniform", shape(FLAT, role="encoder", parameters=10**6), "1 million parameters"),
    ],
)  # fmt: skip
def test_outside_its_regime_a_claim_has_numbers_and_no_word(claim, table, said):
    record = judge(claim, table)
    assert record["verdict"] == UNTESTABLE
    (model,) = record["models"]
    assert said in model["outside"]
    assert None not in (model["statistic"], model["low"], model["high"])
    shown = Shown([record])._html()
    assert sentence(model) in shown
    assert f"would test it: {record['would_test']}" in shown


def test_a_contrastive_encoder_does_not_decide_for_a_plain_one():
    tuned = shape(BELL, "tuned", "encoder", training="contrastive")
    record = judge("encoder-uniform", store.combine([tuned, shape(FLAT, "plain", "encoder")]))
    assert (record["verdict"], record["beside"]) == (SUPPORTED, ["one model alone"])
    assert reason(record) == "one model alone; 1 more not testable: outside the claim's regime"


def test_nothing_to_test_is_said_by_name():
    def why(table: pd.DataFrame, claim: str = "decoder-bell") -> str:
        record = judge(claim, table)
        assert record["verdict"] == UNTESTABLE
        return reason(record)

    assert why(shape(BELL, role="decoder"), "encoder-uniform") == "no such model"
    few = shape(BELL, stderr=float("nan"), groups=2)
    assert "too few groups of windows" in why(few)
    assert "too few groups of windows" in why(shape(BELL, stderr=float("nan"), groups=1))
    assert why(shape([0.1, 0.2, 0.3])) == "layers that count: 1, and 3 are needed"
    record = judge("decoder-bell", shape([0.1, 0.2, 0.3]))
    assert sentence(record["models"][0]).startswith("– (no interval: layers that count: 1")
    assert "layers that count: 1" in Shown([record])._html()


@pytest.mark.parametrize("column", ["value", "stderr", "window", "centered", "groups"])
def test_a_column_that_a_claim_needs_is_named(column: str):
    with pytest.raises(ShapelibError, match=f"'decoder-bell' .* has no column '{column}'"):
        judge("decoder-bell", shape(BELL).drop(columns=column))


def test_a_rank_correlation_needs_what_each_group_measured():
    table = estimates("a", UP, UP, UP)
    with pytest.raises(ShapelibError, match=r"'estimators-agree' .* has no column 'by_group'"):
        judge("estimators-agree", table.drop(columns="by_group"))
    without = judge("estimators-agree", table.assign(by_group=""))
    assert without["verdict"] == UNTESTABLE
    assert without["models"][0]["statistic"] == 1.0


def test_small_numbers_are_not_hidden():
    model = {"statistic": 0.000121, "low": -0.000096, "high": 0.0125}
    assert sentence(model) == "0.00012 [−0.000096, 0.013]"
    assert sentence({"statistic": 0.0, "low": -0.5, "high": 1}) == "0.000 [−0.500, 1.000]"


def test_a_bound_is_told_from_a_value_and_a_detail_stands_beside():
    model = {"statistic": 2.0, "low": 1.0, "high": 3.0, "censored": "at least"}
    assert sentence(model) == "at least 2.000 [1.000, 3.000]"
    beside = {**model, "censored": "", "beside": {"d90": 2739.6}}
    assert sentence(beside) == "2.000 [1.000, 3.000] (d90 2\N{NARROW NO-BREAK SPACE}740)"


def test_content_tokens_are_shown_beside():
    record = judge("decoder-bell", store.combine([shape(BELL), shape(PLATEAU, tokens="content")]))
    assert record["verdict"] == SUPPORTED
    assert reading(record, "content tokens only")["statistic"] == pytest.approx(0)


def test_a_record_is_plain_json_and_shown_in_full(capsys: pytest.CaptureFixture[str]):
    found = [judge("decoder-bell", shape(BOWL)), judge("encoder-uniform", shape(FLAT))]
    bundle, metadata = Shown(found)._repr_mimebundle_()
    assert json.loads(json.dumps(metadata[records.RECORDS], allow_nan=False)) == found
    assert "contradicted" in bundle["text/html"]
    assert "not testable here" in bundle["text/plain"]
    words(found)
    printed = capsys.readouterr().out
    assert printed == (
        "decoders have a bell: contradicted (one model alone)\n"
        "encoders are uniform: not testable here\n"
    )
    assert not re.search(r"\d", printed)


def test_how_many_intervals_there_are_is_said():
    found = [judge("decoder-bell", store.combine([shape(BELL, "a"), shape(BELL, "b")]))]
    found += [judge("encoder-uniform", shape(FLAT))]
    assert multiplicity(found).startswith("2 intervals of 95 % give the words here")
    assert "0.1 of them" in multiplicity(found * 2)
    assert multiplicity(found[1:]) == "No interval gives a word here."


def estimates(
    model: str, *rankings: list[float], spread: float = 0.0, role: str = "decoder"
) -> pd.DataFrame:
    """A shape table of the three estimators, one ranking of layers each; groups of windows lie
    `spread` apart, each layer and estimator by itself."""
    draw = np.random.default_rng(0)
    tables = []
    for metric, values in zip(("two_nn", "mada_k20", "mom_k20"), rankings, strict=True):
        shifts = spread * draw.standard_normal((len(values) + 2, 8))
        one = shape([9.0, *values, 9.0], model, role, shifts=shifts)
        tables.append(one.assign(metric=metric, centered=pd.NA))
    found = pd.concat(tables, ignore_index=True)
    found.attrs = tables[0].attrs
    return found


UP, DOWN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_estimators_that_agree():
    both = store.combine([estimates("a", UP, UP, UP), estimates("b", DOWN, DOWN, DOWN)])
    record = judge("estimators-agree", both)
    assert (record["verdict"], record["asked"]) == (SUPPORTED, "this book")
    assert [m["statistic"] for m in record["models"]] == [1.0, 1.0]


def test_an_interval_is_over_the_groups_that_it_is_made_of():
    table = estimates("a", UP, UP, UP)
    other = table[table["metric"] == "two_nn"].assign(metric="overlap_next", groups=0)
    (model,) = judge("estimators-agree", store.combine([table, other]))["models"]
    assert model["over"] == "8 groups of windows"


def test_one_estimator_that_disagrees_decides():
    record = judge("estimators-agree", estimates("a", UP, UP, DOWN))
    assert record["verdict"] == CONTRADICTED
    assert record["models"][0]["statistic"] == -1.0
    assert record["models"][0]["details"]["mada_k20_and_two_nn"] == 1.0


def test_agreement_within_the_error_is_none():
    record = judge("estimators-agree", estimates("a", UP, UP, UP, spread=20.0))
    assert record["verdict"] == UNDECIDED
    assert record["models"][0]["low"] < 0.5 < record["models"][0]["statistic"]


def test_what_moves_all_layers_alike_moves_no_rank_correlation():
    """A redraw of every layer by itself would see an error here; other windows make none."""
    one = np.linspace(-9, 9, 8)
    tables = [
        shape([9.0, *UP, 9.0], shifts=one).assign(metric=each, centered=pd.NA)
        for each in ("two_nn", "mada_k20", "mom_k20")
    ]
    record = judge("estimators-agree", store.combine(tables))["models"][0]
    assert (record["low"], record["statistic"], record["high"]) == (1.0, 1.0, 1.0)


SCALES = [f"gride_{n}" for n in (1, 2, 4, 8, 16, 32, 64)]


def measured(of: dict[str, list[float]], shifts: object = None) -> pd.DataFrame:
    """A shape table of several metrics, each with its values of the inner layers."""
    tables = [
        shape([9.0, *values, 9.0], shifts=shifts).assign(metric=metric, centered=pd.NA)
        for metric, values in of.items()
    ]
    found = pd.concat(tables, ignore_index=True)
    found.attrs = tables[0].attrs
    return found


def test_one_dimension_at_every_scale():
    claim = "one-dimension-at-every-scale"
    same = judge(claim, measured(dict.fromkeys(SCALES, UP), np.linspace(-0.1, 0.1, 8)))
    assert (same["verdict"], same["asked"]) == (SUPPORTED, "this book")
    assert same["models"][0]["statistic"] == 0
    # Three layers grow fourfold over the scales, in the middle of which they are lower still.
    grown = dict.fromkeys(SCALES, UP) | {"gride_64": [1, 2, 3, 16, 20, 24]}
    grown |= {"gride_8": [1, 2, 3, 2, 2.5, 3]}
    (found,) = judge(claim, measured(grown))["models"]
    assert (found["word"], found["statistic"]) == (CONTRADICTED, 1.5)
    assert (found["low"], found["high"]) == (1.5, 1.5)
    assert found["details"] == {"least": 0, "least_layer": 1, "most": 3, "most_layer": 4}


def test_a_span_within_its_error_decides_nothing():
    draw = np.random.default_rng(0)
    table = measured(dict.fromkeys(SCALES, [4.0] * 6) | {"gride_64": [4.4] * 6})
    noisy = [
        " ".join(f"{4 * 2**each:.6f}" for each in draw.normal(0, 0.5, 8)) for _ in range(len(table))
    ]
    (found,) = judge("one-dimension-at-every-scale", table.assign(by_group=noisy))["models"]
    assert found["word"] == UNDECIDED
    assert found["low"] == 0 < found["statistic"] < 0.5 < found["high"]


def test_fits_that_part_with_the_scales():
    scales = {"gride_1": UP, "gride_64": [1.0, 4.0, 12.0, 32.0, 80.0, 192.0]}
    fits = {"two_nn": DOWN, "two_nn_lowest20": [6.0, 6.0, 6.0, 6.0, 5.0, 4.0]}
    (found,) = judge("two-fits-two-scales", measured(fits | scales))["models"]
    assert (found["word"], found["statistic"]) == (SUPPORTED, 1.0)
    assert found["details"]["second_gap"] == 2.5
    turned = {"two_nn": fits["two_nn_lowest20"], "two_nn_lowest20": DOWN}
    (found,) = judge("two-fits-two-scales", measured(turned | scales))["models"]
    assert (found["word"], found["statistic"]) == (CONTRADICTED, -1.0)
    assert found["details"]["first_gap"] < 0


@pytest.mark.parametrize("lacking", ["gride_1", "gride_64"])
def test_a_scale_that_is_missing_is_not_testable(lacking: str):
    there = dict.fromkeys((*SCALES, "two_nn", "two_nn_lowest20"), UP)
    table = measured(there)
    none = [table[table["metric"] != lacking], table.assign(
        value=table["value"].mask(table["metric"].eq(lacking) & table["layer"].eq(3))
    ), table.assign(value=table["value"].mask(table["metric"].eq(lacking), 0.0))]  # fmt: skip
    for each in none:
        for claim in ("one-dimension-at-every-scale", "two-fits-two-scales"):
            assert judge(claim, each)["verdict"] == UNTESTABLE


def test_a_gap_in_a_series_is_not_testable():
    table = estimates("a", UP, UP, [*UP[:-1], float("nan")])
    assert judge("estimators-agree", table)["verdict"] == UNTESTABLE


def test_one_model_of_each_role_is_no_class():
    def agreeing(model: str, role: str) -> pd.DataFrame:
        one = shape([9.0, *UP, 9.0], model, role)
        other = one.assign(metric="average_cosine", centered=False)
        return store.combine([one, other])

    pair = [agreeing("d", "decoder"), agreeing("e", "encoder")]
    more = [agreeing("d2", "decoder"), agreeing("e2", "encoder")]

    def beside(*tables: pd.DataFrame) -> list[str]:
        return judge("measures-agree", store.combine(list(tables)))["beside"]

    assert verdict("measures-agree", *pair) == SUPPORTED
    assert beside(*pair) == beside(*pair, more[0]) == ["one model of a role alone"]
    assert beside(pair[0]) == ["one model alone"]
    assert beside(*pair, *more) == []


def test_what_is_no_shape_table():
    with pytest.raises(ShapelibError, match=r"from a shape table, .* no column 'after_norm'"):
        judge("decoder-bell", pd.DataFrame())


def test_an_unknown_claim():
    with pytest.raises(ShapelibError, match="did you mean 'decoder-bell'"):
        judge("decoder-bel", shape(BELL))


def test_every_claim_is_one_of_the_file():
    assert set(claims.claims()) >= {"decoder-bell", "bound-says-something"}
