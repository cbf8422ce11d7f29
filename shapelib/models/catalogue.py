"""Every model the papers name, and every published checkpoint of their suites.

The data is ``catalogue.yml``, read with every field checked; a model's entry may hold a `suite`,
the checkpoints along its training. Nothing heavy is imported.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from shapelib.errors import ShapelibError, nearest

ROLES = ("encoder", "decoder", "encoder-decoder")
WEIGHTS = ("safetensors", "pickle", "gguf")
TUNED = ("base", "instruct", "contrastive")
PAPERS = {
    "shape": "The Shape of Learning",
    "intrinsic": "Intrinsic Dimensionality Explains the Effectiveness of Language Model "
    "Fine-Tuning",
}
_RANGES = ({"first", "last", "by"}, {"first", "last", "times"})


@dataclass(frozen=True)
class Checkpoint:
    """One point of a suite: the files of one revision of one hub repository."""

    name: str
    """What follows ``@`` in ``SUITE@NAME``; the bare step and the revision work as well."""
    hub: str
    revision: str | None
    step: int
    """Optimiser steps taken."""
    tokens_seen: int
    weights: str
    caveat: str = ""


@dataclass(frozen=True)
class Suite:
    """A model's checkpoints along its training, in order of steps."""

    name: str
    checkpoints: tuple[Checkpoint, ...] = field(repr=False)
    tokenizer: str
    """The hub repository whose tokenizer serves where a revision ships none."""
    bytes: int
    """What one checkpoint takes to download and to keep."""
    tokens: str
    """How tokens seen follow from the step, in words."""
    source: str
    unchecked: str = ""

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint of a name (``step1000``), a step (``1000``) or a revision.

        Raises `ShapelibError` that names the nearest steps where there is none.
        """
        for each in self.checkpoints:
            if name in (each.name, str(each.step), each.revision):
                return each
        digits = "".join(filter(str.isdigit, name))
        hint = f"one is named like {self.checkpoints[0].name!r}"
        if digits:
            near = sorted(self.checkpoints, key=lambda each: abs(each.step - int(digits)))[:2]
            hint = f"the nearest are {' and '.join(repr(each.name) for each in near)}"
        raise ShapelibError(
            f"{self.name!r} has no checkpoint {name!r}: {hint}; shapelib models {self.name} "
            f"lists all {len(self.checkpoints)}"
        )


@dataclass(frozen=True)
class Entry:
    """A model with a short name."""

    name: str
    role: str
    family: str
    parameters: int
    """Of the base network, without a head."""
    layers: int
    hidden_size: int
    licence: str
    weights: str
    source: str
    """Where these facts were checked."""
    hub: str = ""
    asset: str = ""
    """The shipped asset (a key of `assets.ASSETS`) in place of a hub repository."""
    heads: int = 0
    gated: bool = False
    caveat: str = ""
    """Repeated by every table and figure."""
    training: str = ""
    """What it was tuned for after language modelling, where that may shape its hidden states."""
    tuned: str = ""
    """What it is, by what was done after pre-training: one of `TUNED`, or nothing said."""
    quantised: str = ""
    """Of a GGUF file: how many weights it holds in which type, as `gguf_file.told` tells it."""
    unchecked: str = ""
    """What of this entry no public source was found for, and why."""
    papers: tuple[str, ...] = ()
    suite: Suite | None = field(default=None, repr=False)
    table1: "Table1 | None" = field(default=None, repr=False)


@dataclass(frozen=True)
class Table1:
    """A column of the first paper's Table 1, and what the public configuration says."""

    printed: dict[str, Any]
    public: dict[str, Any]
    """Only what differs from the print."""
    why: dict[str, str]
    """For each that differs: what is known about it, with its source."""


def read(path: Path) -> dict[str, Entry]:
    """Read and check a catalogue file.

    Raises `ShapelibError` that names the entry and the field for: a name given twice, a field
    that is unknown, missing or of the wrong type, an unknown role, weights or paper, two entries
    of one repository, steps that do not rise, and a difference from the print without its source.
    """
    given = _mapping(path)
    for name in given.keys() - {"shared", "models"}:
        raise ShapelibError(f"{path.name}: {name!r} is neither 'shared' nor 'models'")
    found: dict[str, Entry] = {}
    homes: dict[str, str] = {}
    for name, fields in given["models"].items():
        where = f"{path.name}, model {name!r}"
        entry = _entry(name, dict(fields), where)
        home = entry.hub.lower() or entry.asset
        if home in homes:
            raise ShapelibError(f"{where}: {home} is {homes[home]!r} already")
        homes[home] = name
        found[name] = entry
    return found


def _entry(name: str, fields: dict[str, Any], where: str) -> Entry:
    along, table1 = fields.pop("suite", None), fields.pop("table1", None)
    fields["papers"] = tuple(fields.get("papers", ()))
    entry = _checked(Entry, {"name": name, **fields}, where)
    if bool(entry.hub) == bool(entry.asset):
        raise ShapelibError(f"{where}: give one of 'hub' and 'asset'")
    _one_of(entry.role, ROLES, "role", where)
    _one_of(entry.weights, WEIGHTS, "weights", where)
    _one_of(entry.tuned, ("", *TUNED), "tuned", where)
    for paper in entry.papers:
        _one_of(paper, tuple(PAPERS), "papers", where)
    if along is not None:
        entry = dataclasses.replace(entry, suite=_suite(entry, dict(along), f"{where}, suite"))
    if table1 is not None:
        entry = dataclasses.replace(entry, table1=_table1(table1, f"{where}, table1"))
    return entry


def _mapping(path: Path) -> dict[str, Any]:
    """A YAML file in which no mapping gives a key twice (PyYAML would keep the last)."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if key.value != "<<"]
            for key in keys:
                if keys.count(key) > 1:
                    line = node.start_mark.line + 1
                    raise ShapelibError(f"{path.name}, at line {line}: {key!r} is given twice")
            return super().construct_mapping(node, deep)

    mapping: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)
    return mapping


def _suite(entry: Entry, fields: dict[str, Any], where: str) -> Suite:
    """A suite from its rule (revisions of one repository), a list of repositories, or both."""
    hub, revision = fields.pop("hub", entry.hub), fields.pop("revision", None)
    listed, steps = fields.pop("checkpoints", []), fields.pop("steps", [])
    per_step, ramp = fields.pop("tokens_per_step", None), fields.pop("batch", None)
    caveats, final = fields.pop("caveats", {}), fields.pop("final_step", None)
    weights = fields.pop("weights", entry.weights)
    if (per_step is None) == (ramp is None):
        raise ShapelibError(f"{where}: give one of 'tokens_per_step' and 'batch'")
    batch = None if ramp is None else _checked(Ramp, ramp, f"{where}, batch")
    rule = [{"step": step, "hub": hub, "revision": revision} for step in _steps(steps, where)]
    if final is not None:
        listed = [*listed, {"step": final, "hub": entry.hub, "weights": entry.weights}]
    # A repository that is listed takes the place of the rule's revision of the same step.
    points = {each["step"]: each for each in (*rule, *listed)}
    found = []
    for step, each in sorted(points.items()):
        tokens = step * per_step if batch is None else batch.tokens(step)
        named = each.get("revision") and each["revision"].format(
            step=step, thousands=step // 1000, billions=round(tokens / 1e9)
        )
        defaults = {"name": f"step{step}", "tokens_seen": tokens, "weights": weights}
        about = {"caveat": caveats.get(step, ""), **each, "revision": named}
        found.append(_checked(Checkpoint, {**defaults, **about}, where))
        _one_of(found[-1].weights, WEIGHTS, "weights", where)
    for step in caveats.keys() - points.keys():
        raise ShapelibError(f"{where}: a caveat for step {step}, which is not listed")
    if [each["step"] for each in rule] != sorted({each["step"] for each in rule}):
        raise ShapelibError(f"{where}: the steps do not rise")
    about = {"name": entry.name, "tokenizer": entry.hub, **fields, "checkpoints": tuple(found)}
    return _checked(Suite, about, where)


@dataclass(frozen=True)
class Ramp:
    """A batch that grows from `first` to `full` sequences, by `add` at equal shares of `over`
    sequences; each sequence has `sequence` tokens."""

    sequence: int
    first: int
    add: int
    over: int
    full: int

    def tokens(self, step: int) -> int:
        """Tokens seen after a number of steps: the sum over steps of batch × sequence."""
        share = self.over / ((self.full - self.first) // self.add)
        seen, batch = 0, self.first
        while batch < self.full:
            # The batch stays until the sequences seen pass the end of its share.
            end = share * ((batch - self.first) // self.add + 1)
            taken = min(step, -int((seen - end) // batch))
            seen, step = seen + taken * batch, step - taken
            if not step:
                break
            batch += self.add
        return (seen + step * batch) * self.sequence


def _steps(rules: list[Any], where: str) -> Iterator[int]:
    """Steps from numbers and ranges: ``{first, last, by}`` or ``{first, last, times}``."""
    for rule in rules:
        if isinstance(rule, int):
            yield rule
            continue
        if not isinstance(rule, dict) or set(rule) not in _RANGES:
            raise ShapelibError(f"{where}: steps {rule!r} are neither a number nor a range")
        step = rule["first"]
        while step <= rule["last"]:
            yield step
            step = step + rule["by"] if "by" in rule else step * rule["times"]


def _table1(fields: Mapping[str, Any], where: str) -> Table1:
    table1 = _checked(Table1, {"public": {}, "why": {}, **fields}, where)
    for name in table1.public.keys() ^ table1.why.keys():
        raise ShapelibError(f"{where}: {name!r} needs both 'public' and 'why'")
    for name, value in table1.public.items():
        if table1.printed.get(name, value) == value:
            raise ShapelibError(f"{where}: public {name!r} does not differ from the print")
    return table1


_T = TypeVar("_T")


def _checked(kind: type[_T], fields: Mapping[str, Any], where: str) -> _T:
    """A dataclass from its fields, or an error that names the first that is wrong."""
    known = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in fields:
        if name not in known:
            raise ShapelibError(f"{where}: no field {name!r}; {nearest(name, list(known))}")
    hints = get_type_hints(kind)
    for name, each in known.items():
        required = each.default is dataclasses.MISSING
        if required and name not in fields:
            raise ShapelibError(f"{where}: {name!r} is missing")
        value = fields.get(name, each.default)
        if not _fits(value, hints[name]) or (required and value == ""):
            raise ShapelibError(f"{where}: {name} is {value!r}, expected {_shown(hints[name])}")
    return kind(**fields)


def _fits(value: object, hint: Any) -> bool:
    kinds = getattr(hint, "__args__", (hint,)) if "|" in str(hint) else (hint,)
    plain = tuple(getattr(kind, "__origin__", kind) for kind in kinds)
    whole = isinstance(value, bool) and bool not in plain
    return isinstance(value, plain) and not whole


def _shown(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))


def _one_of(value: str, known: tuple[str, ...], name: str, where: str) -> None:
    if value not in known:
        raise ShapelibError(f"{where}: {name} is {value!r}; {nearest(value, list(known))}")


FILE = Path(__file__).with_name("catalogue.yml")


@functools.cache
def models() -> dict[str, Entry]:
    """The models with a short name, by it."""
    return read(FILE)


def suites() -> list[str]:
    """The names of the models that have a suite."""
    return [name for name, entry in models().items() if entry.suite]


def suite(name: str) -> Suite:
    """The checkpoints of a model. Raises `ShapelibError` where there are none."""
    entry = models().get(name)
    if entry is None or entry.suite is None:
        raise ShapelibError(f"no suite of checkpoints {name!r}; {nearest(name, suites())}")
    return entry.suite


def on_hub(hub: str) -> Entry | None:
    """The entry of a hub repository's final model."""
    return next((each for each in models().values() if each.hub.lower() == hub.lower()), None)


def checkpoint_on_hub(hub: str, revision: str | None) -> tuple[Entry, Checkpoint] | None:
    """The checkpoint that a revision of a hub repository is, and the model it belongs to."""
    for entry in models().values():
        for each in entry.suite.checkpoints if entry.suite else ():
            if (each.hub.lower(), each.revision) == (hub.lower(), revision):
                return entry, each
    return None
