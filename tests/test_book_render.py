"""The recorded pages render without a warning, and a reader's browser finds nothing amiss.

SHAPELIB_BOOK_SOURCE names another source to open instead, such as `_build/source` after
`make book`.
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

import numpy as np
import pandas as pd
import pytest
import yaml
from browser import NARROW, WIDE, Reader, broken_links, serve

from shapelib import glance
from shapelib.claims import VERDICTS, label, sentence

ROOT = Path(__file__).parent.parent
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_whole_in_a_browser(browser: Any, address: str, site: Path, scheme: str):
    reader = Reader(browser, address, scheme)
    problems, links, names = {}, set(), {}
    for page in PAGES:
        if found := reader.look(page):
            problems[page] = found
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


@pytest.mark.parametrize(
    ("flaw", "report"),
    [
        ('<img src="nowhere.svg" alt="a curve">', "image missing: nowhere.svg"),
        ('<img src="_static/favicon.svg">', "image without alt text: _static/favicon.svg"),
        ('<img src="_static/favicon.svg" alt="_static/favicon.svg">', "image without alt text"),
        ('<img src="https://outside.invalid/a.png" alt="a">', "outside request: https://outside"),
        ('<script>console.error("amiss")</script>', "console error: amiss"),
        ('<script>throw new Error("amiss")</script>', "page error: amiss"),
        ('<script src="nowhere.js"></script>', "answer 404"),
        (r'<span class="math">\(x\)</span>', r"mathematics not rendered: \(x\)"),
        (r"<p>\(x\)</p>", r"raw mathematics: \(x\)"),
        ('<p style="color: #999; background: #fff">pale</p>', "serious color-contrast, 1 times"),
        ("<details><p style='color: #999; background: #fff'>pale</p></details>", "color-contrast"),
        ('<div role="list"><p role="note">x</p></div>', "critical aria-required-children"),
        ('<div style="width: 700px">wide</div>', "px of content on a screen of: 390 px"),
    ],
)
def test_a_flaw_is_reported(browser: Any, site: Path, tmp_path: Path, flaw: str, report: str):
    # A page without mathematics of its own, so that nothing but the flaw can be wrong with it.
    page = (site / "references.html").read_text()
    (tmp_path / "_static").symlink_to(site / "_static")
    (tmp_path / "page.html").write_text(page.replace("</article>", f"{flaw}</article>"))
    with serve(tmp_path) as address:
        reader = Reader(browser, address)
        problems = reader.look("page.html")
        reader.close()
    assert any(report in problem for problem in problems), problems


def test_a_broken_link_is_reported(site: Path):
    host = "http://127.0.0.1:1"
    links = {f"{host}/intro.html", f"{host}/gone.html", f"{host}/intro.html#gone", "https://a.b/c"}
    found = broken_links(host, site, links, {"intro.html": {"here"}})
    assert found == ["/gone.html", "/intro.html#gone"]


def test_a_warning_fails_the_render(tmp_path: Path):
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (tmp_path / "references.bib").touch()
    (tmp_path / "_static").mkdir()
    shutil.copy(ROOT / "book/_static/favicon.svg", tmp_path / "_static")
    (tmp_path / "page.md").write_text("# A page\n\n{ref}`nowhere`\n")
    with pytest.raises(AssertionError, match="nowhere"):
        render(tmp_path, tmp_path / "output")


def test_a_claim_without_a_record_fails_the_render(tmp_path: Path):
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: page\nchapters:\n- file: executed/a\n"
    )
    (tmp_path / "references.bib").touch()
    (tmp_path / "executed").mkdir()
    shutil.copytree(ROOT / "book/_static", tmp_path / "_static")
    (tmp_path / "executed" / "a.md").write_text("# Another\n")
    (tmp_path / "page.md").write_text("# A page\n\n```{claim-table}\n```\n")
    records = [{**each, "page": "a"} for each in RECORDS]
    kept = tmp_path / "executed" / "claims.json"
    kept.write_text(json.dumps(records))
    assert records[-1]["claim"] in (render(tmp_path, tmp_path / "out") / "page.html").read_text()
    kept.write_text(json.dumps(records[:-1]))
    with pytest.raises(AssertionError, match=rf"'{records[-1]['id']}' has no record"):
        render(tmp_path, tmp_path / "out")


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
        assert record["verdict"] in VERDICTS
        assert glance.reason(record) in verdict
        assert (record["verdict_at_95"] in verdict) or record["verdict_at_95"] == record["verdict"]
        assert record["effect"] in effect or not record["models"]
        for model in record["models"]:
            assert f"{model['model']} {sentence(model)}" in effect
            assert model["statistic"] is None or model["model"] in row["figure"]
    assert left == []


_ANSWERS = """() => [...document.querySelectorAll("ul.answers > li")].map(item => ({
  text: item.textContent, links: [...item.querySelectorAll("a")].map(link => link.href)}))"""


def test_the_first_screen_says_of_every_claim_whether_it_holds(browser: Any, address: str):
    reader = Reader(browser, address)
    reader.page.goto(f"{address}/intro.html")
    shown = reader.page.evaluate(_ANSWERS)
    last = reader.page.locator("ul.answers").last.bounding_box()
    reader.close()
    assert last is not None
    assert last["y"] + last["height"] <= WIDE["height"]
    assert len(shown) == 2 * len(VERDICTS)
    for place, line in enumerate(shown):
        asked, word = place >= len(VERDICTS), VERDICTS[place % len(VERDICTS)]
        found = [r for r in RECORDS if r["verdict"] == word and bool(r["asked"]) == asked]
        assert line["text"].startswith(f"{word.capitalize()}: ")
        assert sorted(line["links"]) == sorted(
            f"{address}/executed/{each['page']}.html" for each in found
        )
        text = " ".join(line["text"].split()).replace("’", "'")
        assert all(f"{each['title']} ({each['number']})" in text for each in found)
        assert found or text.endswith("none")


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
  trace => ({name: trace.name, x: trace.x, y: trace.y, fill: trace.fill, line: trace.line}))"""
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


def test_an_address_brings_the_repository_buttons(site: Path, tmp_path: Path):
    config = yaml.safe_load(CONFIG.read_text())
    config["repository"]["url"] = "https://github.com/someone/something"
    extensions = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {
        name: str(ROOT / folder) for name, folder in extensions.items()
    }
    changed = tmp_path / "_config.yml"
    changed.write_text(yaml.safe_dump(config))
    page = (render(SOURCE, tmp_path, changed) / "executed/profiles.html").read_text()
    assert [each for each in BUTTONS if each not in page] == []
    repository = "https://github.com/someone/something"
    assert f'href="{repository}"' in page
    assert f'href="{repository}/edit/main/book/executed/profiles.ipynb"' in page
    assert f'href="{repository}/issues/new' in page
    assert "mybinder.org/v2/gh/someone/something/main" in page
    assert "lab/tree/book/executed/profiles.ipynb" in page
    assert "download-source-button" in page
