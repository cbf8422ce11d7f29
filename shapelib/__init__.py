"""The geometry of language models: anisotropy and dimension of hidden states, layer by layer.

Names load when first used (PEP 562), so that ``import shapelib`` costs nothing.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from shapelib.models.reports import install as _quiet_reports

__version__ = "0.1.0"
"""The version of this package."""

if TYPE_CHECKING:
    from shapelib.geometry.anisotropy import anisotropy as anisotropy
    from shapelib.geometry.anisotropy import average_cosine as average_cosine
    from shapelib.states.callback import ShapeCallback as ShapeCallback
    from shapebook.claims.judge import judge as judge
    from shapelib.text.corpus import load_corpus as load_corpus
    from shapelib.text.corpus import windows as windows
    from shapelib.finetuning.d90 import d90 as d90
    from shapelib.finetuning.bound import generalization_bound as generalization_bound
    from shapelib.geometry.dimension import dimensions as dimensions
    from shapelib.geometry.dimension import mada as mada
    from shapelib.geometry.dimension import mom as mom
    from shapelib.geometry.dimension import two_nn as two_nn
    from shapelib.errors import ShapelibError as ShapelibError
    from shapelib.finetuning.sweep import d90_search as d90_search
    from shapelib.finetuning.sweep import dimension_sweep as dimension_sweep
    from shapelib.states.pool import pool as pool
    from shapelib.geometry.leverage import leave_out as leave_out
    from shapelib.geometry.leverage import leverage as leverage
    from shapelib.geometry.massive import massive_rows as massive_rows
    from shapelib.models.loading import load as load
    from shapelib.geometry.neighbors import nearest_neighbors as nearest_neighbors
    from shapelib.states.profile import profile as profile
    from shapelib.subspace.projection import fastfood as fastfood
    from shapelib.pretraining.recipe import recipe as recipe
    from shapelib.geometry.spectrum import spectrum as spectrum
    from shapelib.store.tables import read_table as read_table
    from shapelib.store.tables import write_table as write_table
    from shapelib.subspace import reparameterize as reparameterize
    from shapelib.states.sweep import sweep as sweep
    from shapelib.finetuning.tasks import load_task as load_task

_HOME = {
    "ShapeCallback": "callback",
    "ShapelibError": "errors",
    "anisotropy": "anisotropy",
    "average_cosine": "anisotropy",
    "d90": "d90",
    "d90_search": "finetune",
    "dimension_sweep": "finetune",
    "dimensions": "dimension",
    "fastfood": "projection",
    "generalization_bound": "d90",
    "judge": "claims",
    "leave_out": "leverage",
    "leverage": "leverage",
    "load": "models",
    "load_corpus": "corpus",
    "load_task": "tasks",
    "mada": "dimension",
    "massive_rows": "massive",
    "mom": "dimension",
    "nearest_neighbors": "neighbors",
    "pool": "hidden",
    "profile": "profile",
    "read_table": "store",
    "recipe": "recipe",
    "reparameterize": "subspace",
    "sweep": "sweep",
    "spectrum": "spectrum",
    "two_nn": "dimension",
    "windows": "corpus",
    "write_table": "store",
}
__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'shapelib' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"shapelib.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Importing shapelib.anisotropy would bind that module over the function of its name.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
_quiet_reports()
