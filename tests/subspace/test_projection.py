"""Random projections: against the definition written out, and by what they promise."""

from collections.abc import Callable

import draws_reference
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from shared import ProjectionKind, kinds, matrix
from stress import often

from shapelib import fastfood
from shapelib.errors import ShapelibError
from shapelib.subspace.projection import Projection, default_block, dense


class TestOneBlock(ProjectionKind):
    """The papers' transform, cut off after D rows."""

    @staticmethod
    def make(size: int, dimension: int, seed: int) -> Projection:
        return fastfood(size, dimension, seed, block=1 << (max(size, 1) - 1).bit_length())


class TestBlocks(ProjectionKind):
    @staticmethod
    def make(size: int, dimension: int, seed: int) -> Projection:
        block = max(16, 1 << (max(dimension, 1) - 1).bit_length())
        return fastfood(size, dimension, seed, block=block)


class TestPartition(ProjectionKind):
    # In which all parameters move alike.
    shared_directions = 1

    @staticmethod
    def make(size: int, dimension: int, seed: int) -> Projection:
        return fastfood(size, dimension, seed, block=1)


class TestDense(ProjectionKind):
    make = staticmethod(dense)


KINDS = {
    "one block": TestOneBlock.make,
    "blocks": TestBlocks.make,
    "partition": TestPartition.make,
    "dense": dense,
}


def test_every_kind_is_held_to_the_suite():
    """Of those that there are, and in all the ways that they are made."""
    made = {each.make(40, 3, 0).kind for each in kinds(ProjectionKind)}
    assert made == {each.kind for each in Projection.__subclasses__()}


@st.composite
def projections(draw: st.DrawFn) -> Projection:
    size = draw(st.integers(1, 700))
    dimension = draw(st.integers(1, min(size, 70)))
    least = (dimension - 1).bit_length()
    block = draw(st.one_of(st.just(1), st.integers(least, least + 5).map(lambda k: 2**k)))
    return fastfood(size, dimension, draw(st.integers(0, 99)), block=block)


@settings(max_examples=often(40, 1000))
@given(p=projections(), seed=st.integers(0, 99))
def test_rmatvec_is_the_adjoint(p: Projection, seed: int):
    draw = torch.Generator().manual_seed(seed)
    z, g = torch.randn(p.dimension, generator=draw), torch.randn(p.size, generator=draw)
    forward = float(p.matvec(z).double() @ g.double())
    backward = float(z.double() @ p.rmatvec(g).double())
    assert abs(forward - backward) <= 1e-5 * float(p.matvec(z).norm() * g.norm())


@pytest.mark.parametrize(
    ("size", "dimension", "block"),
    [(300, 37, 512), (512, 5, 512), (100, 100, 128), (1000, 64, 64), (1000, 20, 256), (9, 2, 2)],
)
def test_equals_the_literal_transform(size: int, dimension: int, block: int):
    """H G Π H B pad(z) of each block with full-length matrices, cut off after D rows."""
    p = fastfood(size, dimension, 5, block=block)
    blocks = -(-size // block)
    order = draws_reference.permutations(5, blocks, block)
    signs = draws_reference.signs(5, blocks, dimension)
    gauss = draws_reference.normal(5, blocks, block)
    z = np.random.default_rng(6).standard_normal(dimension)
    H = hadamard(block).astype(np.float64)
    rows = []
    for b in range(blocks):
        padded = np.zeros(block)
        padded[:dimension] = signs[b] * z
        mixed = H @ (gauss[b] * (H @ padded)[order[b]])
        c = np.sqrt(block * np.sum(gauss[b] ** 2))
        rows.append(mixed / (c * np.sqrt(size / block)))
    expected = np.concatenate(rows)[:size]
    found = p.matvec(torch.from_numpy(z).float())
    assert np.allclose(found, expected, atol=2e-6 * np.abs(expected).max())


# Of a Gaussian matrix of this size a column's norm spreads by 1/√(2D) = 0.011, and singular values
# fill 1 ± √(d/D) = 1 ± 0.125. Fastfood's numbers G are squared in PᵀP: that is 1 ± 0.177 for many
# blocks, and for one block each singular value is √(χ²/k) with k = D/d = 64 degrees of freedom,
# which spreads by 1/√(2k) = 0.09.
@pytest.mark.parametrize(
    ("kind", "norms", "values"),
    [
        ("dense", 0.05, 0.16),
        ("blocks", 1e-5, 0.22),
        ("one block", 1e-5, 0.36),
        ("partition", 1e-5, 1e-5),
    ],
)
def test_norms_and_singular_values_spread_as_stated(kind: str, norms: float, values: float):
    lengths, found = [], []
    for seed in range(6):
        P = matrix(KINDS[kind](4096, 64, seed))
        lengths.append(np.linalg.norm(P, axis=0))
        found.append(np.linalg.svd(P, compute_uv=False))
    assert np.abs(np.array(lengths) - 1).max() < norms
    assert np.abs(np.array(found) - 1).max() < values
    assert abs(np.mean(np.square(found)) - 1) < 0.01


def test_columns_have_unit_expected_norm_where_the_last_block_is_cut():
    squares = [np.sum(matrix(fastfood(700, 8, seed, block=512)) ** 2, 0) for seed in range(40)]
    # 320 squares, each with a spread of about √(2/700).
    assert abs(np.mean(squares) - 1) < 0.02


@pytest.mark.parametrize(("size", "dimension"), [(1000, 7), (64, 64), (101, 100)])
def test_a_partition_is_an_isometry_and_leaves_nothing_out(size: int, dimension: int):
    P = matrix(fastfood(size, dimension, 1, block=1))
    assert np.allclose(P.T @ P, np.eye(dimension), atol=1e-6)
    assert ((P != 0).sum(axis=1) == 1).all()
    counts = (P != 0).sum(axis=0)
    assert counts.max() - counts.min() <= 1
    # Random: not the order of the rows.
    assert (np.diff(P.argmax(axis=1)) != 1).any()


def test_nothing_else_moves_the_numbers():
    """Known values: whoever changes what a seed draws makes saved subspaces unreadable."""
    z = torch.arange(1.0, 4.0)
    known = {
        fastfood(6, 3, 0, block=4): [2.191196, 1.173488, 1.836311, 2.854018, 0.697212, -0.906877],
        fastfood(6, 3, 0, block=1): [2.12132, 1.414214, 1.414214, 0.707107, 2.12132, 0.707107],
        dense(6, 3, 0): [0.090644, 0.125227, -1.389066, 2.692972, 0.355005, -1.26032],
    }
    for p, expected in known.items():
        assert p.matvec(z).tolist() == pytest.approx(expected, abs=1e-5), p


@pytest.mark.parametrize(("dimension", "block"), [(10, 64), (4, 4), (1, 1), (1, 2), (70_000, 1)])
def test_p_takes_at_most_8_bytes_a_row(dimension: int, block: int):
    size = 2**17
    assert fastfood(size, dimension, 0, block=block).nbytes <= 8 * size


def test_into_memory_that_is_there():
    p = fastfood(5000, 10)
    out = torch.full((5000,), float("nan"))
    assert p.matvec(torch.ones(10), out=out) is out
    assert torch.equal(out, p.matvec(torch.ones(10)))


def test_default_block():
    assert [default_block(d) for d in (1, 1000, 1024, 1025, 5000)] == [1024] * 3 + [2048, 8192]
    assert fastfood(10_000, 1025).block == 2048


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: fastfood(10, 11), "d is 11, more than the D = 10 parameters; accepted: 1 to 10"),
        (lambda: fastfood(10, 0), "d is 0; a whole number from 1 on"),
        (lambda: fastfood(10, 2.0), "d is 2.0; a whole number"),  # type: ignore[arg-type]
        (lambda: fastfood(10, True), "d is True"),
        (lambda: fastfood(0, 1), "D is 0"),
        (lambda: fastfood(10, 2, -1), "seed is -1; a whole number from 0 on"),
        (lambda: fastfood(99, 10, block=8), "block is 8; accepted for d = 10: 1 .* at least 16"),
        (lambda: fastfood(99, 10, block=24), "block is 24; .* a power of two of at least 16"),
        (lambda: fastfood(99, 10, block=0), "block is 0"),
        (lambda: fastfood(99, 10, block=16.0), "block is 16.0; a whole number"),  # type: ignore[arg-type]
        (lambda: dense(10, 11), "d is 11, more than"),
        (lambda: dense(2**20, 2**9), "2.0 GiB, more than the accepted 1 GiB; use fastfood"),
        (lambda: fastfood(10, 3).matvec(torch.ones(4)), r"z has shape \(4,\), but .* takes \(3,\)"),
        (lambda: fastfood(10, 3).rmatvec(torch.ones(3)), r"g has shape \(3,\).* takes \(10,\)"),
        (lambda: fastfood(10, 3).matvec(torch.ones(3, 1)), r"z has shape \(3, 1\)"),
    ],
)
def test_bad_input(ask: Callable[[], object], says: str):
    with pytest.raises(ShapelibError, match=says):
        ask()
