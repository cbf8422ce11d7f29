"""Run by the Python that has DADApy: says its versions, then answers each line of JSON with one."""

import json
import platform
import sys
import time
import warnings
from importlib import metadata

import numpy as np
from dadapy import Data
from memory import forget, held_mb
from threadpoolctl import threadpool_limits


def two_nn(x, asked):
    """`Data(x).compute_id_2NN()`, as DADApy's documentation calls it, from float32 points on."""
    options = {"n_jobs": asked["threads"]}
    if asked["neighbours"] is not None:
        options["maxk"] = asked["neighbours"]
    start = time.process_time()
    try:
        with threadpool_limits(asked["threads"]):
            data = Data(x, **options)
            if asked["distinct"]:
                data.remove_identical_points()
            value = float(data.compute_id_2NN(mu_fraction=asked["kept"])[0])
    except ValueError as error:
        return {"error": f"ValueError: {error}"}
    return {"value": value, "seconds": time.process_time() - start}


def gride(x, asked):
    """`Data.return_id_scaling_gride` from float32 points on: its values at each scale."""
    start = time.process_time()
    with threadpool_limits(asked["threads"]):
        data = Data(x, maxk=asked["neighbours"], n_jobs=asked["threads"])
        values, errors, _ = data.return_id_scaling_gride(range_max=asked["neighbours"])
    took = time.process_time() - start
    return {"values": values.tolist(), "errors": errors.tolist(), "seconds": took}


def flat(x, asked):
    """The nearest of all points by faiss's exact index, which is made of them first."""
    try:
        import faiss
    except ImportError as error:
        return {"error": str(error)}
    faiss.omp_set_num_threads(asked["threads"])
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    index.search(x, asked["neighbours"])
    return {}


METHODS = {"two_nn": two_nn, "gride": gride, "flat": flat}


def installed():
    for name in ("dadapy", "faiss-cpu", "numpy", "scipy", "scikit-learn"):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def main():
    # Answers are the only thing on standard output, whatever the package prints.
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")  # it tells of copies
    versions = {"python": platform.python_version(), **dict(installed())}
    print(json.dumps(versions), file=answers, flush=True)
    read = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["points"] not in read:
            read = {asked["points"]: np.load(asked["points"])}
        held, start = forget(), time.perf_counter()
        answer = METHODS[asked.get("method", "two_nn")](read[asked["points"]], asked)
        answer |= {"wall": time.perf_counter() - start, "memory_mb": held_mb(at_most=True) - held}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
