"""Whether a model is one that a claim speaks of: by facts of what was loaded, never by its name."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from shapebook.claims.rulebook import Regime


class Facts(NamedTuple):
    """What is known of a judged model; None is unknown."""

    parameters: float | None = None
    tokens: float | None = None
    """Read by the last checkpoint."""
    first: float | None = None
    """Read by the first checkpoint."""
    checkpoints: int | None = None
    training: str | None = None
    """``language modelling`` (of masked or of next tokens), ``contrastive``, …"""


def facts(rows: pd.DataFrame, runs: Iterable[Mapping[str, Any]]) -> Facts:
    """The facts of the models of some rows.

    :param rows: of a shape table, of curves along training, or of crossings; of several models
        the one that is furthest from any regime counts.
    :param runs: the provenance of the table, whose runs name their model.
    """
    names = set(rows["model"])
    told = [run for run in runs if run.get("model") in names]
    sizes = [run["parameters"] for run in told if run.get("parameters") is not None]
    if "D" in rows:
        sizes = rows["D"].tolist()
    kinds = {run.get("training") for run in told}
    first = last = None
    seen = rows["tokens_seen"] if "tokens_seen" in rows else pd.Series(dtype=float)
    if len(seen) and seen.notna().all():
        by_model = seen.astype(float).groupby(rows["model"])
        first, last = float(by_model.min().max()), float(by_model.max().min())
    steps = rows.groupby("model")["step"].nunique() if "step" in rows else None
    return Facts(
        parameters=float(min(sizes)) if sizes else None,
        tokens=last,
        first=first,
        checkpoints=None if steps is None else int(steps.min()),
        training=kinds.pop() if len(kinds) == 1 else None,
    )


def outside(regime: Regime, known: Facts) -> str:
    """In what a model lies outside a regime, in words; empty where it is inside."""
    said = []
    least = (
        ("parameters", regime.parameters, known.parameters, True),
        ("tokens read", regime.tokens, known.tokens, True),
        ("tokens read", regime.tokens_if_known, known.tokens, False),
        ("checkpoints", float(regime.checkpoints), known.checkpoints, True),
    )
    for name, needed, there, required in least:
        if needed and there is None and required:
            said.append(f"its number of {name} is not recorded, and {count(needed)} are needed")
        elif needed and there is not None and there < needed:
            said.append(f"{count(there)} {name}, and {count(needed)} are needed")
    if regime.begins < 1 and known.tokens and known.first is not None:
        share = known.first / known.tokens
        if share > regime.begins:
            said.append(
                f"its first checkpoint comes after {share:.0%} of the tokens, and "
                f"{regime.begins:.0%} are the most"
            )
    if regime.training and known.training not in regime.training:
        kind = known.training or "of a kind that is not recorded"
        said.append(f"its training is {kind}, and {' or '.join(regime.training)} is needed")
    return "; ".join(said)


def count(number: float) -> str:
    """A number of things in words that fit a sentence: ``0.9 million``, ``100 billion``."""
    for size, name, least in ((1e9, "billion", 1e9), (1e6, "million", 1e5)):
        if number >= least:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
