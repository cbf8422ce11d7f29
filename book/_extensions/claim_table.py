"""The directive ``claim-table``: every claim with its verdict, from the executed pages' records;
and on each page that reaches verdicts, what they are, before anything else is shown.

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

from shapebook.claims import judge
from shapebook.pages import glance
from shapelib.errors import ShapelibError

RECORDS = "executed/claims.json"
# How a page's section of verdicts, and its paragraph of claims, begin.
JUDGED, CLAIMED = "Verdict", "Claim"
# So many models' numbers stand in the open.
FEW = 2
COLUMNS = {"claim": 33, "measured": 18, "verdict": 18, "models and effect": 31}


class ClaimTable(SphinxDirective):
    """The verdicts in a list, with links; then a table for each paper."""

    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / RECORDS
        self.env.note_dependency(str(file))
        self.env.note_dependency(judge.__file__)
        try:
            records = json.loads(file.read_text(encoding="utf-8"))
            glance.check(records)
        except (OSError, ValueError, ShapelibError) as error:
            raise self.error(f"claim-table: {error}") from error
        claimed = [each for each in records if not each["asked"]]
        asked = [each for each in records if each["asked"]]
        return [
            *self._answers(f"The papers' {len(claimed)} claims", claimed),
            *self._answers(f"{len(asked)} questions of this book", asked),
            *(self._table(*each) for each in glance.papers(records).items()),
        ]

    def _answers(self, what: str, records: list[judge.Record]) -> list[nodes.Node]:
        """What holds and what does not, in a few lines."""
        made = nodes.bullet_list(classes=["answers"])
        for word, found in glance.by_verdict(records).items():
            found.sort(key=lambda each: each["number"])
            line = _paragraph(nodes.strong("", f"{word.capitalize()}: "), "" if found else "none")
            for each in found:
                line += [self._link(each, each["title"]), nodes.Text(f" ({each['number']})")]
                line += nodes.Text("; " if each is not found[-1] else "")
            made += nodes.list_item("", line)
        return [_paragraph(f"{what}:"), made]

    def _table(self, paper: str, records: list[judge.Record]) -> nodes.table:
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph("", name)) for name in COLUMNS]
        body = nodes.tbody("", *(self._row(each) for each in records))
        group += [nodes.thead("", head), body]
        return nodes.table("", nodes.title("", paper), group, classes=["claims", "colwidths-given"])

    def _row(self, record: judge.Record) -> nodes.row:
        strict = record["verdict_at_95"]
        rule = f"{record['states']} {record['margin']}{judge.proviso(record)}".rstrip(".")
        cells = [
            [
                _paragraph(nodes.strong("", judge.label(record)), f" {record['claim']}"),
                _folded("rule", [_paragraph(f"{rule[0].upper()}{rule[1:]}.")]),
            ],
            [nodes.raw("", glance.strip(record) or "–", format="html")],
            [
                _paragraph(nodes.strong("", "", self._link(record, record["verdict"]))),
                _paragraph(glance.reason(record)),
                *([_paragraph(f"(at 95 %: {strict})")] if strict != record["verdict"] else []),
            ],
            _effects(record),
        ]
        row = nodes.row(classes=[record["verdict"].replace(" ", "-")])
        row += [nodes.entry("", *cell) for cell in cells]
        return row

    def _link(self, record: judge.Record, text: str) -> nodes.Node:
        """A link to the page that reached the verdict."""
        return addnodes.pending_xref(
            "", nodes.inline("", text),
            refdomain="std", reftype="doc", refexplicit=True, refwarn=True,
            reftarget=f"/executed/{record['page']}", refdoc=self.env.docname,
        )  # fmt: skip


def _paragraph(*parts: nodes.Node | str) -> nodes.paragraph:
    made = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *made)


def _effects(record: judge.Record) -> list[nodes.Node]:
    """Each model's number with its interval; of many, how many meet the rule, and a list."""
    models = record["models"]
    lines = [
        _paragraph(nodes.literal("", each["model"]), f" {judge.sentence(each)}") for each in models
    ]
    if not models:
        return [_paragraph("no model at hand")]
    of = [_paragraph(f"{record['effect']}:")]
    return [*of, *lines] if len(models) <= FEW else [*of, _folded("each model", lines)]


def _folded(summary: str, content: list[nodes.Node]) -> nodes.container:
    """Content one click away."""
    return nodes.container(
        "", nodes.raw("", f"<details><summary>{summary}</summary>", format="html"),
        *content, nodes.raw("", "</details>", format="html"), classes=["folded"],
    )  # fmt: skip


def answer(app: Sphinx, tree: nodes.document) -> None:
    """Say what a page found right after what was claimed, with a link to where it is judged."""
    page = Path(app.env.docname)
    file = Path(app.srcdir) / RECORDS
    judged, claimed = _begins(tree, JUDGED), _begins(tree, CLAIMED)
    if page.parent.name != Path(RECORDS).parent.name or judged is None or claimed is None:
        return
    app.env.note_dependency(str(file))
    found = nodes.bullet_list(classes=["answers"])
    for each in json.loads(file.read_text(encoding="utf-8")):
        if each["page"] == page.name:
            place = judged["ids"][0]
            verdict = nodes.reference("", each["verdict"], internal=True, refid=place)
            why = f" ({reason})" if (reason := glance.reason(each)) else ""
            line = _paragraph(f"{judge.label(each)} {each['title']}: ", verdict, why)
            found += nodes.list_item("", line)
    short = _paragraph(nodes.strong("", "In short."))
    claimed.parent.insert(claimed.parent.index(claimed) + 1, [short, found])


def _begins(tree: nodes.document, word: str) -> nodes.Element | None:
    """The first part of a page (a paragraph, or a section by its title) that begins so."""
    for each in tree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.section)):
        first = each[0] if isinstance(each, nodes.section) else each
        if first.astext().startswith(word):
            return each
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("claim-table", ClaimTable)
    app.connect("doctree-read", answer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
