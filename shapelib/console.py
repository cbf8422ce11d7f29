"""What the commands share: reading their options, and tables for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from shapelib import given
from shapelib.errors import ShapelibError, nearest

N = TypeVar("N", int, float)


def notebook_at(path: Path) -> Path:
    """`path`, if a notebook may be there; else an error that says which ones there are."""
    if path.exists():
        return path
    known = sorted(Path("notebooks").glob("*.ipynb"))
    meant = [each for each in known if each.stem == path.stem]
    if meant:
        raise ShapelibError(f"no such notebook: {str(path)!r}; did you mean {str(meant[0])!r}?")
    if known:
        names = nearest(path.stem, [each.stem for each in known])
        raise ShapelibError(f"no such notebook: {str(path)!r}; in notebooks/: {names}")
    raise ShapelibError(
        f"no such notebook: {str(path)!r}; the book's are in notebooks/ of a checkout, such as "
        "notebooks/profiles.ipynb"
    )


def assignments(texts: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters by name, from what several ``-p`` said."""
    found: dict[str, Any] = {}
    for text in texts:
        name, value = assignment(text, defaults)
        if name in found:
            raise ShapelibError(f"-p gives {name} twice: {found[name]!r} and {value!r}; give one")
        found[name] = value
    return found


def assignment(text: str, defaults: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and value of one ``-p``; the value is read by the type of the parameter's default."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ShapelibError(f"-p {text!r} is not name=value")
    return name, given.value(value, defaults.get(name))


# What the library says to those who call it from Python, in the words of the command line.
_SPELLED = {
    "by path= or by the environment variable": "by the environment variable",
    "give part=, 'encoder' or 'decoder'": "give --part encoder or --part decoder",
}


def spelled(message: str) -> str:
    """An error's message without the arguments that the command line does not have."""
    for python, command in _SPELLED.items():
        message = message.replace(python, command)
    return message


def numbers(text: str, option: str, kind: type[N] = int) -> list[N]:
    """The numbers of an option, which have commas between them."""
    try:
        return [kind(each) for each in text.split(",")]
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise ShapelibError(
            f"{option} {text!r}: {wanted} with commas between them are accepted"
        ) from error


def print_failures(failures: list[tuple[str, str]]) -> None:
    from rich.table import Table

    shown = Table("cell", "why", title=f"{len(failures)} failed; the same command tries them again")
    for cell, why in failures:
        shown.add_row(cell, why)
    show(shown)


def width() -> int:
    """Columns of the terminal; of what is no terminal, those that COLUMNS says, or 120."""
    import shutil

    return shutil.get_terminal_size((120, 40)).columns


def show(shown: Any) -> None:
    from rich.console import Console

    Console(width=width()).print(shown)
