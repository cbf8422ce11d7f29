"""What bends an estimate, on layers of the models that the book keeps: python results/stress.py

`stress/stress.parquet`: `shapebook.experiments.validation.stress` of a layer in the middle of each
of three models, on as many vectors as the page *Which dimensions to trust* measures of its own.

"""

from pathlib import Path

from shapebook.experiments import validation
from shapelib.store import tables

HERE = Path(__file__).parent / "stress"
LAYERS = {"mpnet-base": [6], "gemma-3-270m": [9], "qwen2.5-coder-1.5b": [14]}
TOKENS, WINDOW, SEED = 2048, 512, 0


def main() -> None:
    table = validation.stress(LAYERS, tokens=TOKENS, window=WINDOW, seed=SEED)
    runs, table.attrs = table.attrs["provenance"], {}
    table = table[table["cloud"] != validation.REFERENCE].reset_index(drop=True)
    table.attrs["provenance"] = [{**run, "command": "python results/stress.py"} for run in runs]
    HERE.mkdir(exist_ok=True)
    print(tables.write_table(table, HERE / "stress.parquet"))


if __name__ == "__main__":
    main()
