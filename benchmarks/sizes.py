"""Time and memory against the number of points: the search, and everything a user would pick.

Each contestant has a process of its own, which makes the points, measures the product X·Xᵀ of them
before and after each turn, in blocks of rows and never stored whole, and how far its memory rises
above points and packages. Beyond `SCALED` points the product is taken of so many, times the square
of the ratio. From `SHARED` points on there are two threads. A peer is left out where more than
`SECONDS` or more than half of the memory were to be expected from the size before, and the record
says so; the search always runs.

    python benchmarks/sizes.py                          # 4096 and 16384 points
    python benchmarks/sizes.py --points 65536 131072    # these, beside what is recorded

DADApy and faiss are asked in an environment of their own, where there is one (`apart`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from apart import VARIABLE, Peer
from apart.memory import forget, held_mb
from threadpoolctl import threadpool_limits

from shapebook.pages.timings.packages import exponent
from shapelib import dimensions, nearest_neighbors

FEATURES, POINTS = 768, (4096, 16384)
BLOCK, WARM = 256, 2048
SHARED, SCALED = 65536, 16384
# Turns where there are so few points; one beyond.
TURNS = {4096: 3}
SECONDS, SHARE = 240, 0.5
OURS = "shapelib"


def cloud(points: int) -> torch.Tensor:
    """The ordinary points of `estimators.clouds`, of any number, made in blocks of 4096."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, FEATURES + 1) ** -0.7
    x = torch.empty(points, FEATURES)
    for rows in x.split(4096):
        torch.randn(rows.shape, generator=generator, out=rows)
        rows *= spectrum
    return x


def library(name: str) -> tuple[int, Callable[[torch.Tensor], Any]]:
    """How many neighbours a contestant of this environment looks for, and its work on points."""
    from sklearn.neighbors import NearestNeighbors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import skdim

    def plain(k: int) -> Callable[[torch.Tensor], Any]:
        return lambda x: NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x).kneighbors(x)

    return {
        "shapelib search, k = 20": (20, lambda x: nearest_neighbors(x, 20)),
        "shapelib search, k = 100": (100, lambda x: nearest_neighbors(x, 100)),
        "shapelib three dimensions": (20, lambda x: dimensions(x)),
        "scikit-learn search, k = 20": (20, lambda x: plain(20)(x.numpy())),
        "scikit-learn search, k = 100": (100, lambda x: plain(100)(x.numpy())),
        "scikit-dimension TwoNN": (2, lambda x: skdim.id.TwoNN().fit(x.numpy())),
        "scikit-dimension MoM": (100, lambda x: skdim.id.MOM().fit(x.numpy())),
        "scikit-dimension MADA": (20, lambda x: skdim.id.MADA().fit(x.numpy(), n_neighbors=20)),
    }[name]


HERE = (
    "shapelib search, k = 20", "shapelib search, k = 100", "shapelib three dimensions",
    "scikit-learn search, k = 20", "scikit-learn search, k = 100", "scikit-dimension TwoNN",
    "scikit-dimension MoM", "scikit-dimension MADA",
)  # fmt: skip
APART: dict[str, tuple[int, Callable[[Peer, Path, int], dict[str, Any]]]] = {
    "faiss flat index, k = 20": (20, lambda peer, file, threads: peer.flat(file, threads, 21)),
    "faiss flat index, k = 100": (100, lambda peer, file, threads: peer.flat(file, threads, 101)),
    "DADApy TwoNN": (100, lambda peer, file, threads: peer.timed_two_nn(file, threads)),
}


def product_seconds(x: torch.Tensor, points: int) -> float:
    """Seconds of X·Xᵀ of so many points, in blocks of rows."""
    part = x[:SCALED]
    start = time.perf_counter()
    for rows in part.split(BLOCK):
        rows @ part.T
    return (time.perf_counter() - start) * (points / len(part)) ** 2


def one(name: str, points: int, threads: int) -> dict[str, Any]:
    """What a contestant of this environment takes, in a process that did nothing before."""
    torch.set_num_threads(threads)
    x = cloud(points)
    k, work = library(name)
    turns = TURNS.get(points, 1)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work(x[:WARM].clone())
        before, ratios, risen, again = product_seconds(x, points), [], 0.0, None
        for _ in range(turns):
            held, start = forget(), time.perf_counter()
            found = work(x)
            took = time.perf_counter() - start
            risen = max(risen, held_mb(at_most=True) - held)
            again = getattr(found, "searched_again", None)
            after = product_seconds(x, points)
            ratios.append(2 * took / (before + after))
            before = after
    return {"k": k, "ratios": ratios, "memory_mb": risen, "searched_again": again}


def asked(name: str, x: torch.Tensor, file: Path, threads: int) -> dict[str, Any]:
    """The same of a peer in an environment of its own."""
    k, ask = APART[name]
    torch.set_num_threads(threads)
    before, ratios, risen = product_seconds(x, len(x)), [], 0.0
    with Peer(os.environ[VARIABLE]) as peer:
        for _ in range(TURNS.get(len(x), 1)):
            answer = ask(peer, file, threads)
            if "error" in answer:
                raise LeftOutError(answer["error"])
            after = product_seconds(x, len(x))
            ratios.append(2 * answer["wall"] / (before + after))
            before, risen = after, max(risen, answer["memory_mb"])
    return {"k": k, "ratios": ratios, "memory_mb": risen}


def measured(points: int, smaller: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The section of one number of points; `smaller` are the rows of the largest size before."""
    threads = 2 if points >= SHARED else 1
    torch.set_num_threads(threads)
    x = cloud(points)
    product = product_seconds(x, points)
    rows, left = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.npy"
        if VARIABLE in os.environ:
            np.save(file, x.numpy())
        for name in (*HERE, *(APART if VARIABLE in os.environ else ())):
            try:
                if name in smaller and not name.startswith(OURS):
                    allowed(smaller[name], points, product)
                here = name in HERE
                found = child(name, points, threads) if here else asked(name, x, file, threads)
            except LeftOutError as error:
                left.append(f"{name} ({error})")
                print(f"   left out: {left[-1]}", flush=True)
                continue
            about = {"threads": threads, "features": FEATURES, "points": points}
            rows.append(record.row(name, found.pop("ratios"), **about, **found))
            print(f"   {record.line(rows[-1])}, {found['memory_mb']:.0f} MB", flush=True)
    told = f"Left out: {'; '.join(left)}." if left else ""
    scaled = f"The product is that of {SCALED} points, scaled by n²." if points > SCALED else ""
    note = f"{scaled} {told}".strip()
    return {
        "title": f"{points} points",
        "yardstick": f"one float32 product X·Xᵀ of as many points of {FEATURES} features, in "
        "blocks of rows, same threads, same turn",
        **({"note": note} if note else {}),
        **({"versions": versions_apart()} if VARIABLE in os.environ else {}),
        "ratios": rows,
    }


def versions_apart() -> dict[str, str]:
    """Of the peers in an environment of their own, and of what they take."""
    with Peer(os.environ[VARIABLE]) as peer:
        return peer.versions


class LeftOutError(Exception):
    """Why a contestant was not measured."""


def child(name: str, points: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, str(points), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        raise LeftOutError(last[0])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def allowed(row: dict[str, Any], points: int, product: float) -> None:
    """Raise `LeftOutError` where a peer's row at fewer points makes too much to be expected."""
    memory = row["memory_mb"] * (points / row["points"]) ** 2
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    if row["median"] * product > SECONDS:
        raise LeftOutError(f"more than {SECONDS // 60} minutes to be expected")
    if memory > SHARE * whole:
        raise LeftOutError(f"{memory / 1024:.0f} GiB of memory to be expected")


def by_points(sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(sections, key=lambda each: int(each["title"].split()[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=POINTS, help="sizes, any number")
    parser.add_argument(
        "--one", nargs=3, metavar=("NAME", "POINTS", "THREADS"),
        help="print what one contestant takes, in this process",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.one:
        name, points, threads = arguments.one
        print(json.dumps(one(name, int(points), int(threads))))
        return
    before = record.here("sizes")
    known = {each["title"]: each for each in before["sections"]} if before else {}
    for points in sorted(arguments.points):
        smaller = [each for each in known.values() if each["ratios"][0]["points"] < points]
        last = by_points(smaller)[-1]["ratios"] if smaller else []
        print(f"{points} points", flush=True)
        found = measured(points, {row["name"]: row for row in last})
        known[found["title"]] = found
        # Each size is kept when it is there: the next takes sixteen times as long.
        record.write("sizes", [found], keep=True)
    tell_exponents(by_points(list(known.values())))


def tell_exponents(sections: list[dict[str, Any]]) -> None:
    """Print, for each contestant with several sizes, the exponent of time in points."""
    rows = [row for each in sections for row in each["ratios"]]
    for name in dict.fromkeys(row["name"] for row in rows):
        here = [row for row in rows if row["name"] == name]
        if len(here) > 1:
            sizes, ratios = [row["points"] for row in here], [row["median"] for row in here]
            print(f"{name:32s} time grows as n^{exponent(sizes, ratios):.2f}")


if __name__ == "__main__":
    main()
