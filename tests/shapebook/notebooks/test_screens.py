"""Figures for dark and for narrow screens hold what the recorded ones hold."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stress import some

from shapebook.notebooks import screens
from shapelib.figures import PALETTE

FIGURES = sorted((Path(__file__).parents[3] / "book/executed/figures").glob("*.svg"))
each_figure = pytest.mark.parametrize("path", some(FIGURES, 8), ids=lambda path: path.stem)
COLOUR = re.compile(r": (#[0-9a-f]{6})")
PHONE = 400


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@each_figure
def test_a_dark_figure_has_its_colours_on_a_dark_ground(path: Path):
    svg = path.read_text()
    made = screens.dark(svg)
    before, after = (COLOUR.findall(each) for each in (svg, made))
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        grey = old[1:3] == old[3:5] == old[5:7]
        # What can be seen stays, what cannot is lightened; greys change places.
        assert grey or old == new or (contrast(old, after[0]) < 3 <= contrast(new, after[0]))
        assert not grey or new[1:3] == new[3:5] == new[5:7]
        assert old != "#000000" or contrast(new, after[0]) > 12
    assert "#440154" not in after
    ground = after[0]
    assert before[0] == "#ffffff"
    assert luminance(ground) < 0.01
    ink = re.search(r'<svg fill="(#\w+)"', made)
    assert ink is not None
    assert contrast(ink[1], ground) > 12
    assert min(contrast(each.lower(), ground) for each in PALETTE) >= 3


def boxes(narrow: str) -> list[screens.Box]:
    """The parts of the figure that a narrow one shows."""
    found = []
    for each in ElementTree.fromstring(narrow).findall("{http://www.w3.org/2000/svg}svg"):
        left, top, width, height = map(float, each.attrib["viewBox"].split())
        found.append(screens.Box(left, top, left + width, top + height))
    return found


def holds(outer: screens.Box, inner: screens.Box) -> bool:
    return (
        outer.left <= inner.left + 0.1 and outer.top <= inner.top + 0.1
        and inner.right <= outer.right + 0.1 and inner.bottom <= outer.bottom + 0.1
    )  # fmt: skip


@each_figure
def test_a_narrow_figure_shows_every_panel_and_every_name_whole(path: Path):
    svg = path.read_text()
    root = ElementTree.fromstring(svg)
    (figure,) = (each for each in root if each.get("id") == "figure_1")
    axes = [each for each in figure if each.get("id", "").startswith("axes_")]
    panels = [each for each in map(screens._panel, axes) if each.box.width > 30]
    made = screens.narrow(svg)
    if made is None:
        beside = {round(each.box.left) for each in panels}
        assert screens.fits(svg) or len(beside) == 1
        return
    shown = boxes(made)
    for each in panels:
        assert any(holds(part, each.box) for part in shown)
    of_panels = [
        text for each in axes for name in each if name.get("id", "").startswith("text_")
        for text in screens._texts(name)
    ]  # fmt: skip
    for text in of_panels:
        place = screens.Box(text.x, text.y - 5, text.x + text.length - 8, text.y)
        assert any(holds(part, place) for part in shown)
    legends = [each for each in figure if each.get("id", "").startswith("legend_")]
    names = [text for each in legends for text in screens._texts(each)]
    for text in names:
        place = screens.Box(text.x - 20, text.y - 7, text.x + text.length, text.y)
        assert sum(holds(part, place) for part in shown) == 1
    width = float(ElementTree.fromstring(made).attrib["viewBox"].split()[2])
    assert width <= PHONE
    # A panel has numbers on its vertical axis, its own or those that it shares.
    numbers = sum(each.numbered for each in panels)
    assert len(shown) >= len(panels) + (len(panels) - numbers if numbers else 0)


def test_what_is_narrow_or_of_one_panel_stays(tmp_path: Path):
    from matplotlib.figure import Figure

    from shapebook import show

    for size, count in (((5, 3), 2), ((8, 3), 1)):
        figure = Figure(figsize=size, layout="constrained")
        figure.subplots(1, count)
        assert screens.narrow(show(figure).data) is None


def test_a_panel_alone_in_its_row_is_as_large_as_the_others():
    """In whatever column: it stands in its own, and does not take the row."""
    from matplotlib.figure import Figure

    from shapebook import show

    for column in (0, 2):
        figure = Figure(figsize=(9.6, 7), layout="constrained")
        grid = figure.subplots(2, 3)
        for place, axes in enumerate(grid[1]):
            axes.set_visible(place == column)
        made = screens.narrow(show(figure).data)
        assert made is not None
        widths = [each.width for each in boxes(made)]
        assert len(widths) == 4
        assert max(widths) < 1.3 * min(widths)
        shown = ElementTree.fromstring(made).findall("{http://www.w3.org/2000/svg}svg")
        scales = [
            float(each.attrib["width"]) / width for each, width in zip(shown, widths, strict=True)
        ]
        assert scales == pytest.approx([1.0] * 4, abs=0.01)
