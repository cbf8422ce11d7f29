"""A number and its unit stay on one line: 11 500 between its thousands, 90 % before its sign."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![.,]?\d)")
_PERCENT = re.compile(r"(?<=\d) (?=%)")
_THIN = "\N{NARROW NO-BREAK SPACE}"
# What is typed or computed stays as it is.
_VERBATIM = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


class WholeNumbers(SphinxTransform):
    """Put spaces that do not break into the numbers of a page's sentences."""

    # After numbers are held against the data, whose text this changes.
    default_priority = 595

    def apply(self, **kwargs: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, _VERBATIM):
                continue
            kept = together(text.astext())
            if kept != text.astext():
                text.parent.replace(text, nodes.Text(kept))


def together(text: str) -> str:
    """A sentence with its numbers kept from breaking."""
    text = _THOUSANDS.sub(lambda number: number[0].replace(" ", _THIN), text)
    return _PERCENT.sub(_THIN, text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(WholeNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
