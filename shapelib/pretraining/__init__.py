"""The matched pair, watched while it trains."""

from shapelib.face import face

_HOME = {
    "Recipe": "recipe",
    "measure": "measured",
    "suite": "pretrain",
    "suites": "pretrain",
    "table": "measured",
    "train": "pretrain",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
