"""What the book of `shapelib` is made with: claims, figures, pages, running notebooks."""

from shapelib.face import face

_HOME = {
    "Numbers": "notebooks.shown",
    "Shown": "claims.judge",
    "judge": "claims.judge",
    "published_profile": "figures.shown",
    "show": "figures.shown",
    "show_parameters": "notebooks.shown",
    "show_provenance": "notebooks.shown",
    "words": "claims.judge",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
