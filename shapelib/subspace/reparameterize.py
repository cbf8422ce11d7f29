"""Fine-tuning in a random subspace: a model whose d trainable numbers move all its parameters."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shapelib.errors import ShapelibError
from shapelib.store import tables
from shapelib.subspace import trainable
from shapelib.subspace.projection import Projection, fastfood
from shapelib.subspace.trainable import Groups, Piece

# Of the files that `Subspace.save` writes.
VERSION = 2
FORMAT = "shapelib-subspace"
_NAME, _Z, _SCALES = "subspace", "subspace_z", "subspace_scales"
_PROBES = 64


def reparameterize(
    model: nn.Module,
    projection: Projection | int,
    *,
    groups: Groups = None,
    seed: int = 0,
    block: int | None = None,
) -> "Subspace":
    """Make θ = θ₀ + P z of all trainable parameters of `model`, in place; z starts at zero.

    Without `groups` that is DID: z is all that trains. With `groups` it is SAID: each group of
    parameters has a learned scale λ besides, θᵢ = θ₀ᵢ + λᵢ (P z)ᵢ, which starts at 1.

    Afterwards ``model.parameters()`` gives these d numbers (and what was frozen before, which stays
    as it is); forward, backward, any optimizer, gradient accumulation, autocast, checkpoints of
    activations (not the reentrant ones), DistributedDataParallel and the Trainer of transformers
    work as before. Each call of the model itself, not of a part of it, brings θ up to date. Use no
    weight decay on z. A tied weight counts once.

    :param model: any torch module with float32 parameters.
    :param projection: d, the count of all numbers that train, scales among them: P is then
        ``fastfood(D, d − scales, seed, block=block)``; or a projection from D, the number of
        trainable parameters.
    :param groups: ``"layers"`` (each transformer layer, what comes before them, "embeddings", and
        after them, "head"), or each parameter's group as a mapping from names or a function of the
        name.
    :param seed: of P.
    :param block: that of `fastfood`.
    :returns: the subspace, which is also the model's attribute ``subspace``.
    :raises ShapelibError: for a model without trainable parameters or with one that is not float32
        (load it so, and train under autocast), for one that is in a subspace or compiled already,
        for groups that miss a parameter or name another, for d > D, for d not above the number of
        groups, and for a projection of another size.

    >>> import torch
    >>> from shapelib import reparameterize
    >>> model = torch.nn.Linear(20, 2)
    >>> subspace = reparameterize(model, 5)
    >>> sum(each.numel() for each in model.parameters()), subspace.flat().shape
    (5, torch.Size([42]))
    >>> model(torch.ones(1, 20)).sum().backward()
    >>> subspace.z.grad.shape
    torch.Size([5])
    """
    if isinstance(getattr(model, "_orig_mod", None), nn.Module) or getattr(
        model, "_compiled_call_impl", None
    ):
        raise ShapelibError(
            f"{type(model).__name__} is compiled already, and what was compiled has its parameters "
            "fixed: reparameterize the model first, and compile it then"
        )
    if hasattr(model, _NAME):
        raise ShapelibError(f"{type(model).__name__} has a {_NAME!r} already: merge it first")
    pieces = trainable.trained(model)
    size = pieces[-1].part.stop
    group_of = None if groups is None else trainable.groups_of(model, pieces, groups)
    scales = len(set(group_of.values())) if group_of else 0
    if not isinstance(projection, Projection):
        d = projection
        if isinstance(d, int) and not scales < d <= size:
            raise ShapelibError(
                f"d is {d}; accepted: {scales + 1} to {size}, the number of trainable parameters"
                + (f", since {scales} groups have a scale each" if scales else "")
            )
        projection = fastfood(size, d - scales, seed, block=block)
    if projection.size != size:
        raise ShapelibError(
            f"{projection} gives {projection.size} parameters, but {type(model).__name__} has "
            f"{size} trainable ones"
        )
    return Subspace(model, projection, pieces, group_of)


class Subspace:
    """The subspace of a reparametrised model, and its attribute ``subspace``.

    What trains are the model's parameters ``subspace_z`` and ``subspace_scales``.

    :ivar projection: the map P.
    :ivar groups: the group of each trained parameter by name, or None for DID.
    """

    def __init__(
        self,
        model: nn.Module,
        projection: Projection,
        pieces: list[Piece],
        groups: dict[str, str] | None,
    ) -> None:
        device = pieces[0].parameter.device
        self.projection, self.groups = projection.to(device), groups
        self._pieces = pieces
        self._spans = trainable.spans(pieces, groups) if groups else []
        self._origin = torch.cat([piece.parameter.detach().reshape(-1) for piece in pieces])
        self._flat = self._origin.clone()
        # P z, which the gradient of the scales needs.
        self._moved = torch.zeros_like(self._flat) if groups else None
        # Where gradients are put together: memory that is new each time costs more than its use.
        self._gradient: Tensor | None = None
        self._seen: list[Tensor] | None = None
        self._passes = 0
        places = [place for piece in pieces for place in piece.places]
        self._orders = {module: list(module._parameters) for module, _ in places}
        self._fingerprint: str | None = None
        self._model = model
        for module, name in places:
            del module._parameters[name]
        for piece in pieces:
            piece.parameter.data = self._origin[piece.part].view(piece.parameter.shape)
        self._place(self._views())
        z = torch.zeros(projection.dimension, device=device)
        model.register_parameter(_Z, nn.Parameter(z))
        if groups:
            scales = torch.ones(len(set(groups.values())), device=device)
            model.register_parameter(_SCALES, nn.Parameter(scales))
        setattr(model, _NAME, self)
        self._hook = model.register_forward_pre_hook(self._before, prepend=True)

    @property
    def z(self) -> Tensor:
        """The numbers that P takes: d, of SAID d less the scales."""
        return cast(Tensor, getattr(self._model, _Z))

    @property
    def scales(self) -> Tensor | None:
        """One for each group, or None for DID."""
        return cast(Tensor, getattr(self._model, _SCALES)) if self.groups else None

    def parameters(self) -> list[Tensor]:
        """z, and the scales where there are any."""
        return [self.z] if self.scales is None else [self.z, self.scales]

    @property
    def dimension(self) -> int:
        """d: all numbers that train."""
        return self.projection.dimension + (0 if self.scales is None else len(self.scales))

    def flat(self) -> Float[Tensor, " D"]:
        """θ, all trained parameters one after the other. A copy."""
        self._refresh()
        return self._flat.clone()

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """θ as ordinary, frozen parameters inside, for using a part of the model by itself; between
        steps alone, since a graph that waits for its backward pass would lose them."""
        self._refresh()
        views = self._views()
        try:
            for piece, view in zip(self._pieces, views, strict=True):
                fixed = nn.Parameter(view, requires_grad=False)
                for module, name in piece.places:
                    delattr(module, name)
                    module.register_parameter(name, fixed)
            yield
        finally:
            for piece in self._pieces:
                for module, name in piece.places:
                    module._parameters.pop(name, None)
            self._place(views)

    def merge(self) -> nn.Module:
        """Write θ into ordinary parameters, trainable as before, and return the model."""
        self._refresh()
        model = self._model
        self._hook.remove()
        delattr(model, _NAME)
        delattr(model, _Z)
        if self.groups:
            delattr(model, _SCALES)
        for piece in self._pieces:
            piece.parameter.data = self._flat[piece.part].view(piece.parameter.shape).clone()
            piece.parameter.grad = None
            for module, name in piece.places:
                setattr(module, name, piece.parameter)
        for module, names in self._orders.items():
            module._parameters.update({name: module._parameters.pop(name) for name in names})
        return model

    def save(self, path: str | Path) -> Path:
        """Write the seed and the d numbers as safetensors, whole or not at all.

        The file is of kilobytes. `subspace.load` finds the parameters again from the same base
        model: the same weights, a random head among them.
        """
        from safetensors.torch import save_file

        path = Path(path)
        if not path.parent.is_dir():
            raise ShapelibError(f"the folder {str(path.parent)!r} does not exist; make it first")
        tensors = {"z": self.z.detach().cpu(), "probe": self._probe()}
        if self.scales is not None:
            tensors["scales"] = self.scales.detach().cpu()
        numbers = self.projection
        metadata = {
            "format": FORMAT, "version": str(VERSION), "kind": numbers.kind,
            "size": str(numbers.size), "dimension": str(numbers.dimension),
            "seed": str(numbers.seed), "block": json.dumps(numbers.block),
            "groups": json.dumps(None if self.groups is None else list(self.groups.values())),
            "base": self.base(),
        }  # fmt: skip
        tables.write_atomically(path, lambda file: save_file(tensors, file, metadata))
        return path

    def base(self) -> str:
        """A hash of the base model: names, shapes and values of its parameters, θ₀ and frozen."""
        if self._fingerprint is None:
            self._fingerprint = trainable.fingerprint(self._model, self._pieces, (_Z, _SCALES))
        return self._fingerprint

    def _probe(self) -> Float[Tensor, " probes"]:
        """P z in some rows, so that a seed that draws another P is noticed."""
        moved = self.projection.matvec(self.z)
        rows = torch.linspace(0, len(moved) - 1, _PROBES, dtype=torch.float64).long()
        return moved.cpu()[rows]

    def _before(self, module: nn.Module, _inputs: Any) -> None:
        """Before each forward pass of the model."""
        if module is not self._model:
            raise ShapelibError(
                "a model in a subspace does not run as copies by DataParallel; use one device, or "
                "DistributedDataParallel (torchrun)"
            )
        if self.z.dtype != torch.float32:
            raise ShapelibError(
                f"the model was converted to {self.z.dtype}; in a subspace float32 is accepted, "
                "under autocast if need be"
            )
        self._refresh()
        if torch.is_grad_enabled() and any(each.requires_grad for each in self.parameters()):
            self._place(_Parameters.apply(self, self.z, self.scales))  # type: ignore[no-untyped-call]
        else:
            self._place(self._views())

    def _follow(self) -> None:
        """Bring θ to the device of z, which moves with the model."""
        device = self.z.device
        if self._origin.device == device:
            return
        self._origin, self._flat = self._origin.to(device), self._flat.to(device)
        self._moved = None if self._moved is None else self._moved.to(device)
        self._gradient, self._seen = None, None
        self.projection.to(device)
        for piece in self._pieces:
            piece.parameter.data = self._origin[piece.part].view(piece.parameter.shape)

    def _refresh(self) -> None:
        """Bring θ up to date with z and the scales."""
        self._follow()
        now = [each.detach() for each in self.parameters()]
        # By value: writing to .data, as some optimizers do, leaves no other trace.
        if self._seen is not None and all(map(torch.equal, now, self._seen)):
            return
        with torch.no_grad():
            if self.scales is None or self._moved is None:
                self.projection.matvec(self.z, out=self._flat)
                self._flat += self._origin
            else:
                self.projection.matvec(self.z, out=self._moved)
                for group, part in self._spans:
                    torch.addcmul(
                        self._origin[part], self._moved[part], self.scales[group],
                        out=self._flat[part],
                    )  # fmt: skip
        self._seen = [each.clone() for each in now]

    def _views(self) -> tuple[Tensor, ...]:
        flat = self._flat.detach()
        return tuple(flat[each.part].view(each.parameter.shape) for each in self._pieces)

    def _place(self, views: tuple[Tensor, ...]) -> None:
        for piece, view in zip(self._pieces, views, strict=True):
            for module, name in piece.places:
                setattr(module, name, view)


class _Parameters(torch.autograd.Function):
    """All parameters as views of θ, and back from their gradients to those of z and the scales."""

    @staticmethod
    def forward(
        ctx: Any, subspace: Subspace, z: Tensor, scales: Tensor | None
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        subspace._passes += 1
        ctx.subspace, ctx.number = subspace, subspace._passes
        ctx.save_for_backward(scales)
        return subspace._views()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, Tensor, Tensor | None]:
        subspace = ctx.subspace
        if ctx.number == subspace._passes:
            # Nobody needs the graph any more, and tensors of a graph cannot be copied with a model.
            subspace._place(subspace._views())
        if subspace._gradient is None:
            subspace._gradient = torch.empty_like(subspace._flat)
        flat = subspace._gradient
        for piece, gradient in zip(subspace._pieces, gradients, strict=True):
            if gradient is None:
                flat[piece.part] = 0
            else:
                dense = gradient.to_dense() if gradient.is_sparse else gradient
                flat[piece.part].view(piece.parameter.shape).copy_(dense)
        (scales,) = ctx.saved_tensors
        if scales is None:
            return None, subspace.projection.rmatvec(flat), None
        of_scales = torch.zeros_like(scales, dtype=torch.float64)
        for group, part in subspace._spans:
            of_scales[group] += torch.dot(flat[part], subspace._moved[part])
            flat[part] *= scales[group]
        return None, subspace.projection.rmatvec(flat), of_scales.float()
