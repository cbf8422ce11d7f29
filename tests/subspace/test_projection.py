"""Random projections: against the definition written out, and by what they promise."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard, subspace_angles

from shapelib import fastfood
from shapelib.errors import ShapelibError
from shapelib.subspace.projection import Projection, default_block, dense

Make = Callable[[int, int, int], Projection]
KINDS: dict[str, Make] = {
    "one block": lambda D, d, seed: fastfood(D, d, seed, block=1 << (D - 1).bit_length()),
    "blocks": lambda D, d, seed: fastfood(D, d, seed, block=max(16, 1 << (d - 1).bit_length())),
    "partition": lambda D, d, seed: fastfood(D, d, seed, block=1),
    "dense": dense,
}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def matrix(p: Projection) -> np.ndarray:
    """P, column by column."""
    return torch.stack([p.matvec(row) for row in torch.eye(p.dimension)], dim=1).double().numpy()


@st.composite
def projections(draw: st.DrawFn) -> Projection:
    size = draw(st.integers(1, 700))
    dimension = draw(st.integers(1, min(size, 70)))
    least = (dimension - 1).bit_length()
    block = draw(st.one_of(st.just(1), st.integers(least, least + 5).map(lambda k: 2**k)))
    return fastfood(size, dimension, draw(st.integers(0, 99)), block=block)


@settings(max_examples=60, deadline=None)
@given(p=projections(), seed=st.integers(0, 99))
def test_rmatvec_is_the_adjoint(p: Projection, seed: int):
    draw = torch.Generator().manual_seed(seed)
    z, g = torch.randn(p.dimension, generator=draw), torch.randn(p.size, generator=draw)
    forward = float(p.matvec(z).double() @ g.double())
    backward = float(z.double() @ p.rmatvec(g).double())
    assert abs(forward - backward) <= 1e-5 * float(p.matvec(z).norm() * g.norm())


@each_kind
@pytest.mark.parametrize(("size", "dimension"), [(20_000, 300), (65_536, 16), (3000, 3000)])
def test_adjoint_at_sizes_that_share_threads(make: Make, size: int, dimension: int):
    p = make(size, dimension, 3)
    draw = torch.Generator().manual_seed(0)
    z, g = torch.randn(dimension, generator=draw), torch.randn(size, generator=draw)
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
    draw = np.random.default_rng(5)
    order = draw.permuted(np.tile(np.arange(block, dtype=np.uint16), (blocks, 1)), axis=1)
    signs = 2.0 * draw.integers(0, 2, (blocks, dimension), dtype=np.int8) - 1
    gauss = draw.standard_normal((blocks, block), dtype=np.float32).astype(np.float64)
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


@each_kind
def test_a_toy_of_ten_constraints_is_solved_from_ten_dimensions_on(make: Make):
    """Li et al. 2018: 1000 parameters, of which each hundred shall have the sums 1, 2, …, 10."""
    target = np.arange(1, 11)
    for seed in range(3):
        for dimension in (1, 5, 9, 10, 11, 30):
            P = matrix(make(1000, dimension, seed))
            sums = P.reshape(10, 100, dimension).sum(axis=1)
            z, *_ = np.linalg.lstsq(sums, target, rcond=None)
            loss = np.square(sums @ z - target).mean()
            assert (loss < 1e-12) == (dimension >= 10), (seed, dimension, loss)


@each_kind
def test_the_seed_decides(make: Make):
    z = torch.ones(10)
    assert torch.equal(make(2000, 10, 4).matvec(z), make(2000, 10, 4).matvec(z))
    angles = np.sort(subspace_angles(matrix(make(2000, 10, 4)), matrix(make(2000, 10, 5))))
    # Two random subspaces of this size are close to orthogonal. Partitions share one direction,
    # in which all parameters move alike.
    assert (angles < 0.5).sum() == (make is KINDS["partition"])
    assert np.median(angles) > 1.4


def test_nothing_else_moves_the_numbers():
    """Known values: whoever changes what a seed draws makes saved subspaces unreadable."""
    z = torch.arange(1.0, 4.0)
    known = {
        fastfood(6, 3, 0, block=4): [0.754702, 0.173406, -1.02443, 1.952538, 1.169765, -1.771005],
        fastfood(6, 3, 0, block=1): [0.707107, 2.12132, 2.12132, 1.414214, 0.707107, 1.414214],
        dense(6, 3, 0): [-1.198757, 0.071153, -0.228935, -0.536913, 0.950673, -3.104464],
    }
    for p, expected in known.items():
        assert p.matvec(z).tolist() == pytest.approx(expected, abs=1e-5), p


@each_kind
def test_the_numbers_of_threads_change_nothing_but_rounding(make: Make):
    p = make(300_000, 12, 0)
    g = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = p.matvec(torch.ones(12)), p.rmatvec(g)
        torch.set_num_threads(2)
        shared = p.matvec(torch.ones(12)), p.rmatvec(g)
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(alone[0], shared[0], rtol=1e-6)
    assert torch.allclose(alone[1], shared[1], rtol=1e-5, atol=1e-5)


@each_kind
def test_autocast_changes_nothing(make: Make):
    p = make(500, 20, 0)
    z, g = torch.full((20,), 1 / 3), torch.full((500,), 1 / 3)
    plain = p.matvec(z), p.rmatvec(g)
    with torch.autocast("cpu", torch.bfloat16):
        under = p.matvec(z), p.rmatvec(g)
    assert torch.equal(plain[0], under[0])
    assert torch.equal(plain[1], under[1])
    assert p.matvec(z.double()).dtype == p.rmatvec(g.bfloat16()).dtype == torch.float32


@each_kind
def test_tensor_operations_equal_the_compiled_loops(make: Make):
    """What other devices run, here on the CPU."""
    p = make(5000, 33, 2)
    draw = torch.Generator().manual_seed(0)
    z, g, out = (
        torch.randn(33, generator=draw),
        torch.randn(5000, generator=draw),
        torch.empty(5000),
    )
    p._expand(z, out)
    assert torch.allclose(out, p.matvec(z), rtol=1e-4, atol=1e-6)
    assert torch.allclose(p._contract(g), p.rmatvec(g), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@each_kind
def test_cuda_gives_the_same(make: Make):
    here, there = make(5000, 33, 2), make(5000, 33, 2).to("cuda")
    draw = torch.Generator().manual_seed(0)
    z, g = torch.randn(33, generator=draw), torch.randn(5000, generator=draw)
    moved = there.matvec(z.cuda())
    assert moved.is_cuda
    assert torch.allclose(here.matvec(z), moved.cpu(), rtol=1e-4, atol=1e-6)
    assert torch.allclose(here.rmatvec(g), there.rmatvec(g.cuda()).cpu(), rtol=1e-4, atol=1e-5)


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
