"""The search on a CPU: of all points by pairs, of some or of those left by rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapelib.geometry.search import by_pairs, rounded
from shapelib.geometry.search.rounded import Known
from shapelib.processor import bfloat16_units
from shapelib.threads import in_threads

# Below this many points the product costs nothing and the small kernels of it promise nothing.
_FEW = 256
# A float64 row of the product costs as much as exact distances to a fifth of all points.
_MOST = 8


def search(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], k: int, groups: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor, int]:
    """Distances and indices of some rows, and of how many a float64 product had to find them.

    rows: rising. groups: a number for each point; none is a neighbour of one with the same number.
    """
    from shapelib.geometry.search import rows as compiled

    n, features = x.shape
    center, scale = rounded.frame(x)
    distances = torch.empty(n, k, dtype=torch.float64)
    indices = torch.empty(n, k, dtype=torch.int64)
    verdict = torch.zeros(n, dtype=torch.int8)
    out = (distances, indices, verdict)
    narrow = bfloat16_units() and len(rows) >= _FEW
    values, known = rounded.rounded(x, center, scale, narrow)
    summed, stored = (features + 1) * rounded.SUMMED_FLOAT32, rounded.STORED_BFLOAT16 * narrow
    most = min(n, max(64, 4 * k, n // _MOST))

    def product(some: Int[Tensor, " m"]) -> Float[Tensor, "m n"]:
        return (values[some] @ values.T).float()

    with _full_precision():
        if len(rows) == n:
            by_pairs.search(x, values, scale, known, summed, stored, _tiny(x), groups, out)
        # Of a search by pairs, what its lists had no room for.
        left = rows[verdict[rows] == compiled.UNPROVEN]
        _by_rows(x, left, product, scale, known, np.float32, summed, stored, most, groups, out)
    # Each examined pair tests the bound. Where one fails, hardware and assumption do not agree.
    broken = bool((verdict[rows] == compiled.BROKEN).any())
    again = rows if broken else rows[verdict[rows] != compiled.PROVEN]
    if len(again):
        wide, known = _wide(x, center, scale), rounded.known_wide(x, center, scale)
        summed = (features + 1) * rounded.SUMMED_FLOAT64
        _by_rows(x, again, wide, scale, known, np.float64, summed, 0.0, n, groups, out)
        if not bool((verdict[rows] == compiled.PROVEN).all()):
            raise RuntimeError("a float64 matrix product is less exact than float64 allows")
    if len(rows) < n:
        distances, indices = distances[rows], indices[rows]
    return distances, indices, len(again)


def _wide(
    x: Float[Tensor, "n d"], center: Float[Tensor, " d"], scale: float
) -> Callable[[Int[Tensor, " m"]], Float[Tensor, "m n"]]:
    """The float64 product of some rows with all, of which no float64 copy is made."""

    def product(rows: Int[Tensor, " m"]) -> Float[Tensor, "m n"]:
        left = (x[rows].double() - center) * scale
        every = x.split(rounded.BLOCK)
        return torch.cat([left @ ((part.double() - center) * scale).T for part in every], dim=1)

    return product


def _by_rows(
    x: Float[Tensor, "n d"],
    rows: Int[Tensor, " m"],
    product: Callable[[Int[Tensor, " block"]], Float[Tensor, "block n"]],
    scale: float,
    known: Known,
    products: type[np.float32] | type[np.float64],
    summed: float,
    stored: float,
    most: int,
    groups: Int[Tensor, " n"],
    out: tuple[Float[Tensor, "n k"], Int[Tensor, "n k"], Int[Tensor, " n"]],
) -> None:
    """Search `rows` block by block, each thread its own: see `rows.search`."""
    from shapelib.geometry.search import rows as compiled

    if len(rows) == 0:
        return
    tiny = _tiny(x)
    points, about = x.numpy(), torch.stack(list(known)).numpy()
    screen = compiled.screened(about, np.dtype(products))
    targets = [each.numpy() for each in out]
    _, group, sizes = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
    apart = (group, np.concatenate([[0], sizes.cumsum()]), group.argsort(kind="stable"))

    def work(start: int, stop: int) -> None:
        part = rows[start:stop]
        # Blocks of one size: kernels for a last block of a few rows are others, and promise less.
        for block in part.tensor_split(-(-len(part) // rounded.BLOCK)):
            compiled.search(
                points, block.numpy(), product(block).numpy(), scale, about, screen,
                summed, stored, tiny, most, *apart, *targets,
            )  # fmt: skip

    in_threads(len(rows), work)


def _tiny(x: Float[Tensor, "n d"]) -> float:
    """What underflow can take from a product."""
    # A product of coordinates above 2⁻⁶⁰ is normal, but a sum that nearly cancels may be flushed.
    return (x.shape[1] + 2) * 2.0**-120


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products are float32 here, whatever the caller allows elsewhere."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
