"""What takes longest in a step in bfloat16 on a CPU besides its products, made anew: attention, and
the loss over the vocabulary. The numbers are those of the network as it is, but for the rounding.

PyTorch's own attention on a CPU spends 85 ms forward and back on sixteen windows of 256 with eight
heads, whose products alone are 16; the loss keeps a float for each position and token of the
vocabulary several times over. Here both go through pieces that stay in a processor's cache.
"""

import functools
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Positions whose logits are held at once.
_ROWS = 512


def applies(device: torch.device | str) -> bool:
    """Whether products are made in bfloat16 on a CPU just now, by autocast."""
    return (
        torch.device(device).type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def quicken(network: Any) -> None:
    """Let the attention of a GPT-NeoX go by this module wherever `applies` says so."""
    for layer in network.base_model.layers:
        attention = layer.attention
        attention.forward = functools.partial(_attention, attention, attention.forward)


def mean_loss(
    states: Float[Tensor, "positions width"],
    weight: Float[Tensor, "vocabulary width"],
    targets: Int[Tensor, " positions"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of the logits that `weight` makes of `states`."""
    with torch.autocast("cpu", enabled=False):
        value: Tensor = _Loss.apply(states, weight, targets)  # type: ignore[no-untyped-call]
    return value


class _Loss(torch.autograd.Function):
    """The loss and its gradient in one go: no logits are kept."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        narrow, head = states.bfloat16(), weight.bfloat16()
        of_states, of_head = torch.empty_like(narrow), torch.zeros_like(weight)
        total = 0.0
        for start in range(0, len(states), _ROWS):
            rows = slice(start, start + _ROWS)
            wanted = targets[rows, None]
            # d loss / d logits is the softmax, less one at the target.
            found = torch.log_softmax((narrow[rows] @ head.T).float(), dim=1)
            total -= float(found.gather(1, wanted).sum())
            found.exp_().scatter_add_(1, wanted, found.new_full(wanted.shape, -1.0))
            slopes = found.bfloat16()
            torch.mm(slopes, head, out=of_states[rows])
            of_head += slopes.T @ narrow[rows]
        ctx.save_for_backward(of_states, of_head)
        return states.new_tensor(total / len(states))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        of_states, of_head = ctx.saved_tensors
        slope = slope / len(of_states)
        return of_states.float() * slope, of_head * slope, None


def _attention(
    attention: Any,
    plain: Any,
    hidden_states: Float[Tensor, "batch window width"],
    attention_mask: Tensor | None = None,
    layer_past: Any = None,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    **told: Any,
) -> tuple[Tensor, None]:
    """The forward pass of a GPT-NeoX attention; `plain` is its own."""
    foreign = attention_mask is not None or layer_past is not None or position_embeddings is None
    if foreign or not applies(hidden_states.device):
        found: tuple[Tensor, None] = plain(
            hidden_states, attention_mask=attention_mask, layer_past=layer_past,
            position_embeddings=position_embeddings, **told,
        )  # fmt: skip
        return found
    assert position_embeddings is not None
    causal = told.get("is_causal")
    causal = attention.is_causal if causal is None else causal
    batch, window, width = hidden_states.shape
    heads = width // attention.head_size
    packed = attention.query_key_value(hidden_states)
    with torch.autocast("cpu", enabled=False):
        seen: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            packed.view(batch, window, heads, 3, attention.head_size),
            *_turns(*position_embeddings, attention.head_size, attention.scaling),
            position_embeddings[0].shape[-1] // 2, causal,
        )  # fmt: skip
    return attention.dense(seen.view(batch, window, width)), None


def _turns(
    cos: Float[Tensor, "1 window turned"],
    sin: Float[Tensor, "1 window turned"],
    size: int,
    scale: float,
) -> tuple[Float[Tensor, "2 1 window size"], Float[Tensor, "2 1 window size"]]:
    """Factors that turn queries and keys by their positions, and scale the queries.

    A coordinate x becomes x · cosine + partner · sine, see `_partners`; those that are not turned
    have cosine 1 and sine 0.
    """
    turned = cos.shape[-1]
    half = turned // 2
    cosine, sine = cos.new_ones(cos.shape[1], size), cos.new_zeros(cos.shape[1], size)
    cosine[:, :turned] = cos[0]
    sine[:, :half], sine[:, half:turned] = -sin[0, :, :half], sin[0, :, half:]
    scales = cos.new_tensor([scale, 1.0])[:, None, None, None]
    return cosine * scales, sine * scales


def _partners(x: Tensor, half: int) -> Tensor:
    """Each coordinate's partner in its rotation: the first `half` with as many that follow."""
    return torch.cat((x[..., half : 2 * half], x[..., :half], x[..., 2 * half :]), dim=-1)


class _Attention(torch.autograd.Function):
    """softmax(QKᵀ/√d)V of turned queries and keys, a window after the other.

    ``packed``: batch × window × heads × (query, key, value) × size of a head, in bfloat16. Scores
    are rounded to bfloat16, the softmax is made in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, cosine: Tensor, sine: Tensor, half: int, causal: bool
    ) -> Tensor:
        batch, window, heads, _, size = packed.shape
        hidden = packed.new_full((window, window), -torch.inf).triu(1) if causal else None
        turned = packed.new_empty(batch, 2, heads, window, size)
        shares = packed.new_empty(batch, heads, window, window)
        out = packed.new_empty(batch, window, heads, size)
        for each in range(batch):
            rows = packed[each].permute(2, 1, 0, 3)
            raw = rows[:2].float()
            queries, keys = turned[each].copy_(raw * cosine + _partners(raw, half) * sine)
            across = keys.transpose(1, 2)
            scores = (
                torch.bmm(queries, across) if hidden is None
                else torch.baddbmm(hidden, queries, across)
            )  # fmt: skip
            torch.softmax(scores, dim=-1, out=shares[each])
            out[each] = torch.bmm(shares[each], rows[2].contiguous()).transpose(0, 1)
        ctx.save_for_backward(packed, cosine, sine, turned, shares)
        ctx.half = half
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        packed, cosine, sine, turned, shares = ctx.saved_tensors
        found = torch.empty_like(packed)
        for each in range(len(packed)):
            own = slope[each].transpose(0, 1).contiguous()
            values = packed[each, :, :, 2].transpose(0, 1).contiguous()
            queries, keys = turned[each]
            into = found[each].permute(2, 1, 0, 3)
            into[2] = torch.bmm(shares[each].transpose(1, 2), own)
            of_shares = torch.bmm(own, values.transpose(1, 2))
            of_scores = torch._softmax_backward_data(of_shares, shares[each], -1, packed.dtype)
            both = torch.stack(
                (torch.bmm(of_scores, keys), torch.bmm(of_scores.transpose(1, 2), queries))
            ).float()
            # A rotation's transpose turns back.
            into[:2] = both * cosine - _partners(both, ctx.half) * sine
        return found, None, None, None, None
