"""How many numbers does fine-tuning need?"""

from shapelib.face import face

_HOME = {
    "Bound": "bound",
    "Task": "splits",
    "by_seed": "d90",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
