"""Make the tables of trained models: python results/training.py [RUN …], all runs without any.

Models are trained in the user's cache, two at a time, and measured on held-out text in two ways:
16384 vectors of 256 windows shuffled into four batches of 4096 (the rows with four batches), and
4096 vectors that are all the tokens of 64 windows, under four draws of windows (the rows with
one). `shape.parquet` has both, `training.parquet` every step's loss. A run that is made again
replaces its rows. Runs of the pair's block are in training/, of Pythia's in training-parallel/.
How many runs there are and roughly how long they take is said first: less, if the cache has some.
"""

import sys
from pathlib import Path

import pandas as pd

from shapelib import pretraining
from shapelib.pretraining.recipe import Recipe, recipe
from shapelib.store import tables

HERE = Path(__file__).parent
RUNS = {
    made.name: made
    for made in (
        *(recipe(kind, seed=seed) for seed in (0, 1, 2) for kind in ("decoder", "encoder")),
        recipe("causal-masked"),
        recipe("prefix"),
        *(recipe("decoder", seed=seed, warmup=400) for seed in (0, 1, 2)),
        *(
            recipe(kind, size)
            for size in ("nano-48", "nano-192")
            for kind in ("decoder", "encoder")
        ),
        recipe("encoder", warmup=400),
        *(recipe("decoder", block="parallel", steps=2560, seed=seed) for seed in (0, 1, 2)),
    )
}


# Columns that are one and the same here, and what each group of windows gives, which is four fifths
# of the file: the pages take intervals over seeds.
LEFT_OUT = ["part", "quantised", "tuned", "beginning", "by_group"]
# Minutes of a core: a run of the middle width and 1280 steps, and measuring its checkpoints.
TRAINING, MEASURING = 5.0, 3.0


def minutes(chosen: list[Recipe]) -> float:
    """Roughly how long two runs at once, or one, take to be trained and then measured in turn."""
    size = [made.steps / 1280 * max(1.0, made.width / 96) ** 1.5 for made in chosen]
    return TRAINING * max(size) + MEASURING * sum(size)


def main() -> None:
    names = sys.argv[1:] or list(RUNS)
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        sys.exit(f"no such run: {', '.join(unknown)}; known: {', '.join(RUNS)}")
    pairs = [[RUNS[name] for name in names[at : at + 2]] for at in range(0, len(names), 2)]
    whole = sum(minutes(chosen) for chosen in pairs)
    print(f"{len(names)} runs, two at a time: about {whole:.0f} minutes on two cores", flush=True)
    for chosen in pairs:
        for made, folder in zip(chosen, pretraining.suites(chosen), strict=True):
            keep(made, folder)


def keep(made: Recipe, folder: Path) -> None:
    """Put one run's rows into its tables."""
    mixed = pretraining.measure(folder, tokens=16_384, seeds=(0,))
    whole = pretraining.measure(folder)
    put("shape", made, tables.combine([mixed, whole]).drop(columns=LEFT_OUT))
    put("training", made, pretraining.table(folder))
    print(f"{made.name}: kept", flush=True)


def put(name: str, made: Recipe, table: pd.DataFrame) -> None:
    """Replace a run's rows in one of the tables of this script."""
    folder = HERE / ("training-parallel" if made.block == "parallel" else "training")
    replace(folder / f"{name}.parquet", made, table, f"python results/training.py {made.name}")


def replace(path: Path, made: Recipe, table: pd.DataFrame, command: str) -> None:
    """Replace a run's rows in a table; of what its measurements say of themselves keep one, and how
    many they were and what they took together."""
    made_of = table.attrs["provenance"]
    if all("seconds" in each for each in made_of):
        total = round(sum(each["seconds"] for each in made_of), 1)
        made_of = [{**made_of[0], "runs": len(made_of), "seconds": total}]
    run = {**made_of[0], "model": made.name, "recipe": made.as_dict(), "command": command}
    # Six digits are enough for a figure, and halve the file; so do three decimals of a loss.
    table = table.astype(dict.fromkeys(table.select_dtypes("float64"), "float32"))
    table = table.round({"loss": 3})
    path.parent.mkdir(exist_ok=True)
    runs = [run]
    if path.is_file():
        before = tables.read_table(path)
        runs = [each for each in before.attrs["provenance"] if each["model"] != made.name] + runs
        before.attrs = table.attrs = {}
        table = pd.concat([before[before["model"] != made.name], table], ignore_index=True)
    table.attrs["provenance"] = runs
    tables.write_table(table, path)


if __name__ == "__main__":
    main()
