"""What the first page shows first: three questions, each with its word, a sentence and a picture.

All of it is computed from what the pages recorded and from tables kept as data: no word and no
number is typed.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from shapebook.claims.records import Record, reason
from shapebook.claims.statistic import three_digits, two_decimals
from shapebook.experiments.published import published_d90, published_training
from shapebook.figures.shown import show
from shapebook.pages.front import pictures
from shapelib.errors import ShapelibError
from shapelib.models import catalogue

# What the catalogue calls the models of which a d90 is published.
_NAMES = {
    "BERT-Base": "bert-base-uncased", "BERT-Large": "bert-large-uncased",
    "RoBERTa-Base": "roberta-base", "RoBERTa-Large": "roberta-large",
}  # fmt: skip
FIGURES = ("profiles-anisotropy", "dimension-during-training-curves", "two-dimensions-sizes")
"""The figures of pages whose rows are drawn again."""
_TASK, _METHOD = "MRPC", "SAID"
_RECIPE = "decoder-96-warmup50"


class Answer(NamedTuple):
    """A question that a paper answers, and what was found; texts are Markdown."""

    question: str
    words: list[tuple[str, str, str]]
    """Each word that was reached, what stands behind it, and the page that reached it."""
    sentence: str
    picture: str
    """SVG."""
    alt: str
    source: str


def answers(executed: Path) -> list[Answer]:
    """The answers, from a folder of executed pages.

    :raises ShapelibError: where the pages lack a claim's record or a figure's rows.
    """
    try:
        recorded = json.loads((executed / "claims.json").read_text(encoding="utf-8"))
        records = {each["id"]: each for each in recorded}
        rows = {name: pd.read_csv(executed / "figures" / f"{name}.csv") for name in FIGURES}
        return [
            _bell(records["decoder-bell"], rows["profiles-anisotropy"]),
            _rise(
                [records["dimension-rises"], records["dimension-falls"]],
                rows["dimension-during-training-curves"],
            ),
            _sizes(records["larger-lower-d90"], records["d90-tiny"], rows["two-dimensions-sizes"]),
        ]
    except (OSError, KeyError) as error:
        raise ShapelibError(
            f"the executed pages lack what the first page shows: {error}"
        ) from error


def _bell(record: Record, rows: pd.DataFrame) -> Answer:
    models = record["models"]
    met = sum(each["word"] == "supported" for each in models)
    told = ", ".join(f"{two_decimals(each['statistic'])} in {each['model']}" for each in models)
    return Answer(
        "Is a decoder's anisotropy highest in its middle layers?",
        _words([record]),
        f"In {met or 'none'} of {len(models)} decoders do the middle layers stand out by the "
        f"{record['margin']:g} that was fixed before: {told}.",
        show(pictures.bell(rows)).data,
        "Anisotropy against relative depth: solid lines for decoders, dotted ones for encoders, "
        "which lie low and flat.",
        "Five real models on Wikipedia text.",
    )


def _rise(records: list[Record], curves: pd.DataFrame) -> Answer:
    published = published_training()
    mean = published[published["part"] == "mean"].sort_values("step")
    peak, last = mean.loc[mean["value"].idxmax()], mean.iloc[-1]
    ours = curves[(curves["of"] == "full runs") & (curves["recipe"] == _RECIPE)]
    course = ours.groupby("step")["value"].mean()
    return Answer(
        "Does the dimension rise as a model learns, and then fall?",
        _words(records),
        f"Published for {last['model']}: from {mean['value'].iloc[0]:.0f} to {peak['value']:.0f} "
        f"by step {three_digits(peak['step'])}, then {1 - last['value'] / peak['value']:.0%} down. "
        f"The small decoder trained here: {course.iloc[0]:.1f} at first, {course.min():.1f} at "
        f"step {three_digits(course.idxmin())}, {course.iloc[-1]:.1f} at step "
        f"{three_digits(course.index[-1])}.",
        show(pictures.rise(published, ours)).data,
        "Two panels of dimension against training step: on the left the published rise of "
        "Pythia-6.9B, on the right the runs of a small decoder trained here, which fall.",
        "Left: {cite:t}`cheng2026abstraction`. Right: three runs, mean over layers.",
    )


def _sizes(record: Record, tiny: Record, rows: pd.DataFrame) -> Answer:
    table = published_d90()
    there = table[(table["task"] == _TASK) & (table["method"] == _METHOD)]
    known = catalogue.models()
    sizes = there["model"].map(lambda each: known[_NAMES[each]].parameters)
    published = there.assign(parameters=sizes)
    # d90 is printed as a share of all parameters.
    real = [
        {
            "model": each["of"][0], "D": each["details"]["D"], "d90": each["details"]["d90"],
            "low": each["low"] * each["details"]["D"], "high": each["high"] * each["details"]["D"],
            "here": False,
        }
        for each in tiny["models"]
        if each["of"][0] in known
    ]  # fmt: skip
    ours = pd.concat([rows.assign(here=True), pd.DataFrame(real)], ignore_index=True)
    told = ", ".join(
        f"{three_digits(each['d90'])} of {each['D'] / 1e6:.3g} million for {each['model']}"
        for each in real
    )
    falls = sum(
        one["d90"].iloc[-1] < one["d90"].iloc[0]
        for _, one in published.sort_values("parameters").groupby(
            published["model"].str.split("-").str[0]
        )
    )
    return Answer(
        "Do larger models need fewer numbers to be fine-tuned?",
        _words([record]),
        f"Published, on {_TASK}: fewer for the larger of {falls} of {len(published) // 2} pairs. "
        f"Measured here: {told}.",
        show(pictures.sizes(published, ours)).data,
        "Two panels of d90 against the number of parameters: on the left BERT and RoBERTa as "
        "published, on the right MiniLM and three encoders trained here, with intervals.",
        "Left: {cite:t}`aghajanyan2021intrinsic`. Right: telling six types of question apart.",
    )


def _words(records: Iterable[Record]) -> list[tuple[str, str, str]]:
    """Each word once, with what stands behind it and where it was reached."""
    found = [(str(each["verdict"]), reason(each), str(each["page"])) for each in records]
    return list(dict.fromkeys(found))
