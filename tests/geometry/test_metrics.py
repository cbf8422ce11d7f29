"""Every metric of a shape table, held to the suite of measures."""

from collections.abc import Iterator

import numpy as np
import pytest
from shared import Dimension, Measure, cube, kinds

from shapelib import anisotropy, average_cosine, mada, mom, two_nn
from shapelib.geometry.dimension import AUTHORS_DISCARD, MADA_K, MOM_K
from shapelib.geometry.metrics import FURTHEST, METRICS, NEIGHBORS, Metric, measure_points

Known = Iterator[tuple[np.ndarray, float, float]]
# Twelve points on six axes: all directions used alike, and none of them preferred.
AXES = np.vstack([np.eye(6), -np.eye(6)])
LINE = np.outer(np.linspace(-1, 3, 40), np.arange(1.0, 8.0))


class TestAnisotropy(Measure):
    metric = Metric("anisotropy", True)
    measure = staticmethod(anisotropy)

    def known(self) -> Known:
        yield AXES, 1 / 6, 1e-12
        yield LINE + 5, 1, 1e-12
        yield np.array([[3.0, 0, 0], [-3, 0, 0], [0, 4, 0], [0, -4, 0]]), 16 / 25, 1e-12


class TestAnisotropyUncentered(Measure):
    metric = Metric("anisotropy", False)
    follows_translation = True

    @staticmethod
    def measure(x: np.ndarray) -> float:
        return anisotropy(x, centered=False)

    def known(self) -> Known:
        yield AXES, 1 / 6, 1e-12
        yield LINE, 1, 1e-12
        yield cube(200, 4, 10) + 1e4, 1, 1e-6


class TestAverageCosine(Measure):
    metric = Metric("average_cosine", False)
    measure = staticmethod(average_cosine)
    follows_translation = True

    def known(self) -> Known:
        # Directions that add up to nothing: each has the cosine −1 with its own opposite alone.
        yield AXES, -1 / 11, 1e-12
        yield np.abs(LINE) + LINE[-1], 1, 1e-12


class TestAverageCosineCentered(Measure):
    metric = Metric("average_cosine", True)

    @staticmethod
    def measure(x: np.ndarray) -> float:
        return average_cosine(x, centered=True)

    def known(self) -> Known:
        yield AXES, -1 / 11, 1e-12
        yield AXES + 7, -1 / 11, 1e-9


class TestTwoNN(Dimension):
    metric, k, within = Metric("two_nn", None), 2, (0.1, 0.2, 0.8)
    measure = staticmethod(two_nn)


class TestTwoNNOfTheLowest(Dimension):
    metric, k, within = Metric("two_nn_lowest20", None), 2, (0.1, 0.2, 0.8)

    @staticmethod
    def measure(x: np.ndarray) -> float:
        return two_nn(x, AUTHORS_DISCARD)


class TestMADA(Dimension):
    metric, k, within = Metric(f"mada_k{MADA_K}", None), MADA_K, (0.1, 0.2, 0.8)
    measure = staticmethod(mada)


class TestMoments(Dimension):
    # In few dimensions it stays a seventh too high, however many the points.
    metric, k, within = Metric(f"mom_k{MADA_K}", None), MADA_K, (0.2, 0.4, 0.8)

    @staticmethod
    def measure(x: np.ndarray) -> float:
        return mom(x, MADA_K)


class TestMomentsOfTheFurthest(Dimension):
    metric, k, within = Metric(FURTHEST, None), MOM_K, (0.1, 0.4, 0.8)

    @staticmethod
    def measure(x: np.ndarray) -> float:
        return mom(x, MOM_K)


def test_every_metric_is_held_to_the_suite():
    assert {each.metric for each in kinds(Measure)} == set(METRICS)
    ks = {each.metric.name: each.k for each in kinds(Dimension)}
    assert ks == {name: k for name, (k, _) in NEIGHBORS.items()}


@pytest.mark.parametrize("suite", kinds(Measure), ids=lambda suite: suite.__name__)
def test_a_table_shows_what_the_measure_gives(suite: type[Measure]):
    x = cube(300, 5, 12) + 0.2
    assert measure_points(x)[0][suite.metric] == pytest.approx(suite.measure(x), rel=1e-9)
