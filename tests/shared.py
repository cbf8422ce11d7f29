"""Suites that what comes in kinds inherits: a new estimator or projection brings its tests with it.

A test file makes a class of a suite for each kind and fills in what the suite asks for; pytest
then runs all of the suite's tests for it.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from shapelib.errors import ShapelibError
from shapelib.geometry.metrics import Metric
from shapelib.subspace.projection import Projection


def cube(n: int, d: int, features: int, seed: int = 0) -> np.ndarray:
    """A d-dimensional cube, turned into a space of more features."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((features, d)))
    return rng.uniform(-1, 1, (n, d)) @ turn.T


def rotation(d: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def matrix(p: Projection) -> np.ndarray:
    """P, column by column."""
    return torch.stack([p.matvec(row) for row in torch.eye(p.dimension)], dim=1).double().numpy()


class Measure:
    """A number for a matrix of points: known answers, what may not change it, and bad input."""

    metric: ClassVar[Metric]
    """The column pair of a shape table that it fills."""
    follows_translation: ClassVar[bool] = False
    """Whether it may change when all points are moved together."""
    least = 2
    """Points that it needs."""

    @staticmethod
    def measure(x: np.ndarray | torch.Tensor) -> float:
        raise NotImplementedError

    def known(self) -> Iterator[tuple[np.ndarray, float, float]]:
        """Points, what their value is, and how near to it an estimate must lie."""
        raise NotImplementedError

    def test_known_answers(self):
        given_here = list(self.known())
        assert len(given_here) >= 2
        for points, value, within in given_here:
            assert self.measure(points) == pytest.approx(value, abs=within)

    def test_order_rotation_and_scale_do_not_count(self):
        # A function of its own: hypothesis takes a method for that of the class it first ran for.
        @settings(max_examples=15, deadline=None)
        @given(
            seed=st.integers(0, 2**32 - 1),
            d=st.integers(2, 6),
            more=st.integers(20, 90),
            scale=st.floats(1e-3, 1e3),
        )
        def holds(seed: int, d: int, more: int, scale: float) -> None:
            x = cube(self.least + more, d, d, seed) + 0.3
            value = self.measure(x)
            assert self.measure(x[::-1].copy()) == pytest.approx(value, rel=1e-6)
            assert self.measure(x @ rotation(d, seed)) == pytest.approx(value, rel=1e-6)
            assert self.measure(x * scale) == pytest.approx(value, rel=1e-6)

        holds()

    def test_translation(self):
        x = cube(200, 4, 10)
        moved = self.measure(x + 10 * np.arange(10))
        if self.follows_translation:
            assert moved > self.measure(x) + 0.1
        else:
            assert moved == pytest.approx(self.measure(x), rel=1e-6)

    def test_tensor_and_array_alike(self):
        x = cube(200, 4, 10)
        assert self.measure(torch.from_numpy(x)) == self.measure(x)
        assert type(self.measure(x)) is float

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32])
    def test_narrow_types_are_promoted_not_computed_in(self, dtype: torch.dtype):
        x = torch.from_numpy(cube(200, 4, 10) * 900).to(dtype)
        assert self.measure(x) == pytest.approx(self.measure(x.double()), rel=1e-6)

    def test_far_from_the_origin_in_float32(self):
        x = torch.from_numpy(cube(500, 6, 30)).float() + 3000
        assert self.measure(x) == pytest.approx(self.measure(x.double()), rel=1e-6)

    def test_bad_points(self):
        holes = cube(60, 3, 5)
        holes[7, 1] = np.nan
        with pytest.raises(ValueError, match=r"1 points.*row 7"):
            self.measure(holes)
        with pytest.raises(ValueError, match="must be a matrix"):
            self.measure(np.ones(5))
        with pytest.raises(ValueError, match="real numbers"):
            self.measure(np.eye(5) * 1j)
        with pytest.raises(ValueError, match=f"got {self.least - 1}"):
            self.measure(cube(self.least - 1, 3, 5))


class Dimension(Measure):
    """An estimator of dimension, besides: points of known dimension, and copies."""

    k: ClassVar[int]
    """Neighbours that it needs."""
    within: ClassVar[tuple[float, float, float]]
    """How near an estimate lies to dimension 1, 2 and 5."""

    @property
    def least(self) -> int:  # type: ignore[override]
        return max(self.k + 2, 3)

    def known(self) -> Iterator[tuple[np.ndarray, float, float]]:
        for d, within in zip((1, 2, 5), self.within, strict=True):
            yield cube(3000, d, 24), d, within

    def test_copies_do_not_count(self):
        x = cube(500, 5, 12)
        copied = np.vstack([x, x[:100], x[:100]])
        assert self.measure(copied) == pytest.approx(self.measure(x), rel=1e-12)

    def test_points_that_are_all_equally_far(self):
        with pytest.raises(ValueError, match=r"not defined|equally far"):
            self.measure(np.eye(200))

    def test_one_point_many_times(self):
        with pytest.raises(ValueError, match=r"got 1\b"):
            self.measure(np.full((200, 3), 0.1))


class ProjectionKind:
    """A random map P from d numbers to D parameters: what each must promise."""

    shared_directions: ClassVar[int] = 0
    """Directions that the ranges of two seeds have in common."""

    @staticmethod
    def make(size: int, dimension: int, seed: int) -> Projection:
        raise NotImplementedError

    @pytest.mark.parametrize(
        ("size", "dimension"), [(700, 70), (1, 1), (20_000, 300), (65_536, 16), (3000, 3000)]
    )
    def test_rmatvec_is_the_adjoint(self, size: int, dimension: int):
        p = self.make(size, dimension, 3)
        draw = torch.Generator().manual_seed(0)
        z, g = torch.randn(dimension, generator=draw), torch.randn(size, generator=draw)
        forward = float(p.matvec(z).double() @ g.double())
        backward = float(z.double() @ p.rmatvec(g).double())
        assert abs(forward - backward) <= 1e-5 * float(p.matvec(z).norm() * g.norm())

    def test_a_toy_of_ten_constraints_is_solved_from_ten_dimensions_on(self):
        """Li et al. 2018: 1000 parameters, of which each hundred shall have the sums 1, …, 10."""
        target = np.arange(1, 11)
        for seed in range(3):
            for dimension in (1, 5, 9, 10, 11, 30):
                P = matrix(self.make(1000, dimension, seed))
                sums = P.reshape(10, 100, dimension).sum(axis=1)
                z, *_ = np.linalg.lstsq(sums, target, rcond=None)
                loss = np.square(sums @ z - target).mean()
                assert (loss < 1e-12) == (dimension >= 10), (seed, dimension, loss)

    def test_columns_have_unit_expected_norm(self):
        squares = [np.square(matrix(self.make(900, 10, seed))).sum(axis=0) for seed in range(40)]
        assert np.mean(squares) == pytest.approx(1, abs=0.02)

    def test_the_seed_decides(self):
        z = torch.ones(10)
        assert torch.equal(self.make(2000, 10, 4).matvec(z), self.make(2000, 10, 4).matvec(z))
        here, there = matrix(self.make(2000, 10, 4)), matrix(self.make(2000, 10, 5))
        angles = np.sort(subspace_angles(here, there))
        # Two random subspaces of this size are close to orthogonal.
        assert (angles < 0.5).sum() == self.shared_directions
        assert np.median(angles) > 1.4

    def test_the_numbers_of_threads_change_nothing_but_rounding(self):
        p = self.make(300_000, 12, 0)
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

    def test_autocast_changes_nothing(self):
        p = self.make(500, 20, 0)
        z, g = torch.full((20,), 1 / 3), torch.full((500,), 1 / 3)
        plain = p.matvec(z), p.rmatvec(g)
        with torch.autocast("cpu", torch.bfloat16):
            under = p.matvec(z), p.rmatvec(g)
        assert torch.equal(plain[0], under[0])
        assert torch.equal(plain[1], under[1])
        assert p.matvec(z.double()).dtype == p.rmatvec(g.bfloat16()).dtype == torch.float32

    def test_tensor_operations_equal_the_compiled_loops(self):
        """What other devices run, here on the CPU."""
        p = self.make(5000, 33, 2)
        draw = torch.Generator().manual_seed(0)
        z, g = torch.randn(33, generator=draw), torch.randn(5000, generator=draw)
        out = torch.empty(5000)
        p._expand(z, out)
        assert torch.allclose(out, p.matvec(z), rtol=1e-4, atol=1e-6)
        assert torch.allclose(p._contract(g), p.rmatvec(g), rtol=1e-4, atol=1e-5)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_cuda_gives_the_same(self):
        here, there = self.make(5000, 33, 2), self.make(5000, 33, 2).to("cuda")
        draw = torch.Generator().manual_seed(0)
        z, g = torch.randn(33, generator=draw), torch.randn(5000, generator=draw)
        moved = there.matvec(z.cuda())
        assert moved.is_cuda
        assert torch.allclose(here.matvec(z), moved.cpu(), rtol=1e-4, atol=1e-6)
        assert torch.allclose(here.rmatvec(g), there.rmatvec(g.cuda()).cpu(), rtol=1e-4, atol=1e-5)

    def test_bad_input(self):
        p = self.make(64, 3, 0)
        wrong: list[tuple[Callable[[], object], str]] = [
            (lambda: self.make(10, 11, 0), "d is 11, more than the D = 10 parameters"),
            (lambda: self.make(10, 0, 0), "d is 0; a whole number from 1 on"),
            (lambda: self.make(10, 2, -1), "seed is -1; a whole number from 0 on"),
            (lambda: p.matvec(torch.ones(4)), r"z has shape \(4,\), but .* takes \(3,\)"),
            (lambda: p.rmatvec(torch.ones(3)), r"g has shape \(3,\).* takes \(64,\)"),
            (lambda: p.matvec(torch.ones(3, 1)), r"z has shape \(3, 1\)"),
        ]
        for ask, says in wrong:
            with pytest.raises(ShapelibError, match=says):
                ask()


def kinds(suite: type) -> list[type]:
    """All classes that inherit a suite and are run."""
    below = [each for one in suite.__subclasses__() for each in (one, *kinds(one))]
    return [each for each in below if each.__name__.startswith("Test")]
