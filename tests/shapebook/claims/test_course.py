"""Claims about training, from made-up curves whose answer is known."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from shapebook.claims.course import MIXED, WHOLE, course, curve
from shapebook.claims.judge import FAILS, IN_PART, UNTESTABLE, judge
from shapelib.errors import ShapelibError

STEPS = np.array([0, 10, 20, 40, 80, 160, 320, 640, 1280])
METRICS = (("two_nn", None), ("two_nn_lowest20", None), ("mada_k20", None), ("mom_k20", None))
Curve = Callable[[np.ndarray], np.ndarray]


def tables(
    shape: Curve, *, kind: str = "decoder", warmup: int = 50, seeds: tuple[int, ...] = (0, 1, 2),
    noise: float = 0.02, batches: int = 4, metric: tuple[str, bool | None] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Shape and training tables of runs that follow one curve; the layers lie 1 apart about it."""
    rows, runs = [], []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        values = shape(STEPS) + noise * generator.standard_normal(len(STEPS))
        name = f"{kind}-96-warmup{warmup}-seed{seed}"
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
                    "step": step, "tokens_seen": 2048 * step, "layer": layer,
                    "after_norm": layer == 4, "tokens": "all", "metric": each,
                    "centered": centered, "batches": batches, "stderr": 0.01,
                    # What the embedding and a normed layer show must not count.
                    "value": value + layer - 2 if 0 < layer < 4 else 1000,
                }
                for layer in range(5) for each, centered in ((metric,) if metric else METRICS)
            ]  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(runs)


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
    shape, training = (pd.concat(each, ignore_index=True) for each in zip(*pairs, strict=True))
    record = judge(claim, course(shape, training))
    assert json.loads(json.dumps(record)) == record
    return record


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


def test_a_suite_without_a_training_table_is_one_run():
    shape, _ = tables(rise_and_fall, seeds=(0,))
    found = course(shape)
    assert set(found["recipe"]) == {"decoder-96-warmup50-seed0"}
    assert judge("two-phases", found)["verdict"] == UNTESTABLE


def test_two_phases():
    record = judged("two-phases", tables(rise_and_fall))
    assert record["verdict"] == IN_PART
    details = record["models"][0]["details"]
    assert details["rise"] == pytest.approx(1, abs=0.1)
    assert details["fall"] == pytest.approx(0.5, abs=0.1)
    assert details["peak_step"] == 160
    other = {each["what"] for each in record["sensitivity"] if each["met"]}
    assert {"fit to the lowest 20 %", "MADA", "method of moments"} == other


def test_a_rise_alone_is_not_two_phases():
    record = judged("two-phases", tables(only_rise))
    assert record["verdict"] == FAILS
    assert record["models"][0]["details"]["fall"] == pytest.approx(0, abs=0.05)


def test_noise_is_not_two_phases_though_each_run_has_its_peak():
    flat = tables(lambda steps: np.full(len(steps), 5.0), noise=0.5, seeds=tuple(range(8)))
    assert judged("two-phases", flat)["verdict"] == FAILS


def test_two_runs_are_too_few():
    for claim in ("two-phases", "estimators-agree-in-training", "peak-stays"):
        assert judged(claim, tables(rise_and_fall, seeds=(0, 1)))["verdict"] == UNTESTABLE


def test_encoders_do_not_count_for_claims_about_decoders():
    assert judged("two-phases", tables(rise_and_fall, kind="encoder"))["verdict"] == UNTESTABLE


def test_growth_that_settles_and_growth_that_does_not():
    metric = ("anisotropy", True)
    settled = tables(lambda steps: np.minimum(steps / 100, 0.8), metric=metric)
    assert judged("anisotropy-grows", settled)["verdict"] == IN_PART
    still = tables(lambda steps: steps / 1600, metric=metric)
    record = judged("anisotropy-grows", still)
    assert record["verdict"] == FAILS
    assert record["models"][0]["low"] > 0.1
    assert record["models"][0]["details"]["change_over_the_last_quarter"] > 0.05
    falls = tables(lambda steps: 0.8 - np.minimum(steps / 100, 0.7), metric=metric)
    assert judged("anisotropy-grows", falls)["verdict"] == FAILS


def test_estimators_agree_in_training():
    assert judged("estimators-agree-in-training", tables(rise_and_fall))["verdict"] == IN_PART
    shape, training = tables(rise_and_fall)
    against = shape["metric"] == "mom_k20"
    shape.loc[against, "value"] *= -1
    record = judged("estimators-agree-in-training", (shape, training))
    assert record["verdict"] == FAILS
    assert record["models"][0]["statistic"] < -0.9


@pytest.mark.parametrize(("later", "verdict"), [(160, IN_PART), (640, FAILS)])
def test_a_peak_that_stays_and_one_that_moves(later: int, verdict: str):
    record = judged(
        "peak-stays", tables(peak_at(160), warmup=50), tables(peak_at(later), warmup=400)
    )
    assert record["verdict"] == verdict
    assert record["models"][0]["statistic"] == pytest.approx(np.log2(later / 160), abs=0.01)


def test_where_there_is_no_peak_it_cannot_follow_anything():
    pairs = tables(only_rise, warmup=50), tables(only_rise, warmup=400)
    assert judged("peak-stays", *pairs)["verdict"] == UNTESTABLE
    assert judged("peak-stays", tables(rise_and_fall))["verdict"] == UNTESTABLE


def test_tinyllama_against_bloom():
    pairs = [
        tables(lambda steps, up=up: rise_and_fall(steps) + up, seeds=(0,)) for up in (0.0, 1.0)
    ]
    shapes = [shape.assign(model=name) for (shape, _), name in
              zip(pairs, ("bloom-1b1", "tinyllama-1.1b"), strict=True)]  # fmt: skip
    record = judge("tinyllama-above-bloom", course(pd.concat(shapes, ignore_index=True)))
    assert record["verdict"] == IN_PART
    assert record["models"][0]["statistic"] == pytest.approx(1, abs=1e-6)
    assert judge("tinyllama-above-bloom", course(shapes[0]))["verdict"] == UNTESTABLE


def test_tables_that_do_not_fit():
    shape, training = tables(rise_and_fall)
    with pytest.raises(ShapelibError, match="rows without a step"):
        course(shape.assign(step=pd.NA))
    with pytest.raises(ShapelibError, match="no run 'decoder-96-warmup50-seed2' at every"):
        course(shape, training[training["seed"] < 2])
    with pytest.raises(ShapelibError, match=r"no table of curves along training: .* 'family'"):
        judge("two-phases", shape)
