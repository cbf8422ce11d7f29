"""The data of each figure, one click below it.

A figure named ``fig-PAGE-NAME`` shows ``executed/figures/PAGE-NAME.csv``, which was written by the
run that drew it. Where that file is there, the figure gets a link to it.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

FOLDER = "executed/figures"


class LinkData(SphinxTransform):
    """Put a link to its data below every figure that has some."""

    # Before downloads are collected, after captions are parsed.
    default_priority = 600

    def apply(self, **kwargs: Any) -> None:
        for figure in self.document.findall(nodes.figure):
            names = [name for name in figure["names"] if name.startswith("fig-")]
            file = f"{FOLDER}/{names[0].removeprefix('fig-')}.csv" if names else ""
            if not names or not (Path(self.env.srcdir) / file).is_file():
                continue
            link = addnodes.download_reference(
                "", "", reftarget=f"/{file}", refdoc=self.env.docname
            )
            link += nodes.inline("", "Data of this figure (CSV)")
            figure.append(nodes.legend("", nodes.paragraph("", "", link), classes=["figure-data"]))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinkData)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
