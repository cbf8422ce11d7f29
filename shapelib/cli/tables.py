"""Tables as a terminal shows them: the catalogue, a profile, and an estimate of d90."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from shapelib.errors import ShapelibError, nearest
from shapelib.models import catalogue
from shapelib.models.catalogue import Checkpoint, Entry
from shapelib.store import cache

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


class Here:
    """What this machine holds: shipped models in the cache, hub repositories in the hub's."""

    def __init__(self) -> None:
        self._assets = [each.key for each in cache.entries(["assets"])]
        self._hub: dict[str, dict[str, bool]] = {}
        try:
            from huggingface_hub import scan_cache_dir
            from huggingface_hub.errors import CacheNotFound
        except ImportError:
            return
        try:
            repositories = scan_cache_dir().repos
        except CacheNotFound:
            return
        for each in repositories:
            # A refused download leaves a configuration behind, but no weights.
            self._hub[each.repo_id.lower()] = {
                name: any(file.file_name.endswith((".safetensors", ".bin")) for file in one.files)
                for one in each.revisions
                for name in (*one.refs, one.commit_hash)
            }

    def holds(self, what: Entry | Checkpoint) -> bool:
        """Whether a model's or a checkpoint's weights are here."""
        if isinstance(what, Entry) and what.asset:
            return any(key.startswith(f"{what.asset}-") for key in self._assets)
        revision = what.revision if isinstance(what, Checkpoint) else None
        return self._hub.get(what.hub.lower(), {}).get(revision or "main", False)

    def checkpoints(self, entry: Entry) -> int:
        """How many checkpoints of a model's suite are here."""
        return sum(map(self.holds, entry.suite.checkpoints)) if entry.suite else 0


def select(
    kept: Here,
    role: str | None = None,
    family: str | None = None,
    suites: bool = False,
    cached: bool = False,
) -> list[Entry]:
    """Entries of a role and a family, with checkpoints, or on this machine.

    Raises `ShapelibError` for a role or family that no entry has.
    """
    entries = list(catalogue.models().values())
    roles, families = list(catalogue.ROLES), sorted({each.family for each in entries})
    if role and role not in roles:
        raise ShapelibError(f"no such role: {role!r}; {nearest(role, roles)}")
    if family and family.lower() not in map(str.lower, families):
        raise ShapelibError(f"no such family: {family!r}; {nearest(family, families)}")
    return [
        each
        for each in entries
        if (not role or each.role == role)
        and (not family or each.family.lower() == family.lower())
        and (not suites or each.suite)
        and (not cached or kept.holds(each) or kept.checkpoints(each))
    ]


def overview(entries: Iterable[Entry], kept: Here, width: int) -> "Table":
    """A row for each model."""
    rows = [
        (
            each.name, _count(each.parameters), _here(each, kept),
            # The longest of them would cost a narrow window another column.
            each.role if width > 100 else each.role.replace("-", "-\n"), each.family,
            f"{each.layers} × {each.hidden_size}",
            str(len(each.suite.checkpoints)) if each.suite else "",
            "gated" if each.gated else each.weights,
        )
        for each in entries
    ]  # fmt: skip
    heads = (
        *("name", "para-\nmeters", "cached", "role", "family", "layers × width"),
        *("suite", "weights"),
    )
    first = ("name", "para-\nmeters", "cached", "weights", "role", "suite", "family")
    return _table(heads, rows, width, first)


def details(entry: Entry, kept: Here) -> "Table":
    """Everything the catalogue says of one model, a fact a row."""
    from rich.table import Table

    facts = {
        "hub": entry.hub and f"https://huggingface.co/{entry.hub}",
        "role": entry.role,
        "family": entry.family,
        "parameters": f"{entry.parameters:,}".replace(",", " "),
        "layers × width": f"{entry.layers} × {entry.hidden_size}",
        "heads": str(entry.heads or ""),
        "licence": entry.licence + (" (gated)" if entry.gated else ""),
        "weights": entry.weights,
        "quantised": entry.quantised,
        "tuned": entry.tuned,
        "cached": _here(entry, kept),
        "named by": "; ".join(catalogue.PAPERS[each] for each in entry.papers),
        "caveat": entry.caveat,
        "source": entry.source,
        "not verified": entry.unchecked,
    }
    if entry.suite:
        facts |= {
            "checkpoints": f"{len(entry.suite.checkpoints)}, of {entry.suite.bytes / 1e9:.2f} GB",
            "tokens seen": entry.suite.tokens,
            "their tokenizer": entry.suite.tokenizer,
            "their source": entry.suite.source,
            "of them not verified": entry.suite.unchecked,
        }
    shown = Table()
    shown.add_column(entry.name)
    shown.add_column(overflow="fold")
    for label, value in facts.items():
        if value:
            shown.add_row(label, value)
    return shown


def checkpoints(suite: catalogue.Suite, kept: Here, width: int) -> "Table":
    """A row for each checkpoint of a suite; its caveats are for below, where there is room."""
    rows = [
        (
            f"{suite.name}@{each.name}", _count(each.tokens_seen),
            "yes" if kept.holds(each) else "no", each.hub, each.revision or "", each.weights,
        )
        for each in suite.checkpoints
    ]  # fmt: skip
    heads = ("name", "tokens seen", "cached", "hub", "revision", "weights")
    return _table(heads, rows, width, ("name", "tokens seen", "cached", "weights", "revision"))


def _table(
    heads: Sequence[str], rows: Sequence[tuple[str, ...]], width: int, first: Sequence[str]
) -> "Table":
    """The columns that `width` has room for, those of `first` before others; it says which not.

    rich folds what is too wide into columns of a few letters, and leaves none out.
    """
    from rich.table import Table

    wide = {
        head: 3
        + max(
            len(line)
            for text in (head, *(row[place] for row in rows))
            for line in text.splitlines()
        )
        for place, head in enumerate(heads)
    }
    taken: list[str] = []
    for head in dict.fromkeys([*first, *heads]):
        if not taken or 1 + sum(wide[each] for each in (*taken, head)) <= width:
            taken.append(head)
    left_out = ", ".join(head for head in heads if head not in taken)
    shown = Table(caption=f"no room here for: {left_out}" if left_out else None)
    for head in heads:
        if head in taken:
            shown.add_column(head, overflow="fold")
    for row in rows:
        shown.add_row(*(cell for head, cell in zip(heads, row, strict=True) if head in taken))
    return shown


def _here(entry: Entry, kept: Here) -> str:
    count = kept.checkpoints(entry)
    here = "yes" if kept.holds(entry) else "no"
    return f"{here}, {count} of its checkpoints" if count else here


def _count(number: int) -> str:
    """A count with three digits and a unit: 134.5 M, 2.65 B, 0."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number / 1e6:.3g} M" if number else "0"


def summary(table: "pd.DataFrame") -> "Table":
    """A shape table of one model with one line for each layer."""
    from rich.table import Table

    main, *others = table["tokens"].unique()
    columns = {
        "anisotropy": ("anisotropy", True, main),
        "± std": ("anisotropy", True, main),
        **{f"of\n{other}": ("anisotropy", True, other) for other in others},
        "average\ncosine": ("average_cosine", False, main),
        "TwoNN\n90 %": ("two_nn", None, main),
        "TwoNN\n20 %": ("two_nn_lowest20", None, main),
    }
    # Of a table without the usual ones the first that it has.
    columns = {label: each for label, each in columns.items() if _has(table, each)} or {
        name: (name, None, main) for name in [*table["metric"].unique()][:6]
    }
    first = table.iloc[0]
    what = f"{first['part']} half, " if isinstance(first["part"], str) else ""
    shown = Table(
        title=f"{first['model']} ({what}{first['role']}), {first['corpus']}, "
        f"{main} tokens, {first['batches']} batches of {first['batch_size']}",
    )  # fmt: skip
    # Of a narrow window the layer gives way: its words can go on two lines, a number cannot.
    shown.add_column("layer")
    for label in (*columns, "copies"):
        shown.add_column(label, no_wrap=True)
    for layer, rows in table.groupby("layer"):
        cells = []
        for label, (metric, centered, tokens) in columns.items():
            chosen = rows[(rows["metric"] == metric) & (rows["tokens"] == tokens)]
            if centered is not None:
                chosen = chosen[chosen["centered"] == centered]
            field = "std" if label.startswith("±") else "value"
            cells.append(f"{chosen.iloc[0][field]:.3f}")
        mark = " after norm" if rows["after_norm"].iloc[0] else ""
        copies = rows.loc[rows["tokens"] == main, "duplicates"].iloc[0]
        shown.add_row(f"{layer}{mark}", *cells, str(copies))
    return shown


def _has(table: "pd.DataFrame", column: tuple[str, bool | None, str]) -> bool:
    metric, _, tokens = column
    return bool(((table["metric"] == metric) & (table["tokens"] == tokens)).any())


def metrics() -> "Table":
    """What --metric takes, with the cost of each."""
    from rich.table import Table

    from shapelib.states.choices import CHOICES, DEFAULT

    shown = Table(
        caption="default stands for all that are. What another costs is on top of those, in per "
        "cent of the time that they take to measure a layer.",
    )
    shown.add_column("--metric", no_wrap=True)
    shown.add_column("what it is")
    shown.add_column("cost", no_wrap=True)
    for name, choice in CHOICES.items():
        shown.add_row(name, choice.what, "default" if name in DEFAULT else f"+ {choice.cost}")
    return shown


def estimate(table: "pd.DataFrame") -> "Table":
    """An estimate with one line for each model, method and definition; that of the papers is d90.

    What is the same in all lines stands below the table, so that the rest fits a narrow window.
    """
    from rich.table import Table

    lines = [_line(row) for row in table.itertuples()]
    alike = [name for name in _OFTEN_ALIKE if len({line[name] for line in lines}) == 1]
    shown = Table(
        title=f"{', '.join(dict.fromkeys(table['task']))}: the smallest d that reaches "
        f"{table['level'].iloc[0]:.0%} of full fine-tuning",
        caption="; ".join([*(f"{name}: {lines[0][name]}" for name in alike), "d90: the papers'"]),
    )
    heads = [name for name in lines[0] if name not in alike] if lines else []
    for name in heads:
        shown.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    for line in lines:
        shown.add_row(*(line[name] for name in heads))
    return shown


_OFTEN_ALIKE = ("model", "init", "method", "majority", "failed")
_WHOLE = ("method", "definition", "full", "threshold", "majority", "failed")


def _line(row: Any) -> dict[str, str]:
    """An estimate's row as text, by heading."""
    import pandas

    name = row.model if row.checkpoint == "final" else f"{row.model}@{row.checkpoint}"
    if pandas.isna(row.threshold):
        value, interval, bar = "nothing learned", "none", "none"
    else:
        at_most = "" if pandas.isna(row.below) else "at most "
        value = f"not reached at {row.above}" if pandas.isna(row.d90) else f"{at_most}{row.d90:.0f}"
        ends = (f"{end:.0f}" if end < float("inf") else "∞" for end in (row.low, row.high))
        # No draw reaches the threshold: there is nothing to bound.
        interval = " – ".join(ends) if row.low < float("inf") else "none"
        bar = f"{row.threshold:.3f}"
    return {
        "model": name, "init": row.init, "method": row.method, "definition": row.definition,
        "smallest d": value, "95 % interval": interval, "full": f"{row.full:.3f}", "threshold": bar,
        "majority": f"{row.majority:.3f}", "failed": str(row.failed),
    }  # fmt: skip
