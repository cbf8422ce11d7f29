"""The figures of executed pages as files, and the rows that each shows."""

from pathlib import Path

from shapebook.figures import shown as drawing
from shapebook.notebooks import notebook as notebooks
from shapebook.notebooks import shown


def draw(file: Path, executed: Path) -> notebooks.Notebook:
    """Write the figures of an executed page, their rows, and its table; gives its notebook.

    ``fig-PAGE-NAME`` goes to ``figures/PAGE-NAME.svg`` and ``.csv`` of `executed`, the table to
    ``data/PAGE.csv``.
    """
    notebook = notebooks.read(file)
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if table := output.get("metadata", {}).get(shown.TABLE):
                (executed / "data" / f"{file.stem}.csv").write_text(table, encoding="utf-8")
            if name and (svg := output.get("data", {}).get("image/svg+xml")):
                rows = output.metadata.get("image/svg+xml", {}).get(drawing.ROWS)
                write(executed / "figures" / name.removeprefix("fig-"), svg, rows)
    return notebook


def write(base: Path, svg: str, rows: str | None) -> None:
    """A figure and, where it has them, the rows that it shows."""
    base.with_suffix(".svg").write_text(svg, encoding="utf-8")
    if rows:
        base.with_suffix(".csv").write_text(rows, encoding="utf-8")
