"""What a figure of the papers takes, reckoned from the catalogue alone: nothing is fetched for it,
no hub is asked, and torch is not imported."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from shapebook.papers.listed import Figure
from shapelib.cli.tables import Here
from shapelib.models import catalogue
from shapelib.models.catalogue import Checkpoint, Entry
from shapelib.models.placement import LARGE
from shapelib.models.suites import choose

# Families whose final weights are kept in 16 bits; all others take four bytes a parameter.
_HALF = ("BLOOM", "Falcon", "GPT-NeoX", "Llama", "OPT")
# A repository's configuration and tokenizer, at most.
_SMALL = 20_000_000
# Windows are read a little further than vectors are measured; a matrix product of a batch with
# itself is taken about four times for all that is measured of it. Both as seen on one machine.
_READ, _MEASURED = 1.1, 4.0
# Texts that are scored after a run: those of the test part, and at most so many it was trained on.
_TEST = {"mrpc": 408, "qqp": 40_430, "sst2": 872, "mnli": 9815, "yelp": 38_000, "anli": 3200}
_TRAIN = 1024
# Copies of the weights that fine-tuning keeps, in 32 bits.
COPIES = 6


@dataclass(frozen=True)
class Weights:
    """A model or a checkpoint that a figure needs."""

    name: str
    entry: Entry | None
    """What the catalogue says of it; nothing of a reader's own model."""
    point: Checkpoint | None
    size: int
    """Bytes to download and to keep; of one without weights those of the small files."""
    here: bool
    """Whether its weights are in a cache of this machine already."""

    @property
    def pickled(self) -> bool:
        """Whether its weights are pickles, as the catalogue has it."""
        known = self.point or self.entry
        return known is not None and known.weights == "pickle"

    @property
    def gated(self) -> bool:
        """Whether the hub asks for a licence to be accepted, and for a token."""
        return bool(self.entry and self.entry.gated)


@dataclass(frozen=True)
class Plan:
    """What making a figure takes."""

    figure: Figure
    needed: tuple[Weights, ...]

    @cached_property
    def missing(self) -> list[Weights]:
        """What is still to be fetched."""
        return [each for each in self.needed if not each.here]

    @property
    def download(self) -> int:
        """Bytes to fetch, all of which the hub's cache then keeps."""
        return sum(each.size for each in self.missing)

    @property
    def unknown(self) -> list[str]:
        """Models that the catalogue does not know: nothing is reckoned for them."""
        return [each.name for each in self.needed if each.entry is None]

    @property
    def pickled(self) -> list[Weights]:
        """What holds pickles; of a table no weights are read."""
        if self.figure.kind == "table":
            return []
        return [each for each in self.needed if each.pickled]

    @property
    def states(self) -> int:
        """Bytes that the hidden states of one model take at most, in memory or on disk."""
        if self.figure.kind not in ("profile", "suites"):
            return 0
        tokens = self.figure.parameters["tokens"]
        known = [each.entry for each in self.needed if each.entry]
        return max(
            (int(4 * _READ * tokens * (e.layers + 1) * e.hidden_size) for e in known), default=0
        )

    @property
    def largest(self) -> tuple[Entry, int, int] | None:
        """The model that takes most memory, and its bytes on a GPU and without one, at the figure's
        precision; of fine-tuning with the copies that it keeps, in 32 bits. None where no weights
        are read, or nothing is known of them."""
        known = [each.entry for each in self.needed if each.entry]
        if self.figure.kind == "table" or not known:
            return None
        entry = max(known, key=lambda each: each.parameters)
        dtype = self.figure.parameters.get("dtype", "float32")
        half = {"auto": entry.parameters > LARGE, "float32": False}.get(dtype, True)
        here = 2 if dtype in ("bfloat16", "float16") else 4
        copies = COPIES if self.figure.kind == "tuning" else 1
        size = copies * entry.parameters
        return entry, size * (2 if half else 4), size * here

    @property
    def work(self) -> "Work":
        """The operations of all that is to be computed."""
        of = {"profile": _of_shape, "suites": _of_shape, "tuning": _of_tuning}.get(self.figure.kind)
        known = [each.entry for each in self.needed if each.entry]
        parts = [of(entry, self.figure.parameters) for entry in known] if of else []
        return Work(sum(each.network for each in parts), sum(each.states for each in parts))


class Work(NamedTuple):
    """Operations, by where they are done."""

    network: float
    """In forward passes and training: on a GPU, where there is one."""
    states: float
    """In measuring hidden states: on the processor."""


def plan(figure: Figure, here: Here | None = None) -> Plan:
    """What a figure takes.

    Raises `ShapelibError` for a checkpoint that a suite does not have.
    """
    here = here or Here()
    needed = [each for name in figure.names for each in _weights(name, figure, here)]
    return Plan(figure, tuple(needed))


def _weights(name: str, figure: Figure, here: Here) -> Iterator[Weights]:
    """What one of a figure's names stands for: the checkpoints of a suite, one, or a model."""
    entries = catalogue.models()
    before, _, wanted = name.partition("@")
    entry = entries.get(before)
    along = figure.kind in ("suites", "tuning") and entry and entry.suite
    if entry is None or (wanted and entry.suite is None):
        yield Weights(name, None, None, 0, False)
    elif entry.suite and (wanted or along):
        points = entry.suite.checkpoints
        steps = choose(name, figure.checkpoints, [each.step for each in points])
        chosen = [entry.suite.checkpoint(wanted)] if wanted else points
        for point in chosen:
            if wanted or point.step in steps:
                shown = f"{before}@{point.name}"
                yield Weights(shown, entry, point, entry.suite.bytes, here.holds(point))
    else:
        light = figure.kind == "table"
        size = _SMALL if light else entry.parameters * (2 if entry.family in _HALF else 4)
        yield Weights(name, entry, None, size, here.holds(entry))


def _of_shape(entry: Entry, asked: dict[str, Any]) -> Work:
    """Of one profile: two operations for each parameter and token, and the measures' products."""
    tokens, batch, sets = asked["tokens"], asked["batch"], len(asked.get("sets", ["all"]))
    reading = 2.0 * entry.parameters * _READ * tokens
    products = 2.0 * tokens * batch * entry.hidden_size
    return Work(reading, _MEASURED * products * (entry.layers + 1) * sets)


def _of_tuning(entry: Entry, asked: dict[str, Any]) -> Work:
    """Of all runs of one model: six operations for each parameter and token that is trained on,
    two for each that is scored; texts as long as they may be."""
    tried = len(asked["methods"]) * len(asked["dimensions"]) * len(asked["learning_rates"])
    runs = len(asked["inits"]) * len(asked["seeds"]) * (tried + len(asked["full_rates"]))
    trained = 6.0 * asked["steps"] * asked["batch"]
    scored = sum(2.0 * (_TEST.get(task, _TRAIN) + _TRAIN) for task in asked["tasks"])
    texts = trained * len(asked["tasks"]) + scored
    return Work(runs * texts * asked["length"] * float(entry.parameters), 0.0)
