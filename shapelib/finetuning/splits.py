"""Labelled texts: de-duplicated, split into training and test, and described."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from shapelib.errors import ShapelibError, is_number

_log = logging.getLogger("shapelib")
Text = tuple[str, ...]
"""One text, or a pair of them."""


@dataclass(frozen=True)
class Rows:
    """Texts with their labels, and the group each belongs to (None where there are none)."""

    texts: list[Text]
    labels: list[str]
    groups: list[str] | None = None


@dataclass(frozen=True)
class Task:
    """What `load_task` gives: labelled texts with a fixed split."""

    name: str
    """What tables call it."""
    labels: tuple[str, ...]
    """The classes; a label is an index into them."""
    train: tuple[Text, ...]
    """The training texts, a tuple of one text or of a pair each."""
    train_labels: tuple[int, ...]
    """Their classes."""
    test: tuple[Text, ...]
    """The texts held out."""
    test_labels: tuple[int, ...]
    """Their classes."""
    majority: float
    """The share of the test set's most frequent class, from 0 to 1."""
    source: str
    """Where the texts come from."""
    version: str
    """Of the source."""
    sha256: str
    """Over texts, labels, classes and split."""
    duplicates: int
    """Rows removed because their text was there before, or because it has two labels."""
    grouped_by: str | None
    """What a group is; no group is on both sides of the split. None where there are none."""
    groups: int
    """How many there are."""
    asked: Mapping[str, Any]
    """The arguments by which `load_task` makes this task again."""

    @property
    def pairs(self) -> bool:
        """Whether each text is a pair."""
        return len(self.train[0]) == 2


@dataclass(frozen=True)
class About:
    """Where the rows of a task come from."""

    name: str
    source: str
    version: str
    grouped_by: str | None
    asked: Mapping[str, Any]


def split(rows: Rows, about: About, *, share: float, seed: int, most: int | None) -> Task:
    """A task of rows: copies removed, `share` of the rows (of each class, or whole groups) for the
    test, at most `most` rows on either side.

    Raises `ShapelibError` for fewer than two classes, fewer rows than classes, and a split that
    leaves a side or a class without training rows.
    """
    if not is_number(share) or not 0 < share < 1:
        raise ShapelibError(f"test={share!r}; a share of the rows between 0 and 1 is accepted")
    kept, removed = _distinct(rows, about.name)
    if removed:
        _log.info("%s: %d copies and disputed rows are left out in all", about.name, removed)
    _check(kept.labels, about.name)
    draw = np.random.default_rng(seed)
    held = (
        _by_class(kept.labels, share, draw)
        if kept.groups is None
        else _by_group(kept.groups, share, draw, about)
    )
    train, test = (
        Rows([kept.texts[row] for row in side], [kept.labels[row] for row in side])
        for side in (_some(~held, most, draw), _some(held, most, draw))
    )
    groups = len(set(kept.groups)) if kept.groups is not None else 0
    return _task(train, test, about, removed, groups)


def given_split(train: Rows, test: Rows, about: About, *, seed: int, most: int | None) -> Task:
    """A task that comes with its split: copies within either side and test texts that are in the
    training part are removed."""
    draw = np.random.default_rng(seed)
    both = Rows(train.texts + test.texts, train.labels + test.labels)
    _check(both.labels, about.name)
    keep = np.array(_keep(both, about.name))
    first = np.arange(len(both.texts)) < len(train.texts)
    sides = [
        Rows([both.texts[row] for row in side], [both.labels[row] for row in side])
        for side in (_some(keep & first, most, draw), _some(keep & ~first, most, draw))
    ]
    return _task(sides[0], sides[1], about, int((~keep).sum()), 0)


def _task(train: Rows, test: Rows, about: About, removed: int, groups: int) -> Task:
    labels = tuple(sorted(set(train.labels) | set(test.labels)))
    if not test.labels or not train.labels:
        raise ShapelibError(
            f"{about.name}: {len(train.labels)} training rows and {len(test.labels)} test rows; "
            "both sides need some: give another share for the test, or more rows"
        )
    unseen = sorted(set(labels) - set(train.labels))
    if unseen:
        raise ShapelibError(
            f"{about.name}: no training row has the label {unseen[0]!r}; give another seed, a "
            "smaller share for the test, or more rows"
        )
    number = {label: place for place, label in enumerate(labels)}
    sides = [[number[each] for each in side.labels] for side in (train, test)]
    digest = hashlib.sha256()
    for part in (labels, train.texts, sides[0], test.texts, sides[1]):
        digest.update(json.dumps(part).encode())
    return Task(
        name=about.name,
        labels=labels,
        train=tuple(train.texts),
        train_labels=tuple(sides[0]),
        test=tuple(test.texts),
        test_labels=tuple(sides[1]),
        majority=max(Counter(sides[1]).values()) / len(sides[1]),
        source=about.source,
        version=about.version,
        sha256=digest.hexdigest(),
        duplicates=removed,
        grouped_by=about.grouped_by,
        groups=groups,
        asked=about.asked,
    )


def _check(labels: Sequence[str], name: str) -> None:
    classes = sorted(set(labels))
    if len(classes) < 2:
        found = f"one class, {classes[0]!r}" if classes else "no row with a text and a label"
        raise ShapelibError(f"{name} has {found}; a task needs at least two classes")
    # A side with no more rows than classes would be told apart by rote.
    if len(labels) < 2 * len(classes):
        raise ShapelibError(
            f"{name} has {len(labels)} rows for {len(classes)} classes; at least two rows a class "
            "are needed: is the label column the right one?"
        )


def _distinct(rows: Rows, name: str) -> tuple[Rows, int]:
    keep = _keep(rows, name)
    chosen = [row for row, stays in enumerate(keep) if stays]
    groups = None if rows.groups is None else [rows.groups[row] for row in chosen]
    kept = Rows([rows.texts[row] for row in chosen], [rows.labels[row] for row in chosen], groups)
    return kept, len(keep) - len(chosen)


def _keep(rows: Rows, name: str) -> list[bool]:
    """Whether each row stays: texts alike but for case and spaces count once, and not at all
    where their labels differ."""
    # Of a pair the order does not matter: a copy turned round is a copy.
    keys = [tuple(sorted(" ".join(each.lower().split()) for each in text)) for text in rows.texts]
    first: dict[Text, int] = {}
    disputed = set()
    for row, key in enumerate(keys):
        if rows.labels[first.setdefault(key, row)] != rows.labels[row]:
            disputed.add(key)
    if disputed:
        _log.info("%s: %d texts have two labels and are left out", name, len(disputed))
    return [first[key] == row and key not in disputed for row, key in enumerate(keys)]


def _by_class(labels: list[str], share: float, draw: np.random.Generator) -> np.ndarray:
    """Which rows are for the test: the same share of each class."""
    held = np.zeros(len(labels), dtype=bool)
    codes = pd.factorize(np.array(labels), sort=True)[0]
    for code in range(codes.max() + 1):
        members = draw.permutation(np.flatnonzero(codes == code))
        # Of a class with few rows one is for the test, and at least one is left.
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[:count]] = True
    return held


def _by_group(
    groups: list[str], share: float, draw: np.random.Generator, about: About
) -> np.ndarray:
    """Which rows are for the test: whole groups in random order, up to the share."""
    codes, names = pd.factorize(np.array(groups), sort=True)
    if len(names) < 2:
        raise ShapelibError(
            f"{about.name} has one {about.grouped_by}, {str(names[0])!r}, and is split between "
            "them: at least two are needed"
        )
    sizes = np.bincount(codes)
    order = draw.permutation(len(names))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = order[before < share * len(groups)][: len(names) - 1]
    return np.isin(codes, chosen)


def _some(side: np.ndarray, most: int | None, draw: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(side)
    if most is None or len(rows) <= most:
        return rows
    return np.sort(draw.choice(rows, size=most, replace=False))
