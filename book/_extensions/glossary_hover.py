"""What a term or a word of a verdict means, when the pointer rests on it: from the glossary alone.

A term that links to the glossary, and a word of the table of claims, get the glossary's definition
as their title.
"""

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "glossary"
_LINK = re.compile(r'<a class="reference internal" href="([^"]*glossary\.html)?#(term-[^"]+)"')
_WORD = re.compile(r'<span class="word ([\w-]+)"')


def explain(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give titles to the terms of a page."""
    if "body" not in context or GLOSSARY not in app.env.found_docs:
        return
    said = definitions(app)

    def titled(found: re.Match[str]) -> str:
        text = said.get(found[2] if found.re is _LINK else f"term-{found[1]}")
        return f'{found[0]} title="{escape(text)}"' if text else found[0]

    context["body"] = _WORD.sub(titled, _LINK.sub(titled, context["body"]))


def definitions(app: Sphinx) -> dict[str, str]:
    """The definition of each term, by the name of its place in the glossary."""
    tree = app.env.get_doctree(GLOSSARY)
    return {
        place: " ".join(item.next_node(nodes.definition).astext().split())
        for item in tree.findall(nodes.definition_list_item)
        for term in item.findall(nodes.term)
        for place in term["ids"]
    }


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", explain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
