"""The directive ``pdf-link``: the book as one PDF, where it was printed; else how to print it."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from shapebook.pages.outside import pdf
from shapebook.pages.rendering import PDF

ROOT = Path(__file__).parents[2]


class PdfLink(SphinxDirective):
    """A sentence."""

    def run(self) -> list[nodes.Node]:
        if self.config.html_extra_path:
            link = nodes.reference("", "The whole book as one PDF", refuri=PDF.name)
            return [nodes.paragraph("", "", link, nodes.Text("."))]
        text, _ = self.state.inline_text(
            "`make pdf` prints the whole book as one PDF.", self.lineno
        )
        return [nodes.paragraph("", "", *text)]


def bring_file(app: Sphinx, config: Config) -> None:
    """Have the PDF copied beside the pages, where it shows what they do."""
    if pdf.is_fresh(ROOT, Path(app.srcdir)):
        config.html_extra_path.append(str(ROOT / PDF))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("pdf-link", PdfLink)
    app.connect("config-inited", bring_file)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
