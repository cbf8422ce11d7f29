"""The directives ``kept-rows`` and ``kept-figure``: a table beside a page, and what is drawn of it.

The table is a file that `shapelib.write_table` wrote. Its first rows and its figures are made anew
whenever the page is rendered, so they cannot differ from it.
"""

import base64
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from shapebook import show
from shapelib import figures, read_table


class KeptRows(SphinxDirective):
    """The first rows of a table, in some of its columns; numbers to three digits."""

    required_arguments = 1
    option_spec: ClassVar = {
        "rows": directives.positive_int,
        "columns": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        columns = self.options["columns"].split()
        rows = _table(self).head(self.options["rows"])[columns]
        group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in columns), cols=len(columns))
        head = nodes.row("", *map(_cell, columns))
        body = [nodes.row("", *map(_cell, row)) for row in rows.itertuples(index=False)]
        group += [nodes.thead("", head), nodes.tbody("", *body)]
        return [nodes.table("", group)]


class KeptFigure(SphinxDirective):
    """A figure of `shapelib.figures` drawn from a table; `alt` says what it shows."""

    required_arguments = 2
    option_spec: ClassVar = {
        "alt": directives.unchanged_required,
        "name": directives.unchanged_required,
    }
    has_content = True

    def run(self) -> list[nodes.Node]:
        draw = getattr(figures, self.arguments[1])
        drawn = show(draw(_table(self))).data
        address = base64.b64encode(drawn.encode()).decode()
        figure = nodes.figure("", nodes.image(
            uri=f"data:image/svg+xml;base64,{address}", alt=self.options["alt"]
        ))  # fmt: skip
        caption, _ = self.state.inline_text(" ".join(self.content), self.lineno)
        figure += nodes.caption("", "", *caption)
        figure += nodes.legend("", self._link(), classes=["figure-data"])
        self.add_name(figure)
        return [figure]

    def _link(self) -> nodes.paragraph:
        """The whole table, as below the other figures; it also lets the keyboard into the figure,
        which scrolls where the screen is narrow."""
        link = addnodes.download_reference(
            "", "", reftarget=f"/{self.arguments[0]}", refdoc=self.env.docname
        )
        link += nodes.inline("", "The whole table (CSV)")
        return nodes.paragraph("", "", link)


def _table(directive: SphinxDirective) -> pd.DataFrame:
    file = Path(directive.env.srcdir) / directive.arguments[0]
    directive.env.note_dependency(str(file))
    return read_table(file)


def _cell(value: object) -> nodes.entry:
    shown = "" if pd.isna(value) else f"{value:.3g}" if isinstance(value, float) else str(value)
    return nodes.entry("", nodes.paragraph("", shown))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("kept-rows", KeptRows)
    app.add_directive("kept-figure", KeptFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
