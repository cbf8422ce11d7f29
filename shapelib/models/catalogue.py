"""Every model the papers name, and every published checkpoint of their suites.

The data is ``catalogue.yml``; a model's entry may hold a `suite`, the checkpoints along its
training. Nothing heavy is imported.
"""

import functools
from pathlib import Path

from shapelib.models.catalogue import PAPERS as PAPERS
from shapelib.models.catalogue import ROLES as ROLES
from shapelib.models.catalogue import Checkpoint as Checkpoint
from shapelib.models.catalogue import Entry as Entry
from shapelib.models.catalogue import Suite as Suite
from shapelib.models.catalogue import read
from shapelib.errors import ShapelibError, nearest

FILE = Path(__file__).with_name("catalogue.yml")


@functools.cache
def models() -> dict[str, Entry]:
    """The models with a short name, by it."""
    return read(FILE)


def suites() -> list[str]:
    """The names of the models that have a suite."""
    return [name for name, entry in models().items() if entry.suite]


def suite(name: str) -> Suite:
    """The checkpoints of a model. Raises `ShapelibError` where there are none."""
    entry = models().get(name)
    if entry is None or entry.suite is None:
        raise ShapelibError(f"no suite of checkpoints {name!r}; {nearest(name, suites())}")
    return entry.suite


def on_hub(hub: str) -> Entry | None:
    """The entry of a hub repository's final model."""
    return next((each for each in models().values() if each.hub.lower() == hub.lower()), None)


def checkpoint_on_hub(hub: str, revision: str | None) -> tuple[Entry, Checkpoint] | None:
    """The checkpoint that a revision of a hub repository is, and the model it belongs to."""
    for entry in models().values():
        for each in entry.suite.checkpoints if entry.suite else ():
            if (each.hub.lower(), each.revision) == (hub.lower(), revision):
                return entry, each
    return None
