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


def open_store(folder: str | Path, kind: str) -> Cells:
    """The store in `folder`, made where there is none; its cells are of one of `KINDS`.

    Raises `ShapelibError` as `look` does, and for a folder that cannot be written.
    """
    kept = look(folder, kind)
    note = kept.folder / "store.json"
    if not note.is_file():
        _make(kept.folder, kind)
    # Another run may have made it first.
    _check(note, folder, kind)
    try:
        for name in ("cells", "locks"):
            (kept.folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise ShapelibError(f"{str(folder)!r} cannot be written: {error.strerror}") from error
    return kept


def look(folder: str | Path, kind: str) -> Cells:
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
    _check(note, folder, kind)
    return Cells(path)


def _check(note: Path, folder: str | Path, kind: str) -> None:
    """Raise `ShapelibError` where a store says that it is of another format or kind."""
    try:
        told: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        found, there = told["format"], told["kind"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ShapelibError(
            f"{note} cannot be read, so nobody knows how this store was written; give a new folder"
        ) from error
    if found != FORMAT:
        raise ShapelibError(
            f"{str(folder)!r} is a store of format {found}, and this version of shapelib writes "
            f"format {FORMAT}: use the version that wrote it, or give a new folder"
        )
    if there != kind:
        raise ShapelibError(
            f"{str(folder)!r} is a store of {KINDS.get(there, there)}, and {KINDS[kind]} would "
            "write its own table over the one there; give another folder"
        )


def _contents(path: Path) -> list[str]:
    return [each.name for each in path.iterdir()] if path.is_dir() else []


def _make(path: Path, kind: str) -> None:
    text = json.dumps({"format": FORMAT, "kind": kind}) + "\n"
    try:
        path.mkdir(parents=True, exist_ok=True)
        tables.write_atomically(path / "store.json", lambda file: file.write_text(text))
    except OSError as error:
        raise ShapelibError(f"the store {path} cannot be made: {error.strerror}") from error


def _digest(table: pd.DataFrame) -> str:
    """A sha256 over every value and all of the provenance."""
    runs = json.dumps(table.attrs["provenance"], sort_keys=True)
    text = table.to_csv(index=False)
    return hashlib.sha256(f"{runs}\n{text}".encode()).hexdigest()
