"""Adapters of `peft` beside a random subspace: pip install peft, then python results/adapters.py

`adapters/adapters.parquet` has a row for each run: MiniLM on `questions`, its query and value
matrices adapted as each method does by `peft`'s own settings but for what sets its size, and the
head trained besides; *head alone* adapts nothing. Updates, batches, precision, ladder of rates and
seeds are those of the part `minilm-questions-DID` of `tuning.py` (three of its five seeds). `d` is
the numbers that are trained, the head's among them; `size` what was set. A rate is that of all that
is trained. One seed climbs the ladder, the others run at its best rate.

Runs are kept in the user's cache as they are made. Real runs start from a clean commit only.
"""

import dataclasses
import functools
import importlib
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from clean import demand_clean_commit
from readings import as_one
from searches import LENGTH, Tuned

from shapelib.finetuning import encoding, one_run
from shapelib.finetuning.plan import as_row
from shapelib.finetuning.settings import Method, Setting
from shapelib.finetuning.tasks import Task, load_task
from shapelib.models import loading, resident, suites
from shapelib.store import keys, tables

HERE = Path(__file__).parent / "adapters"
ASKED: dict[str, Any] = {"model": "minilm-l6", "task": "questions", "seeds": (0, 1, 2)}
HEAD = "head alone"
TARGETS = ("query", "value")
# What adapts, the class of its settings in peft, what seeds its fixed map, and its sizes.
WAYS: dict[str, tuple[str, str | None, tuple[dict[str, int], ...]]] = {
    "LoRA": ("LoraConfig", None, ({"r": 1}, {"r": 8})),
    "RandLoRA": ("RandLoraConfig", "projection_prng_key", ({"r": 192}, {"r": 32})),
    "TinyLoRA": ("TinyLoraConfig", "projection_seed", ({"u": 8}, {"u": 64}, {"u": 512})),
    "Uni-LoRA": (
        "UniLoraConfig", "proj_seed", tuple({"theta_d_length": 4**k} for k in (4, 5, 6, 7)),
    ),
    "VB-LoRA": (
        "VBLoRAConfig", None,
        ({"r": 1, "vector_length": 64, "num_vectors": 16},
         {"r": 4, "vector_length": 64, "num_vectors": 256}),
    ),
    "VeRA": ("VeraConfig", "projection_prng_key", ({"r": 16}, {"r": 256})),
}  # fmt: skip


@dataclass(frozen=True)
class Adapted(Tuned):
    """Runs of one way at one size; its `method` and `d` are not those of a subspace."""

    size: tuple[tuple[str, int], ...] = ()

    def runs(
        self, method: str, d: int | None, rates: Sequence[float], seeds: Sequence[int],
        steps: int, dtype: str | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        model, task, _ = given(self.model, self.task)
        files = model.source.fingerprint, task.sha256
        code = keys.code_of(one_run.tune), peft_version(), *map(inspect.getsource, CODE)
        found = []
        for rate, seed in itertools.product(rates, seeds):
            setting = self.setting("full", None, rate, steps, dtype or "", seed)
            asked = method, WAYS.get(method), self.size, dataclasses.asdict(setting)
            key = keys.key_of(*asked, *files, *code)
            found.append(tables.cached(key, functools.partial(self.one, method, setting)))
            score = float(found[-1]["score"].iloc[0])
            print(
                f"  {method} {dict(self.size)}, rate {rate:g}, seed {seed}: {score:.3f}", flush=True
            )
        return tables.combine(found)

    def one(self, method: str, setting: Setting) -> pd.DataFrame:
        """One run, as a row of a tuning table."""
        model, task, read = given(self.model, self.task)
        with one_run.denormals_flushed():
            net = one_run.classifier(
                model, read.classes, setting.init, setting.seed, setting.pooling, setting.dtype
            )
            first = next(encoding.order(read.train, setting.batch, 1, setting.seed))
            D = one_run.reached(net, read.train, first)
            trained = adapted(net, method, dict(self.size), setting.seed)
            found = one_run.fit(net, read, setting, [{"params": trained, "top": setting.rate}])
        run = dataclasses.replace(setting, method=cast(Method, method), d=found.D)
        table = as_row(model.source, model.role, task, run, found._replace(D=D), "cpu")
        table["size"] = json.dumps(dict(self.size))
        table.attrs["provenance"][0]["peft"] = peft_version()
        return table


@functools.cache
def given(model: str, task: str) -> tuple[loading.Model, Task, encoding.Encoded]:
    """A model, a task, and the task in the model's tokens."""
    known = resident.loaded(suites.models_and_suites(model)[0], "cpu", "float32")
    read = load_task(task)
    return known, read, encoding.encode(read, known, LENGTH)


def adapted(
    net: one_run.Classifier, method: str, size: dict[str, int], seed: int
) -> list[torch.nn.Parameter]:
    """What is trained: the adapter's numbers, put into the classifier's network, and the head's."""
    net.network.requires_grad_(False)
    inside: list[torch.nn.Parameter] = []
    if method != HEAD:
        kind, seeded, _ = WAYS[method]
        peft = importlib.import_module("peft")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            drawn = {seeded: seed} if seeded else {}
            config = getattr(peft, kind)(target_modules=list(TARGETS), **size, **drawn)
            wrapped = peft.get_peft_model(net.network, config).eval()
        inside = [each for each in wrapped.parameters() if each.requires_grad]
    return [*inside, *net.head.parameters()]


def peft_version() -> str:
    return str(importlib.import_module("peft").__version__)


def made() -> pd.DataFrame:
    """All runs."""
    ways: list[tuple[str, dict[str, int]]] = [(HEAD, {})]
    ways += [(name, size) for name, (_, _, sizes) in WAYS.items() for size in sizes]
    found = []
    for name, size in ways:
        part = Adapted(**ASKED, size=tuple(size.items()))
        first, _ = part.climbed(name, None, part.rate, part.steps)
        found.append(part.by_more_seeds(first, name, None, part.steps))
    table = tables.combine(found)
    run = as_one(table.attrs["provenance"], "adapters", "python results/adapters.py", len(table))
    table.attrs["provenance"] = [run]
    return table.assign(part="adapters")


# What a run depends on, of this file.
CODE: tuple[Callable[..., Any], ...] = (Adapted.one, adapted)


def main() -> None:
    if sys.argv[1:]:
        sys.exit(f"no arguments are taken: {' '.join(sys.argv[1:])}")
    demand_clean_commit()
    try:
        peft_version()
    except ModuleNotFoundError:
        sys.exit("it needs peft: pip install peft")
    HERE.mkdir(exist_ok=True)
    print(tables.write_table(made(), HERE / "adapters.parquet"))


if __name__ == "__main__":
    main()
