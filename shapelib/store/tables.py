"""Tables on disk: tidy Parquet (or CSV) with their provenance, written whole or not at all."""

import functools
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pandas as pd

from shapelib.errors import FULL, ShapelibError, foreign, said
from shapelib.store import cache

SUFFIXES = (".parquet", ".csv")
_KEPT_TABLES = ":(exclude)results/*/*"
_KEY, _SUM = b"shapelib", b"shapelib.sha256"
_VERSIONS = ("shapelib", "torch", "transformers", "tokenizers", "numpy", "scipy", "pandas")

Provenance = dict[str, Any]


def provenance(**facts: object) -> Provenance:
    """What a run must say about itself: `facts`, versions, commit, machine and time."""
    return {
        **facts,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def combine(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the provenance of each run kept in order.

    :param tables: of one kind, such as two of `profile`.
    :returns: their rows, one table after the other.
    :raises ShapelibError: for an empty list.
    """
    if not tables:
        raise ShapelibError("no table to combine: at least one model must be measured")
    runs = [run for table in tables for run in table.attrs.get("provenance", [])]
    # pandas compares attrs on concat, and drops those that differ.
    bare = [table.copy() for table in tables]
    for each in bare:
        each.attrs = {}
    joined = pd.concat(bare, ignore_index=True)
    joined.attrs["provenance"] = runs
    return joined


def check_output(path: str | Path) -> Path:
    """`path` if a table can be written there; asked before a long run, not after it.

    Raises `ShapelibError` for another suffix than .parquet or .csv, and as `check_file` does.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ShapelibError(f"{str(path)!r} must end in one of: {', '.join(SUFFIXES)}")
    if path.suffix == ".csv":
        check_file(_beside(path))
    return check_file(path)


def check_file(path: str | Path) -> Path:
    """`path` if a file can be written there.

    Raises `ShapelibError` for a folder in its place, and for a folder around it that is missing or
    cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ShapelibError(f"{str(path)!r} is a folder; give a file's name")
    if not path.parent.is_dir():
        raise ShapelibError(f"the folder {str(path.parent)!r} does not exist; make it first")
    # Tried, not asked for: permissions say nothing of /proc or of a read-only mount.
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ShapelibError(
            f"the folder {str(path.parent)!r} cannot be written: {error.strerror}"
        ) from error
    os.close(handle)
    Path(name).unlink()
    return path


def write_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write `table` as Parquet, or as CSV with its provenance in ``NAME.provenance.json`` beside.

    The file is written beside its place and renamed: an interrupted run leaves the old one whole.

    :param table: any table of this library; its runs are in ``table.attrs["provenance"]``.
    :param path: the file, .parquet or .csv.
    :returns: the path.
    :raises ShapelibError: for another suffix, and for a folder that is missing or cannot be
        written.

    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from shapelib import read_table, write_table
    >>> table = pd.DataFrame({"layer": [0, 1], "value": [0.1, 0.4]})
    >>> table.attrs["provenance"] = [{"model": "mine"}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_table(write_table(table, pathlib.Path(folder, "mine.parquet")))
    >>> again.equals(table), again.attrs["provenance"]
    (True, [{'model': 'mine'}])
    """
    path = check_output(path)
    runs = table.attrs.get("provenance", [])
    if path.suffix == ".csv":
        write_atomically(path, lambda file: table.to_csv(file, index=False))
        write_atomically(_beside(path), lambda file: file.write_text(json.dumps(runs, indent=1)))
    else:
        write_atomically(path, lambda file: _write_parquet(table, runs, file))
    return path


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote; its runs are in ``table.attrs["provenance"]``.

    :param path: the file, .parquet or .csv.
    :returns: the table, as it was written.
    :raises ShapelibError: where there is no such file, it is no table, or a Parquet file holds
        something else than was written: it keeps a hash of its content.

    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from shapelib import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.csv")
    ...     pd.DataFrame({"layer": [0, 1], "value": [0.1, 0.4]}).to_csv(file, index=False)
    ...     table = read_table(file)
    >>> table["value"].tolist(), table.attrs["provenance"]  # nobody has written down a run
    ([0.1, 0.4], [])
    """
    path = Path(path)
    if not path.is_file():
        raise ShapelibError(f"no such table: {str(path)!r}")
    # Arrow and pandas answer a damaged file in many ways.
    with foreign(f"{str(path)!r} is not a table"):
        if path.suffix == ".csv":
            table = pd.read_csv(path)
            table.attrs["provenance"] = []
        else:
            table = _read_parquet(path)
    beside = _beside(path)
    if path.suffix == ".csv" and beside.is_file():
        with foreign(f"{str(beside)!r} is not the provenance of a table"):
            table.attrs["provenance"] = _runs(beside.read_bytes())
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    arrow = pyarrow.parquet.read_table(path)
    told = arrow.schema.metadata or {}
    # A changed byte can also make a reader pass over all that a file says of itself.
    if told[_SUM] != _sum(arrow) if _SUM in told else _SUM in _footer(path):
        raise ShapelibError(f"{str(path)!r} is damaged: it does not hold what was written")
    table = cast(pd.DataFrame, arrow.to_pandas())
    table.attrs["provenance"] = _runs(told.get(_KEY, b"[]"))
    return table


def _footer(path: Path) -> bytes:
    """What stands last in a Parquet file: its schema, and what it says of itself."""
    raw = path.read_bytes()
    return raw[-8 - int.from_bytes(raw[-8:-4], "little") : -8]


def _runs(kept: bytes) -> list[Provenance]:
    runs = json.loads(kept)
    if not isinstance(runs, list):
        raise ValueError(f"a list of runs is needed, not {type(runs).__name__}")
    return runs


def _sum(arrow: Any) -> bytes:
    """A sha256 over every value of an Arrow table, their names and types, and what it says of
    itself."""
    told = {name: value for name, value in (arrow.schema.metadata or {}).items() if name != _SUM}
    digest = hashlib.sha256(repr(sorted(told.items())).encode())
    for field, column in zip(arrow.schema, arrow.columns, strict=True):
        content = [field.name, str(field.type), column.to_pylist()]
        digest.update(json.dumps(content, default=str).encode())
    return digest.hexdigest().encode()


def cached(key: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table of this key from the user's cache, or computed and kept there."""
    folder = cache.entry("tables", key, lambda tmp: _keep(compute(), tmp))
    return read_table(folder / "table.parquet")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`.

    Raises `ShapelibError` where the disk has no room for it.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        temporary = Path(name)
        os.close(handle)
        write(temporary)
        # mkstemp makes the file private; a table is as readable as any new file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ShapelibError(f"{str(path)!r} cannot be written: {said(error)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _beside(csv: Path) -> Path:
    """The file that holds the provenance of a CSV file."""
    return csv.with_suffix(".provenance.json")


def _keep(table: pd.DataFrame, folder: Path) -> None:
    write_table(table, folder / "table.parquet")


def _write_parquet(table: pd.DataFrame, runs: list[Provenance], file: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    bare = table.copy()
    bare.attrs = {}
    arrow = pyarrow.Table.from_pandas(bare, preserve_index=False)
    told = {**(arrow.schema.metadata or {}), _KEY: json.dumps(runs).encode()}
    arrow = arrow.replace_schema_metadata(told)
    arrow = arrow.replace_schema_metadata({**told, _SUM: _sum(arrow)})
    pyarrow.parquet.write_table(arrow, file)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@functools.cache
def _versions() -> dict[str, str]:
    return versions_of(_VERSIONS)


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _commit() -> str | None:
    """The commit of the checkout this package runs from, or None for an installed package."""
    checkout = Path(__file__).resolve().parents[2]
    return commit_of(checkout) if (checkout / ".git").exists() else None


def commit_of(checkout: Path, *kept: str) -> str | None:
    """Its commit, ``-dirty`` where a tracked file of what measures has changes, or None.

    The kept tables, which are all that lies in folders of ``results/``, are what is measured, and
    so is what lies in the folders of `kept`: a command that writes several of them stays on the
    commit it began with.
    """
    head = _git(checkout, "describe", "--always", "--abbrev=12")
    excluded = (_KEPT_TABLES, *(f":(exclude){each}" for each in kept))
    asked = ("status", "--porcelain", "--untracked-files=no", "--", ".", *excluded)
    if not head:
        return None
    # Where git cannot say whether there are changes, nobody can say that there are none.
    return head if _git(checkout, *asked) == "" else f"{head}-dirty"


def _git(checkout: Path, *asked: str) -> str | None:
    """What git says, or None where it fails."""
    run = subprocess.run(
        ["git", "-C", str(checkout), *asked], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() if run.returncode == 0 else None


def chosen(rows: pd.DataFrame, wanted: dict[str, Any]) -> pd.DataFrame:
    """The rows whose columns have these values."""
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows
