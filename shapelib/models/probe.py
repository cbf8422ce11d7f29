"""What a network is, seen by its effect: who sees later tokens, what padding does, its shapes.

A probe leaves no trace: whatever it changes in the network, or makes the network change in itself,
is put back.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.errors import NoTokenizer, ShapelibError, foreign
from shapelib.models import masks
from shapelib.models.halves import Half
from shapelib.models.placement import device_of, room

_TEXT = "The quick brown fox jumps over the lazy dog."
# How far an earlier vector moves, as a share of what the changed one does, before a network counts
# as one that looks ahead. In float32, causal ones stay below 1e-6, and encoders with random weights
# pass 1e-4; in half precision one rounding that goes the other way is a few thousandths.
_AHEAD, _AHEAD_HALF = 1e-5, 1e-3
# How far a vector moves, as a share of its length, when padding is put behind its text: rounding in
# another order is 1e-6 in float32 and a few hundredths in half precision.
_LEAK, _LEAK_HALF = 1e-3, 0.1
# Above so many parameters, a copy of them in float32 is too much for a look.
_LARGE = 2_000_000_000
_SIMPLE = (str, bool, int, float, tuple, type(None))


class Found(NamedTuple):
    """What a few short forward passes tell of a network."""

    role: str
    """``encoder`` where later tokens change earlier vectors, ``decoder`` where they cannot."""
    after_norm: bool
    """Whether the last states are those that a norm outside of all blocks gave."""
    leaks: bool
    """Whether padding changes the vectors of a text, although it is masked."""
    layers: int
    """Blocks: hidden states less the embedding."""
    width: int
    """Features of a hidden state."""
    mixes: bool = True
    """Whether any token changes the vector of another. Where none does, attention does nothing: its
    weights are zero, or its class leaves it out where a GPU or a package is missing."""


def probe(network: Any, tokenizer: Any, name: str) -> Found:
    """See what a network does with a short text. Raises `ShapelibError` where it is none for texts.

    Role and padding are looked at in float32 where there is room for it, since what rounding does
    in half precision is larger than what a far token does.
    """
    ids = tokenizer(_TEXT, add_special_tokens=False)["input_ids"]
    if len(set(ids)) < 2:
        raise NoTokenizer(f"{name}: its tokenizer gives {ids} for {_TEXT!r}")
    check_ids(ids, network, name)
    plain = torch.tensor([ids], device=device_of(network))
    with torch.inference_mode(), left_as_it_was(network):
        after_norm, layers, width = _shapes(network, plain, name)
        try:
            with in_float32(network):
                role, mixes, leaks = _seen(network, plain)
        except RuntimeError:  # a class that asks its weights for their type, and mixes two
            role, mixes, leaks = _seen(network, plain)
    return Found(role, after_norm, leaks, layers, width, mixes)


def _seen(network: Any, plain: Int[Tensor, "1 length"]) -> tuple[str, bool, bool]:
    """Role, whether tokens change each other's vectors at all, and whether padding leaks."""
    ids = plain[0].tolist()
    ahead, behind = _looks(network, plain)
    leaks = padding_leaks(network, [ids, ids[: max(len(ids) // 2, 1)]], ids[0])
    return "encoder" if ahead else "decoder", ahead or behind, leaks


def _shapes(network: Any, plain: Int[Tensor, "1 length"], name: str) -> tuple[bool, int, int]:
    """Whether a final norm was passed, and how many layers of which width there are."""
    outputs: dict[str, Any] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, path=path: outputs.__setitem__(path, output)
        )
        for path, module in network.named_modules()
        if "norm" in type(module).__name__.lower()
    ]
    try:
        with foreign(f"{name} does not run on text alone", RuntimeError):
            output = network(plain, output_hidden_states=True, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    states = states_of(output, network, plain.shape, name)
    last = states[-1]
    # A norm inside a block has the block's number in its path; the final norm has none.
    after_norm = any(
        torch.is_tensor(output) and output.shape == last.shape and torch.equal(output, last)
        for path, output in outputs.items()
        if not any(part.isdigit() for part in path.split("."))
    )
    return after_norm, len(states) - 1, last.shape[-1]


def states_of(output: Any, network: Any, size: tuple[int, ...], name: str) -> list[Tensor]:
    """All hidden states of a pass over ids of that `size`: one vector a token in every layer.

    A class of blocks (BigBird) pads a text on the right to whole ones and gives the states of that
    padding as well, which is cut off. Raises `ShapelibError` for states of any other shape.
    """
    states = getattr(output, "hidden_states", None)
    if not isinstance(states, tuple | list) or not states or not torch.is_tensor(states[-1]):
        raise ShapelibError(f"{name} gives no hidden states, so there is nothing to measure")
    if getattr(network.config, "block_size", None) and states[-1].shape[:2] == size:
        states = [each[:, : size[1]] if each.dim() == 3 else each for each in states]
    expected = (*size, states[-1].shape[-1])
    for layer, each in enumerate(states):
        if tuple(each.shape) != expected:
            raise ShapelibError(
                f"{name} gives states of shape {tuple(each.shape)} in layer {layer}, expected "
                f"{expected}: models with one vector a token in every layer are accepted"
            )
    return list(states)


def check_ids(ids: list[int], network: Any, name: str) -> None:
    """Raise `ShapelibError` for a token that the network has no embedding for."""
    rows = masks.embeddings(network)
    if rows is not None and max(ids) >= rows:
        raise ShapelibError(
            f"the tokenizer of {name} gives token {max(ids)}, and the network has embeddings for "
            f"{rows} alone: it is the tokenizer of another model, or one with tokens added since"
        )


def _looks(network: Any, plain: Int[Tensor, "1 length"]) -> tuple[bool, bool]:
    """Whether another token changes vectors before it, and whether it changes those behind it: of
    several pairs, the most that one moves as a share of the changed one's own move."""
    length = plain.shape[1]
    changes = [
        (at, token)
        for at in sorted({length - 1, length // 2})
        for token in dict.fromkeys((int(plain[0, 0]), int(plain[0, 1])))
        if int(plain[0, at]) != token and at > 0
    ]
    rows = [plain]
    for at, token in changes:
        other = plain.clone()
        other[0, at] = token
        rows.append(other)
    given = torch.cat(rows)
    # A decoder's half looks ahead in what it reads itself; the encoder's text stays the same.
    fixed = {"read": plain.expand_as(given)} if isinstance(network, Half) else {}
    last = network(given, output_hidden_states=True, use_cache=False, **fixed).hidden_states[-1]
    limit = _AHEAD if last.dtype == torch.float32 else _AHEAD_HALF
    # Of two tokens, none stands between the first and the last; and of vectors that are no numbers
    # nothing can be told here: what measures them says so, and in which layer.
    ahead, behind = False, length < 3 or not bool(torch.isfinite(last).all())
    for row, (at, _) in enumerate(changes, start=1):
        moved = _moved(last[row], last[0])
        least = limit * float(moved[at])
        ahead |= float(moved[:at].max()) > least
        behind |= at + 1 < length and float(moved[at + 1 :].max()) > least
    return ahead, behind


def padding_leaks(network: Any, texts: list[list[int]], filler: int) -> bool:
    """Whether the last of some texts has other vectors beside a longer one than by itself."""
    short, longest = texts[-1], max(map(len, texts))
    device = device_of(network)
    both = torch.tensor([each + [filler] * (longest - len(each)) for each in texts], device=device)
    mask = torch.tensor(
        [[1] * len(each) + [0] * (longest - len(each)) for each in texts], device=device
    )
    beside, alone = (
        network(
            input_ids=ids, attention_mask=masks.attention_mask(network, seen),
            output_hidden_states=True, use_cache=False,
        ).hidden_states[-1][-1]
        for ids, seen in ((both, mask), (both[-1:, : len(short)], mask[-1:, : len(short)]))
    )  # fmt: skip
    moved = _moved(beside[: len(short)], alone)
    return float(moved.max()) > (_LEAK if alone.dtype == torch.float32 else _LEAK_HALF)


def _moved(
    one: Float[Tensor, "length width"], two: Float[Tensor, "length width"]
) -> Float[Tensor, " length"]:
    """How far each vector moved, as a share of its length; NaN counts as no move."""
    one, two = one.float(), two.float()
    size = two.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    moved: Float[Tensor, " length"] = ((one - two).norm(dim=-1) / size).nan_to_num()
    return moved


@contextlib.contextmanager
def in_float32(network: Any) -> Iterator[None]:
    """All weights in float32 inside, where there is room for them; the same tensors as before
    afterwards."""
    tensors = [*network.parameters(), *network.buffers()]
    low = [each for each in tensors if each.is_floating_point() and each.itemsize < 4]
    size = sum(each.numel() for each in low)
    where = device_of(network)
    free = room().get((where.index or 0) if where.type == "cuda" else "cpu", 0) if low else 0
    if not low or size > _LARGE or 4 * size > free or getattr(network, "hf_device_map", None):
        yield
        return
    before = [each.data for each in low]
    try:
        for each in low:
            each.data = each.data.float()
        yield
    finally:
        for each, data in zip(low, before, strict=True):
            each.data = data


@contextlib.contextmanager
def left_as_it_was(network: Any) -> Iterator[None]:
    """Afterwards every module has the parts, buffers, modes and plain settings of before.

    A class may change itself by what it reads: BigBird gives up sparse attention at its first short
    text, for good, by putting other modules in place of its own.
    """
    modules = list(network.modules())
    configs = {id(each.config): each.config for each in modules if hasattr(each, "config")}
    kept = [(each, dict(each._modules), dict(each._buffers), _plain(each)) for each in modules]
    settings = [(each, _plain(each)) for each in configs.values()]
    try:
        yield
    finally:
        for module, parts, buffers, plain in kept:
            if module._modules != parts:
                module._modules.clear()
                module._modules.update(parts)
            module._buffers.update(buffers)
            _put_back(module, plain)
        for config, plain in settings:
            _put_back(config, plain)


def _plain(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if isinstance(value, _SIMPLE)}


def _put_back(thing: Any, plain: dict[str, Any]) -> None:
    now = vars(thing)
    for name, value in plain.items():
        if now.get(name) is not value:
            now[name] = value
