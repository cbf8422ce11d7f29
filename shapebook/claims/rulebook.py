"""Reading ``claims.yml``: each claim with its rule and its regime, every field checked."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from shapebook.claims.verdicts import ASKS
from shapelib.errors import ShapelibError, is_number, nearest
from shapelib.store.tables import chosen

PATH = Path(__file__).with_name("claims.yml")
ROLES = ("encoder", "decoder", "any")
LEAST = 3
"""Layers that a rule about them needs."""
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


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """One entry of ``claims.yml``, or a further reading of one; of each table there is a kind."""

    table: ClassVar[str]
    """What is judged, as the file names it."""
    called: ClassVar[str]
    """The same, as messages call it."""
    columns: ClassVar[frozenset[str]]
    """What such a table must have, whatever the claim."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]]
    """What each field of this kind alone can be."""

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
    series: tuple[dict[str, Any], ...] = ()
    beside: str = ""
    """A detail that stands beside the statistic."""
    otherwise: "tuple[Reading, ...]" = ()

    @property
    def rule_in_words(self) -> str:
        """What is compared, and on which side of the margin it must lie."""
        return f"{self.states}; {asked_for(self.direction, self.margin)}"

    @property
    def joined(self) -> bool:
        """Whether a statistic is taken over several models at once."""
        return False

    def needed(self) -> set[str]:
        """The columns that it is judged from."""
        return {*self.columns, *self.select, *(key for one in self.series for key in one)}

    def groups(self, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        """What each statistic is taken from, with its name."""
        rows = table if self.role == "any" else table[table["role"] == self.role]
        return self._grouped(chosen(rows, self.select))

    @abstractmethod
    def _grouped(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]: ...

    def too_little(self, rows: pd.DataFrame) -> str:
        """Why one such group is none to take a statistic of; empty where it is."""
        return ""

    def unlike(self, rows: pd.DataFrame) -> list[str]:
        """In what one such group was measured otherwise than the rule is fixed for."""
        return []

    def is_one_run(self, rows: pd.DataFrame) -> bool:
        """Whether one training run is behind one such group."""
        return False


@dataclass(frozen=True, kw_only=True)
class OfLayers(Claim):
    """A claim about the layers of a model, judged from a shape table."""

    table = "shape"
    called = "shape table"
    columns = frozenset(
        {
            *("model", "role", "layer", "depth", "after_norm", "tokens", "metric", "centered"),
            *("value", "stderr", "groups"),
        }
    )
    choices: ClassVar = {"layers": ("inner", "all")}
    # Rules whose intervals are made of the groups' own values.
    _BY_GROUP: ClassVar = ("agree", "span", "gaps_agree")

    measured: dict[str, Any] = field(default_factory=dict)
    """Columns that must have these values: the primary reading alone gets a word."""
    layers: str = "inner"
    """Which layers count: ``inner`` ones, or ``all`` as the paper draws them."""

    def needed(self) -> set[str]:
        by_group = {"by_group"} if self.rule in self._BY_GROUP else set()
        return {*super().needed(), *self.measured, *by_group}

    def _grouped(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        if self.layers == "inner":
            rows = rows[(rows["layer"] > 0) & ~rows["after_norm"]]
        return [(str(name), group) for name, group in rows.groupby("model", sort=False)]

    def too_little(self, rows: pd.DataFrame) -> str:
        count = rows["layer"].nunique()
        few = f"layers that count: {count}, and {LEAST} are needed"
        return few if count < LEAST else ""

    def unlike(self, rows: pd.DataFrame) -> list[str]:
        return [
            f"its {column} is {', '.join(map(str, there))}, and the rule is fixed at {wanted}"
            for column, wanted in self.measured.items()
            if (there := list(rows[column].unique())) != [wanted]
        ]


@dataclass(frozen=True, kw_only=True)
class OfTraining(Claim):
    """A claim about the course of a training, judged from curves along it."""

    table = "course"
    called = "table of curves along training"
    columns = frozenset(
        {
            *("recipe", "model", "role", "run", "step", "tokens_seen", "tokens", "metric"),
            *("mixing", "value", "by_group", "warmup_tokens"),
        }
    )
    choices: ClassVar = {"along": ("recipe", "all")}

    along: str
    """What a statistic is taken over: the runs of a ``recipe``, or ``all`` rows."""

    @property
    def joined(self) -> bool:
        return self.along == "all"

    def _grouped(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        if self.joined:
            there = not any(chosen(rows, one).empty for one in self.series)
            return [("both", rows)] if there else []
        return [(str(name), group) for name, group in rows.groupby("recipe", sort=False)]

    def is_one_run(self, rows: pd.DataFrame) -> bool:
        return "run" not in rows or rows["run"].nunique() == 1


@dataclass(frozen=True, kw_only=True)
class OfTuning(Claim):
    """A claim about fine-tuning, judged from the crossings of single runs."""

    table = "crossings"
    called = "table of the crossings of single runs"
    columns = frozenset(
        {
            *("task", "model", "role", "init", "method", "definition", "rates", "seed", "D", "m"),
            *("crossing", "d90", "largest_tried", "score", "train_score", "tokens_seen"),
        }
    )
    choices: ClassVar = {"along": ("", "task")}

    along: str = ""
    """What a statistic is taken over: one model, or all models of a ``task``."""

    @property
    def joined(self) -> bool:
        return self.along == "task"

    def _grouped(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        by = ["task"] if self.joined else ["model", "task"]
        return [(" on ".join(name), group) for name, group in rows.groupby(by, sort=False)]


KINDS: dict[str, type[Claim]] = {each.table: each for each in (OfLayers, OfTraining, OfTuning)}
"""By the table that is judged; the first is meant where an entry names none."""


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
    kind = KINDS[_one_of(asked.pop("table", OfLayers.table), KINDS, "table", where)]
    made = _checked(kind(**_fields(kind, asked, where)), rules, where)
    readings = tuple(_reading(made, each, rules, where) for each in otherwise)
    return replace(made, otherwise=readings)


def _reading(claim: Claim, fields: Mapping[str, Any], rules: Rules, where: str) -> Reading:
    """The claim with the fields of a reading in place of its own; of `select` those it names."""
    changed = dict(fields)
    what, added = changed.pop("what", ""), changed.pop("added", False)
    where = f"{where}, reading {what!r}"
    if not what:
        raise ShapelibError(f"{where}: 'what' is missing")
    own = {each.name for each in dataclasses.fields(claim)}
    for name in changed:
        known = ("select", "series", "rule", "role", "layers")
        _one_of(name, (each for each in known if each in own), "field", where)
    if "series" in changed:
        changed["series"] = tuple(changed["series"])
    changed["select"] = {**claim.select, **changed.get("select", {})}
    return Reading(what, added, _checked(replace(claim, **changed), rules, where))


def _checked(claim: Claim, rules: Rules, where: str) -> Claim:
    _one_of(claim.rule, rules[claim.table], "rule", where)
    _one_of(claim.role, ROLES, "role", where)
    _one_of(claim.asks, ASKS, "asks", where)
    _one_of(claim.direction, ASKS[claim.asks], "direction", where)
    for name, known in claim.choices.items():
        _one_of(getattr(claim, name), known, name, where)
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
