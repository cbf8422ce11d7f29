"""Families of models, each tried whole (tests/matrix.py), and what came out.

Every entry of tests/states/families.yml is made anew with random weights, read by the product and
held against its windows read alone by transformers and against metrics by every pair. It takes
about six minutes of a core.
"""

import platform
import sys
import tempfile
from pathlib import Path

import record
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    import matrix

    torch.set_num_threads(1)
    found, bad = [], 0
    for family in matrix.families():
        with tempfile.TemporaryDirectory() as folder:
            outcome = matrix.tried(family, Path(folder))
        wrong = matrix.wrong(family, outcome)
        print(f"{family.name}: {wrong or outcome.refused or 'right'}", flush=True)
        bad += wrong is not None
        found.append({name: _short(value) for name, value in outcome.kept().items()})
    about = {"machine": platform.machine(), "tokens": matrix.TOKENS}
    record.put({**record.envelope("families"), **about, "families": found})
    print(f"{len(found)} tried, {bad} wrong")
    sys.exit(bad > 0)


def _short(value: object) -> object:
    return float(f"{value:.1e}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
