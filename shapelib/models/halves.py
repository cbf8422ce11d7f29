"""One half of an encoder-decoder network, as a network of its own."""

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shapelib.errors import NamesArguments, ShapelibError, nearest

if TYPE_CHECKING:
    from shapelib.models.sources import Source

_log = logging.getLogger("shapelib")
PARTS = ("encoder", "decoder")
_NO_HALVES = "part {!r} was given, but {} is no encoder-decoder model: leave it out"


def check(part: str | None, source: "Source") -> None:
    """Raise `ShapelibError` for a part that a model has not, as far as is known before loading."""
    if part is not None and part not in PARTS:
        raise ShapelibError(f"no such part: {part!r}; {nearest(str(part), list(PARTS))}")
    if source.known is None:
        return
    both = source.known.role == "encoder-decoder"
    if both and part is None:
        raise _both_halves(source.name)
    if part and not both:
        raise ShapelibError(_NO_HALVES.format(part, source.name))


def part_of(network: Any, part: str | None, name: str) -> str | None:
    """Which half of a network to measure: the one asked for, or the only one its files hold.

    Raises `ShapelibError` where it has both and none was asked for, or the other way round.
    """
    if not has_both(network):
        if part is not None:
            raise ShapelibError(_NO_HALVES.format(part, name))
        return None
    named = getattr(network.config, "architectures", None) or [""]
    if part is None and str(named[0]).endswith("EncoderModel"):
        _log.info("%s is the encoder of an encoder-decoder, and measured as that", name)
        return "encoder"
    if part is None:
        raise _both_halves(name)
    return part


def _both_halves(name: str) -> ShapelibError:
    said = f"{name} is an encoder-decoder model, and its halves are measured one at a time: give "
    return NamesArguments(
        f"{said}part=, 'encoder' or 'decoder'",
        command=f"{said}--part encoder or --part decoder",
    )


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
