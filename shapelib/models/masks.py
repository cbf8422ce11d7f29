"""What a network is given: who may attend to whom, what fills padding, how long a text may be."""

import re
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shapelib.models.placement import dtype_of

PREFIX_KEY = "prefix_share"
"""The config entry of a prefix language model: which share of a text is its prefix."""
MEASURED_SHARE = 0.5
"""Trained with prefixes of random lengths, such a model is measured with half of each text."""
# What the learned embedding of positions is called, by the end of its path.
_POSITIONS = re.compile(r"(?:^|\.)(?:wpe|embed_positions|position_embeddings?|positions_embed)$")
# A tokenizer that states no limit says about 1e30.
_NONE_STATED = 10**9


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


def longest(network: Any, tokenizer: Any) -> int | None:
    """Tokens that a model reads at once, special ones included; None where nothing limits it.

    The least of what its configuration says (XLNet's says -1 for none), of the rows of its
    embedding of positions that a text can reach (RoBERTa counts from behind the padding's row), and
    of what its tokenizer says.
    """
    config = getattr(network, "config", None)
    stated = getattr(config and config.get_text_config(), "max_position_embeddings", None)
    limits = [tokenizer.model_max_length, *_rows(network)]
    if isinstance(stated, int) and stated > 0:
        limits.append(stated)
    known = [int(each) for each in limits if each and each < _NONE_STATED]
    return min(known, default=None)


def _rows(network: Any) -> list[int]:
    """How many positions each learned embedding of them has, its offset taken off."""
    found = []
    for path, module in network.named_modules():
        if isinstance(module, nn.Embedding) and _POSITIONS.search(path):
            padding = module.padding_idx
            offset = getattr(module, "offset", 0) if padding is None else padding + 1
            found.append(module.num_embeddings - int(offset))
    return found
