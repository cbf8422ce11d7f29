"""The catalogue as a terminal shows it: filtered, with what is already on this machine."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shapelib.store import cache
from shapelib.models import catalogue
from shapelib.models.catalogue import Checkpoint, Entry
from shapelib.errors import ShapelibError, nearest

if TYPE_CHECKING:
    from rich.table import Table


class Kept:
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
    kept: Kept,
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


def overview(entries: Iterable[Entry], kept: Kept, width: int) -> "Table":
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


def details(entry: Entry, kept: Kept) -> "Table":
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


def checkpoints(suite: catalogue.Suite, kept: Kept, width: int) -> "Table":
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
    """The columns that `width` has room for, those of `first` before others; it says which not."""
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


def _here(entry: Entry, kept: Kept) -> str:
    count = kept.checkpoints(entry)
    here = "yes" if kept.holds(entry) else "no"
    return f"{here}, {count} of its checkpoints" if count else here


def _count(number: int) -> str:
    """A count with three digits and a unit: 134.5 M, 2.65 B, 0."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number / 1e6:.3g} M" if number else "0"
