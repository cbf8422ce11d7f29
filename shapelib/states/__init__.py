"""A model over windows: pooled states, one tidy table."""

from shapelib.face import face

_HOME = {
    "Pool": "pool",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
