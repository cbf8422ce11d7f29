"""The command line of the book: ``shapebook run · show · papers · build · html · pdf · record``."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shapelib.cli.console import started
from shapelib.errors import ShapelibError, nearest

if TYPE_CHECKING:
    from shapebook.papers.listed import Figure
    from shapebook.papers.make import Where
    from shapebook.papers.plan import Plan

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


@app.command()
def show(
    table: Annotated[Path, typer.Argument(help="A profile: .parquet or .csv.")],
    html: Annotated[Path | None, typer.Option(help="The page, .html; none prints words.")] = None,
) -> None:
    """Show a profile of your own: what the claims' rules say of it, and as a page with figures.

    The page is one file that needs no network: the figures with the book's models beside, the
    sentences computed from the numbers, what made the table, and the table itself.
    """
    from shapebook.pages.own import page as own_page
    from shapebook.pages.own import table as own_table
    from shapelib.store.tables import check_file, write_atomically

    if html is not None and html.suffix != ".html":
        raise ShapelibError(f"--html {str(html)!r} must end in .html")
    target = check_file(html) if html is not None else None
    own = own_table.read(table)
    records = own_page.judged(own)
    page = own_page.page(own, records) if target is not None else ""
    for line in own_page.lines(own, records):
        typer.echo(line)
    if target is not None:
        write_atomically(target, lambda file: file.write_text(page, encoding="utf-8"))
        typer.echo(f"written to {target}")


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
def words() -> None:
    """Say which claims have another word in _build/executed than recorded; 1 where any has."""
    from shapebook.pages.outside import words

    root = Path.cwd()
    changed = words.changed(root / "book" / "executed", root / "_build" / "executed")
    for line in changed:
        typer.echo(line)
    if changed:
        raise typer.Exit(1)
    typer.echo("every claim has the word that is recorded")


@app.command()
def pdf() -> None:
    """Print the recorded pages of this checkout as one PDF, by Chromium or Chrome.

    Then the pages are rendered, with a link to it on the first.
    """
    from shapebook.pages import rendering
    from shapebook.pages.outside import pdf

    root = Path.cwd()
    pdf.write(root, root / "book")
    rendering.render(root, root / "book")


@app.command()
def record() -> None:
    """Keep a finished run: pages in book/executed, verdict cells in notebooks/."""
    from shapebook.pages import build

    build.record(Path.cwd())


@app.command()
def papers(
    figure: Annotated[str | None, typer.Argument(help="Which; none lists them.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="Of each suite: all, log:12, or steps: 0,1000,…")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Another text than enwik8.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value, of the figure's own. Repeatable."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Where measurements are kept; else _build/papers.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The page, .html; else _build/papers.")] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    dask: Annotated[
        str | None, typer.Option(help="Address of a running Dask cluster, in place of workers.")
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            envvar="SHAPEBOOK_ALLOW_PICKLE",
            help="Read pickled weights, without running what they hold.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it takes; fetch and compute nothing.")
    ] = False,
) -> None:
    """Make a figure of the papers anew, with the papers' own models: measure, draw, judge.

    Those of this checkout are params/papers/*.yml. Measurements go to a store, from which a run
    that was stopped goes on; what cannot be had or fails is left out, and the page names it.
    Once all are made, a book of them is rendered in _build/papers/html.
    """
    from shapebook.papers import listed, plan, told

    root = Path.cwd()
    built = root / "_build" / "papers"
    if figure is None:
        _listed(root, built)
        return
    asked = listed.figure(root, figure)
    given = assignments(parameter or [], asked.parameters)
    given |= {"checkpoints": checkpoints} if checkpoints is not None else {}
    given |= {"corpus": corpus} if corpus is not None else {}
    asked = asked.with_parameters(given)
    planned = plan.plan(asked)
    if dry_run:
        for line in told.lines(planned):
            typer.echo(line)
        return
    from shapebook.papers.make import Where
    from shapelib.store.workers import check

    check(workers, dask)
    where = Where(
        store or built / asked.store, out or built / f"{figure}.html", allow_pickle, workers, dask
    )
    _make(planned, where, root)


def _make(planned: "Plan", where: "Where", root: Path) -> None:
    """Make a planned figure, and say what came of it; ends with 1 where something is missing."""
    from shapebook.notebooks import changes
    from shapebook.papers import listed, make

    made = make.make(planned, where, functools.partial(typer.echo, err=True))
    for record in made.records:
        typer.echo(changes.judged(record))
    typer.echo(f"written to {made.notebook} and {where.page}")
    built = root / "_build" / "papers"
    if where.page.resolve() == (built / f"{planned.figure.name}.html").resolve():
        _as_printed(root, built, listed.figures(root))
    if made.failures:
        typer.echo(f"{len(made.failures)} missing, named on the page; the same command tries again")
        raise typer.Exit(1)


def _listed(root: Path, built: Path) -> None:
    """Say which figures there are and which are made, and render the book of them where all are."""
    from shapebook.papers import listed

    found = listed.figures(root)
    there = listed.made(found, built)
    for each in found.values():
        made = "; made" if each.name in there else ""
        typer.echo(f"{each.name:14}{each.title} ({each.prints}){made}")
    _as_printed(root, built, found)


def _as_printed(root: Path, built: Path, found: "Mapping[str, Figure]") -> None:
    """Render the book of all figures, or say how many it waits for."""
    from shapebook.papers import listed

    there = listed.made(found, built)
    if len(there) == len(found):
        from shapebook.papers import book

        book.render(root, built, found)
    elif there:
        missing = ", ".join(name for name in found if name not in there)
        typer.echo(f"the book of them is rendered once these are made too: {missing}")


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
    "papers": "what was measured is kept: the same command goes on",
    "run": "no notebook was written",
    "show": "no page was written",
    "build": "finished pages are kept: the same command runs the rest",
    "pdf": "no PDF was written",
    "record": "finished pages are kept, and nothing was recorded",
}


def main() -> None:
    """The entry point."""
    started("shapebook", app, _LEFT)
