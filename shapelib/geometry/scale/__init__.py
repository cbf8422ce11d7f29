"""The dimension at every scale, and how much of a neighbourhood another representation keeps."""

from shapelib.face import face

_HOME = {
    "Curve": "curves",
    "Plateau": "curves",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
