"""The geometry of language models: anisotropy and dimension of hidden states, layer by layer.

Names load when first used (PEP 562), so that ``import shapelib`` costs nothing.
"""

from typing import TYPE_CHECKING

from shapelib.face import face

__version__ = "0.1.0"
"""The version of this package."""

if TYPE_CHECKING:
    from shapelib.errors import ShapelibError as ShapelibError
    from shapelib.finetuning.bound import generalization_bound as generalization_bound
    from shapelib.finetuning.d90 import d90 as d90
    from shapelib.finetuning.sweep import d90_search as d90_search
    from shapelib.finetuning.sweep import dimension_sweep as dimension_sweep
    from shapelib.finetuning.tasks import load_task as load_task
    from shapelib.geometry.anisotropy import anisotropy as anisotropy
    from shapelib.geometry.anisotropy import average_cosine as average_cosine
    from shapelib.geometry.dimension import dimensions as dimensions
    from shapelib.geometry.dimension import mada as mada
    from shapelib.geometry.dimension import mom as mom
    from shapelib.geometry.dimension import two_nn as two_nn
    from shapelib.geometry.leverage import leave_out as leave_out
    from shapelib.geometry.leverage import leverage as leverage
    from shapelib.geometry.massive import massive_rows as massive_rows
    from shapelib.geometry.neighbors import nearest_neighbors as nearest_neighbors
    from shapelib.geometry.spectrum import spectrum as spectrum
    from shapelib.models.loading import load as load
    from shapelib.pretraining.recipe import recipe as recipe
    from shapelib.states.callback import ShapeCallback as ShapeCallback
    from shapelib.states.pool import pool as pool
    from shapelib.states.profile import profile as profile
    from shapelib.states.sweep import sweep as sweep
    from shapelib.store.tables import read_table as read_table
    from shapelib.store.tables import write_table as write_table
    from shapelib.subspace.projection import fastfood as fastfood
    from shapelib.subspace.reparameterize import reparameterize as reparameterize
    from shapelib.text.corpus import load_corpus as load_corpus
    from shapelib.text.corpus import windows as windows

_HOME = {
    "ShapeCallback": "states.callback",
    "ShapelibError": "errors",
    "anisotropy": "geometry.anisotropy",
    "average_cosine": "geometry.anisotropy",
    "d90": "finetuning.d90",
    "d90_search": "finetuning.sweep",
    "dimension_sweep": "finetuning.sweep",
    "dimensions": "geometry.dimension",
    "fastfood": "subspace.projection",
    "generalization_bound": "finetuning.bound",
    "leave_out": "geometry.leverage",
    "leverage": "geometry.leverage",
    "load": "models.loading",
    "load_corpus": "text.corpus",
    "load_task": "finetuning.tasks",
    "mada": "geometry.dimension",
    "massive_rows": "geometry.massive",
    "mom": "geometry.dimension",
    "nearest_neighbors": "geometry.neighbors",
    "pool": "states.pool",
    "profile": "states.profile",
    "read_table": "store.tables",
    "recipe": "pretraining.recipe",
    "reparameterize": "subspace.reparameterize",
    "spectrum": "geometry.spectrum",
    "sweep": "states.sweep",
    "two_nn": "geometry.dimension",
    "windows": "text.corpus",
    "write_table": "store.tables",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
__all__ += ["__version__"]
