"""The API reference: what ``api.rst`` names, in a table by task and in full from the docstrings.

``{names: profile, models.find}`` becomes these names in full, and ``{names by task}`` a table of
all of them with their first sentences. In a docstring, a word in single backticks that is a name of
the page becomes a link to it.
"""

import functools
import importlib
import inspect
import itertools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import inspect as signatures

import shapelib

PAGE = Path(__file__).parents[1] / "api.rst"
TABLE = "{names by task}"
_NAMES = re.compile(r"^\{names: ([^}]+)\}$", re.M)
_SECTION = re.compile(r"^(.+)\n-+\n", re.M)
_WORD = re.compile(r"(?<![`:])`([A-Za-z_][\w.]*)`(?!`)")


def tasks(page: str) -> dict[str, list[str]]:
    """The names that a page lists, by the title of their section."""
    _, *parts = _SECTION.split(page)
    listed = zip(parts[::2], map(_NAMES.search, parts[1::2]), strict=True)
    return {title: _split(found) for title, found in listed if found}


def full(name: str) -> str:
    """A listed name with its package: `shapelib`, where it names no other."""
    return name if name.startswith("shapebook.") else f"shapelib.{name}"


def place(name: str) -> tuple[str, str]:
    """The package or module that a listed name is imported from, and its name there."""
    module, _, attribute = full(name).rpartition(".")
    return module, attribute


def value(name: str) -> Any:
    """What a listed name means."""
    module, attribute = place(name)
    return getattr(importlib.import_module(module), attribute)


def is_result(name: str) -> bool:
    """Whether a name is that of a class which functions give and nobody makes."""
    return isinstance(value(name), type) and name not in shapelib.__all__


def documented(name: str) -> str:
    """The docstring of a name; of a number or a text, the string below it."""
    found = value(name)
    if isinstance(found, type) or inspect.isroutine(found):
        return inspect.getdoc(found) or ""
    module, attribute = place(name)
    return "\n".join(ModuleAnalyzer.for_module(module).find_attr_docs().get(("", attribute), []))


def summary(name: str) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(documented(name).split("\n\n")[0].split())


def by_task(listed: dict[str, list[str]]) -> str:
    """Each task, and a table of its names with their first sentences."""
    lines = []
    for title, names in listed.items():
        lines += [
            f"`{title}`_",
            "",
            ".. list-table::",
            "   :widths: 35 65",
            "   :class: by-task",
            "",
        ]
        for name in names:
            if not is_result(name):
                lines += [f"   * - :py:obj:`{name} <{full(name)}>`"]
                lines += [f"     - {linked(summary(name), {name})}"]
        lines += [""]
    return "\n".join(lines)


def in_full(name: str) -> str:
    """The directive that documents a name."""
    found, (module, attribute) = value(name), place(name)
    kind, options = "data", ["   :no-value:"]
    if isinstance(found, type):
        kind = "exception" if issubclass(found, Exception) else "class"
        options = ["   :members:", "   :member-order: bysource"] if is_result(name) else []
    elif inspect.isroutine(found):
        kind, options = "function", []
    # The colons tell a module from the function of its name.
    return "\n".join([f".. auto{kind}:: {module}::{attribute}", *options, ""])


def reference(page: str) -> str:
    """A page with its names put in."""
    listed = tasks(page)
    page = _NAMES.sub(lambda found: "\n".join(map(in_full, _split(found))), linked(page))
    return page.replace(TABLE, by_task(listed))


def _split(found: re.Match[str]) -> list[str]:
    return re.split(r",\s+", found[1])


@functools.cache
def targets() -> dict[str, str]:
    """What a word in a docstring may mean: a name of the page, with its module or without."""
    found = {}
    for name in itertools.chain(*tasks(PAGE.read_text(encoding="utf-8")).values()):
        words = {name, full(name)}
        if isinstance(value(name), type):
            short = name.rpartition(".")[2]
            words.add(short)
            found |= {f"{short}.{each}": f"{full(name)}.{each}" for each in vars(value(name))}
        found |= dict.fromkeys(words, full(name))
    return found


def linked(text: str, own: Collection[str] = ()) -> str:
    """A text with links to the names of the page that it mentions, but for its `own`."""

    def link(word: re.Match[str]) -> str:
        target = targets().get(word[1])
        return word[0] if target is None or word[1] in own else f":py:obj:`{word[1]} <{target}>`"

    return _WORD.sub(link, text)


def link_names(
    app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]
) -> None:
    """Link a docstring; its own name, and what is a parameter or a field here, is no link."""
    own = {name.rpartition(".")[2]}
    for each in (found, getattr(found, "__init__", None)):
        own |= set(getattr(each, "__annotations__", ()))
    lines[:] = [linked(line, own) for line in lines]


def shorten(
    app: Sphinx,
    what: str,
    name: str,
    found: Any,
    options: Any,
    given: str | None,
    gives: str | None,
) -> tuple[str | None, str | None] | None:
    """A signature without the types of parameters, which are told in words; none for results."""
    if what == "class" and is_result(name.removeprefix("shapelib.")):
        return None, None
    if what not in ("class", "function", "method"):
        return None
    bare = signatures.signature(found, bound_method=what == "method")
    return signatures.stringify_signature(bare, show_annotation=False), gives


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the reference into the page that asks for it."""
    if TABLE in source[0]:
        source[0] = reference(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", link_names)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
