"""Files of models that are not plain folders: from a hub, or in the format of llama.cpp."""

from shapelib.face import face

_HOME = {
    "download": "hub",
    "expanded": "gguf_file",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
