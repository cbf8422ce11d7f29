"""A dozen classes, each as it may be met: padding on either side, no stated limit, half precision.

The pooled states are held against windows that are read one at a time by a network of their own.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import model_folder

from shapelib import anisotropy
from shapelib.errors import ShapelibError
from shapelib.models.loading import load
from shapelib.states.pool import pool
from shapelib.text.corpus import Window, load_corpus, windows

pytestmark = pytest.mark.usefixtures("one_thread")
DOZEN = {
    "Bert": {}, "FNet": {}, "ConvBert": {}, "Longformer": {}, "BigBird": {}, "MPNet": {},
    "ModernBert": {}, "GPT2": {}, "Llama": {}, "Mixtral": {},
    "Mamba": {"state_size": 8, "expand": 2}, "T5": {"part": "encoder"},
}  # fmt: skip
# A class that has no half precision at all says so.
NO_HALF = ("FNet",)


@pytest.fixture
def drawn(text_file: Path) -> list[Window]:
    return list(windows(load_corpus(text_file), 60, seed=1))[:10]


def alone(network: Any, ids: list[int]) -> list[np.ndarray]:
    """Every layer's states of one window, by a network that has read nothing before."""
    with torch.inference_mode():
        states = copy.deepcopy(network)(
            input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False
        ).hidden_states
    return [each[0, : len(ids)].float().numpy() for each in states]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("stem", DOZEN)
def test_states_and_numbers_are_those_of_windows_alone(
    stem: str, side: str, tokenizer: Any, drawn: list[Window], tmp_path: Path
):
    options = dict(DOZEN[stem])
    part = options.pop("part", None)
    met = copy.deepcopy(tokenizer)
    met.padding_side = side
    if side == "left":
        met.model_max_length = int(1e30)
    folder = model_folder(tmp_path / stem, met, stem, **options)
    model = load(folder, part=part)
    pooled = pool(model, drawn, 100, progress=False)
    read = [alone(model.network, met(each.text)["input_ids"]) for each in drawn[: pooled.windows]]
    assert len({len(each[0]) for each in read}) > 1, "windows of one length need no padding"
    for layer in range(model.layers + 1):
        expected = np.concatenate([each[layer] for each in read])
        scale = np.abs(expected).max()
        np.testing.assert_allclose(pooled.states[layer], expected, atol=1e-5 * scale)
        exact = expected.astype(np.float64)
        values = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False) ** 2
        if values.sum() > 1e-9:
            assert anisotropy(pooled.states[layer]) == pytest.approx(
                values[0] / values.sum(), rel=1e-4
            )
    if side == "left":
        return
    if stem in NO_HALF:
        with pytest.raises(ShapelibError, match="does not run in bfloat16 on cpu: try dtype floa"):
            load(folder, dtype="bfloat16")
        return
    half = load(folder, dtype="bfloat16", part=part)
    assert (half.role, half.layers, half.leaks) == (model.role, model.layers, model.leaks)
    low = pool(half, drawn, 100, progress=False)
    for layer, states in pooled.states.items():
        assert np.linalg.norm(low.states[layer] - states) < 0.03 * np.linalg.norm(states)
