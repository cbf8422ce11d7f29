"""The command line of the book: ``shapebook run NOTEBOOK · build · html · record``."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from shapelib.cli.console import started
from shapelib.errors import ShapelibError, nearest

app = typer.Typer(
    help="Run the book's notebooks with parameters of your own, and make the book.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    notebook: Annotated[Path, typer.Argument(help="A notebook with a parameters cell.")],
    out: Annotated[Path, typer.Option(help="The executed notebook, .ipynb; a .html beside it.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value; a list as [a, b]. Repeatable."),
    ] = None,
) -> None:
    """Run a notebook with other parameters; names and types are checked first.

    Those of the book are in notebooks/ of a checkout: notebooks/profiles.ipynb and others.
    Beside the executed notebook goes the same as one .html file, to open in any browser.
    """
    from shapebook.notebooks import changes, html
    from shapebook.notebooks import notebook as notebooks
    from shapelib.store.tables import check_file

    notebook = notebook_at(notebook)
    given = assignments(parameter or [], notebooks.parameters(notebook))
    page = check_file(out.with_suffix(".html"))
    notebooks.run(notebook, out, given, told=functools.partial(typer.echo, err=True, nl=False))
    done, other = notebooks.read(out), changes.changes(notebook, given)
    page.write_text(html.html(done, other), encoding="utf-8")
    if other:
        notebooks.write(html.without_the_books_readings(done), out)
    for record in notebooks.records(done):
        typer.echo(changes.judged(record))
    if kept := changes.commands(done):
        typer.echo(f"shown as well, and not measured by this run: {', '.join(kept)}")
    typer.echo(f"written to {out} and {page}")


Defaults = Annotated[
    bool, typer.Option("--defaults", help="Run notebooks with their own, short parameters.")
]


@app.command()
def build(defaults: Defaults = False) -> None:
    """Run the pages of this checkout that are stale, and render the book in _build/html."""
    from shapebook.pages import build, rendering

    root = Path.cwd()
    rendering.render(root, build.assemble(root, build.execute(root, defaults)))


@app.command(hidden=True)
def page(name: str, defaults: Defaults = False) -> None:
    """Run one page of this checkout: what `build` calls, two at a time."""
    from shapebook.pages import build

    build.execute_page(Path.cwd(), name, defaults)


@app.command()
def html() -> None:
    """Render the recorded pages of this checkout, in _build/html; nothing is run."""
    from shapebook.pages import rendering

    root = Path.cwd()
    rendering.render(root, root / "book")


@app.command()
def record() -> None:
    """Keep a finished run: pages in book/executed, verdict cells in notebooks/."""
    from shapebook.pages import build

    build.record(Path.cwd())


def notebook_at(path: Path) -> Path:
    """`path`, if a notebook may be there; else an error that says which ones there are."""
    if path.exists():
        return path
    known = sorted(Path("notebooks").glob("*.ipynb"))
    meant = [each for each in known if each.stem == path.stem]
    if meant:
        raise ShapelibError(f"no such notebook: {str(path)!r}; did you mean {str(meant[0])!r}?")
    if known:
        names = nearest(path.stem, [each.stem for each in known])
        raise ShapelibError(f"no such notebook: {str(path)!r}; in notebooks/: {names}")
    raise ShapelibError(
        f"no such notebook: {str(path)!r}; the book's are in notebooks/ of a checkout, such as "
        "notebooks/profiles.ipynb"
    )


def assignments(texts: list[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters by name, from what several ``-p`` said."""
    found: dict[str, Any] = {}
    for text in texts:
        name, value = assignment(text, defaults)
        if name in found:
            raise ShapelibError(f"-p gives {name} twice: {found[name]!r} and {value!r}; give one")
        found[name] = value
    return found


def assignment(text: str, defaults: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and value of one ``-p``; the value is read by the type of the parameter's default."""
    from shapebook.notebooks.given import value_of

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ShapelibError(f"-p {text!r} is not name=value")
    return name, value_of(value, defaults.get(name))


# What Ctrl-C leaves of each command's work.
_LEFT = {
    "run": "no notebook was written",
    "build": "finished pages are kept: the same command runs the rest",
    "record": "finished pages are kept, and nothing was recorded",
}


def main() -> None:
    """The entry point."""
    started("shapebook", app, _LEFT)
