"""Which figures and tables of the papers there are: ``params/papers/*.yml``, read and checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shapelib.errors import ShapelibError, nearest

KINDS = ("profile", "suites", "tuning", "table")
"""Models over layers; suites of checkpoints; runs of fine-tuning; configurations alone."""
_OPTIONAL = ("store", "without")
_FIELDS = ("title", "prints", "kind", "notebook", "parameters", *_OPTIONAL)


@dataclass(frozen=True)
class Figure:
    """A figure or table of a paper: what it measures, and the notebook that shows it."""

    name: str
    title: str
    prints: str
    """Where the paper prints it."""
    kind: str
    """One of `KINDS`."""
    notebook: Path
    parameters: dict[str, Any]
    """Of the notebook, the models or suites among them."""
    store: str
    """The name of its store: figures of the same measurements share one."""
    without: tuple[str, ...] = ()
    """Sections of the notebook that show nothing of these models."""
    listed: dict[str, Any] | None = None
    """The parameters as they are listed, where a reader has changed some."""

    @property
    def names(self) -> list[str]:
        """The models, or the suites."""
        return list(self.parameters["suites" if self.kind == "suites" else "models"])

    @property
    def checkpoints(self) -> str:
        """Which checkpoints of each suite: ``all``, ``log:12``, or steps as ``0,1000``."""
        return str(self.parameters.get("checkpoints", "all"))

    def with_parameters(self, given: Mapping[str, Any]) -> "Figure":
        """The same with some parameters changed; their names and types are checked."""
        for name, value in given.items():
            if name not in self.parameters:
                known = nearest(name, list(self.parameters))
                raise ShapelibError(f"{self.name} has no parameter {name!r}; {known}")
            default = self.parameters[name]
            if type(value) is not type(default) or value in ("", []):
                raise ShapelibError(
                    f"parameter {name}={value!r} of {self.name}: something like {default!r} is "
                    "accepted"
                )
        listed = self.listed or self.parameters
        return replace(self, parameters={**self.parameters, **given}, listed=listed)


def figures(root: Path) -> dict[str, Figure]:
    """The figures of a checkout by name, in the order of names.

    Raises `ShapelibError` where there are none, and for a file with an unknown or missing field.
    """
    import yaml

    folder = root / "params" / "papers"
    found = {}
    for file in sorted(folder.glob("*.yml")):
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))
        where = f"params/papers/{file.name}"
        for each in fields.keys() - set(_FIELDS):
            raise ShapelibError(f"{where}: no field {each!r}; {nearest(each, list(_FIELDS))}")
        for each in set(_FIELDS) - fields.keys() - set(_OPTIONAL):
            raise ShapelibError(f"{where}: {each!r} is missing")
        if fields["kind"] not in KINDS:
            known = nearest(str(fields["kind"]), list(KINDS))
            raise ShapelibError(f"{where}: kind is {fields['kind']!r}; {known}")
        notebook = root / "notebooks" / fields["notebook"]
        own = {
            "notebook": notebook, "store": fields.get("store", file.stem),
            "without": tuple(fields.get("without", ())),
        }  # fmt: skip
        found[file.stem] = Figure(file.stem, **{**fields, **own})
    if not found:
        raise ShapelibError(
            f"{folder} holds no figures: shapebook papers is run in a checkout, where they are"
        )
    return found


def figure(root: Path, name: str) -> Figure:
    """One of them by its name. Raises `ShapelibError` that names what there is."""
    found = figures(root)
    if name not in found:
        raise ShapelibError(f"no such figure: {name!r}; {nearest(name, list(found))}")
    return found[name]


def in_order(names: Iterable[str]) -> list[str]:
    """Names of figures, those of the first paper before those of the second."""
    return sorted(names, key=lambda name: (name.startswith("d90"), name))


def made(figures: Mapping[str, Figure], built: Path) -> dict[str, Path]:
    """The notebooks that were run into a folder, by the names of their figures, in order."""
    there = {name: built / f"{name}.ipynb" for name in in_order(figures)}
    return {name: file for name, file in there.items() if file.is_file()}
