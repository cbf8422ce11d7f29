"""The directive ``claim-table``: every claim with its verdict, from the executed pages' records, to
be sorted and filtered in the browser; and on each page that reaches verdicts, what they are, before
anything else is shown.

``executed/claims.json`` holds what the runs recorded. A claim of ``claims.yml`` that has no record
is an error, so the first page cannot pass over one.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from shapebook.claims import judge, records, rulebook
from shapebook.claims.verdicts import UNTESTABLE
from shapebook.pages import glance
from shapelib.errors import ShapelibError

RECORDS = "executed/claims.json"
# How a page's section of verdicts begins, and the last of the three lines that it opens with.
JUDGED, CLAIMED = "Verdict", "Can these models tell?"
# So many models' numbers stand in the open.
FEW = 2
COLUMNS = {"claim": 33, "measured": 18, "verdict": 18, "models and effect": 31}
SCRIPT = "claims.js"
# The orders that a reader can choose, the first as the table comes.
ORDERS = {"number": "number", "word": "verdict", "evidence": "evidence"}


class ClaimTable(SphinxDirective):
    """The verdicts in a list, with links; then all claims in one table, with its filters."""

    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / RECORDS
        self.env.note_dependency(str(file))
        self.env.note_dependency(str(rulebook.PATH))
        self.env.metadata[self.env.docname]["claims"] = "yes"
        try:
            recorded = json.loads(file.read_text(encoding="utf-8"))
            glance.check(recorded)
        except (OSError, ValueError, ShapelibError) as error:
            raise self.error(f"claim-table: {error}") from error
        claimed = [each for each in recorded if not each["asked"]]
        asked = [each for each in recorded if each["asked"]]
        return [
            *self._answers(f"The papers' {len(claimed)} claims", claimed),
            *self._answers(f"{len(asked)} questions of this book", asked),
            _paragraph(records.multiplicity(recorded)),
            nodes.raw("", _filters(recorded), format="html"),
            self._table(recorded),
        ]

    def _answers(self, what: str, recorded: list[records.Record]) -> list[nodes.Node]:
        """Which claims have which word, a line a word; the words that none has in one line."""
        made = nodes.bullet_list(classes=["answers"])
        by_word = glance.by_verdict(recorded)
        for word, found in by_word.items():
            if not found:
                continue
            found.sort(key=lambda each: each["number"])
            line = _paragraph(nodes.strong("", f"{word.capitalize()}: "))
            for each in found:
                line += [self._link(each, each["title"]), nodes.Text(f" ({each['number']})")]
                line += nodes.Text("; " if each is not found[-1] else "")
            made += nodes.list_item("", line)
        if empty := [word for word, found in by_word.items() if not found]:
            made += nodes.list_item("", _paragraph(nodes.strong("", "None: "), ", ".join(empty)))
        return [_paragraph(f"{what}:"), made]

    def _table(self, recorded: list[records.Record]) -> nodes.table:
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row()
        head += [nodes.entry("", nodes.paragraph("", name)) for name in COLUMNS]
        by_paper = glance.papers(recorded)
        body = nodes.tbody(
            "", *(self._row(each, f"paper-{n}") for n, paper in enumerate(by_paper.values())
                  for each in paper),
        )  # fmt: skip
        group += [nodes.thead("", head), body]
        title = nodes.title("", "All claims")
        return nodes.table("", title, group, classes=["claims", "colwidths-given"])

    def _row(self, record: records.Record, paper: str) -> nodes.row:
        rule = [
            f"{record['states'][0].upper()}{record['states'][1:]}.",
            f"It speaks of {record['speaks_of']}.",
            f"The rule was fixed {record['fixed']}.",
        ]
        cells = [
            [
                _paragraph(nodes.strong("", records.label(record)), f" {record['claim']}"),
                nodes.paragraph("", record["paper"].split(" Explains ")[0], classes=["of-paper"]),
                _folded("rule", [_paragraph(each) for each in rule]),
            ],
            [nodes.raw("", glance.strip(record) or "–", format="html")],
            [
                _paragraph(nodes.strong("", "", self._link(record, record["verdict"]))),
                _paragraph(records.reason(record)),
            ],
            _effects(record),
        ]
        evidence = glance.EVIDENCE.index(glance.evidence(record))
        word = judge.WORDS.index(record["verdict"])
        row = nodes.row(classes=[paper, f"word-{word}", f"evidence-{evidence}"])
        row += [nodes.entry("", *cell) for cell in cells]
        return row

    def _link(self, record: records.Record, text: str) -> nodes.Node:
        """A link to the page that reached the verdict."""
        word = ["word", text.replace(" ", "-")] if text in judge.WORDS else []
        return addnodes.pending_xref(
            "", nodes.inline("", text, classes=word),
            refdomain="std", reftype="doc", refexplicit=True, refwarn=True,
            reftarget=f"/executed/{record['page']}", refdoc=self.env.docname,
        )  # fmt: skip


def _filters(recorded: list[records.Record]) -> str:
    """What a reader chooses rows by, hidden until the script is there."""
    papers = [each.split(" Explains ")[0] for each in glance.papers(recorded)]
    there = {
        "paper": papers,
        "word": [each.capitalize() for each in judge.WORDS],
        "evidence": [each.capitalize() for each in glance.EVIDENCE],
    }
    selects = "".join(
        f'<label>{name.capitalize()} <select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{at}">{escape(each)}</option>' for at, each in enumerate(names))
        + "</select></label>"
        for name, names in there.items()
    )
    orders = "".join(f'<option value="{key}">{name}</option>' for key, name in ORDERS.items())
    return (
        f'<form class="claim-filters" autocomplete="off" hidden>{selects}'
        f'<label>Sort by <select name="order">{orders}</select></label>'
        '<p class="claim-count" role="status"></p></form>'
    )


def _paragraph(*parts: nodes.Node | str) -> nodes.paragraph:
    made = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *made)


def _effects(record: records.Record) -> list[nodes.Node]:
    """Each model's number with its interval; of many, a list; of no word, what would test it."""
    models = record["models"]
    lines = [
        _paragraph(nodes.literal("", each["model"]), f" {records.sentence(each)}")
        for each in models
    ]
    if record["verdict"] == UNTESTABLE:
        lines.append(_paragraph(f"would test it: {record['would_test']}"))
    if not models:
        return [_paragraph("no model at hand"), *lines]
    of = [_paragraph(f"{record['effect']}:")]
    return [*of, *lines] if len(models) <= FEW else [*of, _folded("each model", lines)]


def _folded(summary: str, content: list[nodes.Node]) -> nodes.container:
    """Content one click away."""
    return nodes.container(
        "", nodes.raw("", f"<details><summary>{summary}</summary>", format="html"),
        *content, nodes.raw("", "</details>", format="html"), classes=["folded"],
    )  # fmt: skip


def answer(app: Sphinx, tree: nodes.document) -> None:
    """Say what a page found right after its first lines, with a link to where it is judged."""
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
            beside = f" ({', '.join(each['beside'])})" if each["beside"] else ""
            line = _paragraph(f"{each['number']}. {each['title']}: ", verdict, beside)
            found += nodes.list_item("", line)
    claimed.parent.insert(claimed.parent.index(claimed) + 1, found)


def _begins(tree: nodes.document, word: str) -> nodes.Element | None:
    """The first part of a page (a paragraph, or a section by its title) that begins so."""
    for each in tree.findall(lambda node: isinstance(node, nodes.paragraph | nodes.section)):
        first = each[0] if isinstance(each, nodes.section) else each
        if first.astext().startswith(word):
            return each
    return None


def bring_script(app: Sphinx, config: Config) -> None:
    """Have the script copied beside the book's own static files, which are loaded on every page."""
    config.html_static_path.append(str(Path(__file__).with_name(SCRIPT)))


def add_script(app: Sphinx, page: str, template: str, context: Any, doctree: Any) -> None:
    """Load the script on pages with a table of claims, and on no others."""
    if "claims" in app.env.metadata.get(page, {}):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("claim-table", ClaimTable)
    app.connect("config-inited", bring_script)
    app.connect("html-page-context", add_script)
    app.connect("doctree-read", answer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
