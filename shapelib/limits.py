"""The longest input of a model: one place that knows it."""

import re
from typing import Any

from torch import nn

# What the learned embedding of positions is called, by the end of its path.
_POSITIONS = re.compile(r"(?:^|\.)(?:wpe|embed_positions|position_embeddings?|positions_embed)$")
# A tokenizer that states no limit says about 1e30.
_NONE_STATED = 10**9


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
