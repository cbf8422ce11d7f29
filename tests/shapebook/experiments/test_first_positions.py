"""Anisotropy with some points weighted otherwise: known answers, and a tiny decoder's layers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebook.experiments.first_positions import as_in_windows, reweighted
from shapelib import anisotropy
from shapelib.errors import ShapelibError
from shapelib.models import load
from shapelib.text.corpus import load_corpus


def cloud(seed: int, n: int = 40) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, 5)) + 2
    x[: n // 8] *= 9
    return x


@given(seed=st.integers(0, 99), copies=st.integers(1, 5))
def test_a_weight_is_a_number_of_copies(seed: int, copies: int):
    x = cloud(seed)
    marked = np.arange(len(x)) < 7
    several = np.concatenate([np.repeat(x[marked], copies, axis=0), x[~marked]])
    share = copies * 7 / len(several)
    assert reweighted(x, marked, share) == pytest.approx(anisotropy(several), rel=1e-6)


def test_none_of_them_is_without_them():
    x = cloud(3)
    marked = np.arange(len(x)) % 3 == 0
    assert reweighted(x, marked, 0) == pytest.approx(anisotropy(x[~marked]), rel=1e-6)


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_what_is_no_share_is_refused(share: float):
    with pytest.raises(ValueError, match="a share is from 0 to below 1"):
        reweighted(cloud(0), np.arange(40) < 3, share)


@pytest.mark.parametrize("marked", [np.zeros(40, bool), np.ones(40, bool)])
def test_some_points_are_marked_and_some_not(marked: np.ndarray):
    with pytest.raises(ValueError, match="some points must be marked and some not"):
        reweighted(cloud(0), marked, 0.5)


@pytest.mark.usefixtures("one_thread", "own_cache")
def test_the_same_length_of_window_is_as_measured(decoder_folder: Path, text_file: Path):
    from shapelib.states.pool import pool
    from shapelib.text.corpus import windows

    model, text = load(decoder_folder), load_corpus(text_file)
    found = as_in_windows(model, text, [40, 160], window=40, tokens=300)
    assert found.groupby("characters")["layer"].max().to_dict() == dict.fromkeys(
        (40, 160), model.layers
    )
    shares = found.groupby("characters")["share"].first()
    assert shares[40] > 2 * shares[160]
    with pool(model, windows(text, 40), 300, progress=False) as pooled:
        first = pooled.position == 0
        plain = [
            reweighted(pooled.states[layer], first, shares[40]) for layer in found["layer"][:1]
        ]
        seen = [anisotropy(x) for x in pooled.states.values()]
    own = found[found["characters"] == 40].sort_values("layer")["value"].to_numpy()
    assert own[0] == plain
    assert own == pytest.approx(seen, rel=0.2), "shares are counted over more windows"
    assert found.attrs["provenance"][0]["tokens"] == 300
    with pytest.raises(ShapelibError, match="at least one character, got 0"):
        as_in_windows(model, text, [0])
