"""A figure's run as a page of its own: what is true of it, under names that no other page has."""

import copy
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from shapebook.notebooks import html, shown
from shapebook.notebooks import notebook as notebooks
from shapebook.papers.listed import Figure

# What is true of any run of a page.
_KEPT = re.compile(r"^(\([\w-]+\)=|#{1,6} .*|\*\*(?:The papers? says?|Question|Claims?)\.\*\* .*)$")
_TARGET = re.compile(r"^\(([\w-]+)\)=$", re.M)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://)#?([^)\s]+)\)")
_ROLE = re.compile(r"\{(numref|ref|doc)\}`(?:([^`<]*?)\s*<([^`>]+)>|([^`<]+))`")


def page(figure: Figure, done: notebooks.Notebook) -> notebooks.Notebook:
    """A run's notebook as a page of this book: its labels are its own, and what would lead to
    another page leads nowhere."""
    kept = copy.deepcopy(done)
    own = figure.notebook.parent.name == "papers"
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            plain = re.sub(r"<!--.*?-->", "", cell.source, flags=re.S)
            cell.source = plain if own else _of_any_run(plain)
    kept.cells = [each for each in _with_something(kept.cells, figure.without) if each.source]
    labels = _Labels(figure.name, kept.cells)
    first = True
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            cell.source = labels.renamed(cell.source)
            if first:
                body = re.sub(r"\A# .*\n?", "", cell.source).strip()
                cell.source = f"# {figure.title}\n\n{_said(figure, done)}\n\n{body}".strip()
                first = False
        else:
            labels.rename_figure(cell)
            _without_places(cell, done)
    return kept


def differences(figure: Figure, done: notebooks.Notebook) -> list[str]:
    """In what a run differs from the figure as it is listed: ``tokens=256 in place of 16384``."""
    given: dict[str, Any] = done.metadata.get(notebooks.RUN, {}).get("parameters", {})
    return [
        f"`{name}={Path(value).name if isinstance(value, str) else value}` in place of `{listed}`"
        for name, listed in (figure.listed or figure.parameters).items()
        if (value := given.get(name, listed)) != listed
    ]


class _Labels:
    """What can be referred to on a page, under names that no other page has."""

    def __init__(self, name: str, cells: Sequence[Any]) -> None:
        prose = "\n".join(each.source for each in cells if each.cell_type == "markdown")
        figures = (_figure(each).get("name") for each in cells)
        self.own = {each: f"{name}-{each}" for each in _TARGET.findall(prose)}
        self.own |= {
            each: f"fig-{name}-{each.removeprefix('fig-')}" for each in filter(None, figures)
        }

    def renamed(self, text: str) -> str:
        text = _TARGET.sub(lambda found: f"({self.own[found[1]]})=", text)
        text = _LINK.sub(
            lambda found: f"[{found[1]}]({self.own[found[2]]})" if found[2] in self.own
            else found[1],
            text,
        )  # fmt: skip
        return _ROLE.sub(self._role, text)

    def _role(self, found: re.Match[str]) -> str:
        role, words, target, bare = found.groups()
        target = target or bare
        if target not in self.own:
            return words or target
        named = self.own[target]
        return f"{{{role}}}`{words} <{named}>`" if words else f"{{{role}}}`{named}`"

    def rename_figure(self, cell: Any) -> None:
        figure = _figure(cell)
        if name := figure.get("name"):
            figure["name"] = self.own[name]
            figure["caption"] = self.renamed(figure.get("caption", ""))


def _of_any_run(source: str) -> str:
    """Headings, labels, the question and the claims."""
    return "\n\n".join(
        line for line in source.splitlines() if _KEPT.match(line)
    ).replace(")=\n\n#", ")=\n#")  # fmt: skip


def _with_something(cells: Sequence[Any], without: Collection[str]) -> Iterator[Any]:
    """The cells without those sections that show nothing, or are not to be shown, and without those
    that tell of tables kept as data alone."""
    sections: list[list[Any]] = [[]]
    named = [""]
    for cell in cells:
        head = cell.cell_type == "markdown" and re.search(r"^##+ (.*)$", cell.source, re.M)
        if head:
            sections.append([])
            named.append(head[1].strip())
        sections[-1].append(cell)
    for name, section in zip(named, sections, strict=True):
        kept = [each for each in section if not _is_kept(each)]
        code = [each for each in kept if each.cell_type == "code"]
        if not name or (name not in without and any(each.outputs for each in code)):
            yield from kept


def _is_kept(cell: Any) -> bool:
    """Whether a cell tells of nothing but tables kept as data."""
    outputs = cell.get("outputs", [])
    return bool(outputs) and all(
        shown.BORROWED in each.get("metadata", {}) and shown.MEASURED not in each["metadata"]
        for each in outputs
    )


def _without_places(cell: Any, done: notebooks.Notebook) -> None:
    given = done.metadata.get(notebooks.RUN, {}).get("parameters", {})
    cell.source = html.without_places(cell.source, given)
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        for kind in ("text/html", "text/plain"):
            if kind in data:
                data[kind] = html.without_places(data[kind], given)


def _figure(cell: Any) -> dict[str, Any]:
    found: dict[str, Any] = cell.metadata.get("mystnb", {}).get("figure", {})
    return found


def _said(figure: Figure, done: notebooks.Notebook) -> str:
    """What a page is, below its title."""
    said = f"*{figure.prints}*, made anew: `shapebook papers {figure.name}`"
    if other := differences(figure, done):
        return f"{said}, with {'; '.join(other)}."
    return f"{said}."
