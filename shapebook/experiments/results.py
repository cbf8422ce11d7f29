"""Tables kept as data: runs that are too long for a page."""

from pathlib import Path

from shapelib.errors import ShapelibError


def results(folder: str | Path) -> Path:
    """A folder of tables kept as data, looked for here, in the folders above, and in the checkout
    that this package runs from.

    So a notebook finds ``results/training`` from wherever it is run. Raises `ShapelibError` where
    there is none.
    """
    folder = Path(folder)
    here, package = Path.cwd(), Path(__file__).resolve().parent
    for above in (here, *here.parents, *package.parents):
        if (above / folder).is_dir():
            return above / folder
    raise ShapelibError(
        f"no folder {str(folder)!r} here or above, nor in a checkout that shapebook is installed "
        "from; the tables of a checkout's results/ are made by the commands in results/README.md"
    )
