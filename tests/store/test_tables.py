"""Tables are written whole, read back as they were, and carry their provenance."""

import errno
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from shapelib.errors import ShapelibError
from shapelib.store import tables
from shapelib.store.tables import combine, read_table, write_table


@pytest.fixture
def table() -> pd.DataFrame:
    made = pd.DataFrame({"model": ["a", "b"], "value": [0.1, 0.2], "centered": [True, None]})
    made["centered"] = made["centered"].astype("boolean")
    made.attrs["provenance"] = [tables.provenance(model="a", seed=0)]
    return made


def test_parquet_keeps_everything(table: pd.DataFrame, tmp_path: Path):
    path = write_table(table, tmp_path / "t.parquet")
    again = read_table(path)
    pd.testing.assert_frame_equal(again, table)
    assert again.attrs == table.attrs
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


def test_csv_has_its_provenance_beside_it(table: pd.DataFrame, tmp_path: Path):
    path = write_table(table, tmp_path / "t.csv")
    assert path.read_text().splitlines()[0] == "model,value,centered"
    again = read_table(path)
    assert again["value"].tolist() == table["value"].tolist()
    assert again.attrs == table.attrs
    assert {each.name for each in tmp_path.iterdir()} == {"t.csv", "t.provenance.json"}


def test_an_interrupted_write_leaves_the_old_table_whole(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_table(table, tmp_path / "t.parquet")
    old = path.read_bytes()

    def interrupt(_table: object, _runs: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "_write_parquet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_table(table, path)
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


def test_combined_tables_keep_each_run(table: pd.DataFrame):
    other = table.copy()
    other.attrs = {"provenance": [tables.provenance(model="b", seed=1)]}
    both = combine([table, other])
    assert len(both) == 4
    assert [run["model"] for run in both.attrs["provenance"]] == ["a", "b"]
    assert table.attrs["provenance"][0]["model"] == "a"


def test_provenance_says_what_ran():
    facts = tables.provenance(seed=7)
    assert facts["seed"] == 7
    assert {"python", "torch", "transformers", "numpy"} <= set(facts["versions"])
    assert facts["created"].endswith("+00:00")
    assert {"commit", "machine"} <= set(facts)


def test_a_run_in_a_checkout_says_its_commit():
    checkout = Path(tables.__file__).parents[2]
    if not (checkout / ".git").exists():
        pytest.skip("this is no checkout")
    command = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    said = tables.provenance()["commit"]
    assert said is not None
    assert said.split("-dirty")[0].split("-g")[-1] == head


def test_a_kept_table_that_is_made_anew_leaves_the_commit_clean(tmp_path: Path):
    def git(*asked: str) -> None:
        told = ("-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *told, *asked], check=True)

    files = ("results/training/shape.parquet", "results/training.py", "shapelib/tables.py")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    clean = tables.commit_of(tmp_path)
    assert clean is not None
    assert len(clean) == 12
    (tmp_path / files[0]).write_text("made anew")
    (tmp_path / "results" / "training" / "new.parquet").write_text("new")
    assert tables.commit_of(tmp_path) == clean
    for measures in files[1:]:
        (tmp_path / measures).write_text("changed")
        assert tables.commit_of(tmp_path) == f"{clean}-dirty"
        git("checkout", "-q", measures)
        assert tables.commit_of(tmp_path) == clean
    (tmp_path / ".git" / "index").write_bytes(b"damaged: git tells no changes")
    assert tables.commit_of(tmp_path) == f"{clean}-dirty"
    (tmp_path / ".git" / "index").unlink()
    git("reset", "-q", "--hard")
    assert tables.commit_of(tmp_path) == clean
    git("rm", "-q", files[2])
    assert tables.commit_of(tmp_path) == f"{clean}-dirty"


def test_a_folder_that_git_does_not_know_has_no_commit(tmp_path: Path):
    assert tables.commit_of(tmp_path) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("t.txt", r"must end in one of: \.parquet, \.csv"),
        ("missing/t.csv", "the folder .*missing' does not exist"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_output_that_cannot_be(path: str, message: str, table: pd.DataFrame, tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ShapelibError, match=message):
        write_table(table, tmp_path / path)


def test_what_is_no_table(tmp_path: Path):
    with pytest.raises(ShapelibError, match="no such table"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.csv").touch()
    with pytest.raises(ShapelibError, match="is not a table"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(ShapelibError, match="at least one model must be measured"):
        combine([])
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ShapelibError, match="is not a table"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.usefixtures("own_cache")
def test_cached_tables_are_computed_once(table: pd.DataFrame):
    calls = []

    def compute() -> pd.DataFrame:
        calls.append(1)
        return table

    first, second = tables.cached("key", compute), tables.cached("key", compute)
    assert len(calls) == 1
    pd.testing.assert_frame_equal(first, second)
    assert second.attrs == table.attrs


def test_a_byte_that_hides_what_a_file_says_of_itself_is_noticed(
    table: pd.DataFrame, tmp_path: Path
):
    """Columns then have other types, and there is no hash that would tell."""
    path = tables.write_table(table, tmp_path / "t.parquet")
    whole, expected = path.read_bytes(), tables.read_table(path)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    noticed = 0
    for place in range(footer, whole.index(b"pandas", footer)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = tables.read_table(path)
        except ShapelibError:
            noticed += 1
            continue
        pd.testing.assert_frame_equal(found, expected)
        assert found.attrs == expected.attrs
    assert noticed > 100


def test_a_number_that_was_changed_on_disk_is_noticed(table: pd.DataFrame, tmp_path: Path):
    """Parquet's own form holds: another value is as good to it."""
    import pyarrow.parquet

    path = write_table(table, tmp_path / "t.parquet")
    arrow = pyarrow.parquet.read_table(path)
    other = arrow.set_column(1, "value", pyarrow.array([0.1, 0.2000001]))
    pyarrow.parquet.write_table(other.replace_schema_metadata(arrow.schema.metadata), path)
    with pytest.raises(ShapelibError, match=r"t\.parquet' is damaged: it does not hold what was"):
        read_table(path)
    # One that an earlier version wrote has no hash, and is read as it is.
    kept = {name: value for name, value in arrow.schema.metadata.items() if b"sha256" not in name}
    pyarrow.parquet.write_table(other.replace_schema_metadata(kept), path)
    assert read_table(path)["value"].tolist() == [0.1, 0.2000001]


def test_a_provenance_that_is_none(table: pd.DataFrame, tmp_path: Path):
    path = write_table(table, tmp_path / "t.csv")
    for content in ("{", "{}", "\xff"):
        (tmp_path / "t.provenance.json").write_text(content, encoding="latin-1")
        with pytest.raises(ShapelibError, match=r"t\.provenance\.json' is not the provenance"):
            read_table(path)


def test_a_disk_without_room_is_named(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_table: object, _runs: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "_write_parquet", full)
    with pytest.raises(ShapelibError, match=r"t\.parquet' cannot be written: .*No space left on"):
        write_table(table, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
