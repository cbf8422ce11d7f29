"""A text in two parts: what models are trained on, and what none of them sees."""

import dataclasses
import hashlib
import json

from shapelib.text.cleaning import Article
from shapelib.text.corpus import Corpus

_TENTH = 10


def held_out(text: Corpus) -> Corpus:
    """The part of a text that no model is trained on: every tenth article, whatever the seed.

    Training seeds can then be compared on the same text. Of a text with fewer than ten articles
    it is the last tenth of each article's characters.
    """
    return _part(text, "held out", held=True)


def training_part(text: Corpus) -> Corpus:
    """What `held_out` leaves."""
    return _part(text, "training part", held=False)


def _part(text: Corpus, name: str, held: bool) -> Corpus:
    if len(text.articles) >= _TENTH:
        chosen = [
            article
            for number, article in enumerate(text.articles, start=1)
            if (number % _TENTH == 0) == held
        ]
    else:
        cuts = [len(article.text) * (_TENTH - 1) // _TENTH for article in text.articles]
        chosen = [
            Article(article.title, article.text[cut:] if held else article.text[:cut])
            for article, cut in zip(text.articles, cuts, strict=True)
        ]
    digest = hashlib.sha256()
    for article in chosen:
        digest.update(json.dumps([article.title, article.text]).encode())
    report = dataclasses.replace(
        text.report,
        articles=len(chosen),
        characters=sum(len(article.text) for article in chosen),
        distinct_characters=len({letter for article in chosen for letter in article.text}),
    )
    return Corpus(f"{text.name}, {name}", tuple(chosen), digest.hexdigest(), report)
