"""What few trained numbers would guarantee about new texts: the compression bound."""

import math
from typing import NamedTuple

from shapelib.errors import ShapelibError, is_whole_number


class Bound(NamedTuple):
    """What `generalization_bound` gives: a bound on the error of a classifier on new texts."""

    value: float
    """The bound, a share of texts classified wrongly; it may pass 1."""
    gap: float
    """What it adds to the training error."""
    vacuous: bool
    """Whether it is at least 1, and so says nothing."""


def generalization_bound(
    d: int, m: int, train_error: float = 0.0, *, bits: int = 16, confidence: float = 0.95
) -> Bound:
    """A bound on the error on new texts of a classifier tuned in d dimensions on m texts.

    L₀ ≤ L̂ + √((d · bits · ln 2 + ln(1 / δ)) / 2m) with probability 1 − δ = `confidence`: the
    compression bound of Arora et al. (2018), which the second paper quotes as
    L₀ ≤ L̂ + O(√(d / m)), with its constant written out. It is a union bound over the
    2^(d · bits) classifiers that there can be, and holds where

    - the m training texts are independent draws from what the classifier will meet;
    - θ₀, P and d were chosen without them: pre-training and the seed are, and a learning rate
      or a d picked after seeing scores is not (add ln of the number of runs for that);
    - each of the d numbers is stored in `bits` bits, and L̂ is the training error of the stored
      classifier;
    - error means the share of texts classified wrongly (margin 0).

    It speaks of the classifier in the subspace, and not of a fully fine-tuned one.

    :param d: trained numbers.
    :param m: training texts.
    :param train_error: L̂, from 0 to 1.
    :param bits: of each trained number.
    :param confidence: between 0 and 1.
    :returns: the bound, what it adds to the training error, and whether it says anything.
    :raises ShapelibError: for numbers out of range.

    >>> from shapelib import generalization_bound
    >>> bound = generalization_bound(d=100, m=100_000, train_error=0.1)
    >>> round(bound.value, 3), bound.vacuous
    (0.175, False)
    >>> generalization_bound(d=100, m=1000).gap > 0.7  # few texts, little said
    True
    """
    for name, value in (("d", d), ("m", m), ("bits", bits)):
        if not is_whole_number(value, 1, numpy=True):
            raise ShapelibError(f"{name}={value!r}; a whole number of at least 1 is accepted")
    if not 0 <= train_error <= 1:
        raise ShapelibError(f"train_error={train_error!r}; a share from 0 to 1 is accepted")
    if not 0 < confidence < 1:
        raise ShapelibError(f"confidence={confidence!r}; a number between 0 and 1 is accepted")
    gap = math.sqrt((d * bits * math.log(2) - math.log(1 - confidence)) / (2 * m))
    return Bound(train_error + gap, gap, train_error + gap >= 1)
