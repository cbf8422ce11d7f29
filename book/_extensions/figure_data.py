"""The data of each figure, one click below it with the commit that it was measured at, and the
table of a page beside its provenance; and a box around each picture, which scrolls by itself where
a screen is too narrow for it.

A figure named ``fig-PAGE-NAME`` shows ``executed/figures/PAGE-NAME.csv``, and a page's table is
``executed/data/PAGE.csv``; both were written by the run that the page shows. Where they are there,
the page gets links to them.
"""

import functools
import re
from html import unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from shapebook.notebooks import notebook as notebooks

_COMMIT = re.compile(r"<th scope='row'>commit</th><td>(.*?)</td>")
# So many commits stand in the open.
FEW = 3
FIGURES = "executed/figures"
TABLES = "executed/data"


class LinkData(SphinxTransform):
    """Put links to the data below figures, and to a page's table below its provenance."""

    # Before downloads are collected, after captions are parsed.
    default_priority = 600

    def apply(self, **kwargs: Any) -> None:
        for figure in list(self.document.findall(nodes.figure)):
            self._box(figure)
            for name in figure["names"]:
                figure_name = name.removeprefix("fig-")
                file = f"{FIGURES}/{figure_name}.csv"
                if link := self._link(file, "Data of this figure (CSV)"):
                    link += nodes.inline("", self._drawn_from(figure_name), classes=["drawn-from"])
                    figure.append(nodes.legend("", link, classes=["figure-data"]))
        page = self.env.docname.removeprefix("executed/")
        if link := self._link(f"{TABLES}/{page}.csv", "All numbers of this page (CSV)"):
            for section in self.document.findall(nodes.section):
                if "provenance" in section["names"]:
                    section.append(link)

    def _drawn_from(self, name: str) -> str:
        """The table's name, and the commits at which the page that drew it was measured."""
        executed = Path(self.env.srcdir) / Path(FIGURES).parent
        pages = [each for each in executed.glob("*.ipynb") if name.startswith(each.stem)]
        if not pages:
            return f": {name}.csv"
        page = max(pages, key=lambda each: len(each.stem))
        found = _commits(page)
        if len(found) > FEW:
            return f": {name}.csv, measured at {len(found)} commits (see Provenance)"
        return f": {name}.csv, measured at commit {', '.join(found)}" if found else f": {name}.csv"

    def _box(self, figure: nodes.figure) -> None:
        """Put what is shown into a box of its own, so that the caption does not scroll with it."""
        shown = [each for each in figure if not isinstance(each, nodes.caption | nodes.legend)]
        for each in shown:
            figure.remove(each)
        figure.insert(0, nodes.container("", *shown, classes=["figure-box"]))

    def _link(self, file: str, text: str) -> nodes.paragraph | None:
        """A paragraph with a link to a file of the book's source, None where it is not there."""
        if not (Path(self.env.srcdir) / file).is_file():
            return None
        link = addnodes.download_reference("", "", reftarget=f"/{file}", refdoc=self.env.docname)
        link += nodes.inline("", text)
        return nodes.paragraph("", "", link)


@functools.cache
def _commits(page: Path) -> list[str]:
    """The commits that a page's provenance names, in its order."""
    shown = (
        each.get("data", {}).get("text/html", "")
        for cell in notebooks.read(page).cells
        for each in cell.get("outputs", [])
    )
    rows = (_COMMIT.search(each) for each in shown)
    names = [name for row in rows if row for name in unescape(row[1]).split(", ")]
    return [name for name in dict.fromkeys(names) if name != "not kept"]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinkData)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
