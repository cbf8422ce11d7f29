"""Random projections from d numbers to D parameters: Fastfood in blocks, partition, Gaussian.

``P`` is fixed by its seed and never stored as a matrix; its columns have unit expected norm.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from shapelib.errors import ShapelibError, is_whole_number
from shapelib.threads import in_threads

# Rows, or entries of blocks, of one pass on an accelerator.
_PASS = 2**24
# Rows that repay a thread's start.
_LEAST = 2**16
# Entries of a dense P: 1 GiB.
_DENSE = 2**28


class Projection(ABC):
    """A linear map P from d numbers to D parameters, fixed by its seed.

    All arithmetic is float32, under autocast too. The numbers of P are drawn from the seed by our
    own integer arithmetic (splitmix64): P is the same on every device and for ever.

    :ivar kind: ``fastfood``, ``partition`` or ``dense``.
    :ivar size: how many parameters it gives: D.
    :ivar dimension: how many numbers it takes: d.
    :ivar seed: which decides P.
    :ivar block: rows of one block; 1 for a partition, None for a dense P.
    """

    kind: str

    def __init__(self, size: int, dimension: int, seed: int, block: int | None) -> None:
        self.size, self.dimension, self.seed, self.block = size, dimension, seed, block

    def __repr__(self) -> str:
        block = f", block={self.block}" if self.kind == "fastfood" else ""
        name = f"{self.kind}, D={self.size}, d={self.dimension}{block}, seed={self.seed}"
        return f"Projection({name})"

    def matvec(
        self, z: Float[Tensor, " d"], out: Float[Tensor, " D"] | None = None
    ) -> Float[Tensor, " D"]:
        """P z, in a new tensor or in `out` (float32, contiguous), which saves its allocation.

        Raises `ShapelibError` where `z` has another shape than (d,).
        """
        z = self._checked(z, self.dimension, "z")
        if out is None:
            out = torch.empty(self.size, device=z.device)
        with torch.autocast(z.device.type, enabled=False):
            (self._expand_on_cpu if z.device.type == "cpu" else self._expand)(z, out)
        return out

    def rmatvec(self, g: Float[Tensor, " D"]) -> Float[Tensor, " d"]:
        """Pᵀ g, the adjoint: ⟨P z, g⟩ = ⟨z, Pᵀ g⟩. Sums over D are taken in float64.

        Raises `ShapelibError` where `g` has another shape than (D,).
        """
        g = self._checked(g, self.size, "g")
        with torch.autocast(g.device.type, enabled=False):
            return (self._contract_on_cpu if g.device.type == "cpu" else self._contract)(g)

    def to(self, device: torch.device | str) -> "Projection":
        """The same P on `device`, in place; returns itself."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    @property
    def nbytes(self) -> int:
        """Bytes that P takes."""
        return sum(each.nbytes for each in vars(self).values() if isinstance(each, Tensor))

    @abstractmethod
    def _expand(self, z: Tensor, out: Tensor) -> None:
        """By tensor operations, on any device."""

    @abstractmethod
    def _contract(self, g: Tensor) -> Tensor:
        """By tensor operations, on any device."""

    def _expand_on_cpu(self, z: Tensor, out: Tensor) -> None:
        self._expand(z, out)

    def _contract_on_cpu(self, g: Tensor) -> Tensor:
        return self._contract(g)

    def _checked(self, x: Tensor, length: int, name: str) -> Tensor:
        if x.shape != (length,):
            raise ShapelibError(f"{name} has shape {tuple(x.shape)}, but {self} takes ({length},)")
        return x.detach().to(torch.float32).contiguous()


class _Fastfood(Projection):
    kind = "fastfood"

    def __init__(self, size: int, dimension: int, seed: int, block: int) -> None:
        from shapelib.subspace import draws

        super().__init__(size, dimension, seed, block)
        self._width = _power_of_two(dimension)
        blocks = -(-size // block)
        # Only the first d inputs are not zero, so H B pad(z) has the period `_width`, and of a
        # permutation only the remainder matters.
        shape, kind = (blocks, block), _index_type(self._width)
        self._index = _index(draws.permutations(seed, shape, self._width, kind))
        self._signs = torch.from_numpy(draws.signs(seed, (blocks, dimension)))
        gains = draws.normal(seed, shape)
        # Each column of H G Π H B has the squared norm block · Σg².
        gains /= np.sqrt(size * np.square(gains, dtype=np.float64).sum(1, keepdims=True))
        self._gains = torch.from_numpy(gains)

    def _expand(self, z: Tensor, out: Tensor) -> None:
        for first, last in self._passes():
            inner = z * self._signs[first:last]
            inner = _transform(pad(inner, (0, self._width - self.dimension)))
            outer = self._gains[first:last] * inner.gather(1, _wide(self._index[first:last]))
            start = first * self._index.shape[1]
            rows = out[start : start + outer.numel()]
            rows.copy_(_transform(outer).view(-1)[: len(rows)])

    def _contract(self, g: Tensor) -> Tensor:
        total = torch.zeros(self.dimension, dtype=torch.float64, device=g.device)
        block = self._index.shape[1]
        for first, last in self._passes():
            rows = g[first * block : last * block]
            outer = pad(rows, (0, (last - first) * block - len(rows))).view(-1, block)
            outer = self._gains[first:last] * _transform(outer)
            inner = outer.new_zeros(last - first, self._width)
            inner.scatter_add_(1, _wide(self._index[first:last]), outer)
            inner = _transform(inner)[:, : self.dimension] * self._signs[first:last]
            total += inner.sum(0, dtype=torch.float64)
        return total.float()

    def _expand_on_cpu(self, z: Tensor, out: Tensor) -> None:
        from shapelib.subspace import hadamard

        _in_threads(len(self._index), self._least(), hadamard.expand, out, z, *self._numbers())

    def _contract_on_cpu(self, g: Tensor) -> Tensor:
        from shapelib.subspace import hadamard

        loop, rows, least = hadamard.contract, len(self._index), self._least()
        return _summed(rows, least, loop, self.dimension, g, *self._numbers())

    def _least(self) -> int:
        return max(1, _LEAST // self._index.shape[1])

    def _numbers(self) -> tuple[Any, ...]:
        index = self._index.numpy().view(_index_type(self._width))
        return self._signs, index, self._gains, self._width

    def _passes(self) -> list[tuple[int, int]]:
        blocks, block = self._index.shape
        step = max(1, _PASS // block)
        return [(first, min(first + step, blocks)) for first in range(0, blocks, step)]


class _Partition(Projection):
    kind = "partition"

    def __init__(self, size: int, dimension: int, seed: int) -> None:
        from shapelib.subspace import draws

        super().__init__(size, dimension, seed, 1)
        # As equal as can be, so that no column is empty: P is an isometry.
        index = draws.permutations(seed, (1, size), dimension, _index_type(dimension))
        self._index = _index(index[0])
        count = size // dimension + (np.arange(dimension) < size % dimension)
        self._scale = torch.from_numpy((count**-0.5).astype(np.float32))

    def _expand(self, z: Tensor, out: Tensor) -> None:
        z = z * self._scale
        for start in range(0, self.size, _PASS):
            index = _wide(self._index[start : start + _PASS])
            torch.index_select(z, 0, index, out=out[start : start + len(index)])

    def _contract(self, g: Tensor) -> Tensor:
        total = torch.zeros(self.dimension, dtype=torch.float64, device=g.device)
        for start in range(0, self.size, _PASS):
            index = _wide(self._index[start : start + _PASS])
            total.index_add_(0, index, g[start : start + len(index)].double())
        return total.float() * self._scale

    def _expand_on_cpu(self, z: Tensor, out: Tensor) -> None:
        from shapelib.subspace import hadamard

        _in_threads(self.size, _LEAST, hadamard.pick, out, z * self._scale, self._indices())

    def _contract_on_cpu(self, g: Tensor) -> Tensor:
        from shapelib.subspace import hadamard

        loop, found = hadamard.gather, self._indices()
        return _summed(self.size, _LEAST, loop, self.dimension, g, found) * self._scale

    def _indices(self) -> Any:
        return self._index.numpy().view(_index_type(self.dimension))


class _Dense(Projection):
    kind = "dense"

    def __init__(self, size: int, dimension: int, seed: int) -> None:
        from shapelib.subspace import draws

        super().__init__(size, dimension, seed, None)
        self._entries = torch.from_numpy(draws.normal(seed, (size, dimension))).mul_(size**-0.5)

    def _expand(self, z: Tensor, out: Tensor) -> None:
        torch.mv(self._entries, z, out=out)

    def _contract(self, g: Tensor) -> Tensor:
        return self._entries.T @ g


def fastfood(D: int, d: int, seed: int = 0, *, block: int | None = None) -> Projection:
    """Fastfood: P z of `D` parameters from `d` numbers in O(D log d) time.

    Each block of `block` rows has its own H G Π H B pad(z) / √(D Σg²): H the unnormalised
    Walsh–Hadamard matrix, B random signs, Π a random permutation, G standard normal (Le et al.
    2013; Aghajanyan et al. 2020). With one block, 2^⌈log₂D⌉ rows or more, that is the papers'
    transform, cut off after D rows. ``block=1`` is the limit of small blocks: each parameter
    follows one random coordinate of z, and all coordinates have equally many parameters to within
    one (Li et al. 2025, "Uni-LoRA"), so that PᵀP is the identity.

    P takes at most 8 bytes a row for blocks up to 65 536, and 2 bytes (4 where d > 65 536) for
    ``block=1``. Its columns have unit expected norm.

    :param D: parameters.
    :param d: numbers that move them, at most D.
    :param seed: which decides P.
    :param block: rows of one block: 1, or a power of two of at least 2^⌈log₂d⌉; without it the
        larger of 1024 and 2^⌈log₂d⌉.
    :returns: P, which is never stored as a matrix.
    :raises ShapelibError: where d is not from 1 to D, for a negative seed, and for another block.

    >>> import torch
    >>> from shapelib import fastfood
    >>> P = fastfood(100_000, 16)
    >>> z, g = torch.ones(16), torch.linspace(-1, 1, 100_000)
    >>> P.matvec(z).shape, P.rmatvec(g).shape
    (torch.Size([100000]), torch.Size([16]))
    >>> torch.allclose(P.matvec(z) @ g, z @ P.rmatvec(g), atol=1e-4)  # each other's adjoint
    True
    """
    _check(D, d, seed)
    if block is None:
        block = default_block(d)
    if not is_whole_number(block):
        raise ShapelibError(f"block is {block!r}; a whole number is accepted")
    if block == 1:
        return _Partition(D, d, seed)
    least = _power_of_two(d)
    if block < least or block & (block - 1):
        raise ShapelibError(
            f"block is {block}; accepted for d = {d}: 1 (a random partition), or a power of two "
            f"of at least {least}"
        )
    return _Fastfood(D, d, seed, block)


def dense(D: int, d: int, seed: int = 0) -> Projection:
    """P with independent normal entries of variance 1/D: the reference, for small D.

    Raises `ShapelibError` where d is not from 1 to D, for a negative seed, and where P would take
    more than 1 GiB.
    """
    _check(D, d, seed)
    if D * d > _DENSE:
        raise ShapelibError(
            f"a dense P of {D} × {d} entries takes {4 * D * d / 2**30:.1f} GiB, more than the "
            "accepted 1 GiB; use fastfood"
        )
    return _Dense(D, d, seed)


def default_block(d: int) -> int:
    """The block that `fastfood` takes for d numbers: 1024, or 2^⌈log₂d⌉ where that is more."""
    return max(1024, _power_of_two(d))


def _check(size: int, dimension: int, seed: int) -> None:
    for name, value, least in (("D", size, 1), ("d", dimension, 1), ("seed", seed, 0)):
        if not is_whole_number(value, least):
            raise ShapelibError(f"{name} is {value!r}; a whole number from {least} on is accepted")
    if dimension > size:
        raise ShapelibError(
            f"d is {dimension}, more than the D = {size} parameters; accepted: 1 to {size}"
        )


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _index_type(values: int) -> type[np.generic]:
    return np.uint16 if values <= 2**16 else np.int32


def _index(index: np.ndarray) -> Tensor:
    # Torch knows 16 bits with a sign only.
    return torch.from_numpy(index.view(np.int16) if index.dtype == np.uint16 else index)


def _wide(index: Tensor) -> Tensor:
    return index.long() & 0xFFFF if index.dtype == torch.int16 else index.long()


def _transform(x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
    """H applied to each row. By sums, since a matrix product may be rounded to TensorFloat-32."""
    width, n = 1, x.shape[1]
    while width < n:
        a, b = x.view(-1, 2, width).unbind(1)
        x = torch.stack((a + b, a - b), dim=1).view(-1, n)
        width *= 2
    return x


def _in_threads(
    parts: int, least: int, loop: Callable[..., Any], out: Tensor, *numbers: Any
) -> None:
    arrays, rows = _arrays(numbers), out.numpy()
    in_threads(parts, lambda first, last: loop(*arrays, first, last, rows), least)


def _summed(parts: int, least: int, loop: Callable[..., Any], d: int, *numbers: Any) -> Tensor:
    """The sum of what `loop` adds to d zeros, a thread at a time."""
    arrays = _arrays(numbers)

    def part(first: int, last: int) -> Tensor:
        total = torch.zeros(d, dtype=torch.float64)
        loop(*arrays, first, last, total.numpy())
        return total

    return torch.stack(in_threads(parts, part, least)).sum(0).float()


def _arrays(numbers: tuple[Any, ...]) -> list[Any]:
    return [each.numpy() if isinstance(each, Tensor) else each for each in numbers]
