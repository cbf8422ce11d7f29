"""The catalogue's tables for the book: nothing left out, and costs that add up."""

import re
from pathlib import Path

from shapebook.pages import models as model_pages
from shapelib.models import catalogue

ROOT = Path(__file__).parents[3]


def cells(table: str) -> dict[str, list[str]]:
    """The rows of a Markdown table, by their first cell."""
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    split = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {first: rest for first, *rest in split}


def test_table_1_is_the_print_and_shows_both_where_they_differ():
    """The figures as the paper prints them, typed here from it once more."""
    text = model_pages.table1()
    rows = cells(text)
    assert rows[""] == [
        *("`bloom-560m`", "`bloom-1b1`", "`bloom-3b`", "`bloom-7b1`", "`pythia-2.8b`"),
        "`tinyllama-1.1b`",
    ]
    printed = {label: [cell.split("<br>")[0] for cell in row] for label, row in rows.items()}
    assert printed["layers"] == ["24", "24", "30", "30", "32", "22"]
    assert printed["heads"] == ["16", "16", "32", "32", "32", "16"]
    assert printed["batch"] == ["256", "256", "512", "512", "1 024", "1 024"]
    assert printed["learning rate"] == [
        f"{each} × 10⁻⁴" for each in ("3.0", "2.5", "1.6", "1.2", "1.6", "4.0")
    ]
    assert printed["tokens"] == ["341 B"] * 4 + ["300 B", "3 T"]
    assert printed["warm-up"] == ["375 M"] * 4 + ["3 B", "4 B"]
    assert printed["position"] == ["ALiBi"] * 4 + ["RoPE", "RoPE"]
    assert printed["embedding and head"] == ["tied"] * 4 + ["untied", "untied"]
    assert rows["heads"][5] == "16<br>**public: 32**"
    assert rows["vocabulary"][4] == "50 257<br>**public: 50 304**"
    assert rows["vocabulary"][0] == "250 680<br>**public: 250 880**"
    # Every difference in a cell has its sentence below, with all the models it holds for.
    notes = [line for line in text.splitlines() if line.startswith("- ")]
    for column, name in enumerate(rows[""]):
        differing = [label for label, row in rows.items() if label and "public" in row[column]]
        told = [note for note in notes if name in note]
        assert len(told) == len(differing)
        for label in differing:
            assert any(f". {label.capitalize()}: " in note for note in told)


def test_every_model_and_every_suite_is_there():
    models, suites = model_pages.models(), model_pages.suites()
    for name, entry in catalogue.models().items():
        assert re.search(rf"^\| \[?`{re.escape(name)}`[\] ]", models, re.M), name
        if entry.hub:
            assert f"(https://huggingface.co/{entry.hub})" in models
        if entry.caveat or entry.unchecked:
            assert re.search(rf"^- .*`{re.escape(name)}`", models, re.M), name
    for name in catalogue.suites():
        assert cells(suites)[f"`{name}`"][0] == str(len(catalogue.suite(name).checkpoints))
    for step in ("10000", "500000", "600000", "400000", "100000", "200000"):
        assert f"Step {step} is " in suites


def test_costs_add_up():
    rows = cells(model_pages.costs(["bloom-3b", "pythia-2.8b"]))
    assert rows["checkpoints"] == ["9", "154"]
    assert rows["one checkpoint"] == ["6.01 GB", "5.68 GB"]
    assert rows["download, and disk to keep it all"] == ["54.1 GB", "875 GB"]
    # 154 × 5.684635648 GB at 100 MB a second, in hours.
    assert rows["time to download at 100 MB a second"] == ["9 minutes", "2.4 hours"]
    # 33 layers of 16 384 vectors of 2560 numbers of 4 bytes; 2 × 2.646 × 10⁹ × 16 384 operations.
    assert rows["hidden states of one checkpoint, in memory or on disk"][1] == "5.54 GB"
    assert rows["operations of its forward passes"][1] == "8.7 × 10¹³"
    gpu = "their time for all checkpoints, one GPU at 5.0 × 10¹³ a second"
    assert rows[gpu] == ["18 seconds", "4.5 minutes"]


def test_the_book_has_them(tmp_path: Path):
    model_pages.write(tmp_path)
    page = (ROOT / "book" / "models.md").read_text()
    written = {file.name for file in tmp_path.iterdir()}
    # Of the families, trials writes what came out.
    assert set(re.findall(r"\{include\} executed/(\S+)", page)) == written | {"families.md"}
    for name in written:
        recorded = (ROOT / "book" / "executed" / name).read_text()
        assert recorded == (tmp_path / name).read_text(), "run: make record"
