"""What is kept: tables with provenance, cells, grids, workers, the cache and its keys, wheels."""

from shapelib.face import face

_HOME = {
    "combine": "tables",
    "read_table": "tables",
    "write_table": "tables",
}
__getattr__, __dir__, __all__ = face(__name__, _HOME)
