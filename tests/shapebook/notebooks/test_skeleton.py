"""Every page has one skeleton, so that a reader who knows one finds the way in all."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from shapebook.notebooks import html
from shapebook.notebooks import notebook as notebooks
from shapebook.papers import page as papers_page
from shapelib.figures import PALETTE

ROOT = Path(__file__).parents[3]
TEMPLATES = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECORDED = ROOT / "book" / "executed"
# What a cell says that opens each part, in the order of the parts.
PARTS = {
    "what the paper says": r"^\*\*The papers? says?\.\*\*",
    "what was measured": r"^\*\*We measured\b",
    "what the models can tell": r"^\*\*Can these models tell\?\*\*",
    "figure": r"^<figure>",
    "reading": r"^\*\*Reading\b",
    "caveats": r"^\*\*Caveats?\.\*\*",
    "verdict": r"^## Verdicts?$",
    "parameters": r"^## Parameters$",
    "provenance": r"^## Provenance$",
}


def figure(cell: Any) -> dict[str, str]:
    """Name, caption and alternative text of the figure that a cell draws."""
    metadata = cell.metadata.get("mystnb", {})
    return {**metadata.get("figure", {}), **metadata.get("image", {})}


def text(notebook: Any) -> str:
    """What a reader sees, a figure as a mark."""
    shown = (
        cell.source if cell.cell_type == "markdown" else "<figure>" if figure(cell) else ""
        for cell in notebook.cells
    )
    return "\n\n".join(shown)


each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


@each_template
def test_of_another_run_stands_what_the_paper_says_and_nothing_of_the_books_models(path: Path):
    """On a page of a reader's own models, and in the book of the papers' figures."""
    opening = notebooks.read(path).cells[0].source
    first = re.search(r"^\*\*The papers? says?\.\*\*.*$", opening, re.M)
    assert first is not None
    for kept in (html.without_readings(opening), papers_page._of_any_run(opening)):
        assert first[0] in kept
        assert opening.splitlines()[0] in kept
        assert "We measured" not in kept
        assert "Can these models tell" not in kept


@each_template
def test_the_parts_stand_in_order(path: Path):
    said = text(notebooks.read(path))
    first = {}
    for part, opening in PARTS.items():
        found = re.search(opening, said, re.M)
        assert found, f"{path.name} has no {part}"
        first[part] = found.start()
    assert sorted(first, key=first.__getitem__) == list(PARTS)


# What a reader takes in before the first figure.
MOST_WORDS = 120


@each_template
def test_the_first_figure_comes_within_a_minute(path: Path):
    """Its title and prose, and the verdicts that the book puts there, in words as they are read."""
    before = text(notebooks.read(path)).split("<figure>")[0]
    before = re.sub(r"<!--.*?-->|^\([\w-]+\)=$|^#+ ", "", before, flags=re.S | re.M)
    # A citation is read as "Razzhigaev et al. 2024".
    before = re.sub(r"\{cite[\w:]*\}`[^`]*`", "one two three four", before)
    before = re.sub(r"\]\([^)]*\)", " ", before)
    records = json.loads((RECORDED / "claims.json").read_text())
    verdicts = [
        f"{each['number']}. {each['title']}: {each['verdict']} {' '.join(each['beside'])}"
        for each in records
        if each["page"] == path.stem
    ]
    words = [each for each in f"{before} {' '.join(verdicts)}".split() if re.search(r"\w", each)]
    assert len(words) <= MOST_WORDS, f"{path.stem}: {len(words)} words before the first figure"


@each_template
def test_code_is_folded(path: Path):
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "code":
            assert "hide-input" in cell.metadata.get("tags", []), cell.source[:60]


@each_template
def test_figures_are_named_described_and_read(path: Path):
    notebook = notebooks.read(path)
    said = text(notebook)
    for cell in notebook.cells:
        if not (of := figure(cell)):
            assert "show(" not in cell.source, f"a figure without a name: {cell.source}"
            continue
        assert of["name"].startswith(f"fig-{path.stem}")
        assert len(of["caption"]) > 40
        assert len(of["alt"]) > 40
        assert of["alt"] != of["caption"]
        assert f"{{numref}}`{of['name']}`" in said, f"the text never points at {of['name']}"


@pytest.mark.parametrize("path", sorted(RECORDED.glob("figures/*.svg")), ids=lambda path: path.stem)
def test_recorded_figures_have_their_data(path: Path):
    data = path.with_suffix(".csv")
    assert data.is_file(), "run: make record"
    head, *rows = data.read_text().splitlines()
    assert len(rows) > 1
    assert all(row.count(",") >= head.count(",") for row in rows)
    assert data.stat().st_size < 300_000


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHT = {
    "any": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue cones": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """A colour as an eye sees it, in CIE L*a*b* (D65)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(seen @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = (np.array(to_xyz) @ linear) / [0.9505, 1, 1.089]
    f = [np.cbrt(t) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_the_palette_is_told_apart_with_any_sight(sight: str):
    seen = [lab(colour, SIGHT[sight]) for colour in PALETTE]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    # A difference of 2.3 is just seen side by side; lines in a figure need several times that.
    assert min(apart) > 10


def test_red_and_green_would_not_be_told_apart():
    """The simulation sees what it should: a palette with this pair would fail."""
    pair = [lab(colour, SIGHT["no green cones"]) for colour in ("#ba4a3c", "#6b7a1e")]
    assert np.linalg.norm(pair[0] - pair[1]) < 20
    plain = [lab(colour, np.eye(3)) for colour in ("#ba4a3c", "#6b7a1e")]
    assert np.linalg.norm(plain[0] - plain[1]) > 50


@pytest.mark.parametrize("path", sorted(RECORDED.glob("figures/*.svg")), ids=lambda path: path.stem)
def test_figures_use_the_palette_and_no_other_colours(path: Path):
    viridis = matplotlib.colormaps["viridis"]
    ramp = {to_hex(viridis(i)) for i in range(256)}
    known = {colour.lower() for colour in PALETTE} | ramp
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", path.read_text()))
    greys = {each for each in used if each[1:3] == each[3:5] == each[5:7]}
    assert used - known - greys == set()
