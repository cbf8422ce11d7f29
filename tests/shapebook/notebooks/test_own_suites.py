"""The two pages on training, run on a reader's own suite: every cell, on three tiny checkpoints."""

import ast
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from shapebook.notebooks import notebook
from shapelib.models.loading import load

ROOT = Path(__file__).parents[3]
PAGES = ("anisotropy-during-training", "dimension-during-training")
SMALL = {"tokens": 512, "batch": 64, "device": "cpu"}


@pytest.fixture
def suite(decoder_folder: Path, tmp_path: Path) -> Path:
    """Three checkpoints as the Trainer names them, each with weights of its own."""
    folder = tmp_path / "trained"
    network = load(decoder_folder).network
    for step in (1, 10, 20):
        shutil.copytree(decoder_folder, folder / f"checkpoint-{step}")
        with torch.no_grad():
            network.layers[0].mlp.up_proj.weight.mul_(1.5)
        network.save_pretrained(folder / f"checkpoint-{step}")
    return folder


def run_cells(name: str, given: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Every code cell in one namespace, and what the last line of each shows."""
    path = ROOT / "notebooks" / f"{name}.ipynb"
    scope: dict[str, Any] = {}
    shown = []
    for cell in notebook.read(path).cells:
        if cell.cell_type != "code":
            continue
        body = ast.parse(cell.source).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), name, "exec"), scope)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), scope)
            if hasattr(value, "_repr_mimebundle_"):
                bundle = value._repr_mimebundle_()
                bundle = bundle[0] if isinstance(bundle, tuple) else bundle
                shown.append(bundle["text/plain"])
        if "parameters" in cell.metadata.get("tags", []):
            scope.update(notebook.check(path, given))
    return scope, shown


@pytest.mark.usefixtures("own_cache", "one_thread")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_on_a_suite_of_its_reader(name: str, suite: Path, text_file: Path):
    given = {**SMALL, "suites": [str(suite)], "corpus": str(text_file)}
    # The network reads 128 tokens: a window length as the page on rerunning says to give it.
    scope, shown = run_cells(name, {**given, "window": 100, "unit": "tokens"})
    curves = scope["curves"]
    assert sorted(curves["step"].unique()) == [1, 10, 20]
    assert set(scope["shape"]["window"]) == {"100 tokens"}
    assert set(curves["model"]) == {"trained"}
    assert any("window: 100" in each and "unit: tokens" in each for each in shown)
    assert [record["verdict"] for record in scope["records"]] == ["not testable here"] * len(
        scope["records"]
    )
