"""The runs behind a table, by kind: what each measured, and whether it is kept as data.

Provenance is a plain mapping in the file of a table. Which kind of run it tells of is read off its
names here, and nowhere else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Run:
    """One run, of a kind that says no more than every run does."""

    told: Mapping[str, Any]
    """What it said of itself (see `shapelib.store.tables.provenance`)."""

    @property
    def kept(self) -> bool:
        """Whether it is kept as data; else it is the page's own."""
        return "command" in self.told

    @property
    def whole(self) -> bool:
        """Whether its seconds are those of all that its command ran; else of one of many."""
        return "runs" in self.told

    def is_in(self, table: pd.DataFrame) -> bool:
        """Whether it is the page's own, or kept as data and in the table, by its model where it has
        one.

        A slice of a table keeps the provenance of all that was in it.
        """
        return self._is_named("model", table)

    def _is_named(self, name: str, table: pd.DataFrame) -> bool:
        named = self.kept and name in self.told and name in table
        return not named or self.told[name] in set(table[name])

    @property
    def files(self) -> str:
        """Which files the model was, as far as a line has room."""
        return f"files {(self.told['revision'] or self.told['fingerprint'])[:12]}"


@dataclass(frozen=True)
class Measured(Run):
    """A model over a text."""

    def line(self) -> tuple[str, str]:
        """What it is of, and what it says."""
        run, counts = self.told, self.told["pooled"]
        caveat = f"; {run['caveat']}" if run["caveat"] else ""
        # Tables kept as data from before it was written down do not say it.
        if run.get("quantised"):
            caveat += f"; weights in its file: {run['quantised']}"
        return (
            f"model {run['model']}",
            f"{self.files}, {run['dtype']}, {run['device']}, {counts['all']} vectors pooled from "
            f"{counts['windows']} windows ({counts['dropped_all']} left over), "
            f"{self._taken()}{caveat}",
        )

    def _taken(self) -> str:
        seconds = f"{self.told['seconds']} s"
        if not self.kept:
            return seconds
        if self.whole:
            return f"{seconds} for all {self.told['runs']} measurements"
        return f"{seconds} for the first of its checkpoints"


@dataclass(frozen=True)
class Tuned(Run):
    """A model tuned on a task, at one setting."""

    @property
    def what(self) -> str:
        """Of which it is one of many."""
        return f"model {self.told['model']} tuned on {self.told['task']}"


@dataclass(frozen=True)
class Part(Tuned):
    """A part of a table of many such runs, kept as data."""

    def is_in(self, table: pd.DataFrame) -> bool:
        """By the part, since one has several models."""
        return self._is_named("part", table)

    def line(self) -> tuple[str, str]:
        """What it is of, and what it says."""
        run = self.told
        return (
            f"part {run['part']}",
            f"{run['runs']} runs, {run['seconds']:.0f} s in all: {run['command']}",
        )


def runs_of(table: pd.DataFrame) -> list[Run]:
    """The runs behind a table, those left out that are kept as data and not in it."""
    runs = [_kind(told)(told) for told in table.attrs["provenance"]]
    return [run for run in runs if run.is_in(table)]


def _kind(told: Mapping[str, Any]) -> type[Run]:
    if "pooled" in told:
        return Measured
    if "task" in told:
        return Part if "part" in told else Tuned
    return Run


def lines(runs: Iterable[Run]) -> Iterator[tuple[str, str]]:
    """A line for each model that was measured, each part, and each model tuned on a task."""
    runs = list(runs)
    for kind in (Measured, Part):
        yield from (run.line() for run in runs if isinstance(run, kind))
    tuned: dict[str, list[Run]] = {}
    for run in runs:
        if isinstance(run, Tuned) and not isinstance(run, Part):
            tuned.setdefault(run.what, []).append(run)
    for what, some in tuned.items():
        seconds = sum(each.told["seconds"] for each in some)
        first = some[0]
        yield (
            what,
            f"{first.files}, {first.told['device']}, {len(some)} runs, {seconds:.0f} s in all",
        )
