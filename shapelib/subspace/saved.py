"""A subspace from its file: the seed and d numbers, put upon the base model that they were of."""

import json
from pathlib import Path

import torch
from torch import nn

from shapelib.errors import ShapelibError
from shapelib.subspace import trainable
from shapelib.subspace.projection import dense, fastfood
from shapelib.subspace.reparameterize import FORMAT, VERSION, Subspace


def load(model: nn.Module, path: str | Path) -> Subspace:
    """Put the subspace that `Subspace.save` wrote upon the same base model, in place.

    :param model: the base model, with the parameters that it had before; a random head must be
        drawn with the same seed.
    :param path: the file.
    :returns: the subspace, which is also the model's attribute ``subspace``.
    :raises ShapelibError: for a file that is not such a subspace, or of another version, for
        another base model, and where its seed draws another P here.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ShapelibError(f"no such subspace: {str(path)!r}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ShapelibError(f"{str(path)!r} is not a subspace: {error}") from error
    if facts.get("format") != FORMAT:
        raise ShapelibError(f"{str(path)!r} holds tensors, but no subspace that shapelib saved")
    if facts["version"] != str(VERSION):
        raise ShapelibError(
            f"{str(path)!r} has version {facts['version']}; this shapelib reads version {VERSION}"
        )
    pieces = trainable.trained(model)
    if trainable.fingerprint(model, pieces) != facts["base"]:
        raise ShapelibError(
            f"{str(path)!r} was saved on another base model: parameters of this "
            f"{type(model).__name__} differ in name, shape, value or in which of them train; a "
            "random head must be drawn with the same seed"
        )
    size, dimension, seed = (int(facts[name]) for name in ("size", "dimension", "seed"))
    projection = (
        dense(size, dimension, seed)
        if facts["kind"] == "dense"
        else fastfood(size, dimension, seed, block=json.loads(facts["block"]))
    )
    kept = json.loads(facts["groups"])
    groups = kept and dict(zip((piece.name for piece in pieces), kept, strict=True))
    subspace = Subspace(model, projection, pieces, groups)
    with torch.no_grad():
        subspace.z.copy_(tensors["z"])
        if subspace.scales is not None:
            subspace.scales.copy_(tensors["scales"])
    if not torch.allclose(subspace._probe(), tensors["probe"], rtol=1e-3, atol=1e-6):
        subspace.z.data.zero_()
        subspace.merge()
        raise ShapelibError(
            f"{str(path)!r}: this shapelib draws another P from seed {seed} than the one that the "
            "subspace was trained in"
        )
    subspace._refresh()
    subspace._place(subspace._views())
    return subspace
