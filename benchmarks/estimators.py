"""Anisotropy and dimension, side by side with peers, in multiples of one float32 product X·Xᵀ.

Contestants take turns, and each time is divided by the yardstick's of the same turn, so that a
machine that slows down slows both. Slow contestants get fewer turns. The authors' functions are
stopped after some of the points they go through one by one and scaled, since they take minutes.
DADApy is asked in an environment of its own (`apart` says how to make it), with what stands beside
it measured again in the same turns; ``--dadapy`` measures that alone and leaves the rest as it is.
"""

import argparse
import importlib.util
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import record
import torch
from apart import Peer, dadapy
from threadpoolctl import threadpool_limits

from shapebook.pages.timings.packages import APART, LAYER
from shapelib import anisotropy, average_cosine, dimensions
from shapelib.geometry import loops
from shapelib.geometry.metrics import measure_points
from shapelib.geometry.search import on_cpu

POINTS = 4096
FEATURES = (384, 768, 2560)
THREADS = (1, 2)
TURNS = 4
# A contestant that has used this many seconds gets no further turn.
SPENT = 0.8
ROWS = 24
APART_TURNS = 7
AUTHORS = "llm-microscope==0.0.7"
NEARLY_EQUAL = "two nearly equal directions"
HUNDRED, WHOLE = "shapelib three dimensions, k = 100", "shapelib all of a layer"
STEP = "shapelib one step of two vectors"
# What bounds a row with a limit, by the beginning of its name: another row, and what that is.
BOUNDS = {
    "shapelib anisotropy, ": (STEP, "it takes some tens of steps, and one step"),
    WHOLE: (HUNDRED, "the search for a hundred neighbours alone"),
}
# What a layer may cost on one thread, by the beginning of a name and by features.
LIMITS = {
    "shapelib anisotropy, ": {384: 0.1, 768: 0.1, 2560: 0.2},
    WHOLE: {768: 1.0, 2560: 1.0},
}

Contestant = Callable[[], object]


def clouds(features: int) -> dict[str, torch.Tensor]:
    """Float32 points: σⱼ ~ j^−0.7, the same with massive rows, off the origin, or with a second
    direction as strong as the first to 1e-5; and isotropic."""
    generator = torch.Generator().manual_seed(0)
    isotropic = torch.randn(POINTS, features, generator=generator)
    ordinary = isotropic * torch.arange(1, features + 1) ** -0.7
    massive = ordinary.clone()
    norms = ordinary[::100].norm(dim=1, keepdim=True)
    massive[::100] *= 200 * ordinary.norm(dim=1).median() / norms
    equal = ordinary - ordinary.mean(dim=0)
    equal[:, 1] -= equal[:, 0] * (equal[:, 0] @ equal[:, 1] / equal[:, 0].square().sum())
    equal[:, 1] *= (1 - 1e-5) * equal[:, 0].norm() / equal[:, 1].norm()
    return {
        "ordinary": ordinary, "massive rows": massive, "offset 3000": ordinary + 3000,
        "isotropic": isotropic, NEARLY_EQUAL: equal,
    }  # fmt: skip


def without_units(x: torch.Tensor) -> object:
    """`dimensions` as it runs on a CPU that has no bfloat16 units."""
    ours = on_cpu.bfloat16_units
    on_cpu.bfloat16_units = lambda: False  # type: ignore[assignment]
    try:
        return dimensions(x)
    finally:
        on_cpu.bfloat16_units = ours


def our_contestants(features: int) -> dict[str, Contestant]:
    ours: dict[str, Contestant] = {}
    for kind, x in clouds(features).items():
        # Neighbours do not see how near to one another two directions are.
        if kind != NEARLY_EQUAL:
            ours[f"shapelib three dimensions, {kind}"] = lambda x=x: dimensions(x)
        ours[f"shapelib anisotropy, {kind}"] = lambda x=x: anisotropy(x)
        if kind == "ordinary":
            ours[HUNDRED] = lambda x=x: dimensions(x, 100)
            ours["shapelib three dimensions, no bfloat16"] = lambda x=x: without_units(x)
            ours["shapelib average cosine"] = lambda x=x: average_cosine(x)
            ours[WHOLE] = lambda x=x: measure_points(x)
            ours[STEP] = one_step(x)
    return ours


def one_step(x: torch.Tensor) -> Contestant:
    """What `anisotropy` does over and over: points and their transpose times two vectors."""
    center = x.double().mean(dim=0).numpy()
    vectors = np.random.default_rng(0).standard_normal((2, x.shape[1]))
    total = float((x.double() - torch.from_numpy(center)).square().sum())
    return lambda: loops.two_gram_times(x.numpy(), center, vectors, total)


def peer_contestants(features: int, authors: ModuleType | None) -> dict[str, Contestant]:
    x = clouds(features)["ordinary"]
    array = x.numpy()
    with warnings.catch_warnings():
        import skdim
    peers: dict[str, Contestant] = {
        "scikit-dimension TwoNN": lambda: skdim.id.TwoNN().fit(array),
        "scikit-dimension MoM": lambda: skdim.id.MOM().fit(array),
        "scikit-dimension MADA": lambda: skdim.id.MADA().fit(array, n_neighbors=20),
        "NumPy SVD, singular values": lambda: np.linalg.svd(
            array - array.mean(0), compute_uv=False
        ),
        "torch SVD with vectors": lambda: torch.linalg.svd(x - x.mean(0), full_matrices=False),
    }
    if authors:
        peers[LATER] = lambda: first_rows(authors, x)
        peers["llm-microscope anisotropy"] = lambda: authors.calculate_anisotropy_torch(x)
    return peers


# The authors' loop makes arrays as large as the points. Whether each comes from the system, page by
# page, or from memory already held is up to the allocator, and changes its time sevenfold.
FIRST = "llm-microscope TwoNN, a process's first"
LATER = "llm-microscope TwoNN, a later one"
SCALED = {LATER: POINTS / ROWS}


class _EnoughError(Exception):
    pass


def first_rows(authors: ModuleType, x: torch.Tensor) -> None:
    """The authors' TwoNN on all points, stopped after `ROWS` turns of its loop over them."""
    calls = 0

    class Counting:
        """Torch, counting how often the loop asks for a k-th value: twice a turn."""

        def __getattr__(self, name: str) -> object:
            return getattr(torch, name)

        def kthvalue(self, *arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > 2 * ROWS:
                raise _EnoughError
            return torch.kthvalue(*arguments, **options)  # type: ignore[call-overload]

    authors.torch = Counting()  # type: ignore[attr-defined]
    try:
        authors.intrinsic_dimension(x, "cpu")
    except _EnoughError:
        return
    finally:
        authors.torch = torch  # type: ignore[attr-defined]
    raise RuntimeError(f"{AUTHORS} no longer asks torch for k-th values: its time is not known")


def fetch_authors() -> ModuleType | None:
    """llm-microscope's functions, from its wheel by path: as a package it does not import."""
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--disable-pip-version-check", "--dest", folder, AUTHORS],
            capture_output=True, text=True,
        )  # fmt: skip
        if fetched.returncode:
            print(f"{AUTHORS} could not be fetched, so the authors' functions are left out")
            return None
        (wheel,) = Path(folder).glob("*.whl")
        zipfile.ZipFile(wheel).extract("llm_microscope/functions.py", folder)
        source = Path(folder) / "llm_microscope" / "functions.py"
        spec = importlib.util.spec_from_file_location("llm_microscope_functions", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def first_call(features: int, threads: int) -> list[float]:
    """The authors' TwoNN as a multiple of the yardstick, in processes that did nothing before."""
    command = [sys.executable, __file__, "--authors", str(features), str(threads)]
    return [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    ]


def time_first_call(features: int, threads: int) -> float:
    torch.set_num_threads(threads)
    authors = fetch_authors()
    assert authors is not None
    x = clouds(features)["ordinary"]
    took = seconds(lambda: first_rows(authors, x)) * POINTS / ROWS
    return took / min(seconds(lambda: x @ x.T) for _ in range(3))


def seconds(work: Contestant) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(contestants: dict[str, Contestant], features: int) -> dict[str, list[float]]:
    """Ratios to the yardstick by contestant, one a turn."""
    x = clouds(features)["ordinary"]
    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    spent = dict.fromkeys(contestants, 0.0)
    yard: list[float] = []
    for turn in range(TURNS):
        running = [name for name in contestants if spent[name] <= SPENT]
        # The order changes with the turn, so that nobody is always just after a yardstick.
        for place, name in enumerate(running if turn % 2 else reversed(running)):
            work = contestants[name]
            if place % 3 == 0:
                yard.append(seconds(lambda: x @ x.T))
            took = seconds(work) * SCALED.get(name, 1.0)
            spent[name] += took / SCALED.get(name, 1.0)
            ratios[name].append(took / yard[-1])
    return ratios


def processor_seconds(work: Contestant) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def asked_seconds(peer: Peer, file: Path, **options: Any) -> float:
    took = peer.two_nn(file, 1, **options).seconds
    assert took is not None
    return took


def compare_apart(peer: Peer) -> dict[str, Any]:
    """DADApy's TwoNN, and in the same turns the same by shapelib and by scikit-dimension.

    One thread, and times of the processor, so that what other processes take counts for nobody; the
    yardstick is the mean of those just before and after.
    """
    torch.set_num_threads(1)
    rows = []
    for features in FEATURES:
        print(f"{POINTS} points × {features} features, one thread, DADApy apart")
        x = clouds(features)["ordinary"]
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
            file = Path(folder) / "points.npy"
            np.save(file, x.numpy())
            timed: dict[str, Callable[[], float]] = {
                "DADApy TwoNN": partial(asked_seconds, peer, file),
                "DADApy TwoNN, two neighbours": partial(asked_seconds, peer, file, neighbours=2),
            }
            every = our_contestants(features) | peer_contestants(features, None)
            for name in ("shapelib three dimensions, ordinary", "scikit-dimension TwoNN"):
                timed[name] = partial(processor_seconds, every[name])
            found = between(timed, partial(processor_seconds, lambda x=x: x @ x.T), APART_TURNS)
        rows += as_rows(found, 1, features)
    return {
        "title": APART,
        "yardstick": f"one float32 product X·Xᵀ of {POINTS} points, one thread, same turn, in "
        "processor time",
        "versions": peer.versions,
        "ratios": rows,
    }


def between(
    timed: dict[str, Callable[[], float]], yardstick: Callable[[], float], turns: int
) -> dict[str, list[float]]:
    """Ratios of seconds to the mean of the yardstick's just before and after, after a warm-up."""
    ratios: dict[str, list[float]] = {name: [] for name in timed}
    for work in timed.values():
        work()
    before = yardstick()
    for turn in range(turns):
        # The order changes with the turn, so that nobody is always just after the same one.
        for name in list(timed)[:: 1 if turn % 2 else -1]:
            took, after = timed[name](), yardstick()
            ratios[name].append(2 * took / (before + after))
            before = after
    return ratios


def as_rows(found: dict[str, list[float]], threads: int, features: int) -> list[dict[str, Any]]:
    """What was found, as rows of the record; printed as well."""
    rows = [
        record.row(name, each, threads=threads, features=features, **limit(name, threads, features))
        for name, each in found.items()
    ]
    medians = {each["name"]: each["median"] for each in rows}
    for each in rows:
        for start, (part, words) in BOUNDS.items():
            if "limit" in each and each["name"].startswith(start) and part in medians:
                each["bound"] = f"{words} is {medians[part]:g}"
        print(f"   {record.line(each)}", flush=True)
    return rows


def limit(name: str, threads: int, features: int) -> dict[str, float]:
    """The limit of a row, where it has one."""
    for start, widths in LIMITS.items():
        if threads == 1 and name.startswith(start) and features in widths:
            return {"limit": widths[features]}
    return {}


def extra_memory() -> float:
    """MB by which one search at the largest width raises this process's peak."""
    x = torch.randn(POINTS, FEATURES[-1])
    for small in (x[:300].clone(), x[:300].double()):
        dimensions(small)
        anisotropy(small)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dimensions(x)
    anisotropy(x)
    average_cosine(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true", help="print the extra peak memory, in MB")
    parser.add_argument(
        "--authors", nargs=2, type=int, metavar=("FEATURES", "THREADS"),
        help="print what the authors' TwoNN takes as a process's first work",
    )  # fmt: skip
    parser.add_argument(
        "--dadapy", action="store_true", help="measure DADApy alone and add it to what is recorded"
    )
    arguments = parser.parse_args()
    if arguments.dadapy:
        add_dadapy()
        return
    if arguments.authors:
        print(time_first_call(*arguments.authors))
        return
    if arguments.memory:
        print(extra_memory())
        return
    memory = float(
        subprocess.run(
            [sys.executable, __file__, "--memory"], capture_output=True, text=True, check=True
        ).stdout
    )
    print(f"peak extra memory at {FEATURES[-1]} features: {memory:.0f} MB")
    sections = [layers(f"Extra memory at the greatest D: {memory:.0f} MB.")]
    if peer := dadapy():
        with peer:
            sections.append(compare_apart(peer))
    # Of another run, DADApy would stand beside times that it was not measured with.
    record.write("estimators", sections)


def layers(note: str) -> dict[str, Any]:
    """Everything that is compared on a layer, on one thread and on two."""
    authors = fetch_authors()
    rows = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        for features in FEATURES:
            print(f"{POINTS} points × {features} features, {threads} threads")
            contestants = our_contestants(features) | peer_contestants(features, authors)
            for warm in our_contestants(features).values():
                warm()
            with threadpool_limits(threads):
                found = compare(contestants, features)
            if authors:
                found[FIRST] = first_call(features, threads)
            rows += as_rows(found, threads, features)
            report_totals(found)
    yardstick = f"one float32 product X·Xᵀ of {POINTS} points, same threads, same turn"
    return {"title": LAYER, "yardstick": yardstick, "note": note, "ratios": rows}


def add_dadapy() -> None:
    """Measure DADApy alone, and put it into the record in place of what was there of it."""
    peer = dadapy()
    if peer is None:
        sys.exit(1)
    with peer:
        found = compare_apart(peer)
    record.write("estimators", [found], keep=True)


def report_totals(found: dict[str, list[float]]) -> None:
    def of(*names: str) -> float:
        return math.fsum(statistics.median(found[name]) for name in names if name in found)

    layer = of(WHOLE)
    library = of(
        "scikit-dimension TwoNN", "scikit-dimension MoM", "scikit-dimension MADA",
        "NumPy SVD, singular values",
    )  # fmt: skip
    print(
        f"   all of a layer: {library / layer:.0f} × faster than scikit-dimension and NumPy's SVD"
    )
    if LATER in found:
        first, later = (of(name, "llm-microscope anisotropy") / layer for name in (FIRST, LATER))
        print(
            f"   all of a layer: {first:.0f} × faster than the authors' functions on a first layer,"
            f" {later:.0f} × on a later one"
        )


if __name__ == "__main__":
    main()
