"""Judge the papers' claims: from tables to a word, by the rules that ``claims.yml`` fixed.

A verdict is a record of plain values (JSON) with its numbers; pages print records, nobody types
a verdict.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from shapebook.claims import layers, regimes, training, tuning
from shapebook.claims.records import RECORDS as RECORDS
from shapebook.claims.records import Record as Record
from shapebook.claims.records import Shown as Shown
from shapebook.claims.records import words as words
from shapebook.claims.rulebook import PATH, Claim, read
from shapebook.claims.statistic import Statistic, nothing
from shapebook.claims.verdicts import UNTESTABLE, together, word
from shapebook.claims.verdicts import WORDS as WORDS
from shapelib.errors import ShapelibError, nearest

RULES = {"shape": layers.RULES, "course": training.RULES, "crossings": tuning.RULES}


@functools.cache
def claims() -> dict[str, Claim]:
    """All claims, by id."""
    return read(PATH, RULES)


def judge(claim: str, table: pd.DataFrame) -> Record:
    """The verdict on one claim from a table, as a record of plain values.

    The word is one of six, computed from each model's interval of 95 %. A model outside the claim's
    regime has its numbers and no word but ``not testable here``. The record holds the rule, each
    model's statistic and word, what is said beside it (one model or one run alone), and further
    readings, which are numbers without a word.

    :param claim: an id of ``claims.yml``.
    :param table: as `shapelib.profile` makes it, of any number of models; for a claim about
        training as `shapebook.claims.course.course` makes it, for one about fine-tuning as
        `finetuning.by_seed`. How many parameters a model has and how it was trained is read from
        its provenance.
    :returns: the record.
    :raises ShapelibError: for an unknown claim, and for a table that lacks a column (it is named).
    """
    if claim not in claims():
        raise ShapelibError(f"no such claim: {claim!r}; {nearest(claim, list(claims()))}")
    fixed = claims()[claim]
    _check(fixed, table)
    runs = table.attrs.get("provenance", [])
    judged = [_judged(fixed, name, rows, runs) for name, rows in fixed.groups(table)]
    tested = [each for each in judged if each["word"] != UNTESTABLE]
    return {
        "id": fixed.id,
        "number": fixed.number,
        "title": fixed.title,
        "paper": fixed.paper,
        "asked": fixed.asked,
        "claim": fixed.claim,
        "effect": fixed.effect,
        "role": fixed.role,
        "verdict": together(each["word"] for each in judged),
        "beside": _beside(fixed, tested),
        "asks": fixed.asks,
        "direction": fixed.direction,
        "margin": fixed.margin,
        "states": fixed.rule_in_words,
        "fixed": fixed.fixed,
        "speaks_of": fixed.regime.speaks_of,
        "would_test": fixed.regime.would_test,
        "models": judged,
        "readings": [
            {
                "what": each.what,
                "added": each.added,
                **_as_record(name, statistic(each.claim, rows)),
            }
            for each in fixed.otherwise
            for name, rows in each.claim.groups(table)
        ],
    }


def _check(claim: Claim, table: pd.DataFrame) -> None:
    if lacking := sorted(claim.needed() - set(table.columns)):
        raise ShapelibError(
            f"claim {claim.id!r} is judged from a {claim.called}, and this has no column "
            f"{lacking[0]!r}"
        )


def _judged(
    claim: Claim, name: str, rows: pd.DataFrame, runs: Iterable[Mapping[str, Any]]
) -> Record:
    """One model's record: its numbers, its word, and why there is none."""
    found = statistic(claim, rows)
    reasons = claim.unlike(rows)
    if beyond := regimes.outside(claim.regime, regimes.facts(rows, runs)):
        reasons.append(f"outside the claim's regime: {beyond}")
    if not found.testable:
        reasons.append(found.why or "no interval")
    said = word(
        found.low, found.high, asks=claim.asks, direction=claim.direction, margin=claim.margin
    )
    record = _as_record(name, found)
    if claim.beside in found.details:
        record["beside"] = {claim.beside: _plain(found.details[claim.beside])}
    return {
        **record,
        "word": UNTESTABLE if reasons else said,
        "outside": "; ".join(reasons),
        "role": str(rows["role"].iloc[0]),
        "of": sorted(map(str, rows["model"].unique())),
        "one_run": claim.is_one_run(rows),
    }


def statistic(claim: Claim, rows: pd.DataFrame) -> Statistic:
    """What the claim's rule gives of one of its groups."""
    if why := claim.too_little(rows):
        return nothing(why)
    return RULES[claim.table][claim.rule](claim, rows)


def _beside(claim: Claim, tested: list[Record]) -> list[str]:
    """That one model, or one run, stands alone behind the word."""
    said = []
    if tested and not claim.joined:
        of_role = Counter(role for role, _ in {(each["role"], *each["of"][:1]) for each in tested})
        if sum(of_role.values()) == 1:
            said.append("one model alone")
        elif min(of_role.values()) == 1:
            said.append("one model of a role alone")
    if tested and all(each["one_run"] for each in tested):
        said.append("one run" if len(tested) == 1 and not claim.joined else "one run each")
    return said


def _as_record(name: str, each: Statistic) -> Record:
    return {
        "model": name,
        "statistic": _plain(each.value),
        "low": _plain(each.low),
        "high": _plain(each.high),
        "over": each.over,
        "why": each.why,
        "censored": each.censored,
        "details": {key: _plain(value) for key, value in each.details.items()},
    }


def _plain(value: float) -> float | int | None:
    """JSON has no NaN: a missing number is null."""
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None
