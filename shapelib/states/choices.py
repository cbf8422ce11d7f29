"""The metrics of a shape table by the names one asks for them: what each is, and what it costs.

Nothing heavy is imported here: a shell completes these names.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shapelib.errors import ShapelibError, nearest


class Choice(NamedTuple):
    """What one name asks for."""

    rows: tuple[str, ...]
    """The metrics it adds to a table."""
    what: str
    """What they say."""
    cost: str
    """What measuring takes longer by, in per cent of what the default metrics take."""
    batch: int = 4
    """The fewest vectors a batch must have."""


SCALES = (1, 2, 4, 8, 16, 32, 64)
PARTS = {"half": 0.5, "quarter": 0.25, "eighth": 0.125}
"""The decimated clouds and the share of a batch's vectors that each keeps."""
FEWEST = 200
"""Vectors below which a decimated cloud, or one of types or windows, says too little."""
CLOUD = ("two_nn", "mada_k20")
"""The dimensions of a cloud chosen from a layer's vectors."""
DEFAULT = (
    "anisotropy", "average_cosine", "two_nn", "two_nn_lowest20", "mada_k20", "mom_k20", "mom_k100",
)  # fmt: skip
"""The metrics of both papers' estimators, which every table has unless told otherwise."""


def _of(cloud: str) -> tuple[str, ...]:
    return tuple(f"{each}_{cloud}" for each in CLOUD)


CHOICES = {
    "anisotropy": Choice(
        ("anisotropy",), "share of the first squared singular value, centered and not", "default"
    ),
    "average_cosine": Choice(
        ("average_cosine",), "mean cosine of two vectors, centered and not", "default"
    ),
    "two_nn": Choice(("two_nn",), "TwoNN, lowest 90 % of the ratios", "default"),
    "two_nn_lowest20": Choice(("two_nn_lowest20",), "TwoNN, lowest 20 %", "default"),
    "mada_k20": Choice(("mada_k20",), "MADA of 20 neighbours, mean over points", "default"),
    "mom_k20": Choice(("mom_k20",), "method of moments, 20 neighbours", "default"),
    "mom_k100": Choice(("mom_k100",), "method of moments, 100 neighbours, one batch", "default"),
    "mada_median_k20": Choice(
        ("mada_median_k20",), "MADA, median over points: without the mean's bias of 8 %", "1 %"
    ),
    "mle_k20": Choice(("mle_k20",), "maximum likelihood over all points, 20 neighbours", "1 %"),
    "gride": Choice(
        tuple(f"gride_{n}" for n in SCALES), "the dimension at 7 neighbourhood sizes, one batch",
        "10 %", 2 * SCALES[-1] + 2,
    ),
    "decimated": Choice(
        tuple(row for part in PARTS for row in _of(part)),
        "TwoNN and MADA of a half, a quarter and an eighth of the vectors, one batch", "15 %",
        round(FEWEST / min(PARTS.values())),
    ),
    "relatives": Choice(
        ("same_token", "same_window", "adjacent"),
        "share of first neighbours that are the same token, of the same window, or beside", "0 %",
    ),
    "other_windows": Choice(
        _of("other_windows"), "TwoNN and MADA among vectors of other windows, one batch", "30 %"
    ),
    "token_types": Choice(
        _of("token_types"), "TwoNN and MADA with one vector for each different token", "20 %"
    ),
    "last_tokens": Choice(
        _of("last_tokens"), "TwoNN and MADA of the last token of each window", "1 %"
    ),
    "homology": Choice(
        ("homology",), "growth of minimum spanning trees, eight draws, one batch", "300 %",
        1000,
    ),
    "overlap": Choice(
        ("overlap_next", "overlap_last_layer"),
        "share of 20 neighbours kept by the next layer, and by the last", "6 %",
    ),
    "imbalance": Choice(
        ("imbalance_next", "imbalance_from_next", "imbalance_last_layer",
         "imbalance_from_last_layer"),
        "information imbalance to and from the next layer, and the last", "6 %",
    ),
}  # fmt: skip
"""All that can be asked for, in the order of a table's rows."""


def chosen(metrics: Sequence[str], batch: int) -> tuple[str, ...]:
    """The choices asked for, in the order of `CHOICES`; ``default`` stands for the default ones.

    Raises ShapelibError for one that does not exist (the nearest are named), and where a batch has
    too few vectors for one.
    """
    if isinstance(metrics, str) or not metrics:
        raise ShapelibError(
            f"metrics must be a list of names, such as ['default', 'gride']; got {metrics!r}"
        )
    asked: set[str] = set()
    for each in metrics:
        if each != "default" and each not in CHOICES:
            known = nearest(str(each), ["default", *CHOICES])
            raise ShapelibError(f"no such metric: {each!r}; {known}")
        asked |= set(DEFAULT) if each == "default" else {each}
    for each in asked:
        if batch < CHOICES[each].batch:
            raise ShapelibError(
                f"{each} needs batches of at least {CHOICES[each].batch} vectors, got {batch}: "
                "ask for a larger batch, or leave it out"
            )
    return tuple(each for each in CHOICES if each in asked)
