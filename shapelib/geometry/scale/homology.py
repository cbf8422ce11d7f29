"""The persistent-homology dimension of degree 0, from minimum spanning trees over subsamples."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from shapelib.errors import ShapelibError
from shapelib.geometry.dimension import Estimate
from shapelib.geometry.points import Points, as_points, first_occurrences

SIZES = (125, 250, 500, 1000)
DRAWS = 8


def homology_dimension(
    x: Points, sizes: Sequence[int] = SIZES, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """The dimension by which minimum spanning trees grow (Schweinhart 2021; Birdal et al. 2021).

    The edges of the minimum spanning tree are the lifetimes of the persistent homology of degree 0.
    Of n points of dimension d their sum grows as n^(1 − 1/d) (Steele 1988), so that the slope m of
    its logarithm against ln n, by least squares over `sizes`, gives d = 1/(1 − m). The estimate
    is known to fluctuate: each draw takes other points, nested over the sizes, and gives a
    dimension of its own; the value is their median, and in place of a standard error stands their
    standard deviation. Draws share points, so that it is not the error over new ones.

    :param x: points × features; exact copies are removed first.
    :param sizes: of the subsamples, rising, at least two.
    :param draws: how often points are drawn, at least two.
    :param seed: of the drawing.
    :returns: the median dimension, and the spread of the draws.
    :raises ShapelibError: for sizes or draws that are too few or do not rise, for fewer distinct
        points than the largest size, and where trees of a draw do not grow more slowly than their
        number of points: it has no dimension by this measure.
    :raises ValueError: for points that are not finite.

    >>> import numpy as np
    >>> from shapelib import homology_dimension
    >>> flat = np.zeros((2000, 10))
    >>> flat[:, :2] = np.random.default_rng(0).uniform(size=(2000, 2))
    >>> round(homology_dimension(flat).value)
    2
    """
    asked = [int(each) for each in sizes]
    if len(asked) < 2 or asked[0] < 3 or sorted(set(asked)) != asked or draws < 2:
        raise ShapelibError(
            "at least two rising sizes of 3 points or more and two draws are needed, such as "
            f"{SIZES} and {DRAWS}; got {tuple(sizes)} and {draws}"
        )
    points = as_points(x)
    first, _ = first_occurrences(points)
    if len(first) < asked[-1]:
        raise ShapelibError(
            f"{asked[-1]} distinct points are drawn, and there are {len(first)} "
            f"({len(points) - len(first)} of {len(points)} are exact copies): ask for smaller sizes"
        )
    rng = np.random.default_rng(seed)
    # Unlike all other estimators it looks at all pairs of its few points, so float64 costs little.
    found = []
    for _ in range(draws):
        rows = torch.from_numpy(rng.permutation(len(first))[: asked[-1]]).to(first.device)
        lengths = _tree_lengths(points[first[rows]].double().cpu(), asked)
        slope = float(np.polyfit(np.log(asked), np.log(lengths), 1)[0])
        if slope >= 1:
            raise ShapelibError(
                f"minimum spanning trees of {asked[0]} to {asked[-1]} points grow as their number "
                f"to the power {slope:.2f}, and below 1 a dimension is defined"
            )
        found.append(1 / (1 - slope))
    return Estimate(float(np.median(found)), float(np.std(found, ddof=1)))


def _tree_lengths(points: Float[Tensor, "n d"], sizes: list[int]) -> list[float]:
    """The total edge length of the minimum spanning tree of the first points, for each size."""
    gaps = squareform(pdist(points.numpy()))
    return [float(minimum_spanning_tree(gaps[:size, :size]).sum()) for size in sizes]
