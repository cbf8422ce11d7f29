"""At which of the learning rates tried a run of fine-tuning counts."""

import numpy as np
import pandas as pd
from jaxtyping import Float

SCORED, OTHER = RATES = ("scored texts", "other texts")
"""On which texts a rate is chosen: on those that are scored, or on others."""


def at_best_rate(runs: pd.DataFrame, by: list[str], rates: str) -> pd.DataFrame:
    """The score and the training score at the best of the learning rates tried, in order of `by`.

    :param runs: of `dimension_sweep`; those that diverged have no score and are left out.
    :param by: the columns that tell what a rate was chosen for.
    :param rates: `SCORED`: the rate with the best score counts, as in the papers, which is
        optimistic. `OTHER`: the rate is chosen on every other test text (by the column ``right``)
        and scored on the rest, then the other way round; the score is that of all texts together,
        and the training score the mean of both.
    :returns: the columns of `by`, ``score`` and ``train_score``.
    """
    known = runs.dropna(subset=["score"])
    if rates == SCORED or known.empty:
        best = known.loc[known.groupby(by)["score"].idxmax()]
        return best[[*by, "score", "train_score"]].sort_values(by)
    right = np.array(
        [right_texts(each, size) for each, size in zip(known["right"], known["test"], strict=True)]
    )
    halves = {"even": right[:, 0::2], "odd": right[:, 1::2]}
    sizes = {name: each.shape[1] for name, each in halves.items()}
    known = known.assign(**{name: each.mean(axis=1) for name, each in halves.items()})
    on = {half: known.loc[known.groupby(by)[half].idxmax()].set_index(by) for half in halves}
    score = on["even"]["odd"] * sizes["odd"] + on["odd"]["even"] * sizes["even"]
    found = pd.DataFrame(
        {
            "score": score / right.shape[1],
            "train_score": (on["even"]["train_score"] + on["odd"]["train_score"]) / 2,
        }
    )
    return found.reset_index().sort_values(by)


def right_texts(bits: str, size: int) -> Float[np.ndarray, " texts"]:
    """Which test texts a run got right, from the bits of a table."""
    found = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=size)
    return found.astype(np.float32)
