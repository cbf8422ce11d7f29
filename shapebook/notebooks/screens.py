"""A recorded figure for other screens than the one it was drawn for: dark ones, and narrow ones.

Both are made of the SVG that matplotlib wrote, when pages are rendered, so that no page has to be
run again for its looks.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _LINK)
# Of the book's dark scheme: its ground, and what is written on it.
_GROUND, _INK = (0x12, 0x12, 0x12), (0xE6, 0xE6, 0xE6)
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}(?![0-9a-f])")
# The least contrast of a line with its ground, as WCAG 2 has it.
_SEEN = 3.0
# Points. A figure up to so wide is read on a phone as it stands.
_WIDE = 400.0
# Axes narrower than this are colour bars; what an x label hangs over its panel, a title's height.
# And the length of a tick.
_BAR, _OVER, _TITLE, _LETTER, _TICK = 30.0, 9.0, 13.0, 7.0, 4.5
# What stands before a text of a legend: matplotlib's sample and gap, in heights of a letter.
_SAMPLE = 3.0
_PLACE = re.compile(r"translate\(([-\d.]+) ([-\d.]+)\)(?: scale\(([\d.]+))?")


def is_drawn(svg: str) -> bool:
    """Whether matplotlib drew it."""
    return 'id="figure_1"' in svg


def dark(svg: str) -> str:
    """The figure on the ground of the dark scheme: greys change places, colours stay, and those
    that are too dark to be seen there are lightened until they are."""
    turned = _COLOUR.sub(lambda found: _in_the_dark(found[0]), svg)
    # Letters say no colour of their own: they take the document's.
    return turned.replace("<svg ", f'<svg fill="{_turned(0)}" ', 1)


def fits(svg: str) -> bool:
    """Whether the figure is read on a phone as it stands."""
    found = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    return found is not None and float(found[1]) <= _WIDE


@functools.cache
def _in_the_dark(colour: str) -> str:
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    if len(set(parts)) == 1:
        return _turned(parts[0])
    ground, share = _luminance(_GROUND), 0.0
    while (_luminance(_mixed(parts, share)) + 0.05) / (ground + 0.05) < _SEEN:
        share += 0.05
    return _written(_mixed(parts, share))


def _mixed(parts: Sequence[int], share: float) -> tuple[int, ...]:
    """A colour with a share of the ink in it."""
    return tuple(round(a + (b - a) * share) for a, b in zip(parts, _INK, strict=True))


def _luminance(parts: Sequence[int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
              for c in (part / 255 for part in parts)]  # fmt: skip
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _written(parts: Sequence[int]) -> str:
    return "#" + "".join(f"{each:02x}" for each in parts)


def _turned(grey: int) -> str:
    share = grey / 255
    pairs = zip(_INK, _GROUND, strict=True)
    return _written([round(ink + (paper - ink) * share) for ink, paper in pairs])


class Box(NamedTuple):
    """A part of a figure, in points from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


class _Text(NamedTuple):
    x: float
    y: float
    length: float
    size: float
    """In points, of its letters."""


class _Panel(NamedTuple):
    box: Box
    reach: float
    """How far to the right it goes: an x label that hangs over, and names of its curves."""
    title: float
    """Where its title begins, or the panel where it has none."""
    numbered: bool
    """Whether its vertical axis has numbers; else it shares those of a panel to its left."""
    counted: bool
    """Whether its horizontal axis has numbers; else it shares those of a panel below."""


def narrow(svg: str) -> str | None:
    """The figure with its panels below one another, each with the axes that it shares, and the
    legend's columns below them; None where it has one panel, or is narrow as it is."""
    root = ElementTree.fromstring(svg)
    width, height = (float(each) for each in root.attrib["viewBox"].split()[2:])
    figure = next(each for each in root if each.get("id") == "figure_1")
    panels = [each for each in map(_panel, _named(figure, "axes_")) if each.box.width > _BAR]
    if fits(svg) or max((each.box.width for each in panels), default=width) > 0.7 * width:
        return None
    entries = [box for each in _named(figure, "legend_") for box in _columns(each)]
    floor = min((each.top for each in entries), default=height)
    strips = [*_strips(panels, width, floor), *((each,) for each in entries)]
    return _stacked(root, figure, strips)


def _named(parent: ElementTree.Element, start: str) -> list[ElementTree.Element]:
    return [each for each in parent if each.get("id", "").startswith(start)]


def _panel(axes: ElementTree.Element) -> _Panel:
    (patch, *_) = _named(axes, "patch_")
    numbers = [float(each) for each in re.findall(r"-?\d+\.?\d*", patch[0].attrib["d"])]
    box = Box(min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    texts = [text for each in _named(axes, "text_") for text in _texts(each)]
    titles = [text.y for text in texts if text.y < box.top]
    sides = {"x": False, "y": False}
    for axis in _named(axes, "matplotlib.axis_"):
        for tick in axis:
            name = tick.get("id", "")
            if name[1:].startswith("tick_"):
                sides[name[0]] |= bool(_named(tick, "text_"))
    title = min(titles, default=box.top) - (_TITLE if titles else 0)
    beside = (text.x + text.length for text in texts if box.top < text.y <= box.bottom + _LETTER)
    return _Panel(box, max(box.right + _OVER, *beside, 0.0), title, sides["y"], sides["x"])


def _texts(parent: ElementTree.Element) -> Iterator[_Text]:
    for each in parent.iter(f"{{{_SVG}}}g"):
        if (place := _PLACE.match(each.get("transform", ""))) and place[3]:
            x, y, scale = float(place[1]), float(place[2]), float(place[3])
            ends = [
                float(found[1])
                for letter in each.iter(f"{{{_SVG}}}use")
                if (found := _PLACE.match(letter.get("transform", "")))
            ]
            yield _Text(x, y, max(ends, default=0.0) * scale + _LETTER, 100 * scale)


def _columns(legend: ElementTree.Element) -> Iterator[Box]:
    """The columns of a legend: texts that begin at one place, with the samples before them."""
    columns: dict[float, list[_Text]] = {}
    for entry in _named(legend, "text_"):
        for text in _texts(entry):
            columns.setdefault(round(text.x), []).append(text)
    for found in (columns[x] for x in sorted(columns)):
        size = max(each.size for each in found)
        yield Box(
            min(each.x for each in found) - _SAMPLE * size, min(each.y for each in found) - size,
            max(each.x + each.length for each in found) + 3, max(each.y for each in found) + 5,
        )  # fmt: skip


def _strips(panels: list[_Panel], width: float, floor: float) -> Iterator[tuple[Box, ...]]:
    """For each panel the parts that show it, from left to right: shared numbers, then itself."""
    rows: list[list[_Panel]] = []
    for each in sorted(panels, key=lambda one: (round(one.box.top), one.box.left)):
        if rows and abs(rows[-1][0].box.top - each.box.top) < 2:
            rows[-1].append(each)
        else:
            rows.append([each])
    heads = [min(each.title for each in row) - 3 for row in rows]
    for row, head, end in zip(rows, heads, [*heads[1:], floor], strict=True):
        for at, panel in enumerate(row):
            # Beside it in its row; where that has a gap, in the columns beside.
            before = [one.reach for one in row[at - 1 : at]]
            before = before or [o.box.right for o in panels if o.box.right <= panel.box.left]
            begin = min(max(before), panel.box.left - _TICK) if before else 0.0
            after = row[at + 1 : at + 2] or [o for o in panels if o.box.left >= panel.box.right]
            edge = min((one.box.left - _TICK for one in after), default=width)
            right = min(panel.reach, edge) if after else width
            whole = Box(begin, head, right, end)
            owner = next((one for one in row[:at][::-1] if one.numbered), None)
            if panel.numbered or owner is None:
                yield (whole,)
            else:
                place = row.index(owner)
                from_here = row[place - 1].reach if place else 0.0
                yield (
                    Box(from_here, head, owner.box.left, end),
                    whole._replace(left=panel.box.left - 1),
                )


def _stacked(
    root: ElementTree.Element, figure: ElementTree.Element, strips: list[tuple[Box, ...]]
) -> str:
    """A document that shows each strip of the figure below the one before it."""
    widths = [sum(part.width for part in strip) for strip in strips]
    width = min(max(widths), _WIDE)
    made = ElementTree.Element(f"{{{_SVG}}}svg", {"version": "1.1"})
    kept = ElementTree.SubElement(made, f"{{{_SVG}}}defs")
    for each in root:
        if each is figure:
            kept.append(each)
        elif each.tag == f"{{{_SVG}}}defs":
            made.insert(0, each)
    paper = {"width": "100%", "height": "100%", "style": "fill: #ffffff"}
    ElementTree.SubElement(made, f"{{{_SVG}}}rect", paper)
    y = 0.0
    for strip, needed in zip(strips, widths, strict=True):
        size, x = min(1.0, width / needed), 0.0
        for part in strip:
            shown = ElementTree.SubElement(
                made, f"{{{_SVG}}}svg",
                {
                    "x": f"{x:.2f}", "y": f"{y:.2f}",
                    "width": f"{part.width * size:.2f}", "height": f"{part.height * size:.2f}",
                    "viewBox": f"{part.left:.2f} {part.top:.2f} {part.width:.2f} {part.height:.2f}",
                },
            )  # fmt: skip
            ElementTree.SubElement(shown, f"{{{_SVG}}}use", {f"{{{_LINK}}}href": "#figure_1"})
            x += part.width * size
        y += strip[0].height * size
    made.attrib |= {
        "width": f"{width:.2f}pt", "height": f"{y:.2f}pt", "viewBox": f"0 0 {width:.2f} {y:.2f}",
    }  # fmt: skip
    return ElementTree.tostring(made, encoding="unicode")
