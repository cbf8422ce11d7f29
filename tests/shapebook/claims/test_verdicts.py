"""The truth table of the six words: every place of an interval, and what no interval may do."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebook.claims.verdicts import (
    ASKS,
    CONTRADICTED,
    MIXED,
    SUPPORTED,
    TOO_SMALL,
    UNDECIDED,
    UNTESTABLE,
    WORDS,
    edges,
    together,
    word,
)

S, T, C, U = SUPPORTED, TOO_SMALL, CONTRADICTED, UNDECIDED
# Of a margin of 1: points beyond −1, between it and zero, between zero and 1, and beyond 1.
POINTS = (-2.0, -0.5, 0.5, 2.0)
INTERVALS = [(a, b) for a, b in itertools.combinations_with_replacement(POINTS, 2)]
TABLE = {
    ("size", "above"): [C, C, U, U, C, U, U, T, U, S],
    ("size", "below"): [S, U, U, U, T, U, U, C, C, C],
    ("bound", "above"): [C, C, C, U, C, C, U, C, U, S],
    ("bound", "below"): [S, S, S, U, S, S, U, S, U, C],
    ("equality", "within"): [C, U, U, U, S, S, U, S, U, C],
}
number = st.floats(-10, 10, allow_nan=False)
positive = st.floats(0.01, 10)
ways = st.sampled_from([(asks, way) for asks, some in ASKS.items() for way in some])


@pytest.mark.parametrize(("kind", "wanted"), TABLE.items(), ids=" ".join)
def test_every_place_of_an_interval_has_its_word(kind: tuple[str, str], wanted: list[str]):
    asks, direction = kind
    found = [word(*each, asks=asks, direction=direction, margin=1.0) for each in INTERVALS]
    assert dict(zip(INTERVALS, found, strict=True)) == dict(zip(INTERVALS, wanted, strict=True))


def test_the_table_is_whole():
    assert {*TABLE} == {(asks, way) for asks, some in ASKS.items() for way in some}
    assert set(WORDS) == {S, T, C, U, MIXED, UNTESTABLE}


def said(low: float, high: float, kind: tuple[str, str], margin: float) -> str:
    return word(low, high, asks=kind[0], direction=kind[1], margin=margin)


@given(number, number, positive, ways)
def test_a_wider_interval_never_says_more(a: float, b: float, margin: float, kind):
    low, high = sorted((a, b))
    narrow, wide = said(low, high, kind, margin), said(low - 0.5, high + 0.5, kind, margin)
    assert wide in (narrow, UNDECIDED)


@given(number, number, positive, st.sampled_from(["size", "bound"]))
def test_above_is_the_mirror_of_below(a: float, b: float, margin: float, asks: str):
    low, high = sorted((a, b))
    mirrored = margin if asks == "size" else -margin
    above = said(low, high, (asks, "above"), margin)
    assert above == said(-high, -low, (asks, "below"), mirrored)


@given(number, number, positive, ways, st.floats(0.1, 10))
def test_units_do_not_matter(a: float, b: float, margin: float, kind, scale: float):
    low, high = sorted((round(a, 2), round(b, 2)))
    margin = round(margin, 2)
    # A point on an edge may cross it by rounding.
    if {abs(low), abs(high)} & {margin, 0.0}:
        return
    assert said(low, high, kind, margin) == said(scale * low, scale * high, kind, scale * margin)


@given(number, number, positive)
def test_only_a_size_can_be_too_small(a: float, b: float, margin: float):
    low, high = sorted((a, b))
    for kind in TABLE:
        if kind[0] != "size":
            assert said(low, high, kind, margin) in (S, C, U)
    if said(low, high, ("size", "above"), margin) == TOO_SMALL:
        assert 0 < low <= high <= margin


@given(number, positive, ways)
def test_what_is_supported_lies_inside_the_edges(value: float, margin: float, kind):
    least, most = edges(kind[1], margin, kind[0])
    assert (said(value, value, kind, margin) == SUPPORTED) == (least < value < most)


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_without_an_interval_there_is_no_word(gap: float):
    for kind in TABLE:
        assert said(0.2, gap, kind, 0.1) == said(-gap, 0.2, kind, 0.1) == UNTESTABLE


def test_nothing_at_all_is_no_rise():
    assert said(0.0, 0.0, ("size", "above"), 0.1) == CONTRADICTED


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ([], UNTESTABLE),
        ([UNTESTABLE, UNTESTABLE], UNTESTABLE),
        *(([each], each) for each in (S, T, C, U)),
        *(([each, each, UNTESTABLE], each) for each in (S, T, C, U)),
        ([S, C], MIXED),
        ([S, U, C, T], MIXED),
        ([S, U], UNDECIDED),
        ([S, T], UNDECIDED),
        ([T, C], UNDECIDED),
        ([U, C], UNDECIDED),
    ],
)
def test_several_models_have_one_word(words: list[str], one: str):
    for order in itertools.permutations(words):
        assert together(order) == one
