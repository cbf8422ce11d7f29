"""The directives ``house`` and ``rooms``: the plan of the two packages, drawn, and as a table.

Both are read from the code whenever the page is rendered (see `shapebook.pages.rooms`).
"""

import base64
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from shapebook.pages import rooms

ROOT = Path(__file__).parents[2]
HEADS = ("room", "what for", "files", "lines")


class House(SphinxDirective):
    """The picture; `alt` says what it shows, the content is its caption."""

    option_spec: ClassVar = {
        "alt": directives.unchanged_required,
        "name": directives.unchanged_required,
    }
    has_content = True

    def run(self) -> list[nodes.Node]:
        address = base64.b64encode(rooms.picture(ROOT).encode()).decode()
        image = nodes.image(uri=f"data:image/svg+xml;base64,{address}", alt=self.options["alt"])
        figure = nodes.figure("", image)
        caption, _ = self.state.inline_text(" ".join(self.content), self.lineno)
        figure += nodes.caption("", "", *caption)
        self.add_name(figure)
        return [figure]


class Rooms(SphinxDirective):
    """Every room with what it is for and its size, from the top of the house down."""

    def run(self) -> list[nodes.Node]:
        group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (30, 50, 8, 8)), cols=4)
        body = [nodes.row("", *map(self._cell, row)) for row in rooms.rows(ROOT)]
        group += [nodes.thead("", nodes.row("", *map(self._cell, HEADS))), nodes.tbody("", *body)]
        return [nodes.table("", group)]

    def _cell(self, text: str) -> nodes.entry:
        words, _ = self.state.inline_text(text, self.lineno)
        return nodes.entry("", nodes.paragraph("", "", *words))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("house", House)
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
