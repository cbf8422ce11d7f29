"""The command line: ``shapelib profile · sweep · models · pretrain · d90``, and two more."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shapelib.cli import options
from shapelib.cli.cache import app as cache_app
from shapelib.cli.console import numbers, print_failures, show, started, width
from shapelib.cli.corpus import corpus
from shapelib.cli.options import (  # fmt: skip
    AcceptTerms,
    Batch,
    Beginning,
    Device,
    Dtype,
    Kind,
    LeastWindows,
    ListMetrics,
    Memory,
    Metrics,
    ModelArgument,
    Part,
    Pickle,
    Role,
    Sets,
    Store,
    TaskArgument,
    Text,
    Tokens,
    Window,
    complete_models,
)
from shapelib.errors import ShapelibError, nearest
from shapelib.finetuning.settings import LEVEL, SCORED, Tuning
from shapelib.states.settings import MEMORY, Measuring

app = typer.Typer(
    help="Measure the geometry of language models: anisotropy and dimension of hidden states.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cache_app, name="cache")
app.command()(corpus)


@app.command()
def profile(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="The table: a .parquet or .csv file.")],
    corpus: Text = "enwiki-sample",
    tokens: Tokens = Measuring.tokens,
    window: Window = Measuring.window,
    unit: options.WindowUnit = Measuring.unit,
    batch: Batch = Measuring.batch,
    sets: Sets = options.SETS,
    seed: Annotated[int, typer.Option(help="Draws and shuffles the windows.")] = Measuring.seed,
    metric: Metrics = options.METRICS,
    list_metrics: ListMetrics = False,
    beginning: Beginning = Measuring.beginning,
    least_windows: LeastWindows = Measuring.least_windows,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory: Memory = MEMORY,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that the repository ships.")
    ] = False,
    allow_pickle: Pickle = False,
    part: Part = None,
    accept_terms: AcceptTerms = False,
) -> None:
    """Measure a model's hidden states layer by layer, and write one tidy table."""
    from shapelib.cli.tables import summary
    from shapelib.models import loading
    from shapelib.states.profile import profile as measure
    from shapelib.store import tables

    tables.check_output(out)
    source = loading.find(
        model, revision, trust_remote_code, allow_pickle=allow_pickle, fetch=False
    )
    if trust_remote_code:
        loaded: loading.Source | loading.Model = loading.load(
            source, device=device, dtype=dtype, trust_remote_code=True, part=part
        )
    else:
        loaded = source
    table = measure(
        loaded, corpus, tokens=tokens, window=window, unit=unit, batch=batch, sets=sets,
        seed=seed, metrics=metric, beginning=beginning, least_windows=least_windows,
        device=device, dtype=dtype, memory=memory, part=part,
    )  # fmt: skip
    tables.write_table(table, out)
    show(summary(table))
    run = table.attrs["provenance"][0]
    for told, what in (("", run["caveat"]), ("weights in its file: ", run["quantised"])):
        if what:
            typer.echo(f"{table['model'].iloc[0]}: {told}{what}")
    typer.echo(f"{len(table)} rows written to {out}")


@app.command()
def sweep(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models as profile takes them, suites, and folders of them.",
            autocompletion=complete_models,
        ),
    ],
    output: Store,
    checkpoints: options.Checkpoints = "all",
    corpus: Annotated[
        list[str], typer.Option(help="As profile takes it. Give it once for each.")
    ] = ["enwiki-sample"],  # noqa: B006
    seeds: Annotated[str, typer.Option(help="One or more: 0,1,…")] = "0",
    workers: options.Workers = 1,
    dask: options.Dask = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Say what is there and what is missing; compute nothing.")
    ] = False,
    tokens: Tokens = Measuring.tokens,
    window: Window = Measuring.window,
    unit: options.WindowUnit = Measuring.unit,
    batch: Batch = Measuring.batch,
    sets: Sets = options.SETS,
    metric: Metrics = options.METRICS,
    beginning: Beginning = Measuring.beginning,
    least_windows: LeastWindows = Measuring.least_windows,
    device: Device = "auto",
    dtype: Dtype = "auto",
    memory: Memory = MEMORY,
    allow_pickle: Pickle = False,
    part: Part = None,
    accept_terms: AcceptTerms = False,
) -> None:
    """Measure many models, checkpoints, texts and seeds; a run that was stopped goes on."""
    from shapelib.states.sweep import KIND, fill, missing, plan
    from shapelib.store.cells import look, open_store
    from shapelib.store.workers import check

    check(workers, dask)
    kept = look(output, KIND)
    grid = plan(
        models, corpus, numbers(seeds, "--seeds"), checkpoints, dask=dask, tokens=tokens,
        window=window, unit=unit, batch=batch, sets=sets, metrics=metric, beginning=beginning,
        least_windows=least_windows, device=device, dtype=dtype, memory=memory,
        allow_pickle=allow_pickle, part=part,
    )  # fmt: skip
    todo = missing(grid, kept)
    typer.echo(f"{len(grid)} cells: {len(grid) - len(todo)} in {output}, {len(todo)} to compute")
    if only_list:
        for cell in grid:
            typer.echo(f"{'missing' if cell in todo else 'there'}  {cell.name}")
        return
    table = fill(grid, open_store(output, KIND), workers=workers, dask=dask)
    typer.echo(f"{len(table)} rows in {output / 'table.parquet'}")
    if failures := table.attrs["failures"]:
        print_failures(failures)
        raise typer.Exit(1)


@app.command()
def d90(
    model: Annotated[
        str,
        typer.Argument(help="A model or suite as sweep takes it.", autocompletion=complete_models),
    ],
    task: TaskArgument,
    output: Store,
    dimensions: options.Dimensions = options.DIMENSIONS,
    methods: options.Methods = "DID",
    inits: options.Inits = "pre-trained",
    learning_rates: options.LearningRates = options.LEARNING_RATES,
    full_rates: options.FullRates = options.FULL_RATES,
    seeds: options.RunSeeds = options.SEEDS,
    steps: options.RunSteps = Tuning.steps,
    batch: options.Texts = Tuning.batch,
    length: options.Length = Tuning.length,
    block: options.Block = Tuning.block,
    pooling: options.Pooling = Tuning.pooling,
    dtype: options.RunDtype = Tuning.dtype,
    level: options.Level = LEVEL,
    rates: options.ChosenOn = SCORED,
    search: options.Search = False,
    last_seeds: options.LastSeeds = "",
    checkpoints: options.Checkpoints = "all",
    workers: options.Workers = 1,
    dask: options.Dask = None,
    device: Device = "auto",
    allow_pickle: Pickle = False,
    accept_terms: AcceptTerms = False,
) -> None:
    """Find the smallest random subspace in which fine-tuning still works; resumable."""
    from shapelib.cli import tables
    from shapelib.finetuning.d90 import d90 as estimate
    from shapelib.finetuning.sweep import d90_search, dimension_sweep

    tried = numbers(dimensions, "--dimensions")
    whole: dict[str, Any] = {
        "learning_rates": numbers(learning_rates, "--learning-rates", float),
        "full_rates": numbers(full_rates, "--full-rates", float),
        "seeds": numbers(seeds, "--seeds"), "checkpoints": checkpoints, "steps": steps,
        "batch": batch, "length": length, "block": block, "pooling": pooling,
        "dtype": dtype, "output": output, "workers": workers, "dask": dask, "device": device,
        "allow_pickle": allow_pickle,
    }  # fmt: skip
    if search:
        more = numbers(last_seeds, "--last-seeds") if last_seeds else ()
        found = d90_search(
            model, task, level=level, method=methods, init=inits, rates=rates, low=min(tried),
            high=max(tried), last_seeds=more, **whole,
        )  # fmt: skip
        show(tables.estimate(found))
        return
    whole |= {"methods": methods.split(","), "inits": inits.split(",")}
    table = dimension_sweep(model, task, dimensions=tried, **whole)
    if failures := table.attrs["failures"]:
        print_failures(failures)
    if len(table):
        show(tables.estimate(estimate(table, level, rates=rates)))
        typer.echo(f"{len(table)} runs in {output / 'table.parquet'}")
    if failures:
        raise typer.Exit(1)


@app.command()
def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="All that is known of one, and its checkpoints.", autocompletion=complete_models
        ),
    ] = None,
    role: Role = None,
    family: Annotated[str | None, typer.Option(help="An architecture, such as GPT-NeoX.")] = None,
    suites: Annotated[
        bool, typer.Option("--suites", help="Only models with checkpoints along training.")
    ] = False,
    cached: Annotated[
        bool, typer.Option("--cached", help="Only what is on this machine already.")
    ] = False,
) -> None:
    """List the models with a short name, and say which are on this machine."""
    from shapelib.cli import tables
    from shapelib.models import catalogue

    kept = tables.Here()
    if name is not None:
        known = catalogue.models()
        if name not in known:
            raise ShapelibError(f"no such model: {name!r}; {nearest(name, list(known))}")
        show(tables.details(known[name], kept))
        if suite := known[name].suite:
            show(tables.checkpoints(suite, kept, width()))
            for each in suite.checkpoints:
                if each.caveat:
                    typer.echo(f"{suite.name}@{each.name}: {each.caveat}")
        return
    chosen = tables.select(kept, role, family, suites, cached)
    if not chosen:
        typer.echo("No model of the catalogue is like that.")
        return
    show(tables.overview(chosen, kept, width()))
    typer.echo(
        "shapelib models NAME says more. Any folder with safetensors weights, .gguf file or hub "
        "name works as well."
    )


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="The suite: a folder of checkpoints.")],
    kind: Kind = "decoder",
    size: Annotated[str, typer.Option(help="nano, nano-48, nano-192, small, or base.")] = "nano",
    steps: Annotated[int | None, typer.Option(help="Updates; the size's own if unset.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps in which the rate grows.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine or constant.")] = None,
    seed: Annotated[int, typer.Option(help="Initial weights, and windows with their order.")] = 0,
    corpus: Annotated[
        str | None, typer.Option(help="As in profile; the size's own if unset.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of products: auto, float32 or bfloat16.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = "auto",
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so long; the same command goes on.")
    ] = None,
) -> None:
    """Train a small model from scratch, with checkpoints at log-spaced steps; resumable."""
    from shapelib.pretraining import checkpoints
    from shapelib.pretraining.pretrain import train
    from shapelib.pretraining.recipe import SIZES, recipe

    if steps and warmup is None and size in SIZES and SIZES[size]["warmup"] > steps:
        raise ShapelibError(
            f"--steps {steps} is less than the warm-up of {size}, {SIZES[size]['warmup']} steps; "
            f"give --warmup as well, {steps} at most"
        )
    asked = {
        "steps": steps, "warmup": warmup, "learning_rate": learning_rate, "schedule": schedule,
        "corpus": corpus, "precision": precision,
    }  # fmt: skip
    changes = {name: value for name, value in asked.items() if value is not None}
    made = recipe(kind, size, seed=seed, **changes)
    train(made, out, device=device, minutes=minutes)
    kept = checkpoints.whole(out)
    done = f"{len(kept)} of {len(made.checkpoints)} checkpoints in {out}"
    if kept:
        last = checkpoints.record(kept[max(kept)])
        done += f"; held-out perplexity {last['perplexity']:.1f} at step {last['step']}"
    typer.echo(done)


# What Ctrl-C leaves of each command's work.
_LEFT = {
    "profile": "no table was written",
    "sweep": "finished cells are kept: the same command computes the rest",
    "d90": "finished runs are kept: the same command makes the rest",
    "pretrain": "the same command goes on from the newest state that was kept",
}


def main() -> None:
    """The entry point."""
    started("shapelib", app, _LEFT)
