"""The API reference lists what the package lists: `{public names}` becomes every public name.

Grouped by the module a name lives in, under that module's first sentence, in the order of the
package's own list.
"""

import importlib

from sphinx.application import Sphinx

import shapelib

PLACE = "{public names}"


def reference() -> str:
    """Every name of ``shapelib.__all__`` as reStructuredText for autodoc."""
    groups: dict[str, list[str]] = {}
    for name in shapelib.__all__:
        if name in shapelib._HOME:
            groups.setdefault(shapelib._HOME[name], []).append(name)
    lines = []
    for home, names in groups.items():
        documented = importlib.import_module(f"shapelib.{home}").__doc__ or ""
        title = documented.strip().split("\n\n")[0].replace("\n", " ").rstrip(".")
        lines += [home, "-" * len(home), "", f"{title}.", ""]
        for name in names:
            kind = "autofunction"
            if isinstance(found := getattr(shapelib, name), type):
                kind = "autoexception" if issubclass(found, Exception) else "autoclass"
            lines += [f".. {kind}:: shapelib.{name}", ""]
    return "\n".join(lines)


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the reference into the page that asks for it."""
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, reference())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
