"""Which model, where its files are, loaded safely."""

from shapelib.face import face

_HOME = {
    "Model": "loading",
    "Source": "sources",
    "find": "sources",
    "in_folder": "suites",
    "load": "loading",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
