"""What a model is trained to predict: inputs, targets and mask of one step, from its seed."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from shapelib.models.masks import prefix_mask
from shapelib.pretraining.recipe import MASK, SPECIAL_TOKENS, Recipe, masked_positions

IGNORED = -100
# Of the masked positions: shown as the mask token, shown as a random token; the rest as they are
# (BERT's shares). Text is measured without mask tokens, so the model must have learnt from such.
_SHOWN_MASK, _SHOWN_RANDOM = 0.8, 0.1


class Batch(NamedTuple):
    """One step's work. A position whose target is −100 bears no loss."""

    ids: Int[Tensor, "batch window"]
    targets: Int[Tensor, "batch window"]
    mask: Tensor | None
    """Passed as ``attention_mask``; None leaves it to the network's config."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Batch(self.ids.to(device), self.targets.to(device), mask)


def batch(
    recipe: Recipe, windows: Int[np.ndarray, "batch window"], draw: np.random.Generator
) -> Batch:
    """The inputs and targets of `windows`; `draw` decides masked positions and prefix lengths."""
    ids = torch.from_numpy(windows.astype(np.int64))
    targets = torch.full_like(ids, IGNORED)
    if recipe.objective == "masked-token":
        return _masked(recipe, ids, targets, draw)
    targets[:, :-1] = ids[:, 1:]
    if recipe.objective == "next-token":
        return Batch(ids, targets, None)
    # At least one position is in the prefix, and at least one target is after it.
    lengths = torch.from_numpy(draw.integers(1, recipe.window - 1, len(ids)))
    # The last position of the prefix predicts the first token of the suffix, as when generating.
    targets[torch.arange(recipe.window)[None] < lengths[:, None] - 1] = IGNORED
    return Batch(ids, targets, prefix_mask(lengths, torch.ones_like(ids)))


def _masked(
    recipe: Recipe,
    ids: Int[Tensor, "batch window"],
    targets: Int[Tensor, "batch window"],
    draw: np.random.Generator,
) -> Batch:
    chosen = draw.random(tuple(ids.shape)).argsort(axis=1)[:, : masked_positions(recipe.window)]
    places = torch.from_numpy(chosen)
    originals = ids.gather(1, places)
    how = torch.from_numpy(draw.random(chosen.shape))
    random = torch.from_numpy(draw.integers(len(SPECIAL_TOKENS), recipe.vocabulary, chosen.shape))
    shown = torch.where(how < _SHOWN_MASK + _SHOWN_RANDOM, random, originals)
    shown[how < _SHOWN_MASK] = SPECIAL_TOKENS.index(MASK)
    return Batch(ids.scatter(1, places, shown), targets.scatter(1, places, originals), None)


def loss(model: Any, work: Batch) -> tuple[Tensor, int]:
    """Mean cross-entropy in nats over the positions that bear a loss, and how many they are."""
    bearing = work.targets != IGNORED
    mask = work.mask
    if mask is not None and torch.is_autocast_enabled(work.ids.device.type):
        mask = mask.to(torch.get_autocast_dtype(work.ids.device.type))
    states = model.base_model(
        input_ids=work.ids, attention_mask=mask, use_cache=False
    ).last_hidden_state
    # The head is the largest product of a small model: only where there is a target.
    logits = model.get_output_embeddings()(states[bearing])
    targets = work.targets[bearing]
    return cross_entropy(logits.float(), targets), len(targets)
