"""The command ``shapelib``."""

from shapelib.face import face

_HOME = {"main": "app"}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
