"""What is lost when runs are killed, disks fill up and caches cannot be written.

Each command is killed (SIGKILL) thirty times at random moments of its life, on one store after the
other; a disk is filled at a random byte; two runs share a store; the cache is read-only, or on
another file system. Then the command runs to its end, and what it gives is held against a run that
nobody disturbed. It takes about fifteen minutes of two cores; mounting a small file system needs
root, and without it those rows are left out.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import record

from shapebook.pages.timings import records

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="kills of each command")
    parser.add_argument("--only", help="trials whose name holds this; other rows are kept")
    asked = parser.parse_args()
    from disturbed import trials

    found: dict[str, dict[str, object]] = {}
    # No TemporaryDirectory: each fork would take it away at its end.
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        for name, trial in trials.ALL.items():
            if asked.only and asked.only not in name:
                continue
            started = time.monotonic()
            row = trial(folder / name.replace(" ", "-"), asked.times, random.Random(name))
            if row is None:
                print(f"{name}: left out, nothing can be mounted here", flush=True)
                continue
            found[name] = {"name": name, **row.kept()}
            print(f"{row.kept()} in {time.monotonic() - started:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    before = records.read(record.RECORDS / "faults.json")
    if asked.only and before is not None:
        found = {**{row["name"]: row for row in before["faults"]}, **found}
    if found:
        rows = [found[name] for name in trials.ALL if name in found]
        record.put({**record.envelope("faults"), "faults": rows})
    wrong = [
        row for row in found.values() if any(row.get(each) for each in ("lost", "twice", "unnamed"))
    ]
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
