"""A reader's own table is drawn beside the book's models, in the browser; a wrong file gets a
sentence."""

import csv
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import plotly
import pytest
from browser import Reader, serve

from shapebook.pages import explorer
from shapelib import write_table

ROOT = Path(__file__).parents[3]
EXTENSIONS = ROOT / "book" / "_extensions"
_LINES = """() => document.querySelector(".explorer-figure > div").data
  .filter(each => !each.fill).map(({name, x, y, line}) => ({name, x, y, width: line.width}))"""
_ANEW = """() => {
  document.querySelector("[data-own=forget]").click();
  history.pushState(null, "", location.pathname);
  dispatchEvent(new PopStateEvent("popstate"));
}"""
# As a hand drops files on a page.
_DROP = """files => {
  const data = new DataTransfer();
  for (const [name, text] of files) data.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true,
      cancelable: true}));
}"""


def profile(model: str = "mine", window: str = "2048 characters", **columns: Any) -> pd.DataFrame:
    """A table in the form of `shapelib.profile`, of three layers."""
    rows = [
        {
            "model": model, "checkpoint": "final", "role": "decoder", "corpus": "mine.txt",
            "window": window, "seed": 0, "layer": layer, "depth": layer / 2,
            "after_norm": layer == 2, "tokens": "all", "metric": metric, "centered": centered,
            "value": 0.25 + layer / 8, "std": 0.01, "batches": 4,
        }
        for metric, centered in (("anisotropy", True), ("anisotropy", False), ("gride_4", None))
        for layer in (2, 0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"centered": "boolean"}).assign(**columns)


def written(table: pd.DataFrame, folder: Path, name: str = "mine.csv") -> tuple[str, str]:
    """A file as `shapelib profile --output` writes it: its name and its text."""
    return name, write_table(table, folder / name).read_text()


def directive() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page", EXTENSIONS / "explorer_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with an explorer of two models and a run, as the book's page has it."""
    page, folder = directive(), tmp_path_factory.mktemp("explorer")
    book = pd.concat(
        profile(name, "512 characters", role=role).query("metric != 'gride_4'")
        for name, role in (("dec", "decoder"), ("enc", "encoder"))
    )
    run = {
        "recipe": "r", "run": 0, "mixing": "mixed", "role": "decoder", "kind": "decoder",
        "metric": "anisotropy", "centered": True, "value": 0.5,
    }  # fmt: skip
    training = pd.DataFrame([{**run, "step": step} for step in (0, 9)])
    windows = book.assign(window="128 characters", native=False, value=0.5)
    data = explorer.data(book, training.astype({"centered": "boolean"}), windows)
    library = Path(plotly.__file__).parent / "package_data"
    for name in (page.PLOTLY, *page.OWN):
        file = library / name if name == page.PLOTLY else EXTENSIONS / name
        (folder / name).symlink_to(file)
    scripts = "".join(f'<script defer src="{each}"></script>' for each in (page.PLOTLY, *page.OWN))
    style = (ROOT / "book" / "_static" / "custom.css").read_text()
    (folder / "index.html").write_text(
        '<!DOCTYPE html><html lang="en" data-theme="light"><meta charset="utf-8"><title>x</title>'
        f"<style>html {{ --pst-color-text-base: #222; --pst-color-border: #ccc; "
        f"--pst-color-background: #fff }}{style}</style><main>{page._html(data)}</main>"
        f"{scripts}</html>"
    )
    return folder


@pytest.fixture(scope="module")
def window(browser: Any, folder: Path) -> Iterator[Reader]:
    """A window on it; what goes out of it, or fails in it, is among its problems."""
    with serve(folder) as address:
        reader = Reader(browser, address)
        reader.page.goto(f"{address}/index.html")
        yield reader
        reader.close()


@pytest.fixture
def reader(window: Reader) -> Reader:
    """The page as it opens: to open it anew takes seconds, for the plotting library's sake."""
    window.problems = []
    window.page.evaluate(_ANEW)
    return window


def drop(reader: Reader, *files: tuple[str, str]) -> str:
    """Drop files, and wait for what is said of them."""
    status = reader.page.locator(".explorer-own-status")
    status.evaluate("each => { each.textContent = '' }")
    reader.page.evaluate(_DROP, list(files))
    reader.page.wait_for_function(
        "() => document.querySelector('.explorer-own-status').textContent"
    )
    return str(status.inner_text())


def lines(reader: Reader) -> dict[str, Any]:
    return {each["name"]: each for each in reader.page.evaluate(_LINES)}


def test_a_dropped_table_is_drawn_beside_the_books_models(reader: Reader, tmp_path: Path):
    before = set(lines(reader))
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))
    assert drop(reader, written(profile(), tmp_path)) == "mine.csv: mine (decoder, yours)."
    shown = lines(reader)
    assert set(shown) == {*before, "mine, all vectors"}
    mine = shown["mine, all vectors"]
    assert mine["y"] == [0.25, 0.375, 0.5]
    assert mine["x"] == [0, 0.5, 1]
    assert mine["width"] > shown["dec, all vectors"]["width"]
    legend = reader.page.locator(".explorer-legend li").last.inner_text()
    assert "your table, 2048 characters, ± one standard deviation of 4 batches" in legend
    # A metric that the book does not have; and the models' setting is not that of the table.
    reader.page.get_by_label("Metric").select_option("gride_4")
    assert set(lines(reader)) == {"mine, all vectors"}
    assert "Not measured so: dec, enc." in reader.page.locator(".explorer-status").inner_text()
    reader.page.get_by_label("Metric").select_option("anisotropy, centered")
    reader.page.get_by_label("Window").select_option("128 characters")
    reader.page.get_by_label("Beginning").select_option("other")
    assert lines(reader)["mine, all vectors"]["y"] == mine["y"]
    assert set(lines(reader)["dec, all vectors"]["y"]) == {0.5}
    reader.page.get_by_role("button", name="Take your tables away").click()
    assert set(lines(reader)) == before
    assert asked == []
    assert reader.problems == []


def test_tables_of_one_name_stand_beside_each_other(reader: Reader, tmp_path: Path):
    several = pd.concat([profile(checkpoint="step5"), profile(checkpoint="step9", value=0.5)])
    quoted = profile('a, "b" <i>c</i>', role="encoder").assign(value=0.125)
    said = drop(
        reader, written(profile(), tmp_path), written(profile(value=0.75), tmp_path, "other.csv"),
        written(several, tmp_path, "run.csv"), written(quoted, tmp_path, "quoted.csv"),
    )  # fmt: skip
    assert "run.csv: mine, checkpoint step5" in said
    own = {name: each["y"][0] for name, each in lines(reader).items() if each["width"] > 2}
    assert own == {
        "mine, all vectors": 0.25,
        "mine, other.csv, all vectors": 0.75,
        "mine, checkpoint step5, all vectors": 0.25,
        "mine, checkpoint step9, all vectors": 0.5,
        'a, "b" <i>c</i>, all vectors': 0.125,
    }
    # The same file again takes its place.
    drop(reader, written(profile(value=0.625), tmp_path))
    assert lines(reader)["mine, all vectors"]["y"] == [0.625] * 3
    assert len(lines(reader)) == 2 + 5
    assert reader.problems == []


def test_a_link_keeps_the_choice_and_asks_for_the_table(reader: Reader, tmp_path: Path):
    file = written(profile(), tmp_path)
    drop(reader, file)
    reader.page.get_by_role("checkbox", name="enc").uncheck()
    reader.page.get_by_label("Window").select_option("128 characters")
    reader.page.get_by_label("Beginning").select_option("other")
    kept, link = lines(reader), reader.page.url
    assert len(kept) == 2
    reader.page.goto("about:blank")
    reader.page.goto(link)
    asks = reader.page.locator(".explorer-status").inner_text()
    assert "This link shows mine of a table as well: drop it here." in asks
    assert set(lines(reader)) == {"dec, all vectors"}
    assert reader.page.url == link
    drop(reader, file)
    assert lines(reader) == kept
    assert reader.page.get_by_label("Window").input_value() == "128 characters"
    assert "drop it here" not in reader.page.locator(".explorer-status").inner_text()
    assert reader.problems == []


def test_the_picture_and_the_rows_can_be_had(reader: Reader, tmp_path: Path):
    path = write_table(profile(), tmp_path / "mine.csv")
    # The same by the keyboard's way, a file that is chosen.
    reader.page.get_by_label("Your own table").set_input_files(path)
    reader.page.wait_for_function("() => document.querySelectorAll('.explorer-legend li')[2]")
    saved = {}
    for kind in ("Save figure (SVG)", "Save rows (CSV)"):
        with reader.page.expect_download() as download:
            reader.page.get_by_role("button", name=kind).click()
        saved[kind] = Path(download.value.path()).read_text()
    assert "mine, all vectors" in saved["Save figure (SVG)"]
    assert saved["Save figure (SVG)"].startswith("<svg")
    rows = list(csv.DictReader(io.StringIO(saved["Save rows (CSV)"])))
    assert [each for each in rows if each["source"] == "yours"] == [
        {
            "curve": "mine, all vectors", "source": "yours", "window": "2048 characters",
            "depth": f"{depth:g}", "value": f"{0.25 + depth / 4:g}", "half": "0.01",
        }
        for depth in (0, 0.5, 1)
    ]  # fmt: skip
    assert {each["window"] for each in rows if each["source"] == "book"} == {"512 characters"}
    assert len(rows) == 9


WRONG = {
    "mine.parquet": (None, "a browser does not read Parquet; write it as .csv"),
    "mine.png": (None, "a .csv file is accepted; this makes one: shapelib profile"),
    "empty.csv": ("", "it has no column model, role"),
    "loss.csv": ("step,loss\n1,2\n", "it has no column model, role, layer"),
    "head.csv": ("HEAD\n", "it has a header and no rows"),
    "short.csv": ("HEAD\na,decoder\n", "row 1 has 2 cells, and the header 11"),
    "text.csv": ("HEAD\nm,decoder,1,1,False,all,anisotropy,True,high,0,4\n",
                 'in row 1, value is "high", not a number'),
    "role.csv": ("HEAD\nm,both,1,1,False,all,anisotropy,True,1,0,4\n",
                 'in row 1, role is "both", not encoder or decoder'),
    "truth.csv": ("HEAD\nm,decoder,1,1,maybe,all,anisotropy,True,1,0,4\n",
                  'in row 1, after_norm is "maybe", not True or False'),
    "twice.csv": ("HEAD\n" + 2 * "m,decoder,1,1,False,all,anisotropy,True,1,0,4\n",
                  "layer 1 of m stands twice for anisotropy, centered, all"),
    "open.csv": ('HEAD\n"m,decoder', "a quotation mark is opened and never closed"),
}  # fmt: skip
HEAD = "model,role,layer,depth,after_norm,tokens,metric,centered,value,std,batches"


def test_a_wrong_file_gets_a_sentence_and_nothing_changes(reader: Reader, tmp_path: Path):
    before = lines(reader)
    for name, (text, sentence) in WRONG.items():
        said = drop(reader, (name, (text or "PAR1").replace("HEAD", HEAD)))
        assert said.startswith(f"{name} is not drawn: ")
        assert sentence in said
        assert said.endswith(".")
        assert lines(reader) == before
    # What is right beside it is drawn all the same.
    said = drop(reader, ("mine.png", "x"), written(profile(), tmp_path))
    assert "mine.png is not drawn" in said
    assert "mine.csv: mine (decoder, yours)." in said
    assert reader.problems == []


def test_what_a_command_writes_is_what_is_read(reader: Reader, tmp_path: Path):
    """Columns, missing numbers and truths as `write_table` has them; lines may end otherwise."""
    table = profile(std=None)
    table.loc[table["layer"] == 1, "value"] = None
    name, text = written(table, tmp_path)
    for each in (text, text.replace("\n", "\r\n"), f"\ufeff{text}", text.rstrip("\n")):
        assert drop(reader, (name, each)) == "mine.csv: mine (decoder, yours)."
        assert lines(reader)["mine, all vectors"]["y"] == [0.25, None, 0.5]
    assert reader.problems == []
