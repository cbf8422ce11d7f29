"""The geometry of language models: anisotropy and dimension of hidden states, layer by layer.

Names load when first used (PEP 562), so that ``import shapelib`` costs nothing.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from shapelib.reports import install as _quiet_reports

__version__ = "0.1.0"
"""The version of this package."""

if TYPE_CHECKING:
    from shapelib.anisotropy import anisotropy as anisotropy
    from shapelib.anisotropy import average_cosine as average_cosine
    from shapelib.callback import ShapeCallback as ShapeCallback
    from shapelib.claims import judge as judge
    from shapelib.corpus import load_corpus as load_corpus
    from shapelib.corpus import windows as windows
    from shapelib.d90 import d90 as d90
    from shapelib.d90 import generalization_bound as generalization_bound
    from shapelib.dimension import dimensions as dimensions
    from shapelib.dimension import mada as mada
    from shapelib.dimension import mom as mom
    from shapelib.dimension import two_nn as two_nn
    from shapelib.errors import ShapelibError as ShapelibError
    from shapelib.finetune import d90_search as d90_search
    from shapelib.finetune import dimension_sweep as dimension_sweep
    from shapelib.hidden import pool as pool
    from shapelib.leverage import leave_out as leave_out
    from shapelib.leverage import leverage as leverage
    from shapelib.massive import massive_rows as massive_rows
    from shapelib.models import load as load
    from shapelib.neighbors import nearest_neighbors as nearest_neighbors
    from shapelib.overlap import information_imbalance as information_imbalance
    from shapelib.overlap import overlap as overlap
    from shapelib.profile import profile as profile
    from shapelib.projection import fastfood as fastfood
    from shapelib.recipe import recipe as recipe
    from shapelib.relatives import last_of_windows as last_of_windows
    from shapelib.relatives import nearest_in_other_windows as nearest_in_other_windows
    from shapelib.relatives import one_per_token as one_per_token
    from shapelib.relatives import relatives as relatives
    from shapelib.robust import mle as mle
    from shapelib.scale import decimated as decimated
    from shapelib.scale import gride as gride
    from shapelib.scale import plateau as plateau
    from shapelib.spectrum import spectrum as spectrum
    from shapelib.store import read_table as read_table
    from shapelib.store import write_table as write_table
    from shapelib.subspace import reparameterize as reparameterize
    from shapelib.sweep import sweep as sweep
    from shapelib.tasks import load_task as load_task

_HOME = {
    "ShapeCallback": "callback",
    "ShapelibError": "errors",
    "anisotropy": "anisotropy",
    "average_cosine": "anisotropy",
    "d90": "d90",
    "d90_search": "finetune",
    "decimated": "scale",
    "dimension_sweep": "finetune",
    "dimensions": "dimension",
    "fastfood": "projection",
    "generalization_bound": "d90",
    "gride": "scale",
    "information_imbalance": "overlap",
    "judge": "claims",
    "last_of_windows": "relatives",
    "leave_out": "leverage",
    "leverage": "leverage",
    "load": "models",
    "load_corpus": "corpus",
    "load_task": "tasks",
    "mada": "dimension",
    "massive_rows": "massive",
    "mle": "robust",
    "mom": "dimension",
    "nearest_in_other_windows": "relatives",
    "nearest_neighbors": "neighbors",
    "one_per_token": "relatives",
    "overlap": "overlap",
    "plateau": "scale",
    "pool": "hidden",
    "profile": "profile",
    "read_table": "store",
    "recipe": "recipe",
    "relatives": "relatives",
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
