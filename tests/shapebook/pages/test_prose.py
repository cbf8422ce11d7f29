"""Numbers in sentences: what agrees with the data passes, and what does not is told of."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from shapebook.notebooks import notebook as notebooks
from shapebook.pages.prose import marks as prose
from shapebook.pages.prose.told import Told, _Grid
from shapebook.pages.timings import records
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[3]
TABLE = """<table><thead>
<tr><th></th><th></th><th colspan="2">papers</th></tr>
<tr><th>model</th><th>seed</th><th>d90</th><th>full</th></tr></thead><tbody>
<tr><th rowspan="2">a</th><th>0</th><td>11\N{NARROW NO-BREAK SPACE}400</td><td>0.74*</td></tr>
<tr><th>1</th><td>not reached</td><td>\N{MINUS SIGN}0.5</td></tr></tbody></table>"""
PAIR = "encoder-96-warmup50-seed0"
# What the tables of pages call the trained encoder, tuned on questions by DID.
ENCODER = {
    "questions, encoder, width 96", "step 1280", "encoder, width 96", "encoder, width 96, DID",
}  # fmt: skip
# And where all rows are of it.
ENCODER_CELL = ("estimates-table", "pre-trained")
RECORD = {
    "id": "bell",
    "models": [{"model": "a", "statistic": -0.054, "low": None, "details": {"top": 0.4}}],
    "readings": [{"model": "a", "what": "all layers", "statistic": 0.59, "details": {}}],
}


@pytest.fixture
def told(tmp_path: Path) -> Told:
    figures = tmp_path / "book" / "executed" / "figures"
    figures.mkdir(parents=True)
    (figures / "page-one.csv").write_text("model,step,value\na,0,0.2034\na,9,0.5\nb,0,3\nb,9,1\n")
    cell = new_code_cell("x", outputs=[new_output("execute_result", {"text/html": TABLE})])
    cell["id"] = "table"
    notebooks.write(new_notebook(cells=[cell]), figures.parent / "page.ipynb")
    (figures.parent / "claims.json").write_text(json.dumps([RECORD]))
    for path, slow in (("AMX", 7.0), ("float32", 9.0)):
        spread = {"least": 0.5, "greatest": 9.0, "turns": 2}
        ratios = [{"name": "fast", "median": 0.5}, {"name": "slow", "median": slow}]
        section = {
            "title": "A layer", "yardstick": "one product",
            "ratios": [{**each, **spread} for each in ratios],
        }  # fmt: skip
        speed = {
            "format": records.FORMAT, "benchmark": "speed", "command": "python it.py",
            "processor": {"name": "N9", "path": path}, "sections": [section],
        }  # fmt: skip
        folder = tmp_path / "benchmarks" / "records" / records.place(speed["processor"])
        folder.mkdir(parents=True)
        (folder / "speed.json").write_text(json.dumps(speed))
    return Told(tmp_path, tmp_path / "book")


def said(told: Told, source: str, reads: bool = False) -> list[str]:
    return prose.wrong(prose.Text("page", source, reads), told)


def tables_of(html: str) -> dict[tuple[str, str], str]:
    """What a table says, by the names of row and column."""
    found = _Grid(html).found if "<table" in html else {}
    return {place: shown[0] for place, shown in found.items()}


ONE = 'figure("page-one", "value", model="a", step=0)'


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (ONE, 0.2034),
        ('mean(figure("page-one", "value", model="a"))', 0.3517),
        (f'max(figure("page-one", "value", step=[0])) / {ONE}', 3 / 0.2034),
        ('rank(figure("page-one", "value", model="a"), figure("page-one", "step", model="b"))', 1),
        ('rank(figure("page-one", "step", model="a"), figure("page-one", "value", model="b"))', -1),
        ('cell("table", "a, 0", "papers d90")', 11400),
        ('cell("table", "a, 0", "papers full") - cell("table", "a, 1", "papers full")', 1.24),
        ('claim("bell", "a", "statistic") * 2', -0.108),
        ('claim("bell", "a", "top")', 0.4),
        ('claim("bell", "a", "statistic", reading="all layers")', 0.59),
        ('benchmark("speed", "median", name="slow", processor="n9-amx")', 7),
        ('max(benchmark("speed", "median", name="slow", section="A layer"))', 9),
        ("-2 ** 2", -4),
    ],
)  # fmt: skip
def test_an_expression_is_a_number_of_the_book(told: Told, expression: str, value: float):
    assert told.value(expression, "page") == pytest.approx(value)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('figure("page-two", "value")', "no such file: page-two.csv"),
        ('figure("page-one", "values")', "no column 'values'"),
        ('figure("page-one", "value", model="c")', r"no row has model='c'; among \['a', 'b'\]"),
        ('figure("page-one", "value", models="a")', "no column 'models'"),
        ('figure("page-one", "value")', "gives 4 numbers"),
        ('figure("page-one")', "missing 1 required"),
        ('cell("table", "a, 2", "papers d90")', "has no .*'a, 2'"),
        ('cell("table", "a, 1", "papers d90")', "is no number: 'not reached'"),
        ('cell("chart", "a", "b")', "cell 'chart': found 0 times"),
        ('claim("flat", "a", "low")', "claim 'flat': found 0 times"),
        ('claim("bell", "a", "low")', "has no 'low'"),
        ('benchmark("speed", "minutes")', "no column 'minutes'"),
        ('benchmark("speed", "median", name="slow")', "gives 2 numbers"),
        ('benchmark("speed", "median", processor="n8")', "no row has processor='n8'"),
        ('benchmark("size", "median")', "no benchmark 'size' is recorded"),
        ("open('x')", "'open'"),
        ("__import__('os').system('true')", "neither a number nor"),
        ("1 +", "is no expression"),
    ],
)
def test_what_is_not_there_is_named(told: Told, expression: str, message: str):
    with pytest.raises(ShapelibError, match=message):
        told.value(expression, "page")


@pytest.mark.parametrize(
    "sentence",
    [
        f"It is 0.2<!-- = {ONE} --> here.",
        f"It is 0.203<!-- = {ONE} -->.",
        f"It is **20 %**<!-- = {ONE} -->.",
        f"It is \N{MINUS SIGN}0.20<!-- = 0 - {ONE} -->.",
        "It is 11 400<!-- = 11413 -->, or 11400<!-- = 11360 -->, or 2700<!-- = 2704.49 -->.",
        "a fifth<!-- 0.15 to 0.25 = 0.2034 --> of it",
        "ten times<!-- 9 to 1.1e1 = 10 -->",
    ],
)
def test_what_the_data_say_passes(told: Told, sentence: str):
    assert said(told, sentence, reads=True) == []


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (f"It is 0.17<!-- = {ONE} -->.", "the text says 0.17, the data say 0.2034"),
        (f"It is 0.204<!-- = {ONE} -->.", "the text says 0.204, the data say 0.2034"),
        (f"It is 0.2<!-- = 0 - {ONE} -->.", "the text says 0.2, the data say -0.2034"),
        (f"It is 21 %<!-- = {ONE} -->.", "the text says 21 %, the data say 20.34"),
        ("It is 10 900<!-- = 11413 -->.", "the text says 10 900, the data say 11413"),
        ("a fifth<!-- 0.15 to 0.25 = 0.3 --> of it", "stand for 0.15 to 0.25, the data say 0.3"),
        ("a fifth<!-- = 0.2 --> of it", "no number stands before the mark 0.2"),
        ('It is 1<!-- = figure("nothing", "x") -->.', "no such file: nothing.csv"),
    ],
)
def test_a_wrong_number_is_told_with_its_page_and_sentence(told: Told, sentence: str, message: str):
    found = said(told, f"Before this. {sentence} After it.")
    assert len(found) == 1
    assert found[0].startswith("page: ")
    assert message in found[0]
    assert prose.bare(sentence).rstrip(".") in found[0]
    assert "After" not in found[0] or not sentence.endswith(".")


def test_a_number_of_a_reading_that_is_not_marked_is_told(told: Told):
    text = "**Reading.** It is 0.31, by `x = 0.5`, $0.1 d$, a margin of 0.1<!-- set -->."
    assert said(told, text, reads=True) == [
        "page: '**Reading.** It is 0.31, by `x = 0.5`, $0.1 d$, a margin of 0.1.': 0.31 is not "
        "marked"
    ]
    assert said(told, text) == []


def test_marks_are_no_part_of_what_is_read():
    assert prose.bare(f"0.2<!-- = {ONE} --> and 0.1<!-- set --> of it") == "0.2 and 0.1 of it"


def extension(name: str) -> ModuleType:
    """One of the book's extensions."""
    file = ROOT / "book" / "_extensions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def rendered(source: Path, text: str, mark: str) -> str:
    """A sentence as the book's extension leaves it on a page of a source."""
    document = new_document("page")
    document.settings.env = SimpleNamespace(srcdir=str(source), docname="executed/page")
    comment = nodes.raw("", mark, format="html")
    document += nodes.paragraph("", "", nodes.Text(text), comment, nodes.Text(" here."))
    extension("checked_numbers").HoldNumbers(document).apply()
    return str(document.astext())


def test_pages_run_on_another_machine_have_its_number_beside_the_texts(tmp_path: Path):
    fresh = tmp_path / "_build" / "source"
    assert (
        rendered(fresh, "It is 0.17", "<!-- = 0.2034 -->") == "It is 0.17 (0.20 in this run) here."
    )
    assert rendered(fresh, "It is 0.20", "<!-- = 0.2034 -->") == "It is 0.20 here."
    assert (
        rendered(fresh, "a fifth", "<!-- 0.1 to 0.3 = 0.5 -->") == "a fifth (0.5 in this run) here."
    )
    assert rendered(fresh, "0.1", "<!-- set -->") == "0.1 here."


def test_a_number_stays_on_one_line():
    thin = "\N{NARROW NO-BREAK SPACE}"
    document = new_document("page")
    text = "one in 11 500, of 22 567 686, 1.5 300, in 2023 100 or 90 % of 12 34"
    paragraph = nodes.paragraph("", "", nodes.Text(text), nodes.literal("", "11 500 %"))
    document += [paragraph, nodes.math("", "10 000")]
    extension("whole_numbers").WholeNumbers(document).apply()
    expected = "one in 11_500, of 22_567_686, 1.5 300, in 2023 100 or 90_% of 12 34"
    assert paragraph[0].astext().replace(thin, "_") == expected
    assert [each.astext() for each in (paragraph[1], document[1])] == ["11 500 %", "10 000"]


def test_a_page_is_read_by_its_cells(tmp_path: Path):
    pages = tmp_path / "executed"
    pages.mkdir()
    cells = [new_markdown_cell("# A"), new_markdown_cell("**Reading.** 0.1"), new_code_cell("0.2")]
    notebooks.write(new_notebook(cells=cells), pages / "a.ipynb")
    (tmp_path / "b.md").write_text(
        "text\n```python\n0.1<!-- = 0.2 -->\n```\n```{note}\nkept\n```\n"
    )
    found = list(prose.texts(tmp_path, tmp_path))
    assert found[0].source == "text\n\n```{note}\nkept\n```\n"
    assert [(each.page, each.reads) for each in found] == [
        ("b", False), ("a", False), ("a", True)
    ]  # fmt: skip


def test_the_book_says_what_its_data_say():
    """Of every marked number in README and the recorded pages; and every reading is marked."""
    assert prose.amiss(ROOT, ROOT / "book") == []
    marks = [len(prose.MARK.findall(each.source)) for each in prose.texts(ROOT, ROOT / "book")]
    assert sum(marks) > 150


def test_one_d90_stands_under_one_name():
    """Of the trained encoder on questions by DID every table that has a d90 has the same; what else
    comes from these runs is called otherwise."""
    told = Told(ROOT, ROOT / "book")
    crossing, other = "11 400", ("12 600", "10 700")
    found: dict[tuple[str, str], str] = {}
    for page in ("fine-tuning-dimension", "two-dimensions"):
        for cell in notebooks.read(ROOT / "book" / "executed" / f"{page}.ipynb").cells:
            for output in cell.get("outputs", []):
                for place, shown in tables_of(output.get("data", {}).get("text/html", "")).items():
                    ours = place[0] in ENCODER or (cell["id"], place[0]) == ENCODER_CELL
                    if place[1].split()[-1:] == ["d90"] and ours:
                        found[cell["id"], place[0]] = shown
                    assert shown not in other or "crossing" in place[1], place
    assert len(found) > 3
    assert set(found.values()) == {crossing}
    assert told.value(f'claim("d90-tiny", "{PAIR} on questions", "d90")', "") == pytest.approx(
        11_400, abs=50
    )
    for each in prose.texts(ROOT, ROOT / "book"):
        text = prose.bare(each.source)
        for number in other:
            for place in re.finditer(number, text):
                assert "crossing" in prose.sentence(text, place.start())
