"""What the commands share: how they start and end, their options read, tables for the terminal."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shapelib.errors import FULL, NamesArguments, ShapelibError, advice, said

N = TypeVar("N", int, float)


def started(name: str, app: Callable[[], object], left: Mapping[str, str]) -> None:
    """Run a program: wrong input prints its message and exits with 2, Ctrl-C with 130.

    `left`: what Ctrl-C leaves of the work of each of its commands.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("shapelib").setLevel(logging.INFO)
    try:
        app()
    except ShapelibError as error:
        message = error.command if isinstance(error, NamesArguments) else str(error)
        print(f"{name}: {message}{advice(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(f"{name}: {said(error)}; with room, the same command goes on", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:
        # typer turns Ctrl-C into a silent exit.
        if stop.code == 130:
            told = [left[word] for word in sys.argv[1:2] if word in left]
            print("; ".join([f"{name}: interrupted", *told]), file=sys.stderr)
        raise


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
