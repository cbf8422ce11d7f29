"""d numbers move all parameters."""

from shapelib.face import face

_HOME = {
    "Projection": "projection",
    "Subspace": "reparameterize",
    "load": "saved",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
