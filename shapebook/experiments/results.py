"""Tables kept as data: runs that are too long for a page."""

from pathlib import Path

from shapelib.errors import ShapelibError


def results(folder: str | Path) -> Path:
    """A folder of tables kept as data, looked for here and in the folders above.

    So a notebook finds ``results/training`` from wherever in the checkout it is run. Raises
    `ShapelibError` where there is none.
    """
    folder = Path(folder)
    for above in (Path.cwd(), *Path.cwd().parents):
        if (above / folder).is_dir():
            return above / folder
    raise ShapelibError(
        f"no folder {str(folder)!r} here or above; the tables of a checkout's results/ are made "
        "by the commands in results/README.md"
    )
