"""A folder of measurements, one file each under a key of its content: safe for many writers.

``STORE/store.json`` says which format the folder has and what kind of cells it holds;
``STORE/cells/KEY.parquet`` is one finished measurement, written beside its place and renamed;
``STORE/locks/KEY.lock`` is held while that cell is computed, and the system takes it from a process
that dies.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapelib.errors import ShapelibError
from shapelib.store import tables

FORMAT = 1
KINDS = {"shape": "shapelib sweep", "tuning": "shapelib d90"}
"""What a store holds, and the command that fills it."""
# A store that an earlier version made does not say its kind: these columns of its tables do.
_TOLD_BY = {"metric": "shape", "rate": "tuning"}
_log = logging.getLogger("shapelib")


@dataclass(frozen=True)
class Cells:
    """A store of cells, open for reading and writing."""

    folder: Path

    def path(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.parquet"

    def read(self, key: str) -> pd.DataFrame | None:
        """The table of a cell, or None where it is missing or damaged (which is said by log)."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            table = tables.read_table(path)
            whole = table.attrs["provenance"][-1].pop("sha256", None) == _digest(table)
        except Exception:  # a damaged file is answered in many ways, by Arrow, pandas and JSON
            whole = False
        if whole:
            return table
        _log.warning("%s is damaged: it is computed again", path)
        return None

    def write(self, key: str, table: pd.DataFrame) -> None:
        """Keep the table of a cell, with a hash of it that `read` asks for."""
        # What a killed run left half written; the lock is held, so nobody writes it now.
        for stale in self.path(key).parent.glob(f".{key}.parquet.*"):
            stale.unlink()
        *before, run = table.attrs["provenance"]
        kept = table.copy()
        kept.attrs["provenance"] = [*before, {**run, "sha256": _digest(table)}]
        tables.write_table(kept, self.path(key))

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Whether this process may compute a cell: not while another does."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "locks" / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def open_store(folder: str | Path, kind: str | None = None) -> Cells:
    """The store in `folder`, made where there is none; its cells are of one of `KINDS`.

    Without `kind` a store of any is opened. Raises `ShapelibError` as `look` does, and for a
    folder that cannot be written.
    """
    kept = look(folder, kind)
    note = kept.folder / "store.json"
    if not note.is_file():
        _make(kept.folder)
    told = _told(note, folder)
    try:
        for name in ("cells", "locks"):
            (kept.folder / name).mkdir(exist_ok=True)
        if kind and "kind" not in told:
            _note(note, {**told, "kind": kind})
    except OSError as error:
        raise ShapelibError(f"{str(folder)!r} cannot be written: {error.strerror}") from error
    return kept


def look(folder: str | Path, kind: str | None = None) -> Cells:
    """The store in `folder`, for reading; nothing is made, and there may be nothing yet.

    Raises `ShapelibError` for a folder that holds something else, and for a store of another
    format or another kind: one table of the whole store is all that it has room for.
    """
    path = Path(folder).expanduser().resolve()
    note = path / "store.json"
    if not note.is_file():
        if path.exists() and not path.is_dir():
            raise ShapelibError(f"{str(folder)!r} is a file; a folder is needed for a store")
        others = [each for each in _contents(path) if not each.startswith(".")]
        # Another run may have made the store since the first look.
        if others and not note.is_file():
            raise ShapelibError(
                f"{str(folder)!r} holds files but no store.json, so it is not a store; give a new "
                "folder or one that a sweep has written"
            )
        if not note.is_file():
            return Cells(path)
    told = _told(note, folder)
    there = {told["kind"]} if "kind" in told else _kinds(path)
    if kind and there and kind not in there:
        makers = " and ".join(KINDS.get(each, each) for each in sorted(there))
        raise ShapelibError(
            f"{str(folder)!r} is a store of {makers}, and {KINDS[kind]} would write its own table "
            "over the one there; give another folder"
        )
    return Cells(path)


def _told(note: Path, folder: str | Path) -> dict[str, Any]:
    """What a store says of itself, if it is of this format."""
    try:
        told: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        found = told["format"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ShapelibError(
            f"{note} cannot be read, so nobody knows how this store was written; give a new folder"
        ) from error
    if found != FORMAT:
        raise ShapelibError(
            f"{str(folder)!r} is a store of format {found}, and this version of shapelib writes "
            f"format {FORMAT}: use the version that wrote it, or give a new folder"
        )
    return told


def _kinds(path: Path) -> set[str]:
    """The kinds of the cells in a store that does not say its own; damaged ones tell nothing."""
    import pyarrow
    import pyarrow.parquet

    found = set()
    for file in (path / "table.parquet", *path.glob("cells/*.parquet")):
        try:
            columns = pyarrow.parquet.read_schema(file).names
        except (pyarrow.ArrowException, OSError):
            continue
        found |= {kind for column, kind in _TOLD_BY.items() if column in columns}
    return found


def _contents(path: Path) -> list[str]:
    return [each.name for each in path.iterdir()] if path.is_dir() else []


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        _note(path / "store.json", {"format": FORMAT})
    except OSError as error:
        raise ShapelibError(f"the store {path} cannot be made: {error.strerror}") from error


def _note(note: Path, told: dict[str, Any]) -> None:
    text = json.dumps(told) + "\n"
    tables.write_atomically(note, lambda file: file.write_text(text))


def _digest(table: pd.DataFrame) -> str:
    """A sha256 over every value and all of the provenance."""
    runs = json.dumps(table.attrs["provenance"], sort_keys=True)
    text = table.to_csv(index=False)
    return hashlib.sha256(f"{runs}\n{text}".encode()).hexdigest()
