"""The plan of the house, read from the code: what each room is for, how large it is, what it uses.

Nothing of it is typed anywhere else, so that the page which shows it cannot be wrong about it.
"""

import ast
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("shapelib", "shapebook")
TO_TRUST = ("geometry", "text", "models", "states")
"""The rooms that one must have read to trust a number of a profile."""
_WIDTH, _HEIGHT, _GAP, _TITLE = 720, 46, 10, 26


class Room(NamedTuple):
    """A folder of a package, or one of its files that stands by itself."""

    package: str
    name: str
    """Of a file with its ending: ``errors.py``."""
    job: str
    """The first line of its docstring."""
    files: int
    lines: int
    uses: frozenset[str]
    """The names of the rooms of its package that it imports."""


def rooms(root: Path) -> list[Room]:
    """Every room of both packages, the faces of the packages left out."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).iterdir()):
            if (path / "__init__.py").is_file():
                found.append(_room(package, path.name, sorted(path.rglob("*.py"))))
            elif path.suffix == ".py" and not path.name.startswith("__"):
                found.append(_room(package, path.name, [path]))
    return found


def _room(package: str, name: str, files: list[Path]) -> Room:
    sources = [each.read_text(encoding="utf-8") for each in files]
    (job, *_) = (ast.get_docstring(ast.parse(sources[0])) or "").split("\n")
    used = {each for text in sources for each in _used(package, text)} - {name.removesuffix(".py")}
    lines = sum(len(text.splitlines()) for text in sources)
    return Room(package, name, job, len(files), lines, frozenset(used))


def _used(package: str, source: str) -> Iterator[str]:
    """The rooms of its own package that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            first, _, rest = node.module.partition(".")
            if first == package:
                yield from [rest.split(".")[0]] if rest else (each.name for each in node.names)


def floors(built: Sequence[Room]) -> list[list[Room]]:
    """The rooms of one package from the ground up: each stands on the highest that it uses."""
    by_name = {each.name.removesuffix(".py"): each for each in built}
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            below = [height(each) for each in by_name[name].uses if each in by_name]
            heights[name] = 1 + max(below, default=-1)
        return heights[name]

    highest = max(map(height, by_name), default=-1)
    return [
        [room for name, room in by_name.items() if heights[name] == floor]
        for floor in range(highest + 1)
    ]


def rows(root: Path) -> list[tuple[str, str, str, str]]:
    """Room, job, files and lines of all, from the top of the house down, and what to read first."""
    built = rooms(root)
    found = [
        (f"{room.package}/{room.name}", room.job, str(room.files), str(room.lines))
        for package in reversed(PACKAGES)
        for floor in reversed(floors([each for each in built if each.package == package]))
        for room in floor
    ]
    read = [each for each in built if each.package == "shapelib" and each.name in TO_TRUST]
    whole = [each for each in built if each.package == "shapelib"]
    for label, some in ((f"{', '.join(TO_TRUST)} together", read), ("all of shapelib", whole)):
        files, lines = (sum(each) for each in zip(*((r.files, r.lines) for r in some), strict=True))
        found.append((label, "", str(files), str(lines)))
    return found


def picture(root: Path) -> str:
    """The house as SVG: a band for each package, a row for each floor, the lines in each room."""
    parts: list[str] = []
    top = 0.0
    for package in reversed(PACKAGES):
        built = floors([each for each in rooms(root) if each.package == package])
        height = _TITLE + len(built) * (_HEIGHT + _GAP)
        parts.append(_box(0, top, _WIDTH, height, "#f2f2f2"))
        parts.append(_text(12, top + 18, f"{package}/", "start", "bold"))
        for place, floor in enumerate(reversed(built)):
            wide = (_WIDTH - _GAP) / len(floor) - _GAP
            y = top + _TITLE + place * (_HEIGHT + _GAP)
            for number, room in enumerate(floor):
                x = _GAP + number * (wide + _GAP)
                trusted = package == "shapelib" and room.name in TO_TRUST
                parts.append(_box(x, y, wide, _HEIGHT, "#cfe3f2" if trusted else "#ffffff"))
                parts.append(_text(x + wide / 2, y + 20, room.name, "middle", "bold"))
                parts.append(_text(x + wide / 2, y + 37, f"{room.lines} lines", "middle"))
        top += height + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {_WIDTH + 2} {top:g}" '
        f'width="{_WIDTH}" font-family="sans-serif" font-size="13">'
        f'<rect x="-1" y="-1" width="{_WIDTH + 2}" height="{top:g}" fill="#ffffff"/>'
        f"{''.join(parts)}</svg>"
    )


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" '
        'stroke="#555555"/>'
    )


def _text(x: float, y: float, said: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="#111111">{escape(said)}</text>'
    )
