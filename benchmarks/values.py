"""What the packages answer where the answer is known: TwoNN on 1000 points of dimension 5."""

import json
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from estimators import AUTHORS, fetch_authors

from shapelib import two_nn

POINTS, DIMENSION, FEATURES = 1000, 5, 64
RESULTS = Path(__file__).with_name("values.json")


def clouds() -> dict[str, torch.Tensor]:
    """Float32 Gaussian points in a random subspace, and what hidden states do to such points."""
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(FEATURES, DIMENSION, generator=generator))[0].T
    plain = torch.randn(POINTS, DIMENSION, generator=generator) @ turned
    copied = plain.clone()
    copied[: POINTS // 5] = plain[POINTS // 5 : 2 * (POINTS // 5)]
    return {"as drawn": plain, "a fifth of them copies": copied, "off the origin": plain + 3000}


def main() -> None:
    import skdim

    warnings.simplefilter("ignore")
    authors = fetch_authors()
    rows = []
    for cloud, x in clouds().items():
        answers = {
            "shapelib": two_nn(x),
            "scikit-dimension": float(skdim.id.TwoNN().fit(x.double().numpy()).dimension_),
        }
        if authors is not None:
            answers["llm-microscope"] = float(np.asarray(authors.intrinsic_dimension(x, "cpu")))
        rows.append({"cloud": cloud, **{name: round(each, 2) for name, each in answers.items()}})
        print(rows[-1])
    versions = {"scikit-dimension": metadata.version("scikit-dimension")}
    record = {
        "dimension": DIMENSION, "points": POINTS, "features": FEATURES, "clouds": rows,
        "versions": {**versions, "llm-microscope": AUTHORS.partition("==")[2]},
    }  # fmt: skip
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
