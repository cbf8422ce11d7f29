"""The second book, *as printed*: the papers' figures with the papers' own models, a page each.

It is made of the notebooks that `shapebook papers` has run, once all are there. Their figures,
tables, verdicts, parameters and provenance stand; of the words of a page of this book, which were
written for other models, its question and its claims alone.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from shapebook.notebooks import notebook as notebooks
from shapebook.pages import rendering
from shapebook.papers.listed import Figure, made
from shapebook.papers.page import differences, page

TITLE = "The papers' figures, as printed"
# Of the book's extensions those that its notebooks need.
_EXTENSIONS = ("repository_buttons", "reference_list", "figure_data")
_SHARED = ("references.bib", "references.md", "_static")
_MISSING = re.compile(r"<th scope='row'>missing ([^<]+)</th>")


def render(root: Path, built: Path, figures: Mapping[str, Figure]) -> Path:
    """Render the book of all figures into ``html`` of `built`; gives its first page.

    Raises `ShapelibError` as `rendering.render` does.
    """
    source = assemble(root, built, figures)
    page = built / "html" / "intro.html"
    rendering.render(root, source, source / "_config.yml", page.parent)
    return page


def assemble(root: Path, built: Path, figures: Mapping[str, Figure]) -> Path:
    """Write the source of the book, ``source`` of `built`."""
    source = built / "source"
    shutil.rmtree(source, ignore_errors=True)
    executed = source / "executed"
    for folder in (executed / "figures", executed / "data"):
        folder.mkdir(parents=True)
    for name in _SHARED:
        kept = root / "book" / name
        (shutil.copytree if kept.is_dir() else shutil.copy)(kept, source / name)
    rows = []
    for name, file in made(figures, built).items():
        done = notebooks.read(file)
        rows.append(_row(figures[name], done))
        notebooks.write(page(figures[name], done), executed / file.name)
        rendering.draw(executed / file.name, executed)
    (source / "intro.md").write_text(_intro(rows), encoding="utf-8")
    files = ["references", *(f"executed/{name}" for name in made(figures, built))]
    chapters = [{"file": each} for each in [*files[1:], files[0]]]
    toc = {"format": "jb-book", "root": "intro", "chapters": chapters}
    (source / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    (source / "_config.yml").write_text(yaml.safe_dump(_config(root)), encoding="utf-8")
    return source


def _row(figure: Figure, done: notebooks.Notebook) -> str:
    """A figure's line on the first page: what it is, its models, its verdicts, what is missing."""
    judged = [f"{each['title']}: *{each['verdict']}*" for each in notebooks.records(done)]
    shown = "".join(
        output.get("data", {}).get("text/html", "")
        for cell in done.cells
        for output in cell.get("outputs", [])
    )
    missing = list(dict.fromkeys(_MISSING.findall(shown)))
    said = "; ".join([*judged, *(["**missing: " + ", ".join(missing) + "**"] if missing else [])])
    changed = " (with other parameters)" if differences(figure, done) else ""
    given = done.metadata.get(notebooks.RUN, {}).get("parameters", {})
    names = figure.with_parameters(
        {name: given[name] for name in ("models", "suites") if name in given}
    ).names
    cells = (
        f"[{figure.title}](executed/{figure.name}.ipynb)", f"{figure.prints}{changed}",
        ", ".join(f"`{each}`" for each in names), said or "no claim is judged here",
    )  # fmt: skip
    return f"| {' | '.join(each.replace('|', ' ') for each in cells)} |"


def _intro(rows: Sequence[str]) -> str:
    head = "| what | as printed in | models | verdicts |\n|---|---|---|---|\n"
    return (
        f"# {TITLE}\n\n"
        "Figures, tables and d90 of {cite:t}`razzhigaev2024shape` and "
        "{cite:t}`aghajanyan2021intrinsic`, with the models that the papers name, as "
        "`shapebook papers` has measured them. Each page ends with its parameters and with what "
        "was measured, when and with which files; where one differs from the figure as it is "
        "listed, it says so first.\n\n"
        f"{head}" + "\n".join(rows) + "\n"
    )


def _config(root: Path) -> dict[str, Any]:
    """The book's own settings, with another title and without what its other pages need."""
    config: dict[str, Any] = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["title"] = TITLE
    sphinx = config["sphinx"]
    local = sphinx["local_extensions"]
    dropped = set(local) - set(_EXTENSIONS)
    kept = {name: str((root / folder).resolve()) for name, folder in local.items()}
    sphinx["local_extensions"] = {name: kept[name] for name in _EXTENSIONS}
    names = sphinx["config"]["extensions"]
    sphinx["config"]["extensions"] = [each for each in names if each not in dropped]
    return config
