"""The neighbour search against float64 brute force, on ordinary and on adversarial points."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from stress import often

from shapelib import nearest_neighbors
from shapelib.geometry.neighbors import Neighbors
from shapelib.geometry.search import by_pairs, on_cpu, on_device, rounded

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def brute_force(x: np.ndarray, k: int) -> np.ndarray:
    """Distances of each distinct point (in lexical order) to its k nearest, in float64."""
    x = np.unique(np.asarray(x, dtype=np.float64), axis=0)
    rows = []
    for i, point in enumerate(x):
        gaps = np.sqrt(((x - point) ** 2).sum(axis=1))
        rows.append(np.sort(np.delete(gaps, i))[:k])
    return np.array(rows)


def check(x: np.ndarray, k: int) -> Neighbors:
    """`nearest_neighbors(x, k)`, after everything it says was compared with brute force."""
    found = nearest_neighbors(x, k)
    distinct = found.distinct.double().numpy()
    assert np.array_equal(sorted(map(tuple, distinct)), np.unique(x.astype(np.float64), axis=0))
    order = np.lexsort(distinct.T[::-1])
    np.testing.assert_allclose(found.distances.numpy()[order], brute_force(x, k), rtol=1e-9)
    # The indices are those of the distances: other points, none twice, nearest first.
    indices = found.indices.numpy()
    np.testing.assert_allclose(
        np.linalg.norm(distinct[indices] - distinct[:, None], axis=2), found.distances, rtol=1e-9
    )
    assert (indices != np.arange(len(distinct))[:, None]).all()
    assert all(len(set(row)) == k for row in indices)
    assert (np.diff(found.distances.numpy(), axis=1) >= 0).all()
    assert found.distances.dtype == torch.float64
    assert int(found.multiplicity.sum()) == len(x)
    return found


@pytest.fixture(params=["bfloat16", "float32", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to search: the two products of CPUs, and what CUDA runs, here on the CPU."""
    if request.param == "bfloat16" and not on_cpu.bfloat16_units():
        pytest.skip("this CPU has no bfloat16 units")
    if request.param == "float32":
        monkeypatch.setattr(on_cpu, "bfloat16_units", lambda: False)
    if request.param == "torch":
        monkeypatch.setattr(on_cpu, "search", on_device.search)
    return str(request.param)


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


# Known answers


def test_four_points_by_hand() -> None:
    found = check(np.array([[0.0, 0], [3, 0], [0, 4], [30, 40]]), 2)
    nearest = {
        tuple(point): row.tolist()
        for point, row in zip(found.distinct.numpy(), found.distances, strict=True)
    }
    assert nearest[(0.0, 0.0)] == [3.0, 4.0]
    assert nearest[(3.0, 0.0)] == [3.0, 5.0]
    assert found.duplicates == 0


SIZES = [(5, 2, 2), (37, 3, 5), (257, 12, 20), (515, 24, 20), (300, 8, 100), (120, 4, 118)]


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("n", "d", "k"), SIZES)
def test_ordinary_points(n: int, d: int, k: int) -> None:
    assert check(normal(n, d), k).searched_again == 0


@pytest.mark.usefixtures("path")
def test_a_large_common_offset() -> None:
    assert check(normal(600, 32) + np.float32(3000), 20).searched_again == 0


@pytest.mark.usefixtures("path")
def test_massive_rows() -> None:
    x = normal(600, 32)
    x[::100] *= 200
    check(x, 20)
    x[::100] += 3000
    check(x, 20)
    x[::100] *= np.float32(1e25)
    check(x.astype(np.float64), 20)


@pytest.mark.usefixtures("path")
def test_one_massive_coordinate() -> None:
    x = normal(600, 48)
    x[:, 5] *= 1000
    check(x, 10)


@pytest.mark.usefixtures("path")
def test_tight_clusters_far_apart() -> None:
    # Within a cluster distances are a hundredth of what bfloat16 loses of the points.
    x = normal(600, 16) * np.float32(1e-4)
    x[::2] += 10
    x[::3] -= 7
    check(x, 20)


@pytest.mark.usefixtures("path")
def test_everything_at_once() -> None:
    x = normal(500, 24)
    x[::97] *= 200
    x = np.vstack([x, x[:30], x[:40] * np.float32(1 + 1e-6), np.round(x[:200])])
    check(x + np.float32(3000), 20)


def test_near_duplicates_are_neighbours_not_copies() -> None:
    x = normal(300, 16)
    twins = np.nextafter(x, np.float32(np.inf))
    found = check(np.vstack([x, twins]), 3)
    assert found.duplicates == 0
    assert float(found.distances[:, 0].max()) < 1e-5


def test_copies_are_removed_and_counted() -> None:
    x = normal(50, 8)
    found = check(np.vstack([x, x[:10], x[:10], x[3:4]]), 4)
    assert found.duplicates == 21
    assert len(found.distinct) == 50
    assert sorted(found.multiplicity.tolist()) == [1] * 40 + [3] * 9 + [4]
    assert float(found.distances.min()) > 0


def test_minus_zero_is_zero() -> None:
    found = check(np.array([[0.0, 1], [-0.0, 1], [2, 2], [5, 5], [9, 1]]), 2)
    assert found.duplicates == 1


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("kind", ["ordinary", "ties"])
def test_neither_blocks_nor_more_neighbours_change_a_bit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs are measured in the order of a block's columns, and as many at once as there is room
    for; with ties some rows have hundreds of candidates, so that a block is measured in parts."""
    x = normal(900, 12)
    x = np.round(x[:, :4]) + 0.0 if kind == "ties" else x
    x = np.unique(x, axis=0)
    few, many = nearest_neighbors(x, 3), nearest_neighbors(x, 40)
    assert torch.equal(few.distances, many.distances[:, :3])
    assert torch.equal(few.indices, many.indices[:, :3])
    for block in (7, 100):
        monkeypatch.setattr(rounded, "BLOCK", block)
        again = nearest_neighbors(x, 40)
        assert torch.equal(again.distances, many.distances)
        assert torch.equal(again.indices, many.indices)


def test_ties_on_a_grid() -> None:
    side = np.arange(20, dtype=np.float32)
    found = check(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), 8)
    assert set(found.distances[:, 0].tolist()) == {1.0}
    # Of points equally far the lower index comes first, and is the one that is kept.
    tied = found.distances[:, 1:] == found.distances[:, :-1]
    assert (found.indices[:, 1:] > found.indices[:, :-1])[tied].all()
    assert found.indices[0, :2].tolist() == [1, 20]


@pytest.mark.usefixtures("path")
def test_more_ties_than_any_list_of_candidates() -> None:
    # Every corner of a cross is as far from all others but the opposite one.
    cross = np.vstack([np.eye(200), -np.eye(200)]).astype(np.float32)
    found = check(cross, 3)
    assert np.allclose(found.distances, 2**0.5)
    assert found.indices[5].tolist() == [0, 1, 2]


@pytest.mark.usefixtures("path")
def test_collinear_points() -> None:
    steps = np.random.default_rng(5).uniform(-1, 1, (400, 1))
    check((steps * np.arange(1.0, 21.0)).astype(np.float32), 6)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_tiny_and_huge_scales(scale: float) -> None:
    check(normal(300, 12) * np.float32(scale), 5)


# Properties

coordinates = st.one_of(
    st.floats(-10, 10, width=32, allow_subnormal=False),
    st.sampled_from([0.0, 1.0, -1.0, 3000.0, 3000.001, -1e6, 1e-4]),
)


@settings(max_examples=often(40, 1000))
@given(
    npst.arrays(np.float32, st.tuples(st.integers(5, 24), st.integers(2, 6)), elements=coordinates),
    st.integers(1, 3),
    st.sampled_from([0.0, 3000.0, -1e5]),
)
def test_any_points_equal_brute_force(x: np.ndarray, k: int, offset: float) -> None:
    x = x + np.float32(offset)
    if len(np.unique(x, axis=0)) <= k + 1:
        return
    check(x, k)


@settings(max_examples=often(20, 1000))
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 200),
    st.sampled_from([0.0, 3000.0]),
    st.sampled_from([1.0, 200.0, 1e5]),
    st.integers(0, 20),
)
def test_random_adversaries(seed: int, n: int, offset: float, massive: float, copies: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 8)).astype(np.float32)
    x[rng.integers(0, n, 2)] *= np.float32(massive)
    x = np.vstack([x, x[:copies], x[:5] * np.float32(1 + 1e-6)]) + np.float32(offset)
    check(x, 7)


@settings(max_examples=often(12, 1000))
@given(
    st.integers(0, 2**32 - 1),
    st.integers(256, 560),
    st.sampled_from([2, 5, 40]),
    st.sampled_from([0.0, 3000.0, -1e6]),
    st.sampled_from([1.0, 200.0, 1e5, 1e20]),
    st.sampled_from([0.0, 1e-7, 1e-3]),
    st.sampled_from([1, 20]),
)
def test_adversaries_large_enough_for_bfloat16(
    seed: int, n: int, d: int, offset: float, massive: float, near: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.choice([1.0, 50.0], d)
    x[rng.integers(0, n, 4)] *= massive
    x[: n // 4] = x[n // 4 : 2 * (n // 4)] * (1 + near)
    check((x + offset).astype(np.float32), k)


# The proof


@pytest.mark.parametrize("features", [3, 64, 777])
@pytest.mark.parametrize("narrow", [True, False])
def test_products_err_no_more_than_the_bound_assumes(narrow: bool, features: int) -> None:
    if narrow and not on_cpu.bfloat16_units():
        pytest.skip("this CPU has no bfloat16 units")
    # All of one sign: the sums grow, and with them each rounding.
    for x in (torch.from_numpy(normal(512, features)), torch.rand(512, features) + 1):
        zero = torch.zeros(features, dtype=torch.float64)
        values, known = rounded.rounded(x, zero, 1.0, narrow)
        exact = values.double() @ values.double().T
        product = (values[:256] @ values.T).double()
        stored = rounded.STORED_BFLOAT16 * narrow
        bound = (features + 1) * rounded.SUMMED_FLOAT32 * known.norms[:256, None] * known.norms
        bound += stored * product.abs()
        assert ((product - exact[:256]).abs() <= bound).all()
        lost = torch.linalg.vector_norm(x.double() - values.double(), dim=1)
        assert (lost <= known.lost).all()
        torch.testing.assert_close(known.lost, lost, rtol=1e-6, atol=1e-12)
        if narrow:
            assert torch.equal(values, x.bfloat16())


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_pass_over_all_pairs_stays_below_what_it_bounds(kind: type[np.floating]) -> None:
    """Its arithmetic, in its type and in its order, against the same in exact fractions."""
    from fractions import Fraction

    from shapelib.geometry.search import rows

    x = normal(60, 8)
    x[::7] *= 3000
    x[1::7] = x[2] * np.float32(1 + 1e-6)
    zero = torch.zeros(8, dtype=torch.float64)
    values, known = rounded.rounded(torch.from_numpy(x), zero, 2.0**-2, False)
    product = (values.numpy() @ values.numpy().T).astype(kind)
    about = torch.stack(list(known)).numpy()
    screen = rows.screened(about, np.dtype(kind))
    margin = 8 * float(np.finfo(kind).eps)
    tight = 0
    for i, j in np.ndindex(60, 60):
        alone = kind(about[0, i] * (1 - margin) - about[3, i])
        below = screen[0, j] + alone - product[i, j] - product[i, j]
        exact = Fraction(about[0, i]) + Fraction(about[0, j]) - 2 * Fraction(float(product[i, j]))
        assert Fraction(float(below)) <= exact
        tight += below > float(exact) * (1 - 1e-4)
        assert screen[1, j] >= about[1, j]
        assert screen[2, j] >= about[2, j]
    assert tight > 1000, "the margin is far smaller than distances are"


def in_product_order(x: torch.Tensor, k: int) -> torch.Tensor:
    """The distances to the k nearest by the bfloat16 product alone, without a proof."""
    center, scale = rounded.frame(x)
    values, known = rounded.rounded(x, center, scale, True)
    key = known.squares + known.squares[:, None] - 2 * (values @ values.T).double()
    key.fill_diagonal_(torch.inf)
    chosen = key.topk(k, largest=False).indices
    return (x[chosen].double() - x[:, None].double()).norm(dim=2).sort(dim=1).values


def hard_for_bfloat16() -> torch.Tensor:
    x = torch.from_numpy(normal(1200, 16))
    x[:, 0] *= 100
    return x


def test_without_the_proof_the_product_would_be_wrong() -> None:
    x = hard_for_bfloat16()
    found = nearest_neighbors(x, 10)
    wrong = in_product_order(x, 10) > found.distances * (1 + 1e-9)
    assert wrong.any(dim=1).double().mean() > 0.5
    check(x.numpy(), 10)


def test_a_bound_too_small_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = hard_for_bfloat16()
    if not on_cpu.bfloat16_units():
        pytest.skip("this CPU has no bfloat16 units")
    assert nearest_neighbors(x, 10).searched_again == 0
    round_points = rounded.rounded

    def claims_nothing_lost(*arguments: object) -> object:
        values, known = round_points(*arguments)  # type: ignore[arg-type]
        return values, known._replace(lost=known.lost * 0)

    monkeypatch.setattr(rounded, "rounded", claims_nothing_lost)
    monkeypatch.setattr(rounded, "STORED_BFLOAT16", 0.0)
    assert check(x.numpy(), 10).searched_again == len(x)


def test_a_product_that_breaks_its_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(700, 16)
    round_points = rounded.rounded

    def worse(*arguments: object) -> object:
        values, known = round_points(*arguments)  # type: ignore[arg-type]
        noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
        return (values.float() * (1 + 0.05 * noise)).to(values.dtype), known

    monkeypatch.setattr(rounded, "rounded", worse)
    assert check(x, 20).searched_again == 700


def test_a_float64_product_that_breaks_its_promise_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    known_wide = rounded.known_wide
    monkeypatch.setattr(
        rounded, "known_wide", lambda *a: known_wide(*a)._replace(squares=known_wide(*a)[0] * 2)
    )
    x = normal(300, 16)
    wide = on_cpu._by_rows

    def nothing_is_proven(*arguments: object) -> None:
        if arguments[5] is np.float64:
            wide(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(on_cpu, "_by_rows", nothing_is_proven)
    monkeypatch.setattr(by_pairs, "search", nothing_is_proven)
    with pytest.raises(RuntimeError, match="less exact than float64"):
        nearest_neighbors(x, 5)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("features", [3, 64, 777])
def test_a_distance_lies_between_what_both_lists_hold(features: int, narrow: bool) -> None:
    """‖xⱼ − bᵢ‖ in the list of i, as `sift` writes it, for lengths from 1e-6 to massive."""
    from shapelib.geometry.search import pairs

    n = 400
    x = normal(n, features)
    x[::7] *= 3000
    x[3::11] *= np.float32(1e-6)
    x[1::9] = x[2] * np.float32(1 + 1e-6)
    x[5] = 2.0**40
    values, known = rounded.rounded(
        torch.from_numpy(x), torch.zeros(features).double(), 0.5, narrow
    )
    stored = rounded.STORED_BFLOAT16 * narrow
    about = torch.stack(list(known)).numpy()
    summed = (features + 1) * rounded.SUMMED_FLOAT32
    screen = pairs.screened(about, summed, on_cpu._tiny(torch.from_numpy(x)))
    product = (values @ values.T).float().numpy()
    # One list for those before a point, one for those after; all have room for all.
    before, after = by_pairs._lists(n, n + 1), by_pairs._lists(n, n + 1)
    bars = np.full(n, np.inf, np.float32)
    pairs.sift(product, 0, 0, 5, stored, np.arange(n), screen, *before, bars, *after, bars)
    own, exact = values.double().numpy(), x.astype(np.float64) * 0.5
    assert sum(before.held) == sum(after.held) == n * (n - 1) // 2
    wide = []
    for held in (before, after):
        for i in range(n):
            there = slice(held.held[i])
            who = held.who[i, there]
            gaps = np.linalg.norm(exact[who] - own[i], axis=1)
            assert (held.low[i, there] <= gaps * (1 + 1e-12)).all()
            assert (gaps * (1 - 1e-12) <= held.high[i, there]).all()
            norms = about[1][who] + about[1][i] + about[2][who]
            wide.append((held.high[i, there] - held.low[i, there]) / norms)
    # And not so wide that it says nothing.
    assert np.median(np.concatenate(wide)) < (0.05 if narrow else 0.03)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("features", [64, 777])
def test_no_pair_is_passed_over_that_its_bound_allows(features: int, narrow: bool) -> None:
    """Each point's bar is just what one other allows; products err by all that they may."""
    from shapelib.geometry.search import pairs

    n = 300
    x = normal(n, features)
    x[::9] *= 100
    points = torch.from_numpy(x)
    values, known = rounded.rounded(points, torch.zeros(features).double(), 0.5, narrow)
    about = torch.stack(list(known)).numpy()
    summed = (features + 1) * rounded.SUMMED_FLOAT32
    stored = rounded.STORED_BFLOAT16 * narrow
    screen = pairs.screened(about, summed, on_cpu._tiny(points))
    own, norms, lost = values.double().numpy(), about[1], about[2]
    exact = own @ own.T
    error = summed * norms[:, None] * norms
    product = (exact - 0.99 * (error + stored * (np.abs(exact) - error))).astype(np.float32)
    gaps = np.linalg.norm(own[:, None] - own, axis=2)
    other = (np.arange(n) + 1 + np.random.default_rng(0).integers(0, n - 1, n)) % n
    at = np.arange(n), other
    bars = np.nextafter((gaps[at] - lost[other]).astype(np.float32), np.float32(np.inf))
    before, after = by_pairs._lists(n, n + 1), by_pairs._lists(n, n + 1)
    pairs.sift(
        product, 0, 0, 5, stored, np.arange(n), screen, *before, bars, *after, bars.copy()
    )  # fmt: skip
    for i in range(n):
        held = [each.who[i, : each.held[i]] for each in (before, after)]
        assert other[i] in np.concatenate(held)
    # And some are passed over.
    assert sum(before.held) + sum(after.held) < 0.9 * n * (n - 1)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("room", [1, 30, 128])
@pytest.mark.parametrize("kind", ["ordinary", "massive", "clusters", "ties"])
def test_lists_of_any_room_give_the_same_neighbours(
    kind: str, room: int, threads: int, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that is too short for a row is closed, and its row searched with all points."""
    monkeypatch.setattr(on_cpu, "bfloat16_units", lambda: narrow)
    x = normal(900, 24)
    if kind == "massive":
        x[::50] *= 5000
    elif kind == "clusters":
        x = x * np.float32(1e-3) + np.float32(30) * normal(4, 24, 1)[np.arange(900) % 4]
    elif kind == "ties":
        x = np.unique(np.round(x[:, :5]), axis=0)
    expected = nearest_neighbors(x, 7)
    closed = []
    by_rows = on_cpu._by_rows
    monkeypatch.setattr(
        on_cpu,
        "_by_rows",
        lambda x, rows, *rest: closed.append(len(rows)) or by_rows(x, rows, *rest),
    )
    monkeypatch.setattr(by_pairs, "_ROOM", room)
    monkeypatch.setattr(rounded, "BLOCK", 60)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = nearest_neighbors(x, 7)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found.distances, expected.distances)
    assert torch.equal(found.indices, expected.indices)
    if kind == "clusters" and room == 1:
        assert closed[0] > 0
    if kind == "ordinary" and room > 1:
        assert closed == [0]


def test_what_fails_in_one_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from shapelib.geometry.search import pairs

    def fails(*arguments: object) -> None:
        if arguments[2]:  # the columns of a thread that is not the first
            raise MemoryError("no room for a list")

    monkeypatch.setattr(on_cpu, "bfloat16_units", lambda: False)
    monkeypatch.setattr(pairs, "sift", fails)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(MemoryError, match="no room for a list"):
            nearest_neighbors(normal(600, 4), 3)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("path", ["bfloat16"], indirect=True)
def test_rows_without_proof_are_searched_again_and_counted(path: str) -> None:
    x = normal(1024, 64)
    assert check(x, 20).searched_again == 0
    x[::128] *= 1000
    # From a massive row all others are nearly equally far, within what bfloat16 can tell.
    assert path == "bfloat16"
    assert check(x, 20).searched_again == 8


def test_settings_of_the_caller_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cpu, "bfloat16_units", lambda: False)
    x = normal(700, 96) + np.float32(50)
    expected = nearest_neighbors(x, 20)
    threads = torch.get_num_threads()
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(3)
    try:
        found = nearest_neighbors(x, 20)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_num_threads() == 3
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(threads)
    assert torch.equal(found.distances, expected.distances)
    assert torch.equal(found.indices, expected.indices)


def test_copies_with_colliding_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    from shapelib.geometry import points

    x = normal(40, 6)
    x = np.vstack([x, x[5:9], x[5:6]])
    expected = nearest_neighbors(x, 3)
    monkeypatch.setattr(points, "_hash", lambda x: torch.zeros(len(x), dtype=torch.int64))
    found = check(x, 3)
    assert torch.equal(found.distinct, expected.distinct)
    assert torch.equal(found.multiplicity, expected.multiplicity)


def test_distinct_points_come_in_the_order_they_first_occur() -> None:
    x = normal(30, 4)
    found = nearest_neighbors(np.vstack([x, x[::-1]]), 2)
    assert np.array_equal(found.distinct.numpy(), x)
    assert found.first.tolist() == list(range(30))
    assert set(found.multiplicity.tolist()) == {2}


# What comes in


def test_tensor_and_array_alike() -> None:
    x = normal(90, 7)
    for one in (torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), x.astype(np.float64)):
        assert torch.equal(nearest_neighbors(one, 3).distances, nearest_neighbors(x, 3).distances)
    wide = np.asfortranarray(normal(90, 14))
    found = nearest_neighbors(wide[:, ::2], 3).distances
    assert torch.equal(found, nearest_neighbors(wide[:, ::2].copy(), 3).distances)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int16, torch.int64])
def test_narrow_types_are_promoted_not_computed_in(dtype: torch.dtype) -> None:
    x = torch.from_numpy(normal(150, 12) * 300).to(dtype)
    found = nearest_neighbors(x, 4)
    expected = np.sort(brute_force(x.double().numpy(), 4), axis=0)
    np.testing.assert_allclose(np.sort(found.distances.numpy(), axis=0), expected, rtol=1e-9)


def test_what_comes_in_stays_as_it_was() -> None:
    x = torch.from_numpy(normal(60, 5) + 100)
    before = x.clone()
    nearest_neighbors(x, 3)
    assert torch.equal(x, before)


@cuda
def test_cuda_agrees() -> None:
    x = torch.from_numpy(normal(700, 32))
    x[::100] *= 200
    here, there = nearest_neighbors(x, 20), nearest_neighbors(x.cuda(), 20)
    assert there.distances.is_cuda
    torch.testing.assert_close(
        here.distances.sort(dim=0).values,
        there.distances.cpu().sort(dim=0).values,
        rtol=1e-6,
        atol=0,
    )


# Bad input


def test_k_below_one() -> None:
    with pytest.raises(ValueError, match=r"k.*at least 1.*got 0"):
        nearest_neighbors(normal(9, 3), 0)
    with pytest.raises(ValueError, match=r"k.*at least 1.*got -2"):
        nearest_neighbors(normal(9, 3), -2)


def test_too_few_points_for_k() -> None:
    with pytest.raises(ValueError, match=r"8 neighbours.*at least 10.*got 9"):
        nearest_neighbors(normal(9, 3), 8)
    with pytest.raises(ValueError, match=r"5 neighbours.*got 4.*16 of 20.*copies"):
        nearest_neighbors(np.tile(normal(4, 3), (5, 1)), 5)
    with pytest.raises(ValueError, match=r"got 1 .*19 of 20"):
        nearest_neighbors(np.full((20, 3), 0.1), 2)


def test_points_that_are_no_points() -> None:
    x = normal(30, 6)
    x[4, 2] = np.nan
    x[9] = np.inf
    with pytest.raises(ValueError, match=r"2 points.*row 4"):
        nearest_neighbors(x, 2)
    with pytest.raises(ValueError, match=r"matrix.*\(30,\)"):
        nearest_neighbors(x[:, 0], 2)
    with pytest.raises(ValueError, match=r"2 features.*\(30, 1\)"):
        nearest_neighbors(x[:, :1], 2)
    for factors in (1e200, 1e-200, np.where(np.arange(30) == 7, 1e200, 1)[:, None]):
        with pytest.raises(ValueError, match=r"range of float64.*scale"):
            nearest_neighbors(normal(30, 6).astype(np.float64) * factors, 2)
    with pytest.raises(ValueError, match="complex"):
        nearest_neighbors(x.astype(complex), 2)
    with pytest.raises(ValueError, match="bool"):
        nearest_neighbors(torch.ones(9, 3, dtype=torch.bool), 2)
