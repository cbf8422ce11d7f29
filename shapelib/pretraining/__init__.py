"""The matched pair, watched while it trains."""

from shapelib.face import face

_HOME = {
    "Recipe": "recipe",
    "measure": "pretrain",
    "suite": "pretrain",
    "suites": "pretrain",
    "table": "pretrain",
    "train": "pretrain",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
