"""The directive ``claim-table``: every claim with its verdict, from the executed pages' records.

``executed/claims.json`` holds what the runs recorded. A claim of ``claims.yml`` that has no record
is an error, so the first page cannot pass over one.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from shapelib import claims, glance
from shapelib.errors import ShapelibError

RECORDS = "executed/claims.json"
# So many models' numbers stand in the open.
FEW = 2
COLUMNS = {"claim": 40, "measured": 19, "verdict": 17, "models and effect": 24}


class ClaimTable(SphinxDirective):
    """A summary in one sentence, then a table for each paper."""

    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / RECORDS
        self.env.note_dependency(str(file))
        self.env.note_dependency(claims.__file__)
        try:
            records = json.loads(file.read_text(encoding="utf-8"))
            glance.check(records)
        except (OSError, ValueError, ShapelibError) as error:
            raise self.error(f"claim-table: {error}") from error
        summary = f"{len(records)} verdicts. {glance.summary(records).capitalize()}."
        found: list[nodes.Node] = [nodes.paragraph("", summary, classes=["claims-summary"])]
        for paper, of_paper in glance.papers(records).items():
            found.append(self._table(paper, of_paper))
        return found

    def _table(self, paper: str, records: list[claims.Record]) -> nodes.table:
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph("", name)) for name in COLUMNS]
        body = nodes.tbody("", *(self._row(each) for each in records))
        group += [nodes.thead("", head), body]
        return nodes.table("", nodes.title("", paper), group, classes=["claims"])

    def _row(self, record: claims.Record) -> nodes.row:
        rule = f"{record['states']} {record['margin']}{claims.proviso(record)}".rstrip(".")
        cells = [
            [
                _paragraph(nodes.strong("", claims.label(record)), f" {record['claim']}"),
                _folded("rule", [_paragraph(f"{rule[0].upper()}{rule[1:]}.")]),
            ],
            [nodes.raw("", glance.strip(record) or "–", format="html")],
            [nodes.paragraph("", "", self._link(record), classes=["verdict"])],
            _effects(record),
        ]
        row = nodes.row(classes=[record["verdict"].replace(" ", "-")])
        row += [nodes.entry("", *cell) for cell in cells]
        return row

    def _link(self, record: claims.Record) -> nodes.Node:
        """The verdict, as a link to the page that it was reached on."""
        return addnodes.pending_xref(
            "", nodes.inline("", record["verdict"]),
            refdomain="std", reftype="doc", refexplicit=True, refwarn=True,
            reftarget=f"/executed/{record['page']}", refdoc=self.env.docname,
        )  # fmt: skip


def _paragraph(*parts: nodes.Node | str) -> nodes.paragraph:
    made = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *made)


def _effects(record: claims.Record) -> list[nodes.Node]:
    """Each model's number with its interval; of many, how many meet the rule, and a list."""
    models = record["models"]
    lines = [
        _paragraph(nodes.literal("", each["model"]), f" {claims.sentence(each)}") for each in models
    ]
    if len(models) <= FEW:
        return lines or [_paragraph("no model at hand")]
    met = sum(each["met"] for each in models)
    return [_paragraph(f"{met} of {len(models)} meet the rule"), _folded("each", lines)]


def _folded(summary: str, content: list[nodes.Node]) -> nodes.container:
    """Content one click away."""
    return nodes.container(
        "", nodes.raw("", f"<details><summary>{summary}</summary>", format="html"),
        *content, nodes.raw("", "</details>", format="html"), classes=["folded"],
    )  # fmt: skip


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("claim-table", ClaimTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
