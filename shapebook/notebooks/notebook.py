"""Run a notebook with checked parameters, and show in it what it was run with."""

import ast
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shapebook.notebooks import kernel
from shapebook.notebooks.given import finite
from shapebook.notebooks.shown import BORROWED, MEASURED
from shapelib import extras
from shapelib.errors import ShapelibError, advice, nearest
from shapelib.store import tables

RUN = "shapelib"
"""Where an executed notebook keeps what it was run with, and what the run cost."""
Notebook = Any
"""An nbformat NotebookNode."""


def parameters(notebook: str | Path) -> dict[str, Any]:
    """A notebook's parameters and their defaults, from its cell tagged ``parameters``.

    Raises `ShapelibError` where the file is no notebook, or has no such cell.
    """
    for cell in read(notebook).cells:
        if "parameters" in cell.metadata.get("tags", []):
            try:
                return assignments(cell.source)
            except (SyntaxError, ValueError) as error:
                raise ShapelibError(
                    f"the parameters of {str(notebook)!r} cannot be read ({error}); accepted: "
                    "lines such as tokens = 4096, with plain values"
                ) from error
    raise ShapelibError(f"{str(notebook)!r} has no cell tagged 'parameters'")


def assignments(source: str) -> dict[str, Any]:
    """The plain values that a cell of parameters assigns, by name."""
    return {
        target.id: ast.literal_eval(line.value)
        for line in ast.parse(source).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }


class Run(NamedTuple):
    """What a checkout's ``params/NAME.yml`` says: the run behind one page of a book."""

    name: str
    notebook: Path
    parameters: dict[str, Any]
    after: str | None
    """The page that is run before, since both show the same measurements."""


def runs_of_book(root: Path) -> Iterator[Run]:
    """The pages that a checkout's ``params/*.yml`` name, each with its notebook and parameters."""
    import yaml

    known = ["notebook", "parameters", "after"]
    for file in sorted((root / "params").glob("*.yml")):
        entry = yaml.safe_load(file.read_text(encoding="utf-8"))
        if unknown := set(entry) - set(known):
            wrong = sorted(unknown)[0]
            raise ShapelibError(f"params/{file.name}: {nearest(wrong, known)}; got {wrong!r}")
        notebook = root / "notebooks" / entry["notebook"]
        yield Run(file.stem, notebook, entry["parameters"], entry.get("after"))


def check(notebook: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with `given` laid over them; papermill itself would only warn of a wrong name.

    Raises `ShapelibError` for a name the notebook does not have, for a value of another type than
    its default's (a whole number passes for a real one), for a number that is below zero or not
    finite, and for an empty list where the default is none.
    """
    merged = parameters(notebook)
    for name, value in given.items():
        if name not in merged:
            known = nearest(name, list(merged))
            raise ShapelibError(f"{Path(notebook).name} has no parameter {name!r}; {known}")
        default = merged[name]
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        wrong = "" if fits or default is None else _kind(value)
        if isinstance(value, int | float) and value < 0:
            wrong = "below zero"
        elif isinstance(value, list) and not value and default:
            wrong = "an empty list"
        elif not finite(value):
            wrong = "not finite"
        if wrong:
            raise ShapelibError(
                f"parameter {name}={value!r} of {Path(notebook).name} is {wrong}; accepted: "
                f"{_kind(default)}, such as -p {_written(name, default)}"
            )
        merged[name] = value
    return merged


def _kind(value: Any) -> str:
    """A type of plain values in words."""
    words = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text",
        list: "a list", dict: "a mapping", type(None): "nothing",
    }  # fmt: skip
    return words.get(type(value), type(value).__name__)


def _written(name: str, value: Any) -> str:
    """A parameter as a command line takes it."""
    import json

    shown = json.dumps(value, ensure_ascii=False)
    return f"{name}='{shown}'" if isinstance(value, list | dict) else f"{name}={value!s}"


def run(
    notebook: str | Path,
    output: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    told: kernel.Told | None = None,
    key: str | None = None,
) -> Path:
    """Execute a notebook with parameters and write the executed copy to `output`.

    Names and types are checked first; the copy appears only when every cell has run, so a failed
    or interrupted run leaves an older one whole. What a failed run got to, its error included, is
    beside it: ``NAME.failed.ipynb`` for ``NAME.ipynb``. Local paths are not kept; seconds, peak
    memory, versions and machine are, in the copy's metadata (see `cost`). `told` gets the progress,
    cell by cell; `key` is kept with the copy: whoever runs it can tell by it what it was made from.
    Raises `ShapelibError` for wrong parameters, and where a cell fails (its error is shown).
    """
    given = dict(given or {})
    merged = check(notebook, given)
    extras.require("running notebooks", "models", "book")
    notebook, output = Path(notebook), Path(output)
    if output.suffix != ".ipynb":
        raise ShapelibError(f"the output {str(output)!r} must end in .ipynb")
    tables.check_file(output)
    if output.exists() and output.samefile(notebook):
        raise ShapelibError(f"{str(output)!r} is the notebook itself; give another file's name")
    with (
        kernel.stoppable(),
        tempfile.TemporaryDirectory(dir=output.parent, prefix=".run-") as temporary,
    ):
        unfinished = Path(temporary) / output.name
        started = time.perf_counter()
        try:
            peak = kernel.execute(notebook, unfinished, given, told)
        except ShapelibError as error:
            of = error.of if isinstance(error, kernel.CellFailed) else None
            said = f"{error}{advice(of, merged)}"
            raise ShapelibError(said + _keep_failed(unfinished, output)) from error
        seconds = round(time.perf_counter() - started, 1)
        executed = read(unfinished)
        _strip(executed)
        executed.metadata[RUN] = {
            "notebook": notebook.name,
            "parameters": given,
            "run": tables.provenance(seconds=seconds, peak_memory=peak),
        }
        if key is not None:
            executed.metadata[RUN]["key"] = key
        write(executed, unfinished)
        unfinished.replace(output)
    return output


def _keep_failed(unfinished: Path, output: Path) -> str:
    """Put what a failed run got to beside its output, and say where; empty if nothing ran."""
    if not unfinished.is_file():
        return ""
    failed = output.with_suffix(".failed.ipynb")
    unfinished.replace(failed)
    return f"; the cells up to there, with the error, are in {failed}"


def cost(notebook: Notebook) -> dict[str, Any]:
    """What an executed notebook says of its run: ``seconds, peak_memory, versions, machine, …``;
    nothing where it is of a version that did not say, or was never run."""
    kept: dict[str, Any] = notebook.metadata.get(RUN, {}).get("run", {})
    return kept


def read(path: str | Path) -> Notebook:
    """Read a notebook, version 4."""
    try:
        import nbformat
    except ImportError as error:
        raise ShapelibError(f"reading notebooks needs nbformat; {kernel.INSTALL}") from error

    path = Path(path)
    if path.is_dir():
        raise ShapelibError(f"{str(path)!r} is a folder; give a notebook's name")
    if not path.is_file():
        raise ShapelibError(f"no such notebook: {str(path)!r}")
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise ShapelibError(f"{str(path)!r} is not a notebook (JSON, version 4)") from error


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook as one that diffs well."""
    import nbformat

    path.write_text(nbformat.writes(notebook, version=4, indent=1) + "\n", encoding="utf-8")


def records(notebook: Notebook) -> list[dict[str, Any]]:
    """The claim records that an executed notebook shows (see `shapebook.claims.judge.Shown`)."""
    from shapebook.claims.judge import RECORDS

    return _told(notebook, RECORDS)


def measured(notebook: Notebook) -> list[dict[str, Any]]:
    """The measurements of its own an executed notebook rests on: ``model, seconds, created`` of
    each, as they were made, which may have been before its run."""
    return _told(notebook, MEASURED)


def borrowed(notebook: Notebook) -> list[dict[str, Any]]:
    """The runs kept as data that an executed notebook shows: ``command, seconds`` of each; seconds
    are None where the run's own were not kept."""
    return _told(notebook, BORROWED)


def _told(notebook: Notebook, key: str) -> list[dict[str, Any]]:
    return [
        run
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for run in output.get("metadata", {}).get(key, [])
    ]


def _strip(notebook: Notebook) -> None:
    """Drop what differs between two equal runs, and what names this machine; fold the cell of
    parameters that papermill added, as all other code is folded.

    What a cell writes to stderr is progress and notices of loading: it tells a first run from one
    that finds its measurements kept, and names folders of this machine.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags and "hide-input" not in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
        for key in ("papermill", "execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
