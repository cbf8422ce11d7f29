"""Why TwoNN's fits part: planted near-copies, and the vectors of the profile beside it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shapebook.experiments.parting import BOTH, EVERYONE, KINDS, OTHERS, REST, TYPES, parting, rows
from shapelib import profile
from shapelib.errors import ShapelibError
from shapelib.states.pool import Pool
from shapelib.states.spill import Memory

POINTS, DIMENSION = 1200, 6


def pooled(token: np.ndarray, window: np.ndarray, near: float) -> Pool:
    """A Gaussian of six dimensions; every second vector lies beside the one before it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((POINTS, DIMENSION))
    x[1::2] = x[::2] + near * rng.standard_normal((POINTS // 2, DIMENSION))
    everyone = np.arange(POINTS)
    return Pool(
        states={0: x.astype(np.float32)}, layers=1, window=window, article=window,
        position=everyone, token=token, special=np.zeros(POINTS, bool), order=everyone,
        bos=False, after_norm=True, _place=Memory(range(0), 0, 1),
    )  # fmt: skip


def table(token: np.ndarray, window: np.ndarray, near: float = 1e-3) -> pd.DataFrame:
    return pd.DataFrame(rows(pooled(token, window, near), 0, np.arange(POINTS)))


def fits(found: pd.DataFrame) -> pd.DataFrame:
    fit = found[found["what"] == "fit"]
    return fit.assign(x=fit["x"].round()).pivot(index="cloud", columns="x", values="value")


def test_near_copies_of_the_same_token_part_the_fits_and_one_a_token_brings_them_together():
    pairs, windows = np.arange(POINTS) // 2, np.arange(POINTS) % 40
    found = table(pairs, windows)
    by_cloud = fits(found)
    # With a neighbour a thousand times nearer, r₂/r₁ says little of six dimensions.
    assert by_cloud.loc[EVERYONE, 90] < 2
    assert by_cloud.loc[OTHERS, 90] < 2, "the copies stand in other windows"
    for cloud in (TYPES, BOTH):
        assert by_cloud.loc[cloud, 90] == pytest.approx(DIMENSION, rel=0.15)
        assert by_cloud.loc[cloud, 20] == pytest.approx(DIMENSION, rel=0.3)
    far = found[(found["what"] == "gride") & (found["x"] == 64)].set_index("cloud")["value"]
    assert far[EVERYONE] == pytest.approx(far[TYPES], rel=0.15), "far neighbours hardly see them"
    shares = found[found["what"] == "same token"]["value"]
    assert (shares == 1).all()


def test_near_copies_of_the_same_window_are_left_out_by_other_windows():
    found = table(np.arange(POINTS), np.arange(POINTS) // 2)
    by_cloud = fits(found)
    assert by_cloud.loc[EVERYONE, 90] < 2
    assert by_cloud.loc[OTHERS, 90] > 2 * by_cloud.loc[EVERYONE, 90]
    assert (found[found["what"] == "same window"]["value"] == 1).all()


def test_who_the_neighbours_are_is_told_by_ratio():
    """Half of the vectors have a near-copy: those are the tenths of the greatest ratios."""
    token, window = np.arange(POINTS) // 2, np.arange(POINTS)
    token[POINTS // 2 :] = POINTS + np.arange(POINTS // 2)
    half = pooled(token, window, 1e-3)
    rng = np.random.default_rng(1)
    half.states[0][POINTS // 2 :] = rng.standard_normal((POINTS // 2, DIMENSION))
    found = pd.DataFrame(rows(half, 0, np.arange(POINTS)))
    shares = found[found["what"].isin(KINDS)].pivot(index="x", columns="what", values="value")
    assert list(shares.index) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares["same token"].iloc[:5] == 0).all()
    assert (shares["same token"].iloc[5:] == 1).all()
    assert (shares["neither"].iloc[:5] == 1).all()


def test_massive_vectors_bend_the_far_scales_and_are_left_out():
    """Forty far away, near each other: their 64th neighbour is nearer than their 128th by far more
    than a dimension says, and the mean of all points sees it."""
    half = pooled(np.arange(POINTS), np.arange(POINTS), 1.0)
    half.states[0][:40] += 1000
    found = pd.DataFrame(rows(half, 0, np.arange(POINTS)))
    gride = found[found["what"] == "gride"].pivot(index="cloud", columns="x", values="value")
    assert gride.loc[EVERYONE, 32] < 0.75 * gride.loc[REST, 32]
    assert gride.loc[EVERYONE, 1] == pytest.approx(gride.loc[REST, 1], rel=0.05)
    assert gride.loc[REST, 32] == pytest.approx(gride.loc[REST, 16], rel=0.1)


def test_the_line_is_that_of_the_ratios():
    found = table(np.arange(POINTS), np.arange(POINTS), near=1.0)
    line = found[found["what"] == "line"]
    assert line["x"].is_monotonic_increasing
    assert line["value"].is_monotonic_increasing
    assert line["value"].iloc[-1] == pytest.approx(np.log(2 * POINTS))
    # Its lower part is straight, and as steep as the dimension.
    low = line[line["value"] < 1.5]
    assert (low["value"] / low["x"]).iloc[-1] == pytest.approx(DIMENSION, rel=0.15)


def test_the_vectors_are_those_of_the_profile(decoder_folder: Path, text_file: Path):
    asked = {"tokens": 900, "batch": 450, "window": 60, "seed": 3}
    found = parting(decoder_folder, 1, text_file, **asked)
    beside = profile(decoder_folder, text_file, sets=["all"], metrics=["gride", "two_nn"],
                     progress=False, **asked)  # fmt: skip
    beside = beside[beside["layer"] == 1].set_index("metric")["value"]
    own = found[(found["cloud"] == EVERYONE) & (found["what"] == "gride")].set_index("x")["value"]
    assert len(own) == 7
    for n, value in own.items():
        assert value == pytest.approx(beside[f"gride_{n:.0f}"], rel=1e-9)
    (run,) = found.attrs["provenance"]
    assert run["pooled"]["dropped_all"] == run["pooled"]["all"] - 450
    with pytest.raises(ShapelibError, match="has layers 0 to 3, got 7"):
        parting(decoder_folder, 7, text_file, **asked)
