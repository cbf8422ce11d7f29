"""Which parameters of a model train, where they lie, in which group; and a hash of all."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import nn

from shapelib.errors import ShapelibError, nearest

Groups = str | Mapping[str, str] | Callable[[str], str] | None


class Piece:
    """A trained parameter: its first name, all its places in the model, its part of a flat θ."""

    def __init__(self, name: str, parameter: nn.Parameter, start: int) -> None:
        self.name, self.parameter = name, parameter
        self.places: list[tuple[nn.Module, str]] = []
        self.part = slice(start, start + parameter.numel())


def trained(model: nn.Module) -> list[Piece]:
    """The trainable parameters in the model's order, tied ones once.

    Raises `ShapelibError` where there are none, where one is not float32, and where they lie on
    several devices.
    """
    pieces: dict[int, Piece] = {}
    start = 0
    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None or not parameter.requires_grad:
                continue
            full = f"{path}.{name}" if path else name
            if parameter.dtype != torch.float32:
                raise ShapelibError(
                    f"{full} is {parameter.dtype}; trained parameters must be float32 (load "
                    "the model so, and train under autocast)"
                )
            if id(parameter) not in pieces:
                pieces[id(parameter)] = Piece(full, parameter, start)
                start += parameter.numel()
            pieces[id(parameter)].places.append((module, name))
    if not pieces:
        raise ShapelibError(
            f"{type(model).__name__} has no trainable parameters: all are frozen (requires_grad "
            "is False), or there are none"
        )
    devices = {str(piece.parameter.device) for piece in pieces.values()}
    if len(devices) > 1:
        raise ShapelibError(
            f"the trainable parameters lie on {', '.join(sorted(devices))}; one device is accepted"
        )
    return list(pieces.values())


def trainable_size(model: nn.Module) -> int:
    """D: the number of trainable parameters of a model, tied ones once."""
    return trained(model)[-1].part.stop


def groups_of(model: nn.Module, pieces: list[Piece], groups: Groups) -> dict[str, str]:
    """The group of each trained parameter by its name; `groups` as in `reparameterize`."""
    names = [piece.name for piece in pieces]
    if callable(groups):
        return {name: groups(name) for name in names}
    if isinstance(groups, Mapping):
        known = dict(model.named_parameters(remove_duplicate=False))
        for name in groups:
            if name not in names:
                why = "is none of its parameters"
                if name in known:
                    kind = "a tied weight's other name" if known[name].requires_grad else "frozen"
                    why = f"does not train ({known[name].dtype}, {kind})"
                raise ShapelibError(f"groups name {name!r}, which {why}; {nearest(name, names)}")
        missing = [name for name in names if name not in groups]
        if missing:
            raise ShapelibError(
                f"groups miss {len(missing)} trained parameters, the first {missing[0]!r}"
            )
        return {name: groups[name] for name in names}
    if groups != "layers":
        raise ShapelibError(
            f"groups is {groups!r}; accepted: 'layers', a mapping from names, or a function of one"
        )
    return _layers(model, names)


def _layers(model: nn.Module, names: list[str]) -> dict[str, str]:
    """The layer's path for what lies in a list of modules, else what comes before or after."""
    lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    # Outer lists come first, and the first alternative that fits wins.
    layer = re.compile("|".join(rf"{re.escape(path)}\.\d+" for path in lists) or "(?!)")
    found: dict[str, str] = {}
    outside = "embeddings"
    for name in names:
        match = layer.match(name)
        if match:
            outside = "head"
        found[name] = match[0] if match else outside
    if outside == "embeddings":
        raise ShapelibError(
            f"{type(model).__name__} has no list of layers (torch.nn.ModuleList) that train; give "
            "groups as a mapping from names or a function of one"
        )
    return found


def spans(pieces: list[Piece], groups: dict[str, str]) -> list[tuple[int, slice]]:
    """Neighbouring parts of θ with one group, joined: (number of the group, part)."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    joined: list[tuple[int, slice]] = []
    for piece in pieces:
        number = numbers[groups[piece.name]]
        if joined and joined[-1][0] == number:
            joined[-1] = (number, slice(joined[-1][1].start, piece.part.stop))
        else:
            joined.append((number, piece.part))
    return joined


def fingerprint(model: nn.Module, pieces: list[Piece], without: Collection[str] = ()) -> str:
    """A hash of a model: names, shapes, types and values of trained and of frozen parameters.

    `without`: names of parameters that do not count.
    """
    train: dict[str, Any] = {piece.name: piece.parameter for piece in pieces}
    frozen = {
        name: value
        for name, value in model.named_parameters()
        if name not in train and name not in without
    }
    found = hashlib.sha256()
    for kind, parameters in (("trained", train), ("frozen", frozen)):
        for name, value in sorted(parameters.items()):
            found.update(f"{kind} {name} {tuple(value.shape)} {value.dtype}".encode())
            flat = value.detach().cpu().contiguous().view(-1)
            found.update(memoryview(flat.view(torch.uint8).numpy()))
    return found.hexdigest()
