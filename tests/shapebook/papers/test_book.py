"""The second book: runs of the papers' figures as its pages, and its first page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from shapebook.claims.judge import RECORDS
from shapebook.notebooks import notebook as notebooks
from shapebook.papers import book, listed, page

ROOT = Path(__file__).parents[3]
FIGURES = listed.figures(ROOT)
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


def shown(html: str, **metadata: Any) -> Any:
    return new_output("execute_result", {"text/html": html}, metadata=metadata)


def run(figure: str, **changed: Any) -> notebooks.Notebook:
    """What a run of a page of this book may have left."""
    drawn = new_code_cell("draw()", outputs=[new_output("display_data", {"image/svg+xml": SVG})])
    drawn.metadata["mystnb"] = {
        "figure": {"name": "fig-a-maps", "caption": "As in {numref}`fig-a-maps`."},
        "image": {"alt": "maps"},
    }
    record = {"title": "It grows", "verdict": "supported", "models": []}
    verdicts = new_code_cell("judge()", outputs=[shown("", **{RECORDS: [record]})])
    store = new_code_cell("store = '/some/where/store'")
    store.outputs = [shown("<td>/some/where/store</td><th scope='row'>missing one@2</th>")]
    cells = [
        new_markdown_cell(
            "# While it trains\n\n**Question.** Does it?\n\n"
            "**Claim.** {cite:t}`razzhigaev2024shape` say so; see [below](judged).\n\n"
            "**What stands in.** Small models trained here."
        ),
        new_markdown_cell("## Maps\n\nOf 1280 steps, [Method](../method.md)."),
        drawn,
        new_markdown_cell("## Nothing to see"),
        new_code_cell("None"),
        new_markdown_cell("(judged)=\n## Verdicts<!-- 3 = 4 -->\n\nBy {ref}`rules <judged>`."),
        verdicts,
        new_markdown_cell("## Parameters"),
        store,
    ]
    done = new_notebook(cells=cells)
    parameters = {**FIGURES[figure].parameters, "store": "/some/where/store", **changed}
    done.metadata[notebooks.RUN] = {"parameters": parameters}
    return done


def test_a_page_keeps_what_is_true_of_any_run():
    found = page.page(FIGURES["fig2"], run("fig2"))
    prose = [each.source for each in found.cells if each.cell_type == "markdown"]
    assert prose == [
        "# Anisotropy while Bloom-3B trains\n\n*The Shape of Learning, Figure 2*, made anew: "
        "`shapebook papers fig2`.\n\n**Question.** Does it?\n\n**Claim.** "
        "{cite:t}`razzhigaev2024shape` say so; see [below](fig2-judged).",
        "## Maps",
        "(fig2-judged)=\n## Verdicts",
        "## Parameters",
    ]
    figure = found.cells[2].metadata["mystnb"]["figure"]
    assert figure == {"name": "fig-fig2-a-maps", "caption": "As in {numref}`fig-fig2-a-maps`."}
    assert "/some" not in "".join(str(each) for each in found.cells)
    assert found.cells[-1].source == "store = 'store'"


def test_what_is_of_the_books_own_models_is_left_out():
    done = run("fig2")
    done.cells[3:3] = [
        new_markdown_cell("## Is the flash the learning rate's doing?"),
        new_code_cell("draw()", outputs=[new_output("display_data", {"image/svg+xml": SVG})]),
    ]
    kept = {notebooks.BORROWED: [{"command": "python results/models.py", "seconds": 1.0}]}
    own = {notebooks.MEASURED: [{"model": "one", "seconds": 1.0, "created": ""}]}
    done.cells += [
        new_markdown_cell("## Provenance"), new_code_cell("a", outputs=[shown("kept", **kept)]),
        new_code_cell("b", outputs=[shown("own", **own)]),
    ]  # fmt: skip
    code = [each.source for each in page.page(FIGURES["fig2"], done).cells]
    assert "b" in code
    assert not {"a", "## Is the flash the learning rate's doing?"} & set(code)


@pytest.mark.parametrize("name", FIGURES)
def test_sections_that_are_left_out_are_there(name: str):
    text = "\n".join(
        each.source for each in notebooks.read(FIGURES[name].notebook).cells
        if each.cell_type == "markdown"
    )  # fmt: skip
    heads = re.findall(r"^##+ (.*)$", text, re.M)
    assert set(FIGURES[name].without) <= set(heads)


def test_what_differs_from_the_figure_as_listed_is_said_first():
    done = run("fig2", tokens=256, corpus="/texts/mine.txt")
    assert page.differences(FIGURES["fig2"], done) == [
        "`corpus=mine.txt` in place of `enwik8`", "`tokens=256` in place of `16384`",
    ]  # fmt: skip
    # A reader's own parameters are those of the run, not of the list.
    asked = FIGURES["fig2"].with_parameters({"tokens": 256}).with_parameters({"batch": 64})
    assert page.differences(asked, done) == page.differences(FIGURES["fig2"], done)
    first = page.page(asked, done).cells[0].source
    assert "papers fig2`, with `corpus=mine.txt` in place of `enwik8`; `tokens=256`" in first


def test_the_source_of_the_book(tmp_path: Path):
    for name in FIGURES:
        given = {"suites": ["bloom-560m"]} if name == "fig3" else {}
        notebooks.write(run(name, **given), tmp_path / f"{name}.ipynb")
    source = book.assemble(ROOT, tmp_path, FIGURES)
    toc = yaml.safe_load((source / "_toc.yml").read_text())
    pages = [each["file"] for each in toc["chapters"]]
    assert pages == [
        *(f"executed/fig{n}" for n in range(1, 6)), "executed/table1",
        *(f"executed/d90-{each}" for each in ("models", "size", "training")), "references",
    ]  # fmt: skip
    assert all((source / f"{each}.ipynb").is_file() for each in pages[:-1])
    assert (source / "executed" / "figures" / "fig2-a-maps.svg").read_text() == SVG
    rows = [
        line for line in (source / "intro.md").read_text().splitlines() if "executed/fig" in line
    ]
    assert rows[1] == (
        "| [Anisotropy while Bloom-3B trains](executed/fig2.ipynb) | The Shape of Learning, "
        "Figure 2 | `bloom-3b` | It grows: *supported*; **missing: one@2** |"
    )
    assert "Figure 3 (with other parameters) | `bloom-560m` |" in rows[2]
    config = yaml.safe_load((source / "_config.yml").read_text())
    assert config["title"] == book.TITLE
    local = config["sphinx"]["local_extensions"]
    assert set(local) <= set(config["sphinx"]["config"]["extensions"])
    assert all(Path(folder, f"{name}.py").is_file() for name, folder in local.items())


@pytest.mark.parametrize("kept", [0, 3])
def test_it_waits_until_all_are_made(tmp_path: Path, kept: int):
    for name in list(FIGURES)[:kept]:
        (tmp_path / f"{name}.ipynb").touch()
    assert len(listed.made(FIGURES, tmp_path)) == kept
