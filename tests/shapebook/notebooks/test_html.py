"""A run as one HTML file: whole without anything beside it, and readable by everyone."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import NARROW, WIDE, accessibility
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from shapebook.notebooks import html as standalone
from shapebook.notebooks import notebook

ROOT = Path(__file__).parents[3]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>x</title></svg>'
PROSE = r"""# A page

(here)=
See {numref}`fig-a`, [below](here), [Method](../method.md), {ref}`words <here>`, and
[a site](https://example.org).
{cite:t}`razzhigaev2024shape` say $r_2 / r_1$ {cite:p}`a2020b,c2021d`.

```{note} Mind
:class: tip
that *this* is read
```

| a | b |
|---|---|
| 1 | 2 |

$$\sigma_1^2$$
"""


def page(*cells: Any) -> str:
    return standalone.html(new_notebook(cells=list(cells)))


def figure(data: dict[str, Any]) -> Any:
    cell = new_code_cell("plot('<here>')", outputs=[new_output("display_data", data)])
    cell.metadata["mystnb"] = {
        "figure": {"name": "fig-a", "caption": "A *curve* of $x$."},
        "image": {"alt": 'what "it" shows'},
    }
    return cell


def test_prose_is_read_as_the_book_reads_it():
    html = page(new_markdown_cell(PROSE), figure({"image/svg+xml": SVG}))
    assert "<title>A page</title>" in html
    assert '<a href="#fig-a">Figure 1</a>' in html
    assert '<a href="#here">below</a>' in html
    assert '<a href="#here">words</a>' in html
    assert '<a id="here"></a>' in html
    assert '<a class="elsewhere">Method</a>' in html, "a link that leads nowhere is in italics"
    assert '<a href="https://example.org">a site</a>' in html
    assert "Razzhigaev 2024 say" in html
    assert "(A 2020, C 2021)" in html
    assert html.count("<math") == 3
    assert "<aside><p><strong>Mind</strong></p><p>that <em>this</em> is read</p>" in html
    assert "<td>2</td>" in html


def test_figures_are_inside_with_caption_and_words():
    for data in ({"image/svg+xml": SVG}, {"image/png": "aGVsbG8="}):
        html = page(figure({**data, "text/plain": "<Figure>"}))
        kind = next(iter(data))
        assert f'<figure id="fig-a"><img src="data:{kind};base64,' in html
        assert 'alt="what &quot;it&quot; shows"' in html
        assert '<figcaption>Figure 1. A <em>curve</em> of <span class="math inline"><math' in html
        assert "plot(&#x27;&lt;here&gt;&#x27;)" in html
        assert "&lt;Figure&gt;" not in html


def test_tables_and_text_are_shown():
    shown = [
        new_output("execute_result", {"text/html": "<table><tr><td>7</td></tr></table>"}),
        new_output("execute_result", {"text/plain": "<plain>"}),
        new_output("stream", text="a < b"),
    ]
    html = page(new_code_cell("x", outputs=shown))
    assert "<td>7</td>" in html
    assert '<pre tabindex="0">&lt;plain&gt;</pre>' in html
    assert '<pre tabindex="0">a &lt; b</pre>' in html


def test_a_cell_that_the_book_removes_is_left_out():
    said = new_code_cell("print('a: holds')", outputs=[new_output("stream", text="a: holds")])
    assert "a: holds" in page(said)
    said.metadata["tags"] = ["nbval-check-output", "hide-input", "remove-cell"]
    assert "holds" not in page(said)


def test_a_formula_that_cannot_be_drawn_is_shown_as_written():
    assert r"<code>\nosuchthing</code>" in page(new_markdown_cell(r"$\nosuchthing$"))


CHANGES = {"models": (["mine"], ["a", "b"]), "tokens": (8, 16)}
READING = """**Reading {numref}`fig-a`.** It falls.

**Caveat.** One seed.

(next)=
## Next

More."""


def test_a_run_of_ones_own_says_which_text_is_the_books():
    kept = {notebook.BORROWED: [{"command": "python results/tuning.py DID", "seconds": 1.0}]}
    table = new_output("execute_result", {"text/html": "<table></table>"}, metadata=kept)
    cells = [
        new_markdown_cell("# A page"),
        new_markdown_cell(READING),
        figure({"image/svg+xml": SVG}),
        new_code_cell("x", outputs=[table]),
    ]
    plain = standalone.html(new_notebook(cells=cells))
    own = standalone.html(new_notebook(cells=cells), CHANGES)
    assert "not the book's" not in plain
    assert "The book's" not in plain
    assert own.index("</h1>") < own.index("This run is not the book's.") < own.index("More.")
    assert "It falls." in plain
    assert not re.search(r"It falls|One seed|Reading|Caveat", own), "that was read elsewhere"
    assert "<td>['mine']</td><td>['a', 'b']</td>" in unescape(own)
    assert "tables kept as data is not of it: <code>python results/tuning.py DID</code>." in own


def test_a_page_to_be_passed_on_names_no_place_of_the_machine(tmp_path: Path):
    place = tmp_path / "some one" / "model"
    changes = {"models": ([str(place)], ["a"]), "corpus": ("/data/text.txt", "b")}
    cells = [
        new_markdown_cell("# A page"),
        new_code_cell(f"models = {[str(place)]!r}\ncorpus = '/data/text.txt'"),
        new_code_cell("x", outputs=[new_output("stream", text=f"read {Path.home()}/.cache/x")]),
    ]
    shown = unescape(standalone.html(new_notebook(cells=cells), changes))
    assert str(tmp_path) not in shown
    assert "/data" not in shown
    assert f"{Path.home()}/" not in shown
    assert "<td>['model']</td>" in shown
    assert "corpus = 'text.txt'" in shown


def test_a_folder_from_here_and_one_in_a_mapping_are_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret" / "model").mkdir(parents=True)
    here, there = "secret/model", str(tmp_path / "hidden" / "other")
    changes = {"layers": ({here: [5], there: [1]}, {"a": [1]}), "models": (["org/name"], ["a"])}
    cells = [new_markdown_cell("# A"), new_code_cell(f"layers = {changes['layers'][0]}")]
    shown = unescape(standalone.html(new_notebook(cells=cells), changes))
    assert "secret" not in shown
    assert "hidden" not in shown
    assert "layers = {'model': [5], 'other': [1]}" in shown
    assert "org/name" in shown, "a name of the hub is no place"


def test_a_readers_notebook_is_without_the_books_readings():
    cells = [new_markdown_cell(READING), new_markdown_cell("**Reading.** Low."), new_code_cell("1")]
    notebook = new_notebook(cells=cells)
    own = standalone.without_the_books_readings(notebook)
    assert [each.source for each in own.cells] == ["(next)=\n## Next\n\nMore.", "1"]
    assert len(notebook.cells) == 3


class Outside(HTMLParser):
    """Collects what a page would fetch, and roles that were left as they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("src", "data", "srcset") and not str(value).startswith("data:"):
                self.found.append(f"{tag} {value}")
        if tag in ("link", "script", "iframe"):
            self.found.append(tag)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "book" / "executed").glob("*.ipynb")), ids=lambda path: path.stem
)
@pytest.mark.parametrize("changes", [None, CHANGES], ids=["the book's", "a reader's"])
def test_every_recorded_page_stands_alone(path: Path, changes: Any):
    html = standalone.html(notebook.read(path), changes)
    outside = Outside()
    outside.feed(html)
    assert outside.found == []
    prose = re.sub(r"<pre.*?</pre>|data:[^\"]*", "", html, flags=re.S)
    assert re.findall(r"\{[\w:]+\}`|\$\$|\\\(|```|:::", prose) == []
    assert "<img" in html
    anchors = set(re.findall(r' id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= anchors


def test_a_browser_opens_it_from_disk(browser: Any, tmp_path: Path):
    kept = notebook.read(ROOT / "book" / "executed" / "what-makes-the-bell.ipynb")
    file = tmp_path / "run.html"
    file.write_text(standalone.html(kept), encoding="utf-8")
    for scheme in ("light", "dark"):
        opened = browser.new_page(viewport=NARROW, color_scheme=scheme)
        said: list[str] = []
        opened.on("console", lambda message, said=said: said.append(message.text))
        opened.goto(file.as_uri())
        assert opened.evaluate("() => document.documentElement.scrollWidth") <= 390
        assert accessibility(opened) == []
        assert said == []
        opened.close()


def test_verdicts_are_cards_on_a_phone(browser: Any, tmp_path: Path):
    row = "<tr><td>a claim</td><td>holds</td><td>1.0</td></tr>"
    table = f"<table class='verdicts'><thead>{row}</thead><tbody>{row}{row}</tbody></table>"
    file = tmp_path / "run.html"
    shown = new_output("execute_result", {"text/html": table})
    file.write_text(page(new_code_cell("x", outputs=[shown])), encoding="utf-8")
    opened = browser.new_page(viewport=NARROW)
    opened.goto(file.as_uri())
    tops = "() => [...document.querySelectorAll('tbody td')].map(each => each.offsetTop)"
    found = opened.evaluate(tops)
    assert len(set(found)) == 6
    assert not opened.locator("thead").is_visible()
    opened.set_viewport_size(WIDE)
    assert len(set(opened.evaluate(tops))) == 2
    assert opened.locator("thead").is_visible()
    opened.close()


def test_a_table_of_many_columns_has_room_and_scrolls_on_a_phone(browser: Any, tmp_path: Path):
    row = "".join(f"<td>column-{n}</td>" for n in range(11))
    table = f"<table border='1' class='dataframe'><tbody><tr>{row}</tr></tbody></table>"
    file = tmp_path / "run.html"
    shown = new_output("execute_result", {"text/html": table})
    file.write_text(page(new_code_cell("x", outputs=[shown])), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.goto(file.as_uri())
    cut = (
        "() => { const w = document.querySelector('.wide'); return w.scrollWidth - w.clientWidth }"
    )
    beyond = "() => document.documentElement.scrollWidth - window.innerWidth"
    assert opened.evaluate(cut) == 0
    assert opened.evaluate("() => document.querySelector('.wide').clientWidth") > 800
    for width in (390, 700, 820, 900, 1000):
        opened.set_viewport_size({"width": width, "height": 900})
        assert opened.evaluate(beyond) <= 0, f"the page itself scrolls at {width}"
    opened.set_viewport_size(NARROW)
    assert opened.evaluate(cut) > 0
    opened.close()
