"""The recorded pages render without a warning, and a reader's browser finds nothing amiss.

SHAPELIB_BOOK_SOURCE names another source to open instead, such as `_build/source` after
`make book`; SHAPELIB_BOOK_SITE a folder of pages that are rendered already, such as `_build/html`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from browser import NARROW, WIDE, Reader, accessibility, broken_links, serve
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from stress import STRESS

from shapebook.claims.judge import WORDS, Shown
from shapebook.claims.records import label, reason, sentence
from shapebook.notebooks import notebook as notebooks
from shapebook.pages import status

ROOT = Path(__file__).parents[3]
SOURCE = Path(os.environ.get("SHAPELIB_BOOK_SOURCE", ROOT / "book")).resolve()
CONFIG = ROOT / "_config.yml"
RECORDS = json.loads((SOURCE / "executed" / "claims.json").read_text())
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
PAGES = [f"{each}.html" for each in (TOC["root"], *(part["file"] for part in TOC["chapters"]))]


def render(source: Path, output: Path, config: Path = CONFIG) -> Path:
    """Render a book as `make html` does, warnings as errors; gives the folder of its pages."""
    script = Path(sys.executable).with_name("jupyter-book")
    command = [str(script), "build", str(source), "--config", str(config)]
    command += ["--path-output", str(output), "-W", "--keep-going", "-n"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}"
    return output / "_build" / "html"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if rendered := os.environ.get("SHAPELIB_BOOK_SITE"):
        return Path(rendered).resolve()
    recorded = SOURCE / "executed" / "profiles.ipynb"
    assert recorded.is_file(), f"{recorded} is missing: run `make book` and `make record`"
    return render(SOURCE, tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with serve(site) as address:
        yield address


def test_every_page_of_the_contents_is_rendered(site: Path):
    assert [page for page in PAGES if not (site / page).is_file()] == []


def test_every_reference_is_cited(site: Path):
    entries = re.findall(r"^@\w+\{([^,]+),", (ROOT / "book/references.bib").read_text(), re.M)
    listed = re.findall(r'<div class="citation"', (site / "references.html").read_text())
    assert len(listed) == len(entries)


def test_pages_are_whole_in_a_browser(browser: Any, address: str, site: Path):
    """Each is opened once, in the light, and turns dark; others below are opened in the dark.

    The accessibility checker looks at every other page in the light and at the rest in the dark;
    under stress at each in both, and at the list of all names, the longest page by far.
    """
    reader = Reader(browser, address)
    problems, links, names = {}, set(), {}
    for number, page in enumerate(PAGES):
        light = number % 2 == 0
        short = page != "api.html"
        looks = {
            "light": reader.look(page, axe=(light and short) or STRESS),
            "dark": reader.look_again("dark", axe=(not light and short) or STRESS),
        }
        problems |= {(page, scheme): found for scheme, found in looks.items() if found}
        links.update(reader.links())
        names[page] = reader.names()
    reader.close()
    assert problems == {}
    assert broken_links(address, site, links, names) == []


def test_search_finds_anisotropy(browser: Any, address: str):
    reader = Reader(browser, address)
    found = reader.search("anisotropy")
    assert "Method" in found
    assert "Anisotropy, layer by layer" in found
    assert reader.problems == []
    reader.close()


_EXCERPTS = "count => document.querySelectorAll('#search-results p.context').length >= count"


def test_search_results_show_where_a_word_stands(browser: Any, address: str):
    for word, least in (("massive vectors", 8), ("anisotropy", 12)):
        reader = Reader(browser, address, "dark")
        found = reader.search(word)
        shown = reader.page.locator("#search-results p.context")
        # What is found by a name of the library's has that name's place in its stead.
        names = sum(
            "Python" in each for each in reader.page.locator("#search-results li").all_inner_texts()
        )
        reader.page.wait_for_function(_EXCERPTS, arg=len(found) - names)
        texts = shown.all_inner_texts()
        assert sum(word in each.lower() for each in texts) >= least
        assert max(map(len, texts)) <= 250
        amiss = re.compile(r"\\[(\[a-z]|Show code|Hide code|Data of this figure|[a-z]#( |$)|  ")
        assert [each for each in texts if amiss.search(each)] == []
        assert accessibility(reader.page) == []
        assert reader.problems == []
        reader.close()


def test_search_in_files_lists_pages_without_excerpts(browser: Any, site: Path):
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{(site / 'search.html').as_uri()}?q=anisotropy")
    page.wait_for_selector("#search-results ul.search li a")
    assert problems == []
    page.close()


FLAWS = {
    '<img src="nowhere.svg" alt="a curve">': "image missing: nowhere.svg",
    '<img src="_static/favicon.svg">': "image without alt text: _static/favicon.svg",
    '<img src="_static/favicon.svg?2" alt="_static/favicon.svg">': (
        "image without alt text: _static/favicon.svg?2"
    ),
    '<img src="https://outside.invalid/a.png" alt="a">': "outside request: https://outside",
    '<script>console.error("amiss")</script>': "console error: amiss",
    '<script>throw new Error("wrong")</script>': "page error: wrong",
    '<script src="nowhere.js"></script>': "answer 404: HOST/nowhere.js",
    r'<span class="math">\(x\)</span>': r"mathematics not rendered: \(x\)",
    r"<p>\(y\)</p>": r"raw mathematics: \(y\)",
    '<p style="color: #999; background: #fff">pale</p>': (
        'serious color-contrast, 1 times, such as <p style="color: #999; background: #fff">'
    ),
    '<div role="list"><p role="note">x</p></div>': "critical aria-required-children",
    '<div style="width: 700px">wide</div>': "px of content on a screen of: 390 px",
}
FOLDED = {"<details><p style='color: #888; background: #fff'>pale</p></details>": "color-contrast"}


@pytest.mark.parametrize("flaws", [FLAWS, FOLDED], ids=["open", "folded"])
def test_flaws_are_reported(browser: Any, site: Path, tmp_path: Path, flaws: dict[str, str]):
    # A page without mathematics of its own, so that nothing but the flaws can be wrong with it.
    page = (site / "references.html").read_text()
    (tmp_path / "_static").symlink_to(site / "_static")
    whole = page.replace("</article>", f"{''.join(flaws)}</article>")
    (tmp_path / "page.html").write_text(whole)
    with serve(tmp_path) as address:
        reader = Reader(browser, address)
        problems = [each.replace(address, "HOST") for each in reader.look("page.html")]
        reader.close()
    for flaw, report in flaws.items():
        assert any(report in problem for problem in problems), (flaw, problems)


def test_a_broken_link_is_reported(site: Path):
    host = "http://127.0.0.1:1"
    links = {f"{host}/intro.html", f"{host}/gone.html", f"{host}/intro.html#gone", "https://a.b/c"}
    found = broken_links(host, site, links, {"intro.html": {"here"}})
    assert found == ["/gone.html", "/intro.html#gone"]


ADDRESS = "https://github.com/someone/something"


def small_book(folder: Path, page: str) -> Path:
    """The source of a book of two pages, of which the second is a notebook."""
    (folder / "executed").mkdir(parents=True)
    chapters = "chapters:\n- file: executed/profiles\n"
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: page\n{chapters}")
    (folder / "references.bib").touch()
    shutil.copytree(ROOT / "book/_static", folder / "_static")
    shutil.copy(SOURCE / "executed" / "claims.json", folder / "executed")
    notebook = new_notebook(cells=[new_markdown_cell("# Another"), new_code_cell("1")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(notebook, folder / "executed" / "profiles.ipynb")
    (folder / "page.md").write_text(f"# A page\n\n{page}")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book: a table of claims, one of parameters and one of verdicts, as runs make them,
    and with an address in the configuration."""
    folder = tmp_path_factory.mktemp("small")
    parts = [f"a-part-of-the-grid-{n}" for n in range(9)]
    cell = new_code_cell(
        f"# What *counts*.\nparts = {parts}\nseed = 0\n# Another.\ndevice = 'auto'"
    )
    cell.metadata["tags"] = ["parameters"]
    notebook = new_notebook(cells=[cell])
    notebook.metadata[notebooks.RUN] = {"parameters": {"seed": 1}}
    told = status.parameters({"page": notebook}).replace("executed/page.ipynb", "page.md")
    kept = Shown(RECORDS)._repr_mimebundle_()[0]["text/html"]
    # Pages that were recorded before have no class to know such tables by.
    kept = re.sub(r"<table[^>]*>", "<table class='dataframe verdicts'>", kept, count=1)
    shown = f'<div class="cell_output"><div class="output text_html">{kept}</div></div>'
    raw = f"```{{raw}} html\n{shown}\n```\n"
    number = "It is 0.2<!-- = 0.2034 --> of 0.5<!-- set -->.\n"
    page = f"{told}\n\n{number}\n{raw}\n```{{claim-table}}\n```\n"
    source = small_book(folder / "book", page)
    records = [{**each, "page": "profiles"} for each in RECORDS]
    (source / "executed" / "claims.json").write_text(json.dumps(records))
    config = yaml.safe_load(CONFIG.read_text())
    config["repository"]["url"] = ADDRESS
    extensions = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {
        name: str(ROOT / folder) for name, folder in extensions.items()
    }
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    return render(source, folder / "out", folder / "_config.yml")


def test_a_warning_and_a_claim_without_a_record_fail_the_render(small: Path, tmp_path: Path):
    assert RECORDS[-1]["claim"] in (small / "page.html").read_text().replace("’", "'")
    page = "{ref}`nowhere`: 0.17<!-- = 0.2 --> of it.\n\n```{claim-table}\n```\n"
    source = small_book(tmp_path / "book", page)
    (source / "executed" / "claims.json").write_text(json.dumps(RECORDS[:-1]))
    with pytest.raises(AssertionError) as caught:
        render(source, tmp_path / "out")
    said = str(caught.value)
    assert f"'{RECORDS[-1]['id']}' has no record" in said
    assert re.search(r"WARNING: .*nowhere", said)
    assert "page: '0.17 of it.': the text says 0.17, the data say 0.2 (0.2)" in said
    assert "build finished with problems, 3 warnings" in said


_CLAIMS = """() => [...document.querySelectorAll("table.claims tbody tr")].map(row => ({
  cells: [...row.cells].map(cell => cell.textContent),
  link: row.cells[2].querySelector("a").href,
  figure: row.querySelector("svg")?.ariaLabel,
}))"""


def test_the_first_page_answers_for_every_claim(browser: Any, address: str):
    reader = Reader(browser, address)
    assert reader.look("intro.html") == []
    shown = reader.page.evaluate(_CLAIMS)
    reader.close()
    assert len(shown) == len(RECORDS) > 0
    left = list(RECORDS)
    for row in shown:
        # Sphinx sets typographic apostrophes.
        cells = [" ".join(each.split()).replace("’", "'") for each in row["cells"]]
        claim, _, verdict, effect = cells
        page = row["link"].removeprefix(f"{address}/executed/").removesuffix(".html")
        of_row = [
            each for each in left
            if f"{label(each)} {each['claim']}" in claim and each["page"] == page
        ]  # fmt: skip
        record = of_row[0]
        left.remove(record)
        assert verdict.startswith(record["verdict"])
        assert record["verdict"] in WORDS
        assert reason(record) in verdict
        assert record["effect"] in effect or not record["models"]
        for model in record["models"]:
            # A thin space parts thousands, and is a space like any other here.
            assert " ".join(f"{model['model']} {sentence(model)}".split()) in effect
            assert model["statistic"] is None or model["model"] in row["figure"]
    assert left == []


_ANSWERS = """() => [...document.querySelectorAll("ul.answers > li")].map(item => ({
  text: item.textContent, links: [...item.querySelectorAll("a")].map(link => link.href)}))"""


_CARDS = """() => [...document.querySelectorAll(".answer-card")].map(card => {
  const image = [...card.querySelectorAll("img")].find(each => each.checkVisibility());
  const link = card.querySelector(".answer-word a");
  return {
    word: link.textContent, link: link.href, told: card.querySelector(".answer-told").textContent,
    ends: image.getBoundingClientRect().bottom, drawn: image.clientWidth > 200,
  };
})"""


def test_the_first_screen_shows_a_figure_and_the_answer_to_claim_1(browser: Any, address: str):
    (bell,) = (each for each in RECORDS if each["id"] == "decoder-bell")
    for scheme in ("light", "dark"):
        reader = Reader(browser, address, scheme)
        for size in (WIDE, NARROW):
            reader.page.set_viewport_size(size)
            reader.page.goto(f"{address}/intro.html")
            first, *others = reader.page.evaluate(_CARDS)
            assert first["word"] == bell["verdict"].capitalize()
            assert first["link"] == f"{address}/executed/profiles.html"
            for model in bell["models"]:
                assert model["model"] in first["told"]
                assert f"{model['statistic']:.2f}".replace("-", "−") in first["told"]
            assert first["drawn"]
            assert first["ends"] <= size["height"]
            assert len(others) == 2
            assert size == NARROW or max(each["ends"] for each in others) <= size["height"]
        assert reader.problems == []
        reader.close()


def test_the_first_page_lists_the_claims_of_every_word(browser: Any, address: str):
    reader = Reader(browser, address)
    reader.page.goto(f"{address}/intro.html")
    shown = reader.page.evaluate(_ANSWERS)
    reader.close()
    wanted = []
    for asked in (False, True):
        words = {each["verdict"] for each in RECORDS if bool(each["asked"]) == asked}
        wanted += [(asked, word) for word in WORDS if word in words]
        wanted += [(asked, "none")] if set(WORDS) - words else []
    assert len(shown) == len(wanted)
    for line, (asked, word) in zip(shown, wanted, strict=True):
        found = [r for r in RECORDS if r["verdict"] == word and bool(r["asked"]) == asked]
        assert line["text"].startswith(f"{word.capitalize()}: ")
        assert sorted(line["links"]) == sorted(
            f"{address}/executed/{each['page']}.html" for each in found
        )
        text = " ".join(line["text"].split()).replace("’", "'")
        assert all(f"{each['title']} ({each['number']})" in text for each in found)


_ROWS_SHOWN = """() => [...document.querySelectorAll("table.claims tbody tr")]
  .filter(row => row.checkVisibility()).map(row => row.cells[2].querySelector("a").textContent)"""


def test_claims_are_sorted_and_filtered(browser: Any, address: str):
    reader = Reader(browser, address)
    page = reader.page
    page.goto(f"{address}/intro.html")
    words = lambda: page.evaluate(_ROWS_SHOWN)  # noqa: E731
    count = page.locator(".claim-count")
    everything = words()
    assert len(everything) == len(RECORDS)
    # As a reader of a phone sorts, and one with a pointer: the same order.
    page.get_by_label("Sort by").select_option("word")
    by_word = words()
    assert by_word == sorted(everything, key=WORDS.index) != everything
    head = page.get_by_role("columnheader", name="verdict")
    assert head.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="claim", exact=True).click()
    assert words() == everything
    page.get_by_role("button", name="verdict", exact=True).click()
    assert words() == by_word
    page.get_by_label("Word").select_option("Supported")
    supported = [each for each in RECORDS if each["verdict"] == "supported"]
    assert words() == ["supported"] * len(supported)
    assert count.inner_text() == f"{len(supported)} of {len(RECORDS)} claims shown."
    papers = {each["paper"] for each in supported}
    for paper in papers:
        page.get_by_label("Paper").select_option(paper.split(" Explains ")[0])
        assert len(words()) == sum(each["paper"] == paper for each in supported)
    page.get_by_label("Paper").select_option("all")
    page.get_by_label("Word").select_option("all")
    page.locator("select[name=evidence]").select_option("No model at hand")
    assert len(words()) == sum(not each["models"] for each in RECORDS)
    assert reader.problems == []
    reader.close()


_MEANINGS = """() => [...document.querySelectorAll(".word[title], a[title][href*='#term-']")].map(
  each => [each.textContent, each.title])"""


def test_words_show_the_glossarys_meaning(browser: Any, address: str):
    page = browser.new_page()
    page.goto(f"{address}/glossary.html")
    said = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("dl.glossary dt")].map(
          term => [term.firstChild.textContent, term.nextElementSibling.textContent.trim()]))"""
    )
    assert set(WORDS) <= set(said)
    page.goto(f"{address}/intro.html")
    shown = page.evaluate(_MEANINGS)
    page.close()
    assert {word for word, _ in shown} >= {each["verdict"] for each in RECORDS}
    for word, meaning in shown:
        assert " ".join(said[word].split()) == meaning.replace("'", "’")


# What a reader reads before the first picture; code that is folded away is not read.
_BEFORE = r"""() => {
  const words = [];
  const walker = document.createTreeWalker(document.querySelector("article"));
  for (let node; (node = walker.nextNode()); ) {
    if (node.nodeName === "IMG" && node.checkVisibility()) break;
    if (node.nodeType === Node.TEXT_NODE && node.parentElement.checkVisibility()
        && !node.parentElement.closest("details, .headerlink, script, .sd-sphinx-override"))
      words.push(...node.data.split(/\s+/).filter(word => /[\p{L}\p{N}]/u.test(word)));
  }
  return words;
}"""
# At most so many: half a minute.
MOST_WORDS = 120


def test_at_most_so_many_words_stand_before_the_first_figure(browser: Any, address: str):
    page = browser.new_page(viewport=WIDE)
    for name in ("intro", *(f"executed/{each}" for each in {each["page"] for each in RECORDS})):
        page.goto(f"{address}/{name}.html")
        words = page.evaluate(_BEFORE)
        assert 20 < len(words) <= MOST_WORDS, (name, len(words), " ".join(words))
    page.close()


_PICTURES = """() => [...document.querySelectorAll("figure picture img")].filter(
  each => each.checkVisibility()).map(each => ({
    name: each.currentSrc.split("/").at(-1), stacked: each.parentElement.matches(".stacked"),
    width: each.clientWidth, letters: 10 * 4 / 3 * each.clientWidth / each.naturalWidth,
  }))"""


def test_figures_are_of_the_scheme_and_of_the_screen(browser: Any, address: str):
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport=NARROW, color_scheme=scheme)
        for name in ("profiles", "at-which-scale"):
            page.goto(f"{address}/executed/{name}.html")
            page.evaluate(
                "() => Promise.all([...document.images].map(each => { each.loading = 'eager'; "
                "return each.decode().catch(() => {}); }))"
            )
            for each in page.evaluate(_PICTURES):
                assert each["name"].endswith(f"{scheme}-narrow.svg") or not each["stacked"]
                assert ("dark" in each["name"]) == (scheme == "dark")
                if each["stacked"]:
                    assert each["width"] <= NARROW["width"]
                    assert each["letters"] >= 9
            page.set_viewport_size(WIDE)
            page.wait_for_function(
                "() => ![...document.querySelectorAll('figure picture img')].some("
                "each => each.checkVisibility() && each.currentSrc.includes('narrow'))"
            )
            page.set_viewport_size(NARROW)
        page.close()


def test_a_page_says_what_it_found_before_its_first_figure(browser: Any, address: str):
    reader = Reader(browser, address)
    for page in {each["page"] for each in RECORDS}:
        reader.page.goto(f"{address}/executed/{page}.html")
        shown = reader.page.evaluate(_ANSWERS)
        of_page = [each for each in RECORDS if each["page"] == page]
        assert len(shown) == len(of_page)
        for line, each in zip(shown, of_page, strict=True):
            assert f"{each['title']}: {each['verdict']}" in line["text"].replace("’", "'")
            (link,) = line["links"]
            assert reader.page.locator(f"#{link.split('#')[1]} h2").inner_text().startswith("Verd")
        first, box = (reader.page.locator(each).first for each in ("article img", "ul.answers"))
        assert box.bounding_box()["y"] < first.bounding_box()["y"]
    reader.close()


_DRAWN = """() => document.querySelector(".explorer-figure > div").data.map(
  trace => ({name: trace.name, x: trace.x, y: trace.y, fill: trace.fill, line: trace.line,
    marker: trace.marker}))"""
_ROWS = """() => [...document.querySelectorAll(".explorer-numbers tbody tr")].map(
  row => [...row.cells].map(cell => cell.textContent))"""


def test_the_explorer_redraws(browser: Any, address: str, site: Path):
    reader = Reader(browser, address)
    assert reader.look("explorer.html") == []
    page = reader.page
    lines = lambda: [each for each in page.evaluate(_DRAWN) if not each["fill"]]  # noqa: E731
    table = pd.read_csv(SOURCE / "executed" / "data" / "profiles.csv")

    def measured(model: str, tokens: str, metric: str, column: str) -> list[float]:
        rows = table[(table["model"] == model) & (table["tokens"] == tokens)]
        rows = rows[(rows["metric"] == metric) & (rows["centered"] != False)]  # noqa: E712
        return rows.sort_values("layer")[column].tolist()

    first = lines()
    models = table["model"].unique()[:2]
    assert [each["name"].split(",")[0] for each in first] == list(models)
    for line, model in zip(first, models, strict=True):
        assert line["y"] == pytest.approx(measured(model, "all", "anisotropy", "value"), rel=1e-3)
        assert line["x"] == pytest.approx(measured(model, "all", "anisotropy", "depth"), abs=1e-3)
    bands = [each for each in page.evaluate(_DRAWN) if each["fill"]]
    assert len(bands) == len(first)
    upper = np.add(*(measured(models[0], "all", "anisotropy", each) for each in ("value", "std")))
    assert bands[0]["y"][: len(upper)] == pytest.approx(list(upper), rel=1e-3)
    # Another metric, another axis, other vectors, one model fewer: from the keyboard.
    page.get_by_label("Metric").focus()
    page.keyboard.type("dimension: TwoNN, lowest 90")
    assert lines()[0]["y"] == pytest.approx(measured(models[0], "all", "two_nn", "value"), rel=1e-3)
    page.get_by_label("Axis").select_option("layer")
    assert lines()[0]["x"] == measured(models[0], "all", "two_nn", "layer")
    page.get_by_role("checkbox", name="without massive vectors").focus()
    page.keyboard.press("Space")
    assert len(lines()) == 2 * len(first)
    assert len({each["line"]["dash"] for each in lines()}) == 2
    page.get_by_role("checkbox", name=models[1]).uncheck()
    assert {each["name"].split(",")[0] for each in lines()} == {models[0]}
    rows = page.evaluate(_ROWS)
    assert len(rows) == sum(len(each["y"]) for each in lines())
    assert [float(row[2]) for row in rows] == [y for each in lines() for y in each["y"]]
    assert models[0] in page.locator(".explorer-figure").get_attribute("aria-label")
    page.get_by_label("What").select_option("training")
    curves = lines()
    assert len(curves) == 2
    assert all(len(each["x"]) > 10 for each in curves)
    assert reader.problems == []
    reader.close()


def lines_of(page: Any) -> list[dict[str, Any]]:
    """The curves that the explorer draws, without their bands."""
    return [each for each in page.evaluate(_DRAWN) if not each["fill"]]


def tick_all(page: Any, name: str, ticked: bool = True) -> None:
    for box in page.locator(f"input[name={name}]").all():
        box.set_checked(ticked)


_PLACES = """() => {
  const box = each => (({left, right, top, bottom}) => [left, right, top, bottom])(
    each.getBoundingClientRect());
  return {
    title: box(document.querySelector(".explorer-figure .xtitle")),
    drawn: box(document.querySelector(".explorer-figure .nsewdrag")),
    entries: [...document.querySelectorAll(".explorer-legend li")].map(box),
    status: box(document.querySelector(".explorer-status")),
  };
}"""


_FITS = """() => {
  const right = document.querySelector(".explorer-figure .main-svg").getBoundingClientRect().right;
  return right <= innerWidth && right > 0.6 * innerWidth;
}"""


def test_the_explorer_has_room_for_every_recipe(browser: Any, address: str, tmp_path: Path):
    reader = Reader(browser, address)
    page = reader.page
    page.goto(f"{address}/explorer.html")
    page.get_by_label("What").select_option("training")
    tick_all(page, "group")
    tick_all(page, "set")
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        page.wait_for_function(_FITS)
        lines = lines_of(page)
        assert len(lines) == 20
        looks = [
            (each["line"]["color"], each["line"]["dash"], each["marker"]["symbol"][0])
            for each in lines
        ]
        assert len(set(looks)) == 20
        places = page.evaluate(_PLACES)
        assert len(places["entries"]) == 20
        assert places["drawn"][3] - places["drawn"][2] > 300
        for at, (left, right, top, bottom) in enumerate(places["entries"]):
            assert places["title"][3] <= top < bottom <= places["status"][2]
            assert 0 <= left < right <= size["width"]
            for other in places["entries"][:at]:
                assert other[3] <= top or other[1] <= left
        named = page.locator(".explorer-legend li").all_inner_texts()
        assert [each["name"] for each in lines] == [each.splitlines()[0] for each in named]
        # The legend shows the stroke of its curve, and what is saved has a legend of its own.
        shown = page.locator(".explorer-legend path:first-child").first
        assert shown.get_attribute("stroke") == lines[0]["line"]["color"]
        with page.expect_download() as download:
            page.get_by_role("button", name="Save figure").click()
        download.value.save_as(tmp_path / "figure.svg")
        saved = (tmp_path / "figure.svg").read_text()
        legend = saved[saved.index('class="legend"') :]
        assert [each["name"] for each in lines if each["name"] not in legend] == []
    assert reader.problems == []
    reader.close()


@pytest.fixture
def explorer(browser: Any, address: str) -> Iterator[Reader]:
    """A window on the explorer as it opens."""
    reader = Reader(browser, address)
    reader.page.goto(f"{address}/explorer.html")
    yield reader
    reader.close()


def test_the_explorer_says_what_a_band_is_and_where_there_is_none(explorer: Reader):
    page = explorer.page
    notes = page.locator(".explorer-legend small")
    assert set(notes.all_inner_texts()) == {"± one standard deviation of 4 batches"}
    assert len([each for each in page.evaluate(_DRAWN) if each["fill"]]) == 2
    page.get_by_label("Metric").select_option("mom_k100")
    assert set(notes.all_inner_texts()) == {"one batch, so no band"}
    assert [each for each in page.evaluate(_DRAWN) if each["fill"]] == []
    assert {row[3] for row in page.evaluate(_ROWS)} == {"–"}
    page.get_by_label("What").select_option("training")
    tick_all(page, "group")
    assert set(notes.all_inner_texts()) == {
        "± two standard errors of 3 runs",
        "one run, so no band",
    }
    # The embedding's marker is open in the figure and filled in the legend.
    page.get_by_label("What").select_option("profiles")
    assert lines_of(page)[0]["marker"]["symbol"][:2] == ["circle-open", "circle"]
    marker = page.locator(".explorer-legend path:last-child").first
    assert marker.get_attribute("fill") == lines_of(page)[0]["line"]["color"]


def test_the_explorer_asks_for_a_choice_where_there_is_none(explorer: Reader):
    page = explorer.page
    figure = page.locator(".explorer-figure")
    status = page.locator(".explorer-status")
    tick_all(page, "group", False)
    assert status.inner_text() == "Choose at least one model."
    assert not figure.is_visible()
    assert not page.get_by_role("button", name="Save figure").is_visible()
    assert accessibility(page) == []
    tick_all(page, "group")
    assert figure.is_visible()
    tick_all(page, "set", False)
    assert status.inner_text() == "Choose at least one set of tokens."
    page.get_by_label("What").select_option("training")
    tick_all(page, "group", False)
    assert status.inner_text() == "Choose at least one recipe."


def test_the_explorer_keeps_its_choice_in_the_address(browser: Any, address: str):
    reader = Reader(browser, address)
    page = reader.page
    state = lambda: (  # noqa: E731
        [page.get_by_label(each).input_value() for each in ("What", "Metric", "Axis")],
        page.locator(".explorer-legend li").all_inner_texts(),
        page.locator(".explorer-status").inner_text(),
    )
    page.goto(f"{address}/explorer.html")
    first = state()
    assert "#" not in page.url
    page.get_by_label("What").select_option("training")
    page.get_by_label("Metric").select_option("average_cosine, not centered")
    page.get_by_label("Axis").select_option("step")
    page.get_by_role("checkbox", name="encoder-192").check()
    kept, link = state(), page.url
    assert kept[0] == ["training", "average_cosine, not centered", "step"]
    assert len(kept[1]) == 3
    tick_all(page, "set", False)
    nothing, empty = state(), page.url
    for url, expected in ((link, kept), (empty, nothing)):
        page.goto("about:blank")
        page.goto(url)
        assert state() == expected
    page.evaluate("link => { location.hash = new URL(link).hash }", link)
    page.wait_for_function("() => document.querySelectorAll('.explorer-legend li').length === 3")
    assert state() == kept
    page.go_back()
    page.wait_for_function("() => !document.querySelector('.explorer-legend li')")
    assert state() == nothing
    page.go_forward()
    page.wait_for_function("() => document.querySelectorAll('.explorer-legend li').length === 3")
    assert state() == kept
    # A place on the page is no choice, and garbage is none either.
    page.evaluate("() => { location.hash = 'explorer' }")
    assert state() == kept
    for garbage in (
        "#view=no&metric=%zz&axis=&group=gone&set=1",
        "#%%%",
        "#explorer",
        "#=&=&&group",
    ):
        page.goto("about:blank")
        page.goto(f"{address}/explorer.html{garbage}")
        if garbage.endswith("group"):
            assert state()[2] == "Choose at least one model."
        else:
            assert state() == first
    assert reader.problems == []
    reader.close()


def test_the_explorer_works_from_a_file_and_in_the_dark(browser: Any, site: Path):
    context = browser.new_context(viewport=NARROW, color_scheme="dark")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda each: problems.append(each.url) if each.url[:5] != "file:" else None)
    page.goto((site / "explorer.html").as_uri())
    page.wait_for_selector(".explorer-figure .scatterlayer .trace")
    ink = "() => getComputedStyle(document.querySelector('.xtitle')).fill"
    dark = page.evaluate(ink)
    page.evaluate("() => { document.documentElement.dataset.theme = 'light' }")
    page.wait_for_function(f"before => ({ink})() !== before", arg=dark)
    assert [each for each in problems if not each.startswith("data:")] == []
    context.close()


def test_the_explorer_without_scripts_shows_numbers(browser: Any, address: str):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/explorer.html")
    page.get_by_text("The numbers shown").click()
    assert page.locator(".explorer-numbers tbody tr").first.is_visible()
    assert page.get_by_text("Redrawing needs JavaScript").is_visible()
    assert not page.locator(".explorer-controls").is_visible()
    context.close()


# What scrolls sideways within the article: its width, whether it says so, and whether it fades.
_SCROLLING = """() => [...document.querySelectorAll("article *")].filter(
    each => each.checkVisibility() && /auto|scroll/.test(getComputedStyle(each).overflowX)
      && each.scrollWidth > each.clientWidth + 2 && !each.closest("pre"))
  .map(each => {
    const line = (each.closest("div.math") ?? each).previousElementSibling;
    return {
      what: each.className || each.tagName,
      told: line?.className === "scroll-cue" && line.checkVisibility(),
      fades: getComputedStyle(each).maskImage !== "none",
      tab: each.tabIndex,
      share: each.clientWidth / each.scrollWidth,
    };
  })"""
_ENDS = """() => document.querySelectorAll(".scroll-more").forEach(
  each => { each.scrollLeft = each.scrollWidth })"""

_NO_MORE = f"() => {{ ({_ENDS})(); return !document.querySelector('.scroll-more'); }}"


def test_what_scrolls_on_a_phone_says_so(browser: Any, address: str):
    """Opened in the dark: a page says what scheme it is opened in before it is drawn."""
    reader = Reader(browser, address, "dark")
    page = reader.page
    pages = {
        "executed/validation": "figure-box", "method": "MathJax",
        "executed/what-makes-the-bell": "output", "models": "pst-scrollable-table-container",
    }  # fmt: skip
    for name, kind in pages.items():
        page.set_viewport_size(NARROW)
        page.goto(f"{address}/{name}.html")
        page.wait_for_selector(".scroll-cue")
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(f"() => document.documentElement.dataset.theme === '{scheme}'")
            found = page.evaluate(_SCROLLING)
            assert [each for each in found if kind in each["what"]], (name, found)
            assert [each for each in found if not (each["told"] and each["fades"])] == []
            assert page.locator(".scroll-cue:visible").count() == len(found)
            assert [each for each in found if each["tab"] < 0] == []
            for each in found:
                # Of two panels more than the first is within the screen.
                assert "figure-box" not in each["what"] or each["share"] > 0.4
        page.emulate_media(color_scheme="dark")
        # At the end there is no more; a figure may still be getting wider as its page settles.
        page.wait_for_function(_NO_MORE)
        page.set_viewport_size(WIDE)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.scroll-cue')].every("
            "cue => !/figure-box|math/.test(cue.nextElementSibling.className))"
        )
        found = page.evaluate(_SCROLLING)
        assert page.locator(".scroll-cue:visible").count() == len(found)
    assert reader.problems == []
    reader.close()


def test_a_caption_stays_where_its_figure_scrolls(browser: Any, address: str):
    page = browser.new_page(viewport=NARROW)
    page.goto(f"{address}/executed/validation.html")
    page.wait_for_selector(".figure-box.scroll-more")
    place = "() => document.querySelector('figcaption').getBoundingClientRect().left"
    before = page.evaluate(place)
    page.evaluate(_ENDS)
    assert page.evaluate(place) == before
    assert page.evaluate("() => document.querySelector('.figure-box').scrollLeft") > 0
    page.close()


_NUMBERED = """() => [...document.querySelectorAll("div.math:has(.eqno)")].map(each => {
  const [formula, number] = ["mjx-container", ".eqno"].map(
    kind => each.querySelector(kind).getBoundingClientRect());
  return [each.id, formula.right <= number.left + 1 || formula.bottom <= number.top + 1,
    number.left >= 0 && number.right <= innerWidth];
})"""


def test_equations_stand_beside_or_above_their_numbers(browser: Any, address: str):
    page = browser.new_page(viewport=NARROW)
    page.goto(f"{address}/method.html")
    page.evaluate("() => MathJax.startup.promise")
    shown = page.evaluate(_NUMBERED)
    assert len(shown) >= 6
    assert [each for each in shown if each[1:] != [True, True]] == []
    whole = "() => (each => each.scrollWidth - each.clientWidth)(document.querySelector("
    whole += "'#equation-eq-mada mjx-container'))"
    assert page.evaluate(whole) <= 2
    page.close()


_TABLES = """() => ["parameters", "verdicts"].map(name => {
  const table = document.querySelector(`table.${name}`);
  const box = table.parentElement;
  const cells = [...table.querySelector("tbody tr").cells].map(
    each => each.getBoundingClientRect());
  return {
    head: table.tHead.checkVisibility(),
    over: box.scrollWidth - box.clientWidth,
    stacked: cells.every((each, at) => !at || cells[at - 1].bottom <= each.top),
    widths: cells.map(each => each.width / box.clientWidth),
    text: table.innerText,
  };
})"""


def test_tables_of_parameters_and_verdicts_are_cards_on_a_phone(browser: Any, small: Path):
    with serve(small) as address:
        reader = Reader(browser, address)
        for scheme in ("light", "dark"):
            found = reader.look("page.html") if scheme == "light" else reader.look_again(scheme)
            assert found == []
            reader.page.set_viewport_size(WIDE)
            for table in reader.page.evaluate(_TABLES):
                assert table["head"]
                assert not table["stacked"]
                assert table["over"] <= 1
            reader.page.set_viewport_size(NARROW)
            for table in reader.page.evaluate(_TABLES):
                assert not table["head"]
                assert table["stacked"]
                assert table["over"] <= 1
                assert min(table["widths"]) > 0.8
            # A row that the pointer is on is a little darker or lighter, and no brighter in colour.
            reader.page.set_viewport_size(WIDE)
            row = reader.page.locator("table.verdicts tbody tr").first
            row.hover()
            ground = row.evaluate("row => getComputedStyle(row).backgroundColor")
            levels = [int(each) for each in re.findall(r"\d+", ground)][:3]
            assert max(levels) - min(levels) < 40
            assert accessibility(reader.page) == []
        reader.close()


def test_folded_code_is_a_thin_line_that_the_keyboard_opens(browser: Any, address: str):
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{address}/executed/profiles.html")
    bars = page.locator("details.above-input > summary")
    assert bars.count() > 5
    assert max(bars.evaluate_all("all => all.map(each => each.offsetHeight)")) <= 28
    assert set(bars.evaluate_all("all => all.map(each => getComputedStyle(each).fontWeight)")) == {
        "400"
    }
    bars.first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.above-input[open] .cell_input").first.is_visible()
    page.close()


def test_other_pages_do_not_load_the_plotting_library(site: Path):
    with_it = [page for page in PAGES if "plotly" in (site / page).read_text()]
    assert with_it == ["explorer.html"]


BUTTONS = ("source-repository", "source-edit", "source-issues", "launch-buttons")


def test_no_repository_buttons_without_an_address(site: Path):
    if yaml.safe_load(CONFIG.read_text())["repository"]["url"]:
        pytest.skip("repository.url is set in _config.yml")
    for page in PAGES:
        html = (site / page).read_text()
        assert [each for each in BUTTONS if each in html] == []
        assert "mybinder" not in html


def test_an_address_brings_the_repository_buttons(small: Path):
    page = (small / "executed/profiles.html").read_text()
    assert [each for each in BUTTONS if each not in page] == []
    assert f'href="{ADDRESS}"' in page
    assert f'href="{ADDRESS}/edit/main/book/executed/profiles.ipynb"' in page
    assert f'href="{ADDRESS}/issues/new' in page
    assert "mybinder.org/v2/gh/someone/something/main" in page
    assert "lab/tree/book/executed/profiles.ipynb" in page
    assert "download-source-button" in page
