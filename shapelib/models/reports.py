"""What transformers reports of a load, without what is expected of loads of this package.

Hidden states need the base network alone: a head in the file is left over, a pooler that it lacks
is made anew, and neither is used, but transformers warns of both. What else a report tells is kept,
and so is every report of loads that are not this package's.
"""

import logging
import re
import sys

_LOGGER = "transformers.modeling_utils"
_ROW = re.compile(
    r"^(\S+)\s+\|\s+(?:\x1b\[[\d;]*m)*(UNEXPECTED|MISSING|MISMATCH|CONVERSION)\b", re.M
)


def install() -> None:
    """Filter transformers' logger, imported or not; a second call changes nothing."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(each, _Expected) for each in logger.filters):
        logger.addFilter(_Expected())


class _Expected(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (expected(record.getMessage()) and _loads_here())


def expected(message: str) -> bool:
    """Whether a message is a report of a load that tells of heads and poolers alone."""
    rows = _ROW.findall(message)
    return (
        "LOAD REPORT" in message
        and bool(rows)
        and all(
            status == "UNEXPECTED" or (status == "MISSING" and "pooler" in key)
            for key, status in rows
        )
    )


def _loads_here() -> bool:
    """Whether this package's code is what called."""
    frame = sys._getframe()
    while found := frame.f_back:
        name = str(found.f_globals.get("__name__", ""))
        if name.startswith("shapelib.") and name != __name__:
            return True
        frame = found
    return False
