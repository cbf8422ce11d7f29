"""What the packages answer where the answer is known: TwoNN on 1000 points of dimension 5.

Each cloud is fitted twice, to the lowest 90 % and to the lowest 20 % of the ratios, by every
package that has the fit. DADApy is asked in an environment of its own; `apart` says how to make it.
"""

import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import record
import torch
from apart import Peer, dadapy
from estimators import AUTHORS, fetch_authors

from shapelib import two_nn
from shapelib.geometry.dimension import AUTHORS_DISCARD, FACCO_DISCARD

POINTS, DIMENSION, FEATURES = 1000, 5, 64
# In per cent of the ratios, and what each leaves out. The authors' package has the second alone.
FITS = {90: FACCO_DISCARD, 20: AUTHORS_DISCARD}


def clouds() -> dict[str, torch.Tensor]:
    """Float32 Gaussian points in a random subspace, and what hidden states do to such points."""
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(FEATURES, DIMENSION, generator=generator))[0].T
    plain = torch.randn(POINTS, DIMENSION, generator=generator) @ turned
    copied = plain.clone()
    # The copies take the place of points: four fifths of the points are left.
    copied[: POINTS // 5] = plain[POINTS // 5 : 2 * (POINTS // 5)]
    return {"as drawn": plain, "a fifth of them copies": copied, "off the origin": plain + 3000}


def answers(
    x: torch.Tensor, lowest: int, authors: ModuleType | None, peer: Peer | None
) -> dict[str, float | None]:
    """Each package's TwoNN of the points by one fit; None where it ends in an error."""
    import skdim

    left_out = FITS[lowest]
    array = x.double().numpy()
    found: dict[str, float | None] = {
        "shapelib": two_nn(x, discard=left_out),
        "scikit-dimension": float(skdim.id.TwoNN(discard_fraction=left_out).fit(array).dimension_),
    }
    if peer is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "points.npy"
            np.save(file, x.numpy())
            for name, distinct in {"DADApy": False, "DADApy, told to remove copies": True}.items():
                answer = peer.two_nn(file, 1, kept=lowest / 100, distinct=distinct)
                found[name] = answer.value
    if authors is not None and left_out == AUTHORS_DISCARD:
        found["LLM-Microscope"] = float(np.asarray(authors.intrinsic_dimension(x, "cpu")))
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    authors, peer = fetch_authors(), dadapy()
    rows: list[dict[str, Any]] = []
    for cloud, x in clouds().items():
        for lowest in FITS:
            found = answers(x, lowest, authors, peer)
            rounded = {n: None if v is None else round(v, 2) for n, v in found.items()}
            rows.append(
                {"cloud": cloud, "lowest": lowest, "distinct": len(x.unique(dim=0)), **rounded}
            )
            print(rows[-1])
    versions = {
        "scikit-dimension": metadata.version("scikit-dimension"),
        "LLM-Microscope": AUTHORS.partition("==")[2],
    }
    if peer is not None:
        versions["DADApy"] = peer.versions["dadapy"]
        peer.close()
    head = record.envelope("values")
    known = {"dimension": DIMENSION, "points": POINTS, "features": FEATURES}
    record.put({**head, "versions": {**head["versions"], **versions}, **known, "clouds": rows})


if __name__ == "__main__":
    main()
