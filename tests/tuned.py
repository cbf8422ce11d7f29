"""Made-up runs of fine-tuning whose d90 is known."""

import pandas as pd

SCORES = {30: 0.3, 300: 0.5, 3000: 0.8}


def tuning(steps: tuple[int, ...] = (1280,), model: str = "m", size: int = 10**6) -> pd.DataFrame:
    """Full fine-tuning scores 0.8, so its bar is 0.72; random weights never reach theirs."""
    rows = []
    for step in steps:
        for seed in (0, 1, 2):
            for init, loss in (("pre-trained", 0.0), ("random", 0.1)):
                full = {"method": "full", "d": size, "score": 0.8}
                runs = [full] + [
                    {"method": "DID", "d": d, "score": score - loss} for d, score in SCORES.items()
                ]
                rows += [
                    {**run, "init": init, "seed": seed, "step": step, "checkpoint": f"step-{step}"}
                    for run in runs
                ]
    fixed = {
        "task": "questions", "model": model, "role": "encoder", "D": size, "rate": 0.01,
        "train": 4000, "test": 500, "majority": 0.25, "train_score": 0.9, "diverged": False,
        "stopped": None,
    }  # fmt: skip
    return pd.DataFrame(rows).assign(**fixed).astype({"stopped": "Int64"})
