"""Judge the papers' claims: from tables to a verdict, by the rules that ``claims.yml`` fixed.

A verdict is a record of plain values (JSON) with its numbers; pages print records, nobody types
a verdict.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from shapelib.errors import ShapelibError, nearest

HOLDS = "holds"
IN_PART = "holds in part"
FAILS = "does not hold here"
UNTESTABLE = "not testable here"
VERDICTS = (HOLDS, IN_PART, FAILS, UNTESTABLE)
METADATA = "shapelib_claims"

Record = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.yml``."""

    id: str
    number: int
    title: str
    paper: str
    claim: str
    role: str
    select: dict[str, Any]
    rule: str
    states: str
    margin: float
    confidence: float
    series: tuple[dict[str, Any], ...] = ()
    at_most: str = ""
    because: str = ""


class Statistic(NamedTuple):
    """One model's statistic with its interval, and whether the whole interval meets the rule."""

    value: float
    low: float
    high: float
    met: bool
    details: dict[str, float]

    @property
    def testable(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


@functools.cache
def claims() -> dict[str, Claim]:
    """All claims, by id."""
    import yaml

    text = Path(__file__).with_name("claims.yml").read_text(encoding="utf-8")
    return {name: Claim(id=name, **_entry(entry)) for name, entry in yaml.safe_load(text).items()}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "series": tuple(entry.get("series", ()))}


def judge(claim: str, table: pd.DataFrame) -> Record:
    """The verdict on one claim from a shape table, as a record of plain values.

    `claim`: an id of ``claims.yml``; `table`: as `shapelib.profile` makes it, of any number of
    models. The record holds the verdict, the rule, and each model's statistic with its interval,
    plus the same statistic on other layers and token sets (its sensitivity).
    Raises `ShapelibError` for an unknown claim.
    """
    if claim not in claims():
        raise ShapelibError(f"no such claim: {claim!r}; {nearest(claim, list(claims()))}")
    fixed = claims()[claim]
    needed = {"model", "role", "layer", "tokens", "metric", "centered", "value", "stderr", "groups"}
    if lacking := sorted(needed - set(table.columns)):
        raise ShapelibError(f"this is no shape table: it has no column {lacking[0]!r}")
    chosen = _by_model(fixed, table, fixed.select, inner=True)
    judged = {name: _statistic(fixed, rows) for name, rows in chosen}
    roles = [str(rows["role"].iloc[0]) for _, rows in chosen]
    return {
        "id": fixed.id,
        "number": fixed.number,
        "title": fixed.title,
        "paper": fixed.paper,
        "claim": fixed.claim,
        "role": fixed.role,
        "verdict": _verdict(fixed, list(judged.values()), roles),
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
        return shown, {METADATA: self.records}

    def _html(self) -> str:
        head = "<tr><th>claim</th><th>verdict</th><th>measured</th></tr>"
        rows = [
            f"<tr><td>{r['number']}. {escape(r['claim'])}</td><td><b>{r['verdict']}</b></td>"
            f"<td>{_models_html(r)}<br><i>{escape(r['states'])} {r['margin']}</i>{proviso(r)}"
            f"{_details_html(r)}</td></tr>"
            for r in self.records
        ]
        return (
            f"<table class='dataframe'><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
        )

    def _text(self) -> str:
        return "\n".join(
            f"{r['number']}. {r['claim']} {r['verdict']}: "
            + "; ".join(f"{m['model']} {sentence(m)}" for m in r["models"])
            for r in self.records
        )


def sentence(model: Record) -> str:
    """One model's statistic and interval, as ``0.02 [−0.01, 0.05]``."""
    if model["low"] is None:
        return f"{_number(model['statistic'])} (no interval: too few windows)"
    return f"{_number(model['statistic'])} [{_number(model['low'])}, {_number(model['high'])}]"


def proviso(record: Record) -> str:
    """What the evidence stands in for, as a sentence to append; empty where it is the thing."""
    because = record["because"]
    return f". {because[0].upper()}{because[1:]}." if because else ""


def bell(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Mean of the middle third minus the mean of the higher outer third of the layers.

    Layers of one run share their windows, so their standard errors are added up, not averaged
    away: the interval is wider than it would be for independent layers.
    """
    ordered = layers.sort_values("layer")
    first, middle, last = (ordered.iloc[rows] for rows in np.array_split(range(len(ordered)), 3))
    outer = max((first, last), key=lambda third: float(third["value"].mean()))
    value = float(middle["value"].mean() - outer["value"].mean())
    low, high = _interval(value, middle["stderr"].mean() + outer["stderr"].mean(), claim, layers)
    top = layers.loc[layers["value"].idxmax()]
    details = {
        "first_third": float(first["value"].mean()),
        "middle_third": float(middle["value"].mean()),
        "last_third": float(last["value"].mean()),
        "highest_layer": int(top["layer"]),
        "highest_depth": float(top["depth"]),
    }
    return Statistic(value, low, high, low > claim.margin, details)


def uniform(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """Highest minus lowest value over the layers; their two standard errors are added."""
    top, bottom = layers.loc[layers["value"].idxmax()], layers.loc[layers["value"].idxmin()]
    value = float(top["value"] - bottom["value"])
    low, high = _interval(value, top["stderr"] + bottom["stderr"], claim, layers)
    details = {
        "highest": float(top["value"]),
        "highest_layer": int(top["layer"]),
        "lowest": float(bottom["value"]),
        "lowest_layer": int(bottom["layer"]),
    }
    return Statistic(value, low, high, high <= claim.margin, details)


def agree(claim: Claim, layers: pd.DataFrame) -> Statistic:
    """The smallest rank correlation (Spearman) over the layers between two of the claim's series.

    Its interval holds the quantiles of 2000 redraws (seed 0) of every value from a normal
    distribution with its standard error: what other windows of the text would change. It says
    nothing about other models.
    """
    wide = [_chosen(layers, one).sort_values("layer") for one in claim.series]
    names = [one["metric"] for one in claim.series]
    values = np.array([one["value"].to_numpy() for one in wide], dtype=float)
    errors = np.array([one["stderr"].to_numpy() for one in wide], dtype=float)
    pairs = list(itertools.combinations(range(len(values)), 2))
    details = {f"{names[a]}_and_{names[b]}": _spearman(values[a], values[b]) for a, b in pairs}
    value = float(np.min(list(details.values())))
    redrawn = values + errors * np.random.default_rng(0).standard_normal((2000, *values.shape))
    lowest = np.min([_spearman(redrawn[:, a], redrawn[:, b]) for a, b in pairs], axis=0)
    tail = (1 - claim.confidence) / 2
    low, high = (float(each) for each in np.quantile(lowest, [tail, 1 - tail]))
    return Statistic(value, low, high, low > claim.margin, details)


RULES: dict[str, Callable[[Claim, pd.DataFrame], Statistic]] = {
    "bell": bell,
    "uniform": uniform,
    "agree": agree,
}


def _spearman(a: np.ndarray, b: np.ndarray) -> Any:
    """Rank correlation along the last axis; NaN where a series is constant or has a gap."""
    from scipy import stats

    ranks = [stats.rankdata(each, axis=-1, nan_policy="propagate") for each in (a, b)]
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        found = (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return float(found) if found.ndim == 0 else found


def _chosen(rows: pd.DataFrame, wanted: dict[str, Any]) -> pd.DataFrame:
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def _by_model(
    claim: Claim, table: pd.DataFrame, select: dict[str, Any], inner: bool
) -> list[tuple[str, pd.DataFrame]]:
    rows = table if claim.role == "any" else table[table["role"] == claim.role]
    rows = _chosen(rows, select)
    if inner:
        rows = rows[(rows["layer"] > 0) & ~rows["after_norm"]]
    return [(str(name), group) for name, group in rows.groupby("model", sort=False)]


def _statistic(claim: Claim, layers: pd.DataFrame) -> Statistic:
    if layers["layer"].nunique() < 3:
        return Statistic(math.nan, math.nan, math.nan, False, {})
    return RULES[claim.rule](claim, layers)


def _interval(
    value: float, error: float, claim: Claim, layers: pd.DataFrame
) -> tuple[float, float]:
    """Student's interval with the degrees of freedom of the groups of windows."""
    from scipy import stats

    freedom = int(layers["groups"].min()) - 1
    half = (
        float(stats.t.ppf((1 + claim.confidence) / 2, freedom) * error)
        if freedom > 0
        else (math.nan)
    )
    return value - half, value + half


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
    others = [
        ("every layer, the embedding and one after the final norm too", claim.select, False),
        ("content tokens only", {**claim.select, "tokens": "content"}, True),
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
        "details": {key: _plain(value) for key, value in each.details.items()},
    }


def _plain(value: float) -> float | int | None:
    """JSON has no NaN: a missing number is null."""
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


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
