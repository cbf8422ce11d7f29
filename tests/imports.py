"""What code imports, read from its syntax: at any depth, lazily, and by name in a string."""

import ast
import functools
import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = tuple(file.parent.name for file in sorted(ROOT.glob("shape*/__init__.py")))
"""The packages of this checkout."""
# Functions that import what their strings name.
_IMPORTERS = {"import_module", "__import__", "set_forkserver_preload"}


def normal(requirement: str) -> str:
    """The name of a requirement, as an index knows it."""
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def brings(*extras: str) -> set[str]:
    """The distributions that an installation with these extras asks for by name."""
    asked = [*PROJECT["dependencies"]]
    asked += [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    return {normal(each) for each in asked}


@functools.cache
def _providers() -> dict[str, set[str]]:
    known = importlib.metadata.packages_distributions()
    return {package: {normal(each) for each in names} for package, names in known.items()}


def providers(package: str) -> set[str]:
    """The distributions that give an imported package; a name that is not installed stands for
    itself."""
    return _providers().get(package, {normal(package)})


@functools.cache
def modules() -> dict[str, Path]:
    """The file of every module of this checkout's packages, by its dotted name."""
    found = {}
    for package in OWN:
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


def imported(tree: ast.AST, module: str = "", package: bool = False) -> Iterator[str]:
    """The dotted names that a piece of code imports, what stands in functions included, and what
    only a type checker reads left out. ``from a import b`` gives ``a.b`` as well as ``a``."""
    named = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in _run(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: None if package and node.level == 1 else -node.level]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in _IMPORTERS:
            # A name that is put together at run time is known to nobody here.
            for argument in (each for each in node.args if not isinstance(each, ast.JoinedStr)):
                parts = list(ast.walk(argument))
                parts += [
                    inner
                    for each in parts
                    if isinstance(each, ast.Name) and each.id in named
                    for inner in ast.walk(named[each.id])
                ]
                yield from (
                    each.value
                    for each in parts
                    if isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                    and re.fullmatch(r"\w+(\.\w+)*", each.value)
                )


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those below ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and _name(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _run(other)
        else:
            yield from _run(child)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@functools.cache
def of_module(name: str) -> frozenset[str]:
    """What one module of ours imports."""
    file = modules()[name]
    tree = ast.parse(file.read_text("utf-8"))
    return frozenset(imported(tree, name, file.name == "__init__.py"))


def resolved(name: str) -> str | None:
    """The module of ours that an imported dotted name is, or is taken from; None for others'."""
    if name.split(".")[0] not in OWN:
        return None
    if name in modules():
        return name
    above, _, last = name.rpartition(".")
    if above in OWN and last != "*":
        # A lazy name of the package's face: where it is at home.
        value = getattr(__import__(above), last, None)
        home = getattr(value, "__module__", None)
        return home if home in modules() else above
    return resolved(above) if above else None


def closure(names: Iterable[str]) -> dict[str, set[str]]:
    """The packages of others that code with these imports may import in the end, at any depth:
    each with who imports it (a module of ours, or ``""`` for the code itself)."""
    packages: dict[str, set[str]] = {}
    seen: set[str] = set()
    waiting = [("", name) for name in names]
    while waiting:
        by, name = waiting.pop()
        own = resolved(name)
        if own is None:
            top = name.split(".")[0]
            if top and top not in sys.stdlib_module_names:
                packages.setdefault(top, set()).add(by)
        elif own not in seen:
            seen.add(own)
            waiting += [(own, each) for each in of_module(own)]
    return packages


def lacking(names: Iterable[str], *extras: str) -> dict[str, set[str]]:
    """The part of `closure` that an installation with these extras does not ask for."""
    asked = brings(*extras)
    found = closure(names)
    return {each: by for each, by in found.items() if not providers(each) & asked}


def of_notebook(file: Path) -> set[str]:
    """What the code cells of a notebook import."""
    cells = json.loads(file.read_text("utf-8"))["cells"]
    sources = ("".join(each["source"]) for each in cells if each["cell_type"] == "code")
    return {name for source in sources for name in imported(ast.parse(source))}


def of_file(file: Path) -> set[str]:
    """What a script or a test imports."""
    return set(imported(ast.parse(file.read_text("utf-8"))))
