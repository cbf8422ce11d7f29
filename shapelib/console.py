"""What the commands share: reading their options, and tables for the terminal."""

from typing import Any, TypeVar

from shapelib.errors import ShapelibError

N = TypeVar("N", int, float)


def assignment(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ShapelibError(f"-p {text!r} is not name=value")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ShapelibError(f"the value of -p {text!r} is not YAML: {error}") from error


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
