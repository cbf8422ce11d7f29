"""Pages from stores: what is measured, what is missing and named, and what is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from shapebook.experiments import stores
from shapebook.figures.shown import show
from shapebook.notebooks.shown import show_provenance
from shapelib.errors import ShapelibError
from shapelib.figures import anisotropy_profile
from shapelib.models.sources import find

ASKED = {"tokens": 256, "window": 60, "batch": 64, "sets": ["all"], "device": "cpu"}
GATED = "'llama-2-7b' is gated"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that gives no model of the catalogue."""

    def refused(name: str, **options: Any) -> Any:
        if name.partition("@")[0] in ("llama-2-7b", "bloom-560m"):
            raise ShapelibError(GATED.replace("llama-2-7b", name))
        return find(name, **options)

    monkeypatch.setattr(stores, "find", refused)


@pytest.mark.usefixtures("own_cache", "one_thread", "no_hub")
def test_a_store_gives_what_a_profile_gives_and_names_the_rest(
    decoder_folder: Path, text_file: Path, tmp_path: Path
):
    mine, text, store = str(decoder_folder), str(text_file), tmp_path / "store"
    plain = stores.shapes([mine], text, progress=False, **ASKED)
    kept = stores.shapes([mine, "llama-2-7b"], text, store, **ASKED)
    assert stores.lost(plain) == []
    assert kept.attrs["failures"] == [("llama-2-7b", GATED)]
    pd.testing.assert_frame_equal(plain, kept)
    assert len(list((store / "cells").iterdir())) == 1
    facts = show_provenance(kept).facts
    assert facts["missing llama-2-7b"] == GATED
    assert not [name for name in show_provenance(plain).facts if name.startswith("missing")]
    drawn = show(anisotropy_profile(kept), stores.lost(kept)).data
    assert drawn.count("missing, since it failed: llama-2-7b") == 1
    assert "missing" not in show(anisotropy_profile(plain), stores.lost(plain)).data


@pytest.mark.usefixtures("no_hub")
def test_each_checkpoint_that_is_not_there_is_named():
    found, lost = stores.sources(["bloom-560m"], along=True, checkpoints="1000,600000")
    assert found == []
    assert [what for what, _ in lost] == ["bloom-560m@step1000", "bloom-560m@step600000"]
    with pytest.raises(ShapelibError, match=r"^'bloom-560m@step1000' is gated$"):
        stores.sources(["bloom-560m"], along=True, checkpoints="1000", strict=True)


@pytest.mark.usefixtures("no_hub")
def test_wrong_names_and_steps_are_no_failures():
    with pytest.raises(ShapelibError, match="no such model: 'smollm'"):
        stores.sources(["smollm"])
    with pytest.raises(ShapelibError, match="no checkpoint of step 7"):
        stores.sources(["bloom-560m"], along=True, checkpoints="7")
    with pytest.raises(ShapelibError, match="'bloom-560m' has no checkpoint '7'"):
        stores.sources(["bloom-560m@7"])
    with pytest.raises(ShapelibError, match="nothing could be measured: llama-2-7b: "):
        stores.shapes(["llama-2-7b"], "enwiki-sample", "a-store-that-is-not-made", **ASKED)
    assert not Path("a-store-that-is-not-made").exists()


def test_pickles_are_asked_about_once(decoder_folder: Path, tmp_path: Path):
    import shutil

    import torch
    from safetensors.torch import load_file

    folders = []
    for name in ("one", "two"):
        folder = shutil.copytree(decoder_folder, tmp_path / name)
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        folders.append(str(folder))
    found, lost = stores.sources(folders)
    assert (len(found), lost) == (2, [])
    with pytest.raises(ShapelibError, match=r"the weights of one, two are pickles.*allow_pickle"):
        stores.refuse_pickles(found, allowed=False)
    stores.refuse_pickles(found, allowed=True)


def test_without_full_fine_tuning_there_is_no_d90_and_it_is_said():
    same = {"task": "t", "checkpoint": "final", "init": "pre-trained"}
    runs = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b", "c"],
            "method": ["full", "DID", "full", "DID", "DID"],
            "score": [0.9, 0.8, None, 0.8, 0.8],
        }
    ).assign(**same)
    kept, lost = stores._with_full_runs(runs)
    assert list(kept["model"]) == ["a", "a"]
    assert [what for what, _ in lost] == ["b@final, t, pre-trained", "c@final, t, pre-trained"]
