"""Numbers in sentences, held against the data as a page is rendered: `shapebook.pages.prose.marks`.

A page whose text disagrees with its figures is not rendered: warnings are errors. Pages that
`make book` ran anew, on a machine where what is trained takes another path, have the number of the
run beside the one in the text instead.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from shapebook.pages.prose.marks import MARK, SET, held, sentence
from shapebook.pages.prose.told import Told

ROOT = Path(__file__).parents[2]
_log = logging.getLogger(__name__)


class HoldNumbers(SphinxTransform):
    """Take the marks out of a page, and say where the data say something else."""

    # Before references and downloads are resolved, after Markdown is parsed.
    default_priority = 590

    def apply(self, **kwargs: Any) -> None:
        marks = [each for each in self.document.findall(nodes.raw) if _is_mark(each.astext())]
        if not marks:
            return
        source = Path(self.env.srcdir).resolve()
        told, page = Told(ROOT, source), Path(self.env.docname).name
        for node in marks:
            if mark := MARK.fullmatch(node.astext().strip()):
                block = node.parent
                text = block.astext()
                before = "".join(each.astext() for each in block[: block.index(node)])
                if wrong := held(before, mark, page, told):
                    if source.parent.name != "_build":
                        said = f"{sentence(text, len(before))!r}: {wrong.said}"
                        _log.warning("%s: %s", page, said, location=node, type="numbers")
                    elif wrong.here:
                        beside = nodes.inline("", f" ({wrong.here} in this run)")
                        block.insert(block.index(node), beside)
        for node in marks:
            node.parent.remove(node)


def _is_mark(text: str) -> bool:
    return text.strip() == SET or MARK.fullmatch(text.strip()) is not None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(HoldNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
