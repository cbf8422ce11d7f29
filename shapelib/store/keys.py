"""Keys of what is kept: equal keys, equal numbers.

A key is made of the inputs, of the code that measures, and of the versions of the packages that it
computes with. The last two are found and never listed: from the function that measures along all
imports, those inside functions too.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

# The folder that the packages of this house stand in.
_ROOT = Path(__file__).parents[2]
# Packages that fetch, keep, spread or show numbers, and make none: their versions do not count.
_CARRIERS = {
    *("IPython", "dask", "datasets", "distributed", "filelock", "huggingface_hub", "jaxtyping"),
    *("matplotlib", "nbformat", "pandas", "papermill", "platformdirs", "pooch", "psutil"),
    *("pyarrow", "requests", "rich", "safetensors", "tqdm", "typer", "yaml"),
}
# What transformers takes up by itself where it is installed: nobody here imports all of them.
_TAKEN_UP = (
    *("accelerate", "bitsandbytes", "causal_conv1d", "flash_attn", "gguf", "kernels"),
    *("mamba_ssm", "peft", "tokenizers"),
)


class Code(NamedTuple):
    """What some code is made of."""

    modules: dict[str, Path]
    """The modules of this house that it leads to, by name, and their files."""
    packages: set[str]
    """The other packages that any of it imports, the standard library left out."""


def key_of(*parts: object) -> str:
    """A short key for a value made of JSON-able parts; equal parts give equal keys anywhere."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def code_of(*measuring: Callable[..., Any]) -> str:
    """A hash of all code that these functions or classes can run, and of what they compute with.

    That is every module that theirs import, directly or not, and the versions of other packages.
    Comments, layout and docstrings, those of fields included, are no part of it: better words must
    not throw measurements away. Another version of Python may write the same code otherwise.
    """
    modules = {each.__module__ for each in measuring}
    return hash_of(closure(modules, {each.split(".")[0] for each in modules}))


def hash_of(code: Code) -> str:
    """A hash of the modules, words left out, and of the versions of the packages."""
    digests = {name: _digest(file.read_bytes()) for name, file in code.modules.items()}
    return key_of(digests, versions(code.packages))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those that numbers depend on, by their import names."""
    wanted = set(packages) - _CARRIERS
    if "transformers" in wanted:
        wanted |= {each for each in _TAKEN_UP if importlib.util.find_spec(each)}
    return {each: _version(each) for each in sorted(wanted)}


def closure(modules: Iterable[str], packages: Iterable[str] = ()) -> Code:
    """The modules that importing some leads to, these included, and the other packages they use.

    `packages`: those that stand in this house besides ``shapelib``.
    """
    ours = {"shapelib", *packages}
    waiting = list(modules)
    found: dict[str, Path] = {}
    others: set[str] = set()
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name.split(".")[0] not in ours:
            others.add(name.split(".")[0])
        elif file is None:
            raise ModuleNotFoundError(f"no module {name} in {_ROOT}", name=name)
        elif name not in found:
            found[name] = file
            waiting += imported(file.read_bytes(), ours, name)
    return Code(dict(sorted(found.items())), others - sys.stdlib_module_names)


class _Said(NamedTuple):
    """What a source says about other modules."""

    imports: tuple[tuple[str, str], ...]
    """Modules, with leading dots where they are relative, and the name that each is asked for."""
    strings: frozenset[str]
    """Its strings that have a dot in them, as names of modules have."""
    homes: dict[str, str]
    """The table of a face (see `shapelib.face`)."""


def _file(module: str) -> Path | None:
    """The file of a module; of a package, its ``__init__.py``."""
    if not all(each.isidentifier() for each in module.split(".")):
        return None
    path = _ROOT.joinpath(*module.split("."))
    return next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)


def imported(source: bytes, packages: Collection[str], module: str = "") -> Iterator[str]:
    """The full names of the modules that a source imports, or names in a string of its own.

    `module`: its name, if it is one; `packages`: those whose faces are looked through.
    """
    said, file = _read(source), _file(module)
    is_package = file is not None and file.name == "__init__.py"
    base = module if is_package else module.rpartition(".")[0]
    for asked, name in said.imports:
        whole = importlib.util.resolve_name(asked, base)
        yield _home(whole, name) if name and whole.split(".")[0] in packages else whole
    # Preloads of worker processes are such strings.
    yield from (each for each in said.strings if each.split(".")[0] in packages and _file(each))
    if is_package:
        yield from (f"{module}.{each}" for each in said.homes.values())


def _home(package: str, name: str) -> str:
    """The module that ``from package import name`` reads, through a face."""
    if _file(f"{package}.{name}"):
        return f"{package}.{name}"
    file = _file(package)
    homes = _read(file.read_bytes()).homes if file and file.name == "__init__.py" else {}
    return f"{package}.{homes[name]}" if name in homes else package


@functools.cache
def _read(source: bytes) -> _Said:
    """What a source imports, wherever in it; what only a type checker imports is left out."""
    imports: list[tuple[str, str]] = []
    strings, homes = set(), {}
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            imports += [(each.name, "") for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports += [(module, each.name) for each in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            strings.add(node.value)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            homes = ast.literal_eval(node.value)
    return _Said(tuple(imports), frozenset(strings), homes)


@functools.cache
def _digest(source: bytes) -> str:
    """Of what runs of a module's source."""
    return hashlib.sha256(ast.dump(_Bare().visit(ast.parse(source))).encode()).hexdigest()


class _Bare(ast.NodeTransformer):
    """Takes away every statement that is nothing but a string: Python does not run it either."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node


@functools.cache
def _version(package: str) -> str:
    if importlib.util.find_spec(package) is None:
        return "not installed"
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # Of another name than what is imported.
        names = metadata.packages_distributions().get(package)
        return metadata.version(names[0]) if names else "unknown"
