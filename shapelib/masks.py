"""Who may attend to whom: the mask that a network's own config asks for."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shapelib.placement import dtype_of

PREFIX_KEY = "prefix_share"
"""The config entry of a prefix language model: which share of a text is its prefix."""
MEASURED_SHARE = 0.5
"""Trained with prefixes of random lengths, such a model is measured with half of each text."""


def attention_mask(network: Any, padding: Int[Tensor, "batch length"]) -> Tensor:
    """What to pass as ``attention_mask`` to measure `network` under the mask it was trained with.

    `padding`: 1 for a token, 0 for padding on the right. Causal and full masks are the network's
    own doing (``is_causal`` in its config). A prefix language model gets full attention within
    the first ``prefix_share`` of each text, rounded down, and causal attention after it.
    """
    share = getattr(network.config, PREFIX_KEY, None)
    if share is None:
        return padding
    lengths = (padding.sum(dim=1) * share).long()
    return prefix_mask(lengths, padding, dtype_of(network))


def embeddings(network: Any) -> int | None:
    """For how many tokens a network has a vector; None where it does not say."""
    try:
        weight = network.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return None
    return int(weight.shape[0])


def filler(network: Any, tokenizer: Any) -> int:
    """A token to fill padding with. Padding is masked, so any will do that the network has a vector
    for; some tokenizers name one that it has none for."""
    named = tokenizer.pad_token_id
    rows = embeddings(network)
    return int(named) if named is not None and 0 <= named < (rows or named + 1) else 0


def mask_without(
    network: Any, padding: Int[Tensor, "batch length"], unseen: int, causal: bool
) -> Float[Tensor, "batch 1 length length"]:
    """`attention_mask`, spelled out, where nobody but itself sees one of the first positions.

    `unseen`: how many those are. `causal`: whether the network's own mask is (a prefix language
    model has its prefix all the same). A query in the padding sees itself, so that its softmax is
    defined. Additive, see `prefix_mask`.
    """
    lengths = padding.sum(dim=1)
    if causal:
        lengths = (lengths * (getattr(network.config, PREFIX_KEY, None) or 0)).long()
    allowed = _allowed(lengths, padding)
    allowed[:, :, :unseen] = False
    allowed |= torch.eye(padding.shape[1], dtype=torch.bool, device=padding.device)
    return _additive(allowed, dtype_of(network))


def prefix_mask(
    lengths: Int[Tensor, " batch"],
    padding: Int[Tensor, "batch length"],
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "batch 1 length length"]:
    """0 where query may see key, the lowest number of `dtype` where it may not.

    Additive, because the eager attention of transformers adds what it is given: a boolean mask
    would shift scores by one and hide nothing.
    """
    return _additive(_allowed(lengths, padding), dtype)


def _allowed(
    lengths: Int[Tensor, " batch"], padding: Int[Tensor, "batch length"]
) -> Bool[Tensor, "batch length length"]:
    """Whether query may see key: one before it, itself, or one of the prefix; never padding."""
    at = torch.arange(padding.shape[1], device=padding.device)
    seen = at[None, :] <= at[:, None]
    in_prefix = at[None, None, :] < lengths[:, None, None]
    return (seen[None] | in_prefix) & padding.bool()[:, None, :]


def _additive(
    allowed: Bool[Tensor, "batch length length"], dtype: torch.dtype
) -> Float[Tensor, "batch 1 length length"]:
    blocked = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return blocked.masked_fill(~allowed, torch.finfo(dtype).min)[:, None]
