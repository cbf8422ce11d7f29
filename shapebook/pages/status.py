"""What the book says of its own runs, from the executed notebooks: what each cost, and what their
parameters mean and cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shapebook.notebooks import notebook
from shapebook.notebooks.notebook import Notebook

COSTS = {
    "models": "each model once; its forward passes are most of the time",
    "layers": "a neighbour search for each layer and its altered copies",
    "closer": "a reading for each model, and five neighbour searches",
    "corpus": "cleaned once, then kept",
    "tokens": "reading grows with it: a decoder of 135 million parameters, a few hundred a "
    "second on two CPU cores",
    "window": "longer windows leave fewer for the same tokens, so errors grow",
    "batch": "neighbour search grows with its square; at least four batches, since errors are "
    "over them",
    "sets": "a set that differs costs its own measurement, not a reading",
    "seed": "none; another seed shows how far the numbers move",
    "device": "a GPU reads much faster",
    "dissected": "as tokens",
    "changed": "a reading for each intervention, as tokens",
    "suites": "a measurement for each checkpoint, and its download",
    "unit": "none",
    "kinds": "a training run for each",
    "size": "grows with the parameters of the model",
    "steps": "training grows with it; so does the number of checkpoints, slowly",
    "warmup": "none",
    "until": "training and measuring grow with it",
    "tables": "none",
    "parallel_tables": "none",
    "longer_tables": "none",
    "parts": "none",
    "task_parts": "none",
    "random_searches": "none",
    "budgets": "none",
    "task_searches": "none",
    "adapter_tables": "none",
    "searches": "none",
    "points": "neighbour search grows with its square",
    "largest": "neighbour search grows with its square",
    "model": "an evaluation and a step grow with its parameters",
    "pretraining_steps": "training grows with it",
    "pretraining_warmup": "none",
    "pretraining_until": "training grows with it",
    "task": "fetched once, then kept",
    "dimensions": "a tuning run for each, with each rate and initialisation",
    "learning_rates": "a tuning run for each, with each dimension and initialisation",
    "full_rates": "a full fine-tuning for each",
    "inits": "all runs again for each",
    "workers": "measurements or runs side by side; each holds a model",
    "store": "none; what is in it is not computed again",
    "checkpoints": "a measurement for each, and its download",
    "allow_pickle": "none",
    "dtype": "16 bits take half of the memory, and on a GPU less time",
    "memory": "with less, states go to disk",
    "training_tables": "none",
    "tuning_tables": "none",
    "along": "none",
    "widths": "none",
    "last": "none",
    "repeats": "each draw costs as much as the first",
}
"""What a parameter of a notebook costs; the comment in the notebook says what it means."""
MISSING = "not recorded"
# With a class, by which the pages lay its rows out.
_TABLE = ("```{table}", ":class: parameters")
NONE = "–"


def write(executed: Path) -> None:
    """Write ``status.md`` and ``parameters.md`` from a folder of executed notebooks."""
    pages = {file.stem: notebook.read(file) for file in sorted(executed.glob("*.ipynb"))}
    (executed / "status.md").write_text(status(pages), encoding="utf-8")
    (executed / "parameters.md").write_text(parameters(pages), encoding="utf-8")


def status(pages: dict[str, Notebook]) -> str:
    """Seconds and peak memory of each run, then where and with what they ran, as Markdown."""
    lines = [
        "| page | seconds | peak memory | its measurements | kept tables | run |",
        "|---|---|---|---|---|---|",
    ]
    costs = {name: notebook.cost(page) for name, page in pages.items()}
    for name, page in pages.items():
        cost = costs[name]
        peak = cost.get("peak_memory")
        cells = [
            _seconds(cost.get("seconds")),
            MISSING if peak is None else f"{peak / 2**30:.2f} GiB",
            _sum(notebook.measured(page)) if cost else MISSING,
            _sum(notebook.borrowed(page)) if cost else MISSING,
            cost.get("created", MISSING),
        ]
        lines.append(f"| [](executed/{name}.ipynb) | {' | '.join(cells)} |")
    known = [cost for cost in costs.values() if cost]
    total = _seconds(sum(cost["seconds"] for cost in known)) if known else MISSING
    facts = {
        "all runs": total,
        "machine": _distinct(cost["machine"] for cost in known),
        "versions": _distinct(
            ", ".join(f"{name} {version}" for name, version in cost["versions"].items())
            for cost in known
        ),
        "commit": _distinct(str(cost["commit"]) for cost in known),
    }
    lines += ["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]
    return "\n".join(lines) + "\n"


def parameters(pages: dict[str, Notebook]) -> str:
    """Each notebook's parameters with defaults, the book's values, meaning and cost, as Markdown;
    pages whose notebooks take the same are told of together."""
    shared: dict[str, list[str]] = {}
    for name, page in pages.items():
        shared.setdefault(_source(page), []).append(name)
    text = []
    for source, names in sorted(shared.items(), key=lambda each: -len(each[1])):
        given = [pages[name].metadata[notebook.RUN]["parameters"] for name in names]
        titles = ", ".join(f"[](executed/{name}.ipynb)" for name in names)
        sources = dict.fromkeys(_notebook(name, pages[name]) for name in names)
        files = ", ".join(f"`notebooks/{each}`" for each in sources)
        text += [f"{titles}: {files}", "", *_TABLE, "", "| parameter | meaning | cost |"]
        text += ["|---|---|---|"]
        for meaning, group in _groups(source):
            shown = [_default(name, value, given) for name, value in group.items()]
            cost = [f"`{name}`: {COSTS.get(name, '–')}" for name in group]
            cost = [COSTS.get(name, "–") for name in group] if len(group) == 1 else cost
            text.append(f"| {'<br>'.join(shown)} | {meaning} | {'<br>'.join(cost)} |")
        text += ["```", ""]
    return "\n".join(text)


def _notebook(name: str, page: Notebook) -> str:
    return str(page.metadata[notebook.RUN].get("notebook", f"{name}.ipynb"))


def _source(page: Notebook) -> str:
    cells = [cell for cell in page.cells if "parameters" in cell.metadata.get("tags", [])]
    return str(cells[0].source) if cells else ""


def _groups(source: str) -> list[tuple[str, dict[str, Any]]]:
    """The comments of a cell of parameters, each with the assignments below it."""
    groups: list[tuple[list[str], list[str]]] = []
    for line in source.splitlines():
        comment = line.startswith("#")
        if not groups or (comment and groups[-1][1]):
            groups.append(([], []))
        words, code = groups[-1]
        if comment:
            words.append(line.lstrip("# "))
        elif line.strip():
            code.append(line)
    return [(" ".join(words), notebook.assignments("\n".join(code))) for words, code in groups]


def _default(name: str, value: Any, given: Iterable[dict[str, Any]]) -> str:
    """A default, and what the book takes in its place."""
    book = {str(each[name]): each[name] for each in given if each.get(name, value) != value}
    shown = f"`{name} = {value!r}`"
    return shown + "".join(f"; in the book `{other!r}`" for other in book.values())


def _sum(runs: list[dict[str, Any]]) -> str:
    """The seconds of all runs together, as far as each kept its own."""
    if not runs:
        return NONE
    known = [each["seconds"] for each in runs if each["seconds"] is not None]
    more = " and more" if len(known) < len(runs) else ""
    return _seconds(sum(known)) + more if known else MISSING


def _seconds(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or MISSING
