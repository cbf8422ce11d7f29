"""Judge the papers' claims: from tables to a verdict, by the rules that ``claims.yml`` fixed.

A verdict is a record of plain values (JSON) with its numbers; pages print records, nobody types
a verdict.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from shapebook.claims import layers, training, tuning
from shapebook.claims.layers import Claim, Statistic
from shapelib.errors import ShapelibError, nearest
from shapelib.store.tables import chosen

HOLDS = "holds"
IN_PART = "holds in part"
FAILS = "does not hold here"
UNTESTABLE = "not testable here"
VERDICTS = (HOLDS, IN_PART, FAILS, UNTESTABLE)
RECORDS = "shapelib_claims"
# The tables that claims are judged from: what messages call them, and columns they must have.
_TABLES = {
    "shape": (
        "shape table",
        {"model", "role", "layer", "tokens", "metric", "centered", "value", "stderr", "groups"},
    ),
    "course": (
        "table of curves along training",
        {"recipe", "family", "role", "run", "step", "tokens", "metric", "mixing", "value"},
    ),
    "d90": (
        "table of the d90 of single runs",
        {
            *("task", "model", "role", "init", "method", "definition", "seed", "D", "m"),
            *("d90", "largest_tried", "score", "train_score"),
        },
    ),
}
_RULES = {"shape": layers.RULES, "course": training.RULES, "d90": tuning.RULES}
# Token sets that a claim is judged on besides its own, where the table has them.
_OTHER_TOKENS = {
    "all": "all tokens",
    "content": "content tokens only",
    "rest": "without massive vectors",
    "later": "without first positions",
}

Record = dict[str, Any]


@functools.cache
def claims() -> dict[str, Claim]:
    """All claims, by id."""
    import yaml

    text = Path(__file__).with_name("claims.yml").read_text(encoding="utf-8")
    return {name: Claim(id=name, **_entry(entry)) for name, entry in yaml.safe_load(text).items()}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    several = {key: tuple(entry.get(key, ())) for key in ("series", "otherwise")}
    return {**entry, **several}


def judge(claim: str, table: pd.DataFrame) -> Record:
    """The verdict on one claim from a table, as a record of plain values.

    `claim`: an id of ``claims.yml``; `table`: as `shapelib.profile` makes it, of any number of
    models, or for a claim about training as `shapebook.claims.course.course` makes it. The record
    holds the verdict, the rule, and each model's statistic with its interval, plus the same
    statistic on other layers, token sets or measurements (its sensitivity). `verdict_at_95` is the
    verdict where intervals over runs are Student's of 95 %, which those over windows are anyway.
    Raises `ShapelibError` for an unknown claim.
    """
    if claim not in claims():
        raise ShapelibError(f"no such claim: {claim!r}; {nearest(claim, list(claims()))}")
    fixed = claims()[claim]
    what, needed = _TABLES[fixed.table]
    if lacking := sorted(needed - set(table.columns)):
        raise ShapelibError(f"this is no {what}: it has no column {lacking[0]!r}")
    by_model = _groups(fixed, table)
    judged = {name: _statistic(fixed, rows) for name, rows in by_model}
    roles = [str(rows["role"].iloc[0]) for _, rows in by_model]
    strict = list(judged.values())
    if fixed.table != "shape":  # whose intervals, over windows, are of 95 % anyway
        strict = [_statistic(replace(fixed, student=True), rows) for _, rows in by_model]
    return {
        "id": fixed.id,
        "number": fixed.number,
        "title": fixed.title,
        "paper": fixed.paper,
        "asked": fixed.asked,
        "claim": fixed.claim,
        "effect": fixed.effect,
        "role": fixed.role,
        "verdict": _verdict(fixed, list(judged.values()), roles),
        "verdict_at_95": _verdict(fixed, strict, roles),
        "because": fixed.because,
        "states": fixed.states,
        "margin": fixed.margin,
        "confidence": fixed.confidence,
        "models": [_as_record(name, each) for name, each in judged.items()],
        "sensitivity": _sensitivity(fixed, table),
    }


def words(records: Iterable[Record]) -> None:
    """Print the verdicts alone, in words: what nbval compares, on any machine."""
    for record in records:
        print(f"{record['title']}: {record['verdict']}")


class Shown:
    """Records as a notebook shows them: a table, and for the pages built on it, metadata."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/html": self._html(), "text/plain": self._text()}
        return shown, {RECORDS: self.records}

    def _html(self) -> str:
        head = "<tr><th>claim</th><th>verdict</th><th>measured</th></tr>"
        rows = [
            f"<tr><td>{escape(label(r))} {escape(r['claim'])}</td><td><b>{r['verdict']}</b></td>"
            f"<td>{escape(r['effect'])}<br>{_models_html(r)}<br>"
            f"<i>{escape(r['states'])} {r['margin']}</i>{proviso(r)}{_details_html(r)}</td></tr>"
            for r in self.records
        ]
        return (
            f"<table class='dataframe verdicts'><thead>{head}</thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )

    def _text(self) -> str:
        return "\n".join(
            f"{label(r)} {r['claim']} {r['verdict']}: "
            + "; ".join(f"{m['model']} {sentence(m)}" for m in r["models"])
            for r in self.records
        )


def label(record: Record) -> str:
    """What stands before a claim: its number, and whose question it is where no paper's."""
    asked = record["asked"]
    return f"{record['number']}, asked by {asked}:" if asked else f"{record['number']}."


def sentence(model: Record) -> str:
    """One model's statistic and interval, as ``0.02 [−0.01, 0.05]``; ``at least`` that where what
    it is made of was not reached."""
    value = f"{model.get('censored', '')} {_number(model['statistic'])}".strip()
    if model["low"] is None:
        return f"{value} (no interval: too few windows or runs)"
    return f"{value} [{_number(model['low'])}, {_number(model['high'])}]"


def proviso(record: Record) -> str:
    """Sentences to append to the rule: what the evidence stands in for, and the verdict by wider
    intervals where that is another one. Empty where there is nothing to say."""
    said = [record["because"]] if record["because"] else []
    if record["verdict_at_95"] != record["verdict"]:
        said.append(f"by intervals of 95 %: {record['verdict_at_95']}")
    return "".join(f". {each[0].upper()}{each[1:]}" for each in said) + ("." if said else "")


def _by_model(
    claim: Claim, table: pd.DataFrame, select: dict[str, Any], inner: bool
) -> list[tuple[str, pd.DataFrame]]:
    rows = table if claim.role == "any" else table[table["role"] == claim.role]
    rows = chosen(rows, select)
    if inner:
        rows = rows[(rows["layer"] > 0) & ~rows["after_norm"]]
    return [(str(name), group) for name, group in rows.groupby("model", sort=False)]


def _groups(claim: Claim, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """What each statistic is taken from, with its name."""
    if claim.table == "shape":
        return _by_model(claim, table, claim.select, inner=True)
    rows = table if claim.role == "any" else table[table["role"] == claim.role]
    rows = chosen(rows, claim.select)
    if claim.table == "d90":
        by = ["task"] if claim.along == "task" else ["model", "task"]
        return [(" on ".join(name), group) for name, group in rows.groupby(by, sort=False)]
    if claim.along == "all":
        there = not any(chosen(rows, one).empty for one in claim.series)
        return [("both", rows)] if there else []
    return [(str(name), group) for name, group in rows.groupby(claim.along, sort=False)]


def _statistic(claim: Claim, layers: pd.DataFrame) -> Statistic:
    if claim.table == "shape" and layers["layer"].nunique() < 3:
        return Statistic(math.nan, math.nan, math.nan, False, {})
    return _RULES[claim.table][claim.rule](claim, layers)


def _verdict(claim: Claim, judged: list[Statistic], roles: list[str]) -> str:
    tested = [each for each in judged if each.testable]
    if not tested:
        return UNTESTABLE
    if not any(each.met for each in tested):
        return FAILS
    # One model is not a class: neither is one of each role.
    of_role = Counter(role for role, each in zip(roles, judged, strict=True) if each.testable)
    if not all(each.met for each in tested) or min(of_role.values()) == 1:
        return IN_PART
    return claim.at_most or HOLDS


def _sensitivity(claim: Claim, table: pd.DataFrame) -> list[Record]:
    """The same rule where the layers or the vectors that count are chosen otherwise."""
    if claim.table != "shape":
        return [
            {"what": each["what"], **_as_record(name, _statistic(other, rows))}
            for each in claim.otherwise
            for other in (replace(claim, **{k: v for k, v in each.items() if k != "what"}),)
            for name, rows in _groups(other, table)
        ]
    others = [("every layer, the embedding and one after the final norm too", claim.select, False)]
    # A rule that compares token sets has no other to be judged on.
    if "tokens" in claim.select:
        others += [
            (what, {**claim.select, "tokens": tokens}, True)
            for tokens, what in _OTHER_TOKENS.items()
            if tokens != claim.select["tokens"]
        ]
    return [
        {"what": what, **_as_record(name, _statistic(claim, rows))}
        for what, select, inner in others
        for name, rows in _by_model(claim, table, select, inner)
    ]


def _as_record(name: str, each: Statistic) -> Record:
    return {
        "model": name,
        "statistic": _plain(each.value),
        "low": _plain(each.low),
        "high": _plain(each.high),
        "met": each.met,
        "censored": each.censored,
        "details": {key: _plain(value) for key, value in each.details.items()},
    }


def _plain(value: float) -> float | int | None:
    """JSON has no NaN: a missing number is null."""
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    """Three decimals, or two digits of what three decimals would hide."""
    if value is None:
        return "–"
    decimals = 1 - math.floor(math.log10(abs(value))) if 0 < abs(value) < 0.001 else 3
    return f"{value:.{decimals}f}".replace("-", "−")


def _models_html(record: Record) -> str:
    lines = [f"{escape(m['model'])}: {sentence(m)}" for m in record["models"]]
    return "<br>".join(lines) or "no such model"


def _details_html(record: Record) -> str:
    """What the statistic is made of, and how it changes with the layers and tokens that count."""
    made_of = [
        f"{m['model']}, {name.replace('_', ' ')}: {value:.3g}"
        for m in record["models"]
        for name, value in m["details"].items()
    ]
    otherwise = [f"{s['model']}, {s['what']}: {sentence(s)}" for s in record["sensitivity"]]
    lines = "".join(f"<li>{escape(line)}</li>" for line in (*made_of, *otherwise))
    return f"<details><summary>details</summary><ul>{lines}</ul></details>" if lines else ""
