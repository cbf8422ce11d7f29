"""The house: rooms in their order, imports that only go down, and files that one can read."""

import ast
import functools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the lowest floor up; what stands on one floor does not import each other.
FLOORS = (
    ("errors", "face", "processor", "threads"),
    ("extras",),
    ("geometry", "store"),
    ("figures", "models", "subspace", "text"),
    ("finetuning", "states"),
    ("pretraining",),
    ("cli", ""),
)
# The same of the book, above all of them.
BOOK = (
    ("claims", "experiments"),
    ("figures", "notebooks"),
    ("pages",),
    ("papers",),
    ("", "run"),
    ("__main__",),
)
LONGEST, LONGEST_FUNCTION, MOST = 350, 60, 12
DATA = (".yml", ".csv", ".typed")


def modules(root: Path) -> dict[str, Path]:
    """Every module of the two packages by its full name; a package goes by that of its folder."""
    files = [each for name in ("shapelib", "shapebook") for each in (root / name).rglob("*.py")]
    names = {".".join(each.relative_to(root).with_suffix("").parts): each for each in files}
    return {name.removesuffix(".__init__"): each for name, each in names.items()}


def faces(known: dict[str, Path]) -> dict[str, dict[str, str]]:
    """The tables of the packages whose names load when they are used."""
    found = {}
    for name, file in known.items():
        if table := re.search(r"^_HOME = (\{.*?\})", file.read_text(), re.M | re.S):
            found[name] = ast.literal_eval(table[1])
    return found


@functools.cache
def nodes(source: str) -> list[ast.AST]:
    return [*ast.walk(ast.parse(source))]


def imported(name: str, known: dict[str, Path], tables: dict[str, dict[str, str]]) -> Iterator[str]:
    """The modules that one imports: anywhere in it, through a face, or by name in a string."""
    for node in nodes(known[name].read_text()):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by dots, which hides where from"
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                home = tables.get(str(node.module), {}).get(each.name)
                if whole in known:
                    yield whole
                elif str(node.module) in known:
                    yield f"{node.module}.{home}" if home else str(node.module)
        elif isinstance(node, ast.Constant) and node.value in known and "." in str(node.value):
            yield str(node.value)
    yield from (f"{name}.{each}" for each in tables.get(name, {}).values())


def room(module: str) -> tuple[str, str]:
    """The package and the room of a module; the face of a package is a room of no name."""
    package, _, rest = module.partition(".")
    return package, rest.split(".")[0]


def floor(module: str) -> int:
    package, name = room(module)
    floors = FLOORS if package == "shapelib" else BOOK
    (found,) = [number for number, rooms in enumerate(floors) if name in rooms]
    return found + (len(FLOORS) if package == "shapebook" else 0)


def wrong(root: Path) -> list[str]:
    """Imports that do not go down, and circles within a room, in words."""
    known = modules(root)
    tables = faces(known)
    graph = {name: sorted({*imported(name, known, tables)} - {name}) for name in known}
    found = [
        f"{name} imports {each}"
        for name, uses in graph.items()
        for each in uses
        if room(name) != room(each) and floor(each) >= floor(name)
    ]
    return found + [f"a circle: {' → '.join(each)}" for each in circles(graph, tables)]


def circles(graph: dict[str, list[str]], tables: dict[str, dict[str, str]]) -> Iterator[list[str]]:
    """Modules that import themselves by way of others; a face holds no code and breaks a circle."""
    done: set[str] = set()

    def follow(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            for each in graph[name]:
                if each not in tables:
                    yield from follow(each, [*path, name])
            done.add(name)

    for name in graph:
        if name not in tables:
            yield from follow(name, [])


def test_imports_go_down():
    assert wrong(ROOT) == []


def test_every_room_has_its_floor():
    for package, floors in (("shapelib", FLOORS), ("shapebook", BOOK)):
        there = {room(name)[1] for name in modules(ROOT) if room(name)[0] == package}
        assert there == {name for rooms in floors for name in rooms}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("shapelib", "shapebook"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("geometry/points.py", "from shapelib.states import pool", "shapelib.states.pool"),
        ("geometry/points.py", "import shapelib.models.files.hub", "shapelib.models.files.hub"),
        ("geometry/points.py", "from shapelib.store import cache", "shapelib.store.cache"),
        ("geometry/points.py", "from shapelib import profile", "shapelib.states.profile"),
        (
            "text/dump.py",
            "def f():\n    from shapelib.models import find",
            "shapelib.models.sources",
        ),
        ("store/workers.py", "PRELOAD = ['shapelib.states.sweep']", "shapelib.states.sweep"),
        ("cli/app.py", "def f():\n    import shapebook.run", "shapebook.run"),
        ("errors.py", "from shapelib import threads", "shapelib.threads"),
    ],
)
def test_an_import_that_goes_up_is_found(copy: Path, file: str, line: str, told: str):
    changed = copy / "shapelib" / file
    changed.write_text(f"{changed.read_text()}\n{line}\n")
    name = ".".join(("shapelib", *Path(file).with_suffix("").parts))
    assert f"{name} imports {told}" in wrong(copy)


def test_a_circle_is_found(copy: Path):
    changed = copy / "shapelib" / "geometry" / "points.py"
    changed.write_text(
        f"{changed.read_text()}\ndef f():\n    from shapelib.geometry import spectrum\n"
    )
    assert any("spectrum" in each and "points" in each for each in wrong(copy))


@pytest.mark.parametrize("name", sorted(modules(ROOT)))
def test_modules_stay_small(name: str):
    lines = len(modules(ROOT)[name].read_text().splitlines())
    assert lines <= LONGEST, f"{name} has {lines} lines, and more than one job"


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function from its ``def`` on, its docstring left out."""
    assert function.end_lineno is not None
    lines, first = function.end_lineno - function.lineno + 1, function.body[0]
    if ast.get_docstring(function) is None:
        return lines
    assert first.end_lineno is not None
    return lines - (first.end_lineno - first.lineno + 1)


@pytest.mark.parametrize("folder", ["shapelib", "shapebook", "book", "results", "benchmarks"])
def test_functions_stay_small(folder: str):
    long = [
        f"{file.relative_to(ROOT)}: {each.name} has {code_lines(each)} lines"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for each in nodes(file.read_text())
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and code_lines(each) > LONGEST_FUNCTION
    ]
    assert long == []


def test_rooms_stay_small():
    for package in ("shapelib", "shapebook"):
        for folder in {each.parent for each in (ROOT / package).rglob("*.py")}:
            files = [each for each in folder.iterdir() if each.suffix == ".py"]
            assert len(files) <= MOST, f"{folder.relative_to(ROOT)} has {len(files)} files"


@pytest.mark.parametrize("name", sorted(faces(modules(ROOT))))
def test_faces_hold_no_code(name: str):
    """They are in no key (see `shapelib.store.keys`), so nothing may be measured in them."""
    for line in ast.parse(modules(ROOT)[name].read_text()).body:
        text = ast.unparse(line)
        plain = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        table = re.match(r"(_HOME|__version__) = |__all__ \+= |__getattr__, ", text)
        typed = text.startswith(("from typing import", "from shapelib.face", "if TYPE_CHECKING:"))
        assert plain or table or typed, f"{name}: {text}"


def test_packages_without_a_face_are_empty():
    for name, file in modules(ROOT).items():
        if file.name == "__init__.py" and name not in faces(modules(ROOT)):
            assert len(ast.parse(file.read_text()).body) == 1, (
                f"{name} holds more than its docstring"
            )


def test_every_file_of_a_room_is_code_or_its_data():
    for package in ("shapelib", "shapebook"):
        for file in (ROOT / package).rglob("*.*"):
            # What is compiled lies beside: numba keeps files of its own there.
            assert file.parent.name == "__pycache__" or file.suffix in (".py", *DATA), file
