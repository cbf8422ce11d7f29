"""A CSV file read strictly: what does not fit its header is refused, and nothing is changed."""

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

import pandas as pd

from shapelib.errors import ShapelibError

_log = logging.getLogger("shapelib")
_MISSING = frozenset({"nan", "none", "null", "na", "n/a", "-"})
# A field may be a whole document; Python's reader refuses more than 128 KiB unless it is told.
_FIELD = 1 << 26


def read(path: Path) -> pd.DataFrame:
    """Every field as the text it is. Blank lines are passed by.

    Raises `ShapelibError`, with the line, for a row with more or fewer fields than the header, a
    quote that does not end, two columns of one name, and bytes that are not UTF-8.
    """
    before = csv.field_size_limit(_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _table(path, file)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ShapelibError(f"{str(path)!r} is not a CSV file in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(before)


def _table(path: Path, file: TextIO) -> pd.DataFrame:
    rows = csv.reader(file, strict=True)
    header = next((row for row in rows if row), None)
    if header is None:
        raise ShapelibError(f"{str(path)!r} is not a CSV file: it is empty")
    header = [each.strip() for each in header]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ShapelibError(f"{str(path)!r} has two columns called {twice[0]!r}; rename one")
    found: list[Sequence[str]] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            kind = "more" if len(row) > len(header) else "fewer"
            raise ShapelibError(
                f"{str(path)!r}, line {rows.line_num}: {len(row)} fields, {kind} than the "
                f"{len(header)} of the header ({', '.join(header)}); a text that holds a comma "
                'must stand in double quotes: "so good, really",up'
            )
        if any("\0" in field for field in row):
            raise ShapelibError(
                f"{str(path)!r}, line {rows.line_num}: a field holds a NUL, as in UTF-16; a file "
                "in UTF-8 is accepted"
            )
        found.append(row)
    return pd.DataFrame(found, columns=header, dtype=str)


def tell(name: str, labels: Iterable[str]) -> None:
    """Say the classes and their counts, and which of them may be one or none."""
    counts = Counter(labels)
    listed = ", ".join(f"{label!r} {count}" for label, count in sorted(counts.items())[:12])
    more = f" and {len(counts) - 12} more" if len(counts) > 12 else ""
    _log.info(
        "%s: %d rows of %d classes: %s%s", name, counts.total(), len(counts), listed, more
    )  # fmt: skip
    alike: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        alike[_folded(label)].append(label)
    for same in alike.values():
        if len(same) > 1:
            _log.warning(
                "%s: %s are different classes here; if they are one, write them alike",
                name, " and ".join(map(repr, same)),
            )  # fmt: skip
    for label in sorted(counts):
        if label.lower() in _MISSING:
            _log.warning(
                "%s: %r is a class of %d rows here; if it means that the label is missing, leave "
                "the field empty", name, label, counts[label],
            )  # fmt: skip


def _folded(label: str) -> str:
    """A label as one may have meant it: without case, a number by its value."""
    if label.lower() in _MISSING:
        return "missing"
    try:
        return repr(float(label))
    except ValueError:
        return " ".join(label.lower().split())
