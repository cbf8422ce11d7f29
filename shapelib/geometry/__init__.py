"""Arrays in, numbers out: knows no model and no text."""

from shapelib.face import face

_HOME = {
    "Dimensions": "dimension",
    "Estimate": "dimension",
    "LeaveOut": "leverage",
    "Neighbors": "neighbors",
    "Spectrum": "spectrum",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
