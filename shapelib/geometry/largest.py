"""The largest eigenvalue of a Gram matrix: cheap steps find its vector, an exact one checks it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.linalg.lapack import dstev, dsyevr
from scipy.sparse.linalg import LinearOperator, eigsh

Vector = Float[np.ndarray, " d"]
Pair = Float[np.ndarray, "2 d"]

TOLERANCE = 1e-7
"""What the error of the eigenvalue is held below, relative."""
# Cheap steps aim a little lower, lest their own rounding fail the check.
_AIM = 8e-8
# A cheap value further from the exact one is not that of the same matrix, whatever the residual.
_ALIKE = 1e-5
_BLOCKS = 128
# Where only exact steps will do, their residual alone is held to this.
_RESIDUAL = 1e-8
_STEPS = 300


def largest_eigenvalue(
    exact: Callable[[Vector], Vector], cheap: Callable[[Pair], Pair], size: int
) -> float:
    """The largest eigenvalue of a matrix A, symmetric and without negative eigenvalues.

    Block Lanczos steps with two vectors, by `cheap`, find the first eigenvector v; one exact
    product then gives the value θ = vᵀ A v and the residual r = ‖A v − θ v‖. If all other
    eigenvalues lie at least g below θ, it is too small by at most r² / g (Temple 1928, Kato 1949;
    Parlett, The Symmetric Eigenvalue Problem, chapter 11). That is held below `TOLERANCE` times θ,
    and it is what saves half of the steps: an error of 1e-7 takes a residual of some 1e-5 only.

    g is θ less the second value that the steps found and its own residual, so the bound is proved
    but for one thing: that the steps have seen the second eigenvalue. One random vector is blind to
    a second direction that is nearly as strong as the first; two are not. Where more are that near,
    g comes out as small as their distances, and r as large: unless g is ten times r, ten times r is
    the bound. (Some eigenvalue lies within r of θ, and of a few that are not told apart the first
    is further than that by a small factor.) Where the bound fails, or θ is not the value that the
    cheap steps found, steps with exact products go on from v until r alone is a tenth of that.

    :param exact: A times a vector, in float64. A is scaled so that its trace is about 1.
    :param cheap: A times two vectors, rounded: an error changes how long it takes, not the result.
    :param size: of A.
    """
    vector, expected, apart = _by_blocks(cheap, size)
    if vector is not None:
        ahead = exact(vector)
        value = float(ahead @ vector)
        residual = float(np.linalg.norm(ahead - value * vector))
        alike = value > 0 and abs(value - expected) <= _ALIKE * value
        if alike and _error(residual / value, apart) <= TOLERANCE:
            return value
    return _by_steps(exact, size, vector)


def _error(residual: float, apart: float) -> float:
    """The bound, with everything relative to the eigenvalue."""
    return residual * (residual / apart) if apart > 10 * residual else 10 * residual


def _by_blocks(cheap: Callable[[Pair], Pair], size: int) -> tuple[Vector | None, float, float]:
    """The first eigenvector, its value, and how far below the others lie, relative to it.

    None where `cheap` gives what is not a number.
    """
    from shapelib.geometry import loops

    basis = np.empty((2 * min(size // 2, _BLOCKS), size))
    projected = np.zeros((len(basis), len(basis)))
    block, beyond = np.random.default_rng(0).standard_normal((2, size)), np.empty((2, 2))
    loops.orthonormalize(block, basis[:0], np.empty((2, 0)), beyond)
    for stop in range(2, len(basis) + 1, 2):
        basis[stop - 2 : stop] = block
        block = cheap(block)
        if not np.isfinite(block).all():
            return None, 0.0, 0.0
        # Beyond the last two blocks there is only rounding, which would grow.
        along = np.empty((2, min(stop, 4)))
        loops.orthonormalize(block, basis[:stop], along, beyond)
        projected[stop - 2 : stop, stop - along.shape[1] : stop] = along
        spent = beyond[1, 1] <= 1e-6 * float(np.abs(along).max())
        step = stop // 2
        # Each look costs the cube of the steps.
        if spent or stop == len(basis) or 1 < step < 8 or step % 2 == 0:
            values, vectors, *_ = dsyevr(
                projected[:stop, :stop], lower=1, range="I", il=stop - 1, iu=stop
            )
            value = max(float(values[1]), np.finfo(np.float64).tiny)
            # Of each pair: what A times it has beyond the basis.
            second, first = np.linalg.norm(vectors[-2:, :2].T @ beyond, axis=1)
            apart = (value - float(values[0]) - float(second)) / value
            if spent or _error(float(first) / value, apart) <= _AIM:
                break
    vector = basis[:stop].T @ vectors[:, 1]
    return vector / np.linalg.norm(vector), value, apart


def _by_steps(multiply: Callable[[Vector], Vector], size: int, near: Vector | None) -> float:
    """By Lanczos iterations with one vector, stopped as soon as the residual allows.

    ARPACK, which would make twenty steps before it looks, takes over should `_STEPS` not do.
    """
    basis = np.empty((min(size, _STEPS) + 1, size))
    start = np.random.default_rng(0).standard_normal(size)
    start /= np.linalg.norm(start)
    if near is not None:
        # A little of everything, lest the guess be an eigenvector of a smaller eigenvalue.
        start = near + 1e-3 * start
        start /= np.linalg.norm(start)
    basis[0] = start
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(len(basis) - 1):
        known = basis[: step + 1]
        ahead = multiply(known[-1])
        diagonal.append(float(ahead @ known[-1]))
        # Against all before, twice: three terms alone lose orthogonality as a value converges.
        for _ in range(2):
            ahead = ahead - known.T @ (known @ ahead)
        length = float(np.linalg.norm(ahead))
        # Each look costs the cube of the steps.
        if step < 16 or step % 8 == 7 or step == len(basis) - 2 or length == 0:
            values, vectors, _ = dstev(diagonal, beside or [0.0])
            if length * abs(float(vectors[-1, -1])) <= _RESIDUAL * float(values[-1]):
                return float(values[-1])
        beside.append(length)
        basis[step + 1] = ahead / length
    operator = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
    found = eigsh(operator, 1, which="LA", tol=_RESIDUAL, v0=start, return_eigenvectors=False)
    return float(found[0])
