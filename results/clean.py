"""What every command of a kept table asks of its checkout."""

import sys

from shapelib.store import tables


def demand_clean_commit() -> None:
    """End here where the checkout has changes: no commit would say what made the table."""
    commit = str(tables.provenance()["commit"])
    if commit.endswith("-dirty"):
        sys.exit(f"the checkout has changes ({commit}): commit them first, so that the table says "
                 "what made it")  # fmt: skip
