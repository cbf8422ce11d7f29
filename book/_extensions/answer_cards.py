"""The directive ``answer-cards``: what the first page shows first: `shapebook.pages.front`."""

import base64
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from shapebook.pages.front import answers
from shapelib.errors import ShapelibError

EXECUTED = "executed"


class AnswerCards(SphinxDirective):
    """A card for each answer: the question, the word, a sentence, the picture, whose it is."""

    def run(self) -> list[nodes.Node]:
        executed = Path(self.env.srcdir) / EXECUTED
        self.env.note_dependency(str(executed / "claims.json"))
        for file in sorted((executed / "figures").glob("*.csv")):
            self.env.note_dependency(str(file))
        try:
            found = answers.answers(executed)
        except ShapelibError as error:
            raise self.error(f"answer-cards: {error}") from error
        return [nodes.container("", *map(self._card, found), classes=["answer-cards"])]

    def _card(self, answer: answers.Answer) -> nodes.container:
        address = base64.b64encode(answer.picture.encode()).decode()
        image = nodes.image(uri=f"data:image/svg+xml;base64,{address}", alt=answer.alt)
        words = "; ".join(
            f"[**{word.capitalize()}**]({EXECUTED}/{page}.ipynb)" + (f" ({why})" if why else "")
            for word, why, page in answer.words
        )
        return nodes.container(
            "",
            nodes.paragraph("", "", nodes.strong("", answer.question)),
            self._text(f"{words}.", "answer-word"),
            self._text(answer.sentence, "answer-told"),
            image,
            self._text(answer.source, "answer-source"),
            classes=["answer-card"],
        )

    def _text(self, source: str, kind: str) -> nodes.paragraph:
        shown, _ = self.state.inline_text(source, self.lineno)
        return nodes.paragraph("", "", *shown, classes=[kind])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("answer-cards", AnswerCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
