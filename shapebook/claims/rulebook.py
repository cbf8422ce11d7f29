"""Reading ``claims.yml``: each claim with its rule and its regime, every field checked."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shapebook.claims.verdicts import ASKS
from shapelib.errors import ShapelibError, is_number, nearest

PATH = Path(__file__).with_name("claims.yml")
ROLES = ("encoder", "decoder", "any")
TABLES = ("shape", "course", "crossings")
# What a statistic can be taken over, by table: the first is what it is where nothing is said.
ALONG = {"shape": ("",), "course": ("recipe", "all"), "crossings": ("", "task")}
LAYERS = ("inner", "all")
TRAINING = ("language modelling", "contrastive")
"""Kinds of training that a regime can ask for."""


@dataclass(frozen=True)
class Regime:
    """Which models a claim speaks of, by facts of what was loaded."""

    name: str
    speaks_of: str
    """In words, for a page."""
    would_test: str
    """What would have to be measured, where nothing measured is inside."""
    parameters: float = 0.0
    """At least so many numbers in the network."""
    tokens: float = 0.0
    """At least so many read by the last checkpoint."""
    tokens_if_known: float = 0.0
    """The same, where a table says how many."""
    checkpoints: int = 0
    """At least so many measured."""
    begins: float = 1.0
    """The first checkpoint's tokens, at most this share of the last one's."""
    training: tuple[str, ...] = ()
    """One of these kinds (of `TRAINING`); any where nothing is named."""


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.yml``, or a further reading of one."""

    id: str
    number: int
    title: str
    paper: str
    claim: str
    effect: str
    role: str
    regime: Regime
    select: dict[str, Any]
    rule: str
    asks: str
    direction: str
    margin: float
    states: str
    fixed: str
    """When the rule was fixed, and what had been seen by then."""
    asked: str = ""
    table: str = "shape"
    """What is judged: a ``shape`` table, the ``course`` of a training, or the ``crossings`` of
    runs."""
    along: str = ""
    """What a statistic is taken over, where that is not one model: of a training the runs of a
    ``recipe`` or ``all`` rows; of crossings all models of a ``task``."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Columns that must have these values: the primary reading alone gets a word."""
    series: tuple[dict[str, Any], ...] = ()
    layers: str = "inner"
    """Which layers count: ``inner`` ones, or ``all`` as the paper draws them."""
    beside: str = ""
    """A detail that stands beside the statistic."""
    otherwise: "tuple[Reading, ...]" = ()

    @property
    def rule_in_words(self) -> str:
        """What is compared, and on which side of the margin it must lie."""
        return f"{self.states}; {asked_for(self.direction, self.margin)}"


@dataclass(frozen=True)
class Reading:
    """A claim read otherwise: a number and no word."""

    what: str
    added: bool
    """Whether it was added after results had been seen."""
    claim: Claim


def asked_for(direction: str, margin: float) -> str:
    """``must exceed 0.1`` and its sisters."""
    value = f"{margin:g}".replace("-", "−")
    words = {"above": "must exceed {}", "below": "must lie below {}"}
    return words.get(direction, "must lie within plus and minus {}").format(value)


Rules = Mapping[str, Iterable[str]]
"""The names of the rules that there are, by the table that they judge."""


def read(path: Path, rules: Rules) -> dict[str, Claim]:
    """Read and check a file of claims, whose rules are some of `rules`.

    Raises `ShapelibError` that names the claim and the field for: a field that is unknown, missing
    or of the wrong type, and an unknown rule, role, regime, table, direction or kind of training.
    """
    import yaml

    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in ("regimes", "claims"):
        if name not in given:
            raise ShapelibError(f"{path.name}: {name!r} is missing")
    for name in given:
        _one_of(name, ("regimes", "claims"), "part", path.name)
    regimes = {
        name: _regime(name, fields, f"{path.name}, regime {name!r}")
        for name, fields in given["regimes"].items()
    }
    return {
        name: _claim(name, fields, regimes, rules, f"{path.name}, claim {name!r}")
        for name, fields in given["claims"].items()
    }


def _regime(name: str, fields: Mapping[str, Any], where: str) -> Regime:
    asked = {**fields, "name": name, "training": tuple(fields.get("training", ()))}
    made = Regime(**_fields(Regime, asked, where))
    for each in made.training:
        _one_of(each, TRAINING, "kind of training", where)
    return made


def _claim(
    name: str, fields: Mapping[str, Any], regimes: Mapping[str, Regime], rules: Rules, where: str
) -> Claim:
    asked = dict(fields)
    otherwise = asked.pop("otherwise", [])
    regime = _one_of(asked.get("regime"), regimes, "regime", where)
    asked |= {"id": name, "regime": regimes[regime], "series": tuple(asked.get("series", ()))}
    made = _checked(Claim(**_fields(Claim, asked, where)), rules, where)
    readings = tuple(_reading(made, each, rules, where) for each in otherwise)
    return replace(made, otherwise=readings)


def _reading(claim: Claim, fields: Mapping[str, Any], rules: Rules, where: str) -> Reading:
    """The claim with the fields of a reading in place of its own; of `select` those it names."""
    changed = dict(fields)
    what, added = changed.pop("what", ""), changed.pop("added", False)
    where = f"{where}, reading {what!r}"
    if not what:
        raise ShapelibError(f"{where}: 'what' is missing")
    for name in changed:
        _one_of(name, ("select", "series", "rule", "role", "layers"), "field", where)
    if "series" in changed:
        changed["series"] = tuple(changed["series"])
    changed["select"] = {**claim.select, **changed.get("select", {})}
    return Reading(what, added, _checked(replace(claim, **changed), rules, where))


def _checked(claim: Claim, rules: Rules, where: str) -> Claim:
    _one_of(claim.table, TABLES, "table", where)
    _one_of(claim.rule, rules[claim.table], "rule", where)
    _one_of(claim.role, ROLES, "role", where)
    _one_of(claim.asks, ASKS, "asks", where)
    _one_of(claim.direction, ASKS[claim.asks], "direction", where)
    _one_of(claim.along, ALONG[claim.table], "along", where)
    _one_of(claim.layers, LAYERS, "layers", where)
    if claim.margin < 0 and claim.asks != "bound":
        article = "an" if claim.asks == "equality" else "a"
        raise ShapelibError(
            f"{where}: margin is {claim.margin}; of {article} {claim.asks} it is 0 or more"
        )
    return claim


def _fields(kind: Any, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a dataclass, or an error that names the first that is wrong."""
    known = {each.name: each for each in dataclasses.fields(kind)}
    for name in given:
        _one_of(name, known, "field", where)
    for name, each in known.items():
        required = each.default is dataclasses.MISSING
        required &= each.default_factory is dataclasses.MISSING
        if required and given.get(name) in (None, ""):
            raise ShapelibError(f"{where}: {name!r} is missing")
        number = each.type in (int, float)
        if name in given and number and not is_number(given[name]):
            raise ShapelibError(f"{where}: {name} is {given[name]!r}, expected a number")
    return dict(given)


def _one_of(value: Any, known: Iterable[str], name: str, where: str) -> str:
    names = list(known)
    if value not in names:
        raise ShapelibError(f"{where}: {name} is {value!r}; {nearest(str(value), names)}")
    return str(value)
