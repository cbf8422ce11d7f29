"""A reader's own profile as one page: its figures beside the book's models, the sentences that are
computed from its numbers, and what the rules of the claims about layers say of it.

The page is a notebook of cells with what they show, rendered as a run is
(`shapebook.notebooks.html`); the code above a figure is what draws it again.
"""

import base64
import functools
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from shapebook.claims import judge
from shapebook.claims.records import Record, Shown, reason, sentence
from shapebook.figures import own_words
from shapebook.figures.own_words import Sentences
from shapebook.figures.shown import show
from shapebook.notebooks import html
from shapebook.notebooks.notebook import Notebook
from shapebook.notebooks.shown import show_provenance
from shapebook.pages.own.table import Own
from shapelib import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Widths of lines: of a reader's models, and of those beside them.
_OWN, _BESIDE = 2.8, 0.9
_ESTIMATORS = {
    "TwoNN": {"metric": "two_nn"}, "MADA": {"metric": "mada_k20"}, "moments": {"metric": "mom_k20"},
}  # fmt: skip
_IMPORTS = """from shapebook import Shown, judge, show, show_provenance
from shapebook.figures import own_words
from shapelib import figures, read_table

table = read_table("mine.parquet")"""


class Part(NamedTuple):
    """A figure, where the table has what it shows."""

    title: str
    draw: Callable[[pd.DataFrame], "Figure"]
    code: str
    metrics: frozenset[str]
    caption: str
    said: Callable[[pd.DataFrame], Sentences] | None = None
    tokens: str = "all"
    beside: str = "roles"
    """Whose models of the book stand beside: see `table.Own.together`."""


PARTS = (
    Part(
        "Anisotropy", figures.anisotropy_profile, "figures.anisotropy_profile(table)",
        frozenset({"anisotropy"}),
        "Centered anisotropy over relative depth; 1 means that all vectors lie on one line. Lines "
        "are means over batches and bands one standard deviation; open markers are the embedding "
        "and a layer after the final norm, which count in no verdict.",
        own_words.anisotropy, beside="all",
    ),
    Part(
        "Without massive vectors", functools.partial(figures.anisotropy_profile, tokens="rest"),
        'figures.anisotropy_profile(table, "rest")', frozenset({"anisotropy"}),
        "The same without vectors that are more than ten times as long as is usual in their layer.",
        tokens="rest", beside="all",
    ),
    Part(
        "Representation dimension", figures.dimension_profile, "figures.dimension_profile(table)",
        frozenset({"two_nn", "two_nn_lowest20"}),
        "The TwoNN dimension over relative depth, by its two fits.", own_words.dimension,
    ),
    Part(
        "Three estimators", figures.estimators_profile, "figures.estimators_profile(table)",
        frozenset({"two_nn", "mada_k20", "mom_k20"}),
        "The representation dimension by three estimators.",
        functools.partial(own_words.agreement, measures=_ESTIMATORS), beside="none",
    ),
    Part(
        "Average cosine", figures.cosine_profile, "figures.cosine_profile(table)",
        frozenset({"average_cosine"}),
        "The mean cosine of two different vectors, as they stand and centered.",
        functools.partial(
            own_words.centering, metric="average_cosine", called="the average cosine"
        ),
    ),
)  # fmt: skip


def page(own: Own, records: list[Record]) -> str:
    """The page as HTML that needs nothing beside it.

    :param records: what `judged` gives of the table.
    """
    return html.html(notebook(own, records))


def notebook(own: Own, records: list[Record]) -> Notebook:
    """The page's cells, in order."""
    from nbformat.v4 import new_notebook

    told = own.table.attrs["provenance"]
    cells = [
        *map(_text, _opening(own, records)),
        *(cell for part in PARTS for cell in _drawn(part, own)),
        _text("## What the rules say"),
        _cell("Shown([judge(each, table) for each in claims])", Shown(records)),
        _text("## Where it comes from"),
        _cell("show_provenance(table)", show_provenance(own.table))
        if told
        else _text("The table does not say what made it."),
        _text(_download(own)),
        _text(f"Each figure is drawn by the code above it, after:\n\n```\n{_IMPORTS}\n```"),
    ]
    return new_notebook(cells=cells)


def judged(own: Own) -> list[Record]:
    """The records of all claims about layers that the table has the columns and a role for."""
    columns = set(own.table.columns)
    records = [
        judge.judge(each.id, own.table)
        for each in judge.claims().values()
        if each.table == "shape" and each.needed() <= columns and each.groups(own.table)
    ]
    return sorted(records, key=lambda each: (each["number"], bool(each["asked"])))


def lines(own: Own, records: list[Record]) -> Iterator[str]:
    """What a terminal says of it: each verdict, then what its anisotropy does."""
    for record in records:
        for model in record["models"]:
            why = f" ({model['outside']})" if model["outside"] else ""
            yield (
                f"{record['number']}. {record['title']}: {model['model']}: {sentence(model)}, "
                f"{model['word']}{why}"
            )
    yield from own_words.anisotropy(own.table).sentences


def _opening(own: Own, records: list[Record]) -> Iterator[str]:
    """The title, and what a page of the book says first: computed from the records."""
    yield f"# {', '.join(_code(each) for each in own.models)}, layer by layer"
    first = [each for each in records if each["number"] <= 2 and not each["asked"]]
    if not first:
        yield "No claim is judged: the table lacks the columns or the metrics that rules ask for."
    else:
        measured = [
            f"{_code(model['model'])}: {each['effect']} {sentence(model)}, *{model['word']}*"
            for each in first
            for model in each["models"]
        ]
        tell = dict.fromkeys(reason(each) or "yes, by the rule" for each in first)
        yield (
            f"**The paper says.** {' '.join(each['claim'] for each in first)}\n\n"
            f"**Measured here.** {'; '.join(measured)}.\n\n"
            f"**Can these models tell?** {'; '.join(tell)}."
        )
    yield (
        "Thick lines are of this table. Thin ones are the book's models, read in windows of 512 "
        "characters of Wikipedia, each with its own beginning; of dimensions, those of batches as "
        "large as the table's."
        if len(own.book)
        else "The book's models are not beside these: their tables are in a checkout's results/."
    )


def _drawn(part: Part, own: Own) -> Iterable[Any]:
    """A heading, the figure and its sentences; nothing where the table lacks what it shows."""
    of_set = own.table[own.table["tokens"] == part.tokens]
    if not part.metrics <= set(of_set["metric"]):
        return
    yield _text(f"## {part.title}")
    shown = show(emphasised(part.draw(own.together(part.beside)), own))
    name = f"fig-{part.title.lower().replace(' ', '-')}"
    yield _cell(f"show({part.code})", shown, (name, part.caption, _alt(part, own)))
    if part.said is not None:
        yield _cell("# What the figure shows of this table, computed.", part.said(own.table))


def emphasised(figure: "Figure", own: Own) -> "Figure":
    """The figure with the lines of a reader's models thick, and those beside them thin."""
    named = [(str(line.get_label()), line) for axes in figure.axes for line in axes.get_lines()]
    for legend in figure.legends:
        texts = [each.get_text() for each in legend.get_texts()]
        named += zip(texts, legend.get_lines(), strict=True)
    for name, line in named:
        if line.get_linestyle() != "None":
            mine = any(name == each or name.startswith(f"{each}, ") for each in own.models)
            line.set_linewidth(_OWN if mine else _BESIDE)
    return figure


def _alt(part: Part, own: Own) -> str:
    drawn = own.together(part.beside)["model"].unique()
    others = ", ".join(str(each) for each in drawn if each not in own.models)
    return (
        f"{part.title} against relative depth, thick lines for {', '.join(own.models)}"
        f"{f'; thin ones for {others}' if others else ''}. The sentences below say what it shows."
    )


def _download(own: Own) -> str:
    csv = base64.b64encode(own.table.to_csv(index=False).encode()).decode()
    name = own.name.replace('"', "")
    return (
        f'<p><a href="data:text/csv;base64,{csv}" download="{escape(name)}.csv">'
        "The table (CSV)</a></p>"
    )


def _code(name: str) -> str:
    return f"`{name.replace('`', chr(39))}`"


def _text(source: str) -> Any:
    from nbformat.v4 import new_markdown_cell

    return new_markdown_cell(source)


def _cell(code: str, shown: Any, figure: tuple[str, str, str] | None = None) -> Any:
    """A code cell with what it shows; of a figure its name, its caption and its words."""
    from nbformat.v4 import new_code_cell, new_output

    data, metadata = _bundle(shown)
    cell = new_code_cell(code, outputs=[new_output("display_data", data, metadata=metadata)])
    if figure:
        name, caption, alt = figure
        cell.metadata["mystnb"] = {
            "figure": {"name": name, "caption": caption},
            "image": {"alt": alt},
        }
    return cell


def _bundle(shown: Any) -> tuple[dict[str, str], dict[str, Any]]:
    if hasattr(shown, "_repr_svg_"):
        return {"image/svg+xml": shown.data}, {}
    made = shown._repr_mimebundle_()
    return made if isinstance(made, tuple) else (made, {})
