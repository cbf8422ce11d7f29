"""What is long by nature: whole under `make stress`, and a fixed sample of it under `make test`."""

import os
import random
from collections.abc import Iterable
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")
STRESS = bool(os.environ.get("SHAPELIB_STRESS"))

# A sample is the same each time, so that what fails in CI fails again; stress draws anew.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("stress", deadline=None)
settings.load_profile("stress" if STRESS else "ci")


def some(many: Iterable[T], count: int) -> list[T]:
    """All of them, or so many drawn with a fixed seed, in their order."""
    whole = list(many)
    places = sorted(random.Random(0).sample(range(len(whole)), min(count, len(whole))))
    return whole if STRESS else [whole[place] for place in places]


def often(usual: int, stress: int) -> int:
    """How often: examples of a property, kills of a run."""
    return stress if STRESS else usual
