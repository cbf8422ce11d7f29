"""Any dump or file in, clean windows out."""

from shapelib.face import face

_HOME = {
    "Article": "cleaning",
    "CleaningReport": "cleaning",
    "Corpus": "corpus",
    "Window": "corpus",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
