"""What an attacker may hand us: each trap is shown to work, and not to work here."""

import json
import logging
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from shapelib.errors import ShapelibError
from shapelib.models.loading import find, load
from shapelib.store.cells import Cells
from shapelib.text.corpus import load_corpus

pytestmark = pytest.mark.usefixtures("own_cache")
EVIL = "<script>alert(1)</script>"


class Harm:
    """Pickled, it writes a file when it is read without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.write_text, (self.target, "ran")


def test_entities_of_a_dump_are_not_expanded(tmp_path: Path):
    """Ten lines that would be a gigabyte, and a file of this machine."""
    secret = tmp_path / "secret"
    secret.write_text("the password")
    bombs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    for declared, used in (
        (f'<!ENTITY a0 "aaaaaaaaaa">{bombs}', "&a9;"),
        (f'<!ENTITY a SYSTEM "{secret.as_uri()}">', "&a;"),
    ):
        dump = tmp_path / "dump.xml"
        dump.write_text(
            f"<!DOCTYPE mediawiki [{declared}]><mediawiki><page><title>A</title>"
            f"<revision><text>{used}</text></revision></page></mediawiki>"
        )
        with pytest.raises(ShapelibError, match="document type") as caught:
            load_corpus(dump)
        assert "password" not in str(caught.value)


def test_an_archive_writes_nothing_outside(tmp_path: Path):
    """A member's name may climb out of any folder: such a one is none, and nothing is unpacked."""
    archive = tmp_path / "inner" / "text.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("../../climbed.txt", "A text of some words.")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ShapelibError, match="holds nothing"):
        load_corpus(archive)
    new = [each for each in tmp_path.rglob("*") if each not in before]
    assert all((tmp_path / "cache") in (each, *each.parents) for each in new)
    assert not list(tmp_path.parent.glob("climbed.txt"))


def test_a_wheel_writes_nothing_outside(tmp_path: Path):
    from shapelib.store import wheels

    wheel, folder = tmp_path / "w.whl", tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr("data/fine.txt", "fine")
        out.writestr("data/../../../climbed.txt", "harm")
    with pytest.raises(ShapelibError, match=r"climbed\.txt' outside its folder"):
        wheels.extract(wheel, "data/", folder)
    assert not list(tmp_path.rglob("climbed.txt"))


@pytest.mark.parametrize("name", ["table.parquet", "cells.npy", "subspace.safetensors", "z.csv"])
def test_no_pickle_is_read_under_another_name(name: str, tmp_path: Path):
    from shapelib import read_table, subspace

    harm, file = tmp_path / "harm", tmp_path / name
    file.write_bytes(pickle.dumps(Harm(harm)))
    pickle.loads(file.read_bytes())
    assert harm.read_text() == "ran"
    harm.unlink()
    for read in (read_table, load_corpus, lambda path: subspace.load(nn.Linear(2, 2), path)):
        with pytest.raises(ShapelibError):
            read(file)
    kept = Cells(tmp_path)
    (tmp_path / "cells").mkdir()
    kept.path("key").write_bytes(file.read_bytes())
    assert kept.read("key") is None
    assert not harm.exists()


def test_code_beside_a_tokenizer_or_a_config_does_not_run(decoder_folder: Path, tmp_path: Path):
    for file, key in (("tokenizer_config.json", "AutoTokenizer"), ("config.json", "AutoModel")):
        folder = shutil.copytree(decoder_folder, tmp_path / key)
        told = json.loads((folder / file).read_text())
        hook = [None, "own.Own"] if key == "AutoTokenizer" else "own.Own"
        told |= {"auto_map": {key: hook}, "tokenizer_class": "Own"}
        (folder / file).write_text(json.dumps(told))
        (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        # Refused, or read without it; either way it does not run.
        try:
            load(folder)
        except ShapelibError as error:
            assert key in str(error)  # noqa: PT017
        assert not (tmp_path / "ran").exists()


def test_names_and_texts_are_escaped_in_html():
    import pandas as pd

    from shapebook.notebooks.shown import Facts

    shown = Facts({EVIL: EVIL})._repr_mimebundle_()[0]["text/html"]
    assert EVIL not in shown
    assert "&lt;script&gt;" in shown
    assert EVIL not in pd.DataFrame({EVIL: [EVIL]})._repr_html_()


def test_a_run_with_a_model_of_an_evil_name_is_escaped():
    """What a cell prints, and what it raises, as the page of a run shows them."""
    import nbformat

    from shapebook.notebooks import html

    notebook = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell(f"name = {EVIL!r}", metadata={"tags": ["parameters"]})
    shown = nbformat.v4.new_code_cell("print(name)", execution_count=1)
    shown.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"{EVIL}\n"),
        nbformat.v4.new_output("execute_result", {"text/plain": EVIL}, execution_count=1),
        nbformat.v4.new_output("error", ename="E", evalue=EVIL, traceback=[EVIL]),
    ]
    notebook.cells = [nbformat.v4.new_markdown_cell("# A page"), cell, shown]
    page = html.html(notebook, {"name": (EVIL, "a")})
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_the_token_is_in_no_message_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
):
    token = "hf_" + "s3cr3t" * 5
    monkeypatch.setenv("HF_TOKEN", token)
    # Nobody answers there.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ShapelibError) as caught:
        find("somebody/something")
    told = [str(caught.value), repr(caught.value.__cause__), caplog.text]
    seen = "\n".join([*told, *capfd.readouterr()])
    assert "somebody/something" in seen
    assert token not in seen
