"""``shapelib corpus``: what a text holds, before and after cleaning."""

from typing import Annotated

import typer

from shapelib.cli.console import show


def corpus(
    name: Annotated[
        str, typer.Argument(help="enwiki-sample, enwik8, news, or a dump or text.")
    ] = "enwiki-sample",
) -> None:
    """Clean a text and say what was counted before and after."""
    from rich.table import Table

    from shapelib.text.corpus import load_corpus

    loaded = load_corpus(name)
    shown = Table(loaded.name)
    shown.add_column(overflow="fold")
    for label, value in loaded.report.as_dict().items():
        if isinstance(value, dict):
            value = ", ".join(f"{markup} {count}" for markup, count in value.items())
        shown.add_row(label.replace("_", " "), str(value))
    shown.add_row("sha256 of the cleaned text", loaded.sha256)
    show(shown)
