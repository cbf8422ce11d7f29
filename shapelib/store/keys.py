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
from collections.abc import Callable, Iterable, Iterator
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
    return hash_of(closure({each.__module__ for each in measuring}))


def hash_of(code: Code, *, data: bool = False) -> str:
    """A hash of the modules and of the packages' versions; with `data` of the files beside a module
    as well that it names, as ``catalogue.yml``."""
    digests = {name: _digest(file.read_bytes()) for name, file in code.modules.items()}
    files = {each for file in code.modules.values() for each in _named(file)} if data else set()
    kept = sorted((each.name, hashlib.sha256(each.read_bytes()).hexdigest()) for each in files)
    return key_of(digests, versions(code.packages), kept)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those that numbers depend on, by their import names."""
    wanted = set(packages) - _CARRIERS
    if "transformers" in wanted:
        wanted |= {each for each in _TAKEN_UP if importlib.util.find_spec(each)}
    return {each: _version(each) for each in sorted(wanted)}


def closure(modules: Iterable[str], root: Path = _ROOT) -> Code:
    """The modules that importing some leads to, these included, and the other packages they use.

    `root`: the folder in which ``shapelib`` stands.
    """
    modules = list(modules)
    return _followed(modules, set(), {each.split(".")[0] for each in modules}, root)


def closure_of(code: ast.AST, packages: Iterable[str], root: Path = _ROOT) -> Code:
    """As `closure`, from the imports of some code; `packages`: those of this house it may use."""
    ours = set(packages)
    found = list(_imports(code, "", ours, root))
    others = {each for each in found if each.split(".")[0] not in ours}
    return _followed([each for each in found if each not in others], others, ours, root)


def _followed(waiting: list[str], others: set[str], packages: set[str], root: Path) -> Code:
    ours = packages | {"shapelib"}
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file(name, root)
        if name.split(".")[0] not in ours:
            others.add(name.split(".")[0])
        elif file is None:
            raise ModuleNotFoundError(f"no module {name} in {root}", name=name)
        elif name not in found:
            found[name] = file
            waiting += _imports(_tree(file.read_bytes()), name, ours, root)
    others = {each.split(".")[0] for each in others} - sys.stdlib_module_names
    return Code(dict(sorted(found.items())), others)


def _file(module: str, root: Path) -> Path | None:
    """The file of a module; of a package, its ``__init__.py``."""
    path = root.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def _imports(code: ast.AST, module: str, ours: set[str], root: Path) -> Iterator[str]:
    """The modules that some code imports, wherever in it, or names in a string of its own."""
    # What only a type checker imports is left out.
    idle = {
        each
        for node in ast.walk(code)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in node.body
        for each in ast.walk(line)
    }
    for node in ast.walk(code):
        if node in idle:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if _is_package(module, root) else module.rpartition(".")[0]
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for each in node.names:
                yield _home(source, each.name, root) if source.split(".")[0] in ours else source
        elif isinstance(node, ast.Constant) and _names_one(node.value, ours, root):
            yield str(node.value)
    if _is_package(module, root):
        yield from (f"{module}.{each}" for each in _homes(code).values())


def _home(package: str, name: str, root: Path) -> str:
    """The module that ``from package import name`` reads, through a face (see `shapelib.face`)."""
    if _is(f"{package}.{name}", root):
        return f"{package}.{name}"
    file = _file(package, root)
    homes = _homes(_tree(file.read_bytes())) if file and file.name == "__init__.py" else {}
    return f"{package}.{homes[name]}" if name in homes else package


def _homes(code: ast.AST) -> dict[str, str]:
    """The table of a face: the modules of the names that load when they are used."""
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            homes: dict[str, str] = ast.literal_eval(node.value)
            return homes
    return {}


def _names_one(text: object, ours: set[str], root: Path) -> bool:
    """Whether a string is the full name of a module, as preloads of worker processes are."""
    return isinstance(text, str) and text.split(".")[0] in ours and "." in text and _is(text, root)


def _is(module: str, root: Path) -> bool:
    return all(each.isidentifier() for each in module.split(".")) and bool(_file(module, root))


def _is_package(module: str, root: Path) -> bool:
    return bool(module) and root.joinpath(*module.split("."), "__init__.py").is_file()


def _named(file: Path) -> Iterator[Path]:
    """The files beside a module that a string of it names."""
    beside = {each.name: each for each in file.parent.iterdir() if each.suffix != ".py"}
    for node in ast.walk(_tree(file.read_bytes())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in beside:
            yield beside[node.value]


@functools.cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


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
