"""Six words for what the evidence says of a claim, by one table, from intervals alone."""

import math
from collections.abc import Iterable

SUPPORTED = "supported"
TOO_SMALL = "too small"
CONTRADICTED = "contradicted"
MIXED = "mixed"
UNDECIDED = "undecided"
UNTESTABLE = "not testable here"
WORDS = (SUPPORTED, TOO_SMALL, CONTRADICTED, MIXED, UNDECIDED, UNTESTABLE)
# What a claim can ask for: to lie beyond zero by at least the margin, beyond the margin wherever
# zero is, or within plus and minus the margin; and the sides on which each can lie.
ASKS = {"size": ("above", "below"), "bound": ("above", "below"), "equality": ("within",)}


def word(low: float, high: float, *, asks: str, direction: str, margin: float) -> str:
    """What one model's interval says of a claim: any word but ``mixed``.

    :param low: of the interval; `high` likewise. Where either is missing or infinite, there is
        nothing to judge.
    :param asks: ``size``, ``bound`` or ``equality``, see `ASKS`.
    :param direction: ``above`` or ``below`` the margin; ``within`` for an equality.
    :param margin: of a size its distance from zero, on the claim's side.

    >>> from shapebook.claims.verdicts import word
    >>> word(0.2, 0.3, asks="size", direction="above", margin=0.1)
    'supported'
    >>> word(0.02, 0.08, asks="size", direction="above", margin=0.1)
    'too small'
    >>> word(0.2, 0.3, asks="bound", direction="below", margin=0.1)
    'contradicted'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNTESTABLE
    if asks == "equality":
        beyond, wrong = -margin < low and high < margin, low >= margin or high <= -margin
        return _said(beyond, wrong)
    if direction == "below":
        low, high, margin = -high, -low, margin if asks == "size" else -margin
    if asks == "bound":
        return _said(low > margin, high <= margin)
    if low > 0 and high <= margin:
        return TOO_SMALL
    return _said(low > margin, high <= 0)


def together(words: Iterable[str]) -> str:
    """One word of several models': theirs where all say the same; `MIXED` where some support and
    some contradict; else `UNDECIDED`. Models that cannot be tested do not count."""
    tested = {each for each in words if each != UNTESTABLE}
    if not tested:
        return UNTESTABLE
    if len(tested) == 1:
        return tested.pop()
    return MIXED if {SUPPORTED, CONTRADICTED} <= tested else UNDECIDED


def edges(direction: str, margin: float, asks: str) -> tuple[float, float]:
    """The ends of what a claim asks for, on the statistic's axis; infinite where it is open."""
    if direction == "within":
        return -margin, margin
    if direction == "below":
        return -math.inf, -margin if asks == "size" else margin
    return margin, math.inf


def _said(beyond: bool, wrong: bool) -> str:
    return SUPPORTED if beyond else CONTRADICTED if wrong else UNDECIDED
