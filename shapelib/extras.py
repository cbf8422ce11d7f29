"""What an installation with extras asks for, and what of it is not there."""

import re
from importlib import metadata

from shapelib.errors import ShapelibError

PROJECT = "shapelib"
_NEED = re.compile(r"(?P<name>[\w.-]+)[^;]*(;.*extra == ['\"](?P<extra>[\w-]+)['\"])?")


def missing(*extras: str) -> list[str]:
    """The distributions that these extras ask for and that are not installed, by name.

    Read from what the installation says of itself; nothing where this package is not installed but
    only imported from a folder, which says nothing.
    """
    try:
        needs = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return []
    found = [_NEED.match(each) for each in needs]
    named = sorted({each["name"] for each in found if each and each["extra"] in extras})
    return [name for name in named if not _is_there(name)]


def require(what: str, *extras: str) -> None:
    """Raise `ShapelibError` where anything is missing of what `what` (a phrase) needs: all that is
    missing at once, before anything has run."""
    if lacking := missing(*extras):
        wanted = ",".join(extras)
        raise ShapelibError(
            f'{what} needs {", ".join(lacking)}; run: pip install "{PROJECT}[{wanted}]", or in a '
            f'checkout: pip install ".[{wanted}]"'
        )


def _is_there(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
