"""One half of an encoder-decoder network, as a network of its own."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

PARTS = ("encoder", "decoder")


def has_both(network: Any) -> bool:
    """Whether a network is an encoder and a decoder."""
    return all(isinstance(getattr(network, part, None), nn.Module) for part in PARTS)


class Half(nn.Module):
    """The encoder or the decoder of a network that has both, called as a network of one is.

    The encoder reads a text. The decoder reads it as its own input, while the encoder beside it has
    read the same text: without states to attend to it never ran in training.
    """

    def __init__(self, whole: Any, part: str) -> None:
        super().__init__()
        self.part = part
        self.config = whole.config
        self.inner = whole.encoder if part == "encoder" else whole
        if getattr(whole, "hf_device_map", None):
            self.hf_device_map = whole.hf_device_map
        # Not a module of this half: the embedding is the encoder's as well.
        self._embedding = [whole.get_input_embeddings()]

    def get_input_embeddings(self) -> Any:
        """The embedding of tokens, which both halves share."""
        return self._embedding[0]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        read: torch.Tensor | None = None,
        **_: Any,
    ) -> Any:
        """All hidden states of this half. `read`: what the encoder reads, where it is not the
        same."""
        if self.part == "encoder":
            return self.inner(
                input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
            )
        whole = self.inner(
            input_ids=input_ids if read is None else read,
            attention_mask=attention_mask,
            decoder_input_ids=input_ids,
            decoder_attention_mask=attention_mask,
            output_hidden_states=True,
            use_cache=False,
        )
        states = whole.decoder_hidden_states
        return SimpleNamespace(hidden_states=states, last_hidden_state=states[-1])
