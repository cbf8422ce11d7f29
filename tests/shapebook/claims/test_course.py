"""Claims about training, from made-up curves whose answer is known."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from shapebook.claims.course import MIXED, WHOLE, copies, course, curve
from shapebook.claims.judge import judge
from shapebook.claims.verdicts import (
    CONTRADICTED,
    SUPPORTED,
    TOO_SMALL,
    UNDECIDED,
    UNTESTABLE,
)
from shapelib.errors import ShapelibError
from shapelib.store.tables import combine

STEPS = np.array([0, 10, 20, 40, 80, 160, 320, 640, 1280])
METRICS = (("two_nn", None), ("two_nn_lowest20", None), ("mada_k20", None), ("mom_k20", None))
Curve = Callable[[np.ndarray], np.ndarray]


def tables(
    shape: Curve, *, kind: str = "decoder", warmup: int = 50, seeds: tuple[int, ...] = (0, 1, 2),
    noise: float = 0.02, batches: int = 4, metric: tuple[str, bool | None] | None = None,
    per_step: int = 10**9, parameters: int | None = 10**9, groups: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Shape and training tables of runs that follow one curve; the layers lie 1 apart about it.

    `groups`: how far eight groups of windows lie apart, in all layers and checkpoints alike.
    """
    rows, runs, facts = [], [], []
    apart = [] if groups is None else groups * np.linspace(-1, 1, 8)
    for seed in seeds:
        generator = np.random.default_rng(seed)
        values = shape(STEPS) + noise * generator.standard_normal(len(STEPS))
        name = f"{kind}-96-warmup{warmup}-seed{seed}"
        facts.append({"model": name, "parameters": parameters})
        for step, value in zip(STEPS, values, strict=True):
            runs.append(
                {
                    "model": name, "kind": kind, "seed": seed, "width": 96, "warmup": warmup,
                    "step": step, "perplexity": 50.0, "learning_rate": 1e-3,
                }
            )  # fmt: skip
            rows += [
                {
                    "model": name, "role": "encoder" if kind == "encoder" else "decoder",
                    "step": step, "tokens_seen": per_step * step, "layer": layer,
                    "after_norm": layer == 4, "tokens": "all", "metric": each,
                    "centered": centered, "batches": batches, "stderr": 0.01,
                    # What the embedding and a normed layer show must not count.
                    "value": (height := value + layer - 2 if 0 < layer < 4 else 1000),
                    "by_group": " ".join(str(height + each) for each in apart),
                }
                for layer in range(5) for each, centered in ((metric,) if metric else METRICS)
            ]  # fmt: skip
    shape_table = pd.DataFrame(rows)
    shape_table.attrs["provenance"] = facts
    return shape_table, pd.DataFrame(runs)


def rise_and_fall(steps: np.ndarray) -> np.ndarray:
    """Down from the start to step 20, up by 1 until 160, down by 0.5 until 1280."""
    return np.interp(
        np.log2(steps + 10), np.log2(np.array([0, 20, 160, 1280]) + 10), [6, 4, 5, 4.5]
    )


def peak_at(step: int) -> Curve:
    return lambda steps: np.interp(
        np.log2(steps + 10), np.log2(np.array([0, 20, step, 1280]) + 10), [6, 4, 5, 4.5]
    )


def only_rise(steps: np.ndarray) -> np.ndarray:
    return np.log2(steps + 10) / 4


def judged(claim: str, *pairs: tuple[pd.DataFrame, pd.DataFrame]) -> dict:
    shapes, trained = zip(*pairs, strict=True)
    record = judge(claim, course(combine(list(shapes)), combine(list(trained))))
    assert json.loads(json.dumps(record)) == record
    return record


def suite(shape: Curve, name: str = "suite", **given) -> pd.DataFrame:
    """A published suite's curves: one run, no training table, its warm-up in the provenance."""
    warmup = given.pop("warmup_tokens", None)
    table, _ = tables(shape, seeds=(0,), noise=0, **{"groups": 0.02, **given})
    table["model"] = name
    table.attrs["provenance"] = [
        {**each, "model": name, "warmup_tokens": warmup} for each in table.attrs["provenance"]
    ]
    return course(table)


def scales(shapes: dict[str, Curve], **given) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of a suite's GRIDE, a curve for each scale, and TwoNN of four batches beside it."""
    shape, trained = tables(rise_and_fall, noise=0, **given)
    parts = [shape[shape["metric"] == "two_nn"]]
    for metric, each in shapes.items():
        one, _ = tables(each, noise=0, metric=(metric, None), **{**given, "batches": 1})
        parts.append(one)
    found = pd.concat(parts, ignore_index=True)
    found["seed"] = 0
    found.attrs = shape.attrs
    return found, trained


def test_what_one_batch_measures_is_mixed_as_the_others_are():
    shape, trained = scales({"gride_1": rise_and_fall})
    assert set(shape[shape["metric"] == "gride_1"]["batches"]) == {1}
    assert set(course(shape, trained)["mixing"]) == {MIXED}
    # One sample measured both ways: only rows that have several batches themselves can be told.
    whole = shape[shape["metric"] == "two_nn"].assign(batches=1)
    both = pd.concat([shape, whole, shape[shape["metric"] == "gride_1"]], ignore_index=True)
    found = course(both, trained)
    assert set(found["metric"]) == {"two_nn"}
    assert set(found["mixing"]) == {MIXED, WHOLE}


def test_phases_at_every_scale():
    claim, groups = "phases-at-every-scale", {"seeds": (0,), "groups": 0.02}

    def suite_of(**shapes: Curve) -> dict:
        shape, _ = scales({f"gride_{n[1:]}": each for n, each in shapes.items()}, **groups)
        shape["model"] = "suite"
        shape.attrs["provenance"] = [
            {**each, "model": "suite"} for each in shape.attrs["provenance"]
        ]
        return judge(claim, course(shape))

    both = suite_of(n1=rise_and_fall, n8=rise_and_fall, n64=rise_and_fall)
    assert (both["verdict"], both["asked"]) == (SUPPORTED, "this book")
    assert both["models"][0]["statistic"] == pytest.approx(0.5, abs=1e-6)
    one = suite_of(n1=rise_and_fall, n8=rise_and_fall, n64=only_rise)
    assert (one["verdict"], one["models"][0]["statistic"]) == (CONTRADICTED, 0)
    found = one["models"][0]["details"]
    assert found["gride_64_fall"] == 0 < found["gride_8_fall"]
    assert found["gride_1_rise"] == pytest.approx(1, abs=1e-6)
    readings = {each["what"]: each["statistic"] for each in one["readings"]}
    assert readings["fall, neighbours 64 and 128"] == 0 < readings["fall, neighbours 8 and 16"]
    lacking = suite_of(n1=rise_and_fall, n8=rise_and_fall)
    assert lacking["verdict"] == UNTESTABLE


def test_layers_are_averaged_without_embedding_and_normed_layer():
    found = course(*tables(rise_and_fall, noise=0))
    one = found[(found["metric"] == "two_nn") & (found["run"] == 0)]
    np.testing.assert_allclose(one["value"], rise_and_fall(STEPS))
    assert set(found["recipe"]) == {"decoder-96-warmup50"}
    assert set(found["family"]) == {"decoder-96"}
    assert set(found["mixing"]) == {MIXED}
    assert set(course(*tables(rise_and_fall, batches=1))["mixing"]) == {WHOLE}
    wide = curve(found[found["metric"] == "two_nn"])
    assert wide.shape == (9, 3)


def test_two_phases_over_three_runs():
    rise, fall = (judged(each, tables(rise_and_fall)) for each in PHASES)
    assert (rise["verdict"], fall["verdict"]) == (SUPPORTED, SUPPORTED)
    assert rise["beside"] == ["one model alone"]
    assert rise["models"][0]["over"] == "3 runs"
    assert rise["models"][0]["statistic"] == pytest.approx(1, abs=0.1)
    assert fall["models"][0]["statistic"] == pytest.approx(0.5, abs=0.1)
    assert rise["models"][0]["details"]["peak_step"] == 160
    other = {each["what"] for each in rise["readings"] if each["low"] > rise["margin"]}
    assert {"fit to the lowest 20 %", "MADA", "method of moments"} == other


def test_a_rise_alone_has_no_fall():
    rise, fall = (judged(each, tables(only_rise)) for each in PHASES)
    assert rise["verdict"] == SUPPORTED
    assert fall["verdict"] in (CONTRADICTED, UNDECIDED)
    assert fall["models"][0]["statistic"] == pytest.approx(0, abs=0.05)
    assert judge("dimension-falls", suite(only_rise))["verdict"] == CONTRADICTED


def test_noise_has_no_phases_though_each_run_has_its_peak():
    flat = tables(lambda steps: np.full(len(steps), 5.0), noise=0.5, seeds=tuple(range(8)))
    assert {judged(each, flat)["verdict"] for each in PHASES} <= {UNDECIDED, CONTRADICTED}


def test_one_run_is_judged_over_groups_of_windows():
    one = suite(rise_and_fall)
    found = copies(one[one["metric"] == "two_nn"])
    assert (found.over, found.runs) == ("8 groups of windows", 1)
    np.testing.assert_allclose(found.curves.mean(axis=1), rise_and_fall(STEPS))
    record = judge("dimension-rises", one)
    assert (record["verdict"], record["beside"]) == (SUPPORTED, ["one model alone", "one run"])
    # What shifts all checkpoints alike changes no rise.
    assert record["models"][0]["low"] == pytest.approx(1, abs=1e-6)
    mean = judge("tinyllama-above-bloom", rename(one, "tinyllama-1.1b", "bloom-1b1"))["models"][0]
    assert mean["high"] - mean["low"] > 0.02, "and it does change where a curve lies"


def test_several_suites_are_replicates_of_a_claim():
    both = pd.concat([suite(rise_and_fall, "a"), suite(rise_and_fall, "b")], ignore_index=True)
    both.attrs = {"provenance": [{"model": each, "parameters": 10**9} for each in "ab"]}
    record = judge("dimension-falls", both)
    assert (record["verdict"], record["beside"]) == (SUPPORTED, ["one run each"])


def test_the_growth_of_one_run_moves_with_its_windows():
    """The error of a difference is that of the difference, group by group."""
    metric = ("anisotropy", True)
    table, _ = tables(lambda s: np.minimum(s / 100, 0.8), metric=metric, seeds=(0,), noise=0)
    draw = np.random.default_rng(0).standard_normal((len(STEPS), 8)) / 10
    place = dict(zip(STEPS, draw - draw.mean(axis=1, keepdims=True), strict=True))
    table["by_group"] = [
        " ".join(str(value + each) for each in place[step])
        for value, step in zip(table["value"], table["step"], strict=True)
    ]
    found = judge("anisotropy-grows", course(table))["models"][0]
    late = np.array([place[step] for step in STEPS[-2:]]).mean(axis=0)
    changes = 0.8 + late - place[0]
    half = 2.364624 * changes.std(ddof=1) / 8**0.5
    assert found["statistic"] == pytest.approx(0.8, abs=1e-5)
    assert found["high"] - found["statistic"] == pytest.approx(half, abs=1e-5)


def test_two_runs_without_groups_are_too_few():
    for claim in (*PHASES, "estimators-agree-in-training", "peak-stays"):
        record = judged(claim, tables(rise_and_fall, seeds=(0, 1)))
        assert record["verdict"] == UNTESTABLE
        assert record["models"][0]["outside"]


def test_encoders_do_not_count_for_claims_about_decoders():
    assert judged(PHASES[0], tables(rise_and_fall, kind="encoder"))["verdict"] == UNTESTABLE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parameters": 900_000}, "0.9 million parameters"),
        ({"parameters": None}, "parameters is not recorded"),
        ({"per_step": 2048}, "2.62 million tokens read"),
    ],
)
def test_a_small_models_training_is_a_demonstration_without_a_word(given: dict, said: str):
    for claim in (*PHASES, "anisotropy-grows", "estimators-agree-in-training", "peak-stays"):
        metric = ("anisotropy", True) if claim.startswith("aniso") else None
        record = judged(claim, tables(rise_and_fall, metric=metric, **given))
        assert record["verdict"] == UNTESTABLE
        assert said in record["models"][0]["outside"]


def test_a_suite_that_begins_late_or_has_few_checkpoints_is_outside():
    one = suite(rise_and_fall)
    late = one[one["step"] >= 20]
    assert "its first checkpoint comes after 2% of the tokens" in outside(PHASES[0], late)
    assert "7 checkpoints, and 8 are needed" in outside(PHASES[0], late)
    few = one[one["step"].isin([0, 10, 20])]
    assert "fewer than 4 checkpoints" in outside(PHASES[0], few)


def test_growth_that_settles_and_growth_that_does_not():
    metric = ("anisotropy", True)

    def words(shape: Curve) -> tuple[str, str]:
        grows, settles = (
            judged(each, tables(shape, metric=metric, noise=0.002))["verdict"]
            for each in ("anisotropy-grows", "anisotropy-settles")
        )
        return grows, settles

    assert words(lambda steps: np.minimum(steps / 100, 0.8)) == (SUPPORTED, SUPPORTED)
    assert words(lambda steps: steps / 1600) == (SUPPORTED, CONTRADICTED)
    assert words(lambda steps: np.minimum(steps / 2000, 0.05)) == (TOO_SMALL, SUPPORTED)
    falls = words(lambda steps: 0.8 - np.minimum(steps / 100, 0.7))
    assert falls == (CONTRADICTED, UNTESTABLE)


def test_estimators_agree_in_training():
    record = judged("estimators-agree-in-training", tables(rise_and_fall))
    assert record["verdict"] == SUPPORTED
    table, training = tables(rise_and_fall)
    against = table["metric"] == "mom_k20"
    table.loc[against, "value"] *= -1
    record = judged("estimators-agree-in-training", (table, training))
    assert record["verdict"] == CONTRADICTED
    assert record["models"][0]["statistic"] < -0.9


def test_agreement_after_the_start_stands_beside_that_of_the_whole():
    """All fall from the initialisation together; after the lowest point one rises and one falls."""
    table, training = tables(rise_and_fall, noise=0.001)
    late = (table["metric"] == "mom_k20") & (table["step"] > 20)
    table.loc[late, "value"] = table.loc[late, "value"] * -0.01 + 4
    record = judged("estimators-agree-in-training", (table, training))
    (after,) = (each for each in record["readings"] if each["added"])
    assert after["details"]["from_step"] == 20
    assert after["statistic"] < record["models"][0]["statistic"]


@pytest.mark.parametrize(("warmup", "word"), [(10, SUPPORTED), (100, UNDECIDED), (1000, SUPPORTED)])
def test_a_peak_apart_from_the_warm_up_and_one_at_its_end(warmup: int, word: str):
    """The peak is at step 160, seen between steps 80 and 320; a doubling apart is asked for."""
    one = suite(rise_and_fall, warmup_tokens=warmup * 10**9)
    record = judge("peak-stays", one)
    (model,) = record["models"]
    distances = [abs(np.log2(step / warmup)) for step in (80, 160, 320)]
    assert model["statistic"] == pytest.approx(distances[1], abs=1e-5)
    assert model["high"] == pytest.approx(max(distances), abs=1e-5)
    inside = 80 <= warmup <= 320
    assert model["low"] == pytest.approx(0 if inside else min(distances), abs=1e-5)
    assert record["verdict"] == word


def test_where_there_is_no_peak_it_cannot_follow_anything():
    one = suite(only_rise, warmup_tokens=10**10)
    assert "never surely falls" in outside("peak-stays", one)
    assert "the end of its warm-up is not known" in outside("peak-stays", suite(rise_and_fall))


def test_a_warm_up_in_steps_is_one_in_tokens():
    found = course(*tables(rise_and_fall, warmup=50, per_step=2048))
    assert set(found["warmup_tokens"]) == {50 * 2048}


def test_tinyllama_against_bloom():
    up = suite(lambda steps: rise_and_fall(steps) + 1.0, "tinyllama-1.1b")
    down = suite(rise_and_fall, "bloom-1b1")
    names = ("tinyllama-1.1b", "bloom-1b1")

    def both(*curves: pd.DataFrame) -> pd.DataFrame:
        joined = pd.concat(curves, ignore_index=True)
        joined.attrs = {"provenance": [{"model": each, "parameters": 10**9} for each in names]}
        return joined

    record = judge("tinyllama-above-bloom", both(up, down))
    assert (record["verdict"], record["beside"]) == (SUPPORTED, ["one run each"])
    assert record["models"][0]["statistic"] == pytest.approx(1, abs=1e-6)
    swapped = both(up.assign(model="bloom-1b1"), down.assign(model="tinyllama-1.1b"))
    assert judge("tinyllama-above-bloom", swapped)["verdict"] == CONTRADICTED
    assert judge("tinyllama-above-bloom", down)["verdict"] == UNTESTABLE


PHASES = ("dimension-rises", "dimension-falls")


def outside(claim: str, curves: pd.DataFrame) -> str:
    record = judge(claim, curves)
    assert record["verdict"] == UNTESTABLE
    return record["models"][0]["outside"]


def rename(curves: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The same curves under several names."""
    joined = pd.concat([curves.assign(model=each, recipe=each) for each in names])
    joined.attrs = {"provenance": [{"model": each, "parameters": 10**9} for each in names]}
    return joined.reset_index(drop=True)


def test_tables_that_do_not_fit():
    shape, training = tables(rise_and_fall)
    with pytest.raises(ShapelibError, match="rows without a step"):
        course(shape.assign(step=pd.NA))
    with pytest.raises(ShapelibError, match="no run 'decoder-96-warmup50-seed2' at every"):
        course(shape, training[training["seed"] < 2])
    with pytest.raises(ShapelibError, match=r"'dimension-rises' .* no column 'mixing'"):
        judge("dimension-rises", shape)
