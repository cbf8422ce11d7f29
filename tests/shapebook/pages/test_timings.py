"""Recorded benchmarks as tables and as a figure, and that the pages' words hold of the record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shapebook.pages.timings import drawn, packages, records
from shapebook.pages.timings import tables as timings
from shapelib import figures
from shapelib.errors import ShapelibError

RECORDS = Path(__file__).parents[3] / "benchmarks" / "records"
NARROW = {
    "name": "N9 EPYC",
    "family": 9,
    "path": "AVX-512 bf16",
    "gflops": {"float32": {"1": 33.4}},
}
PLAIN = {"name": "Intel(R) Xeon(R) Processor", "path": "float32"}


def row(name: str, median: float, **more: Any) -> dict[str, Any]:
    spread = {"least": median / 2, "greatest": median * 1.25, "turns": 2}
    return {"name": name, "median": median, **spread, **more}


def record(
    benchmark: str, *sections: dict[str, Any], processor: dict[str, Any] = NARROW, **run: Any
) -> dict[str, Any]:
    return {
        "format": records.FORMAT, "benchmark": benchmark, "command": "python it.py",
        "processor": processor, "sections": list(sections), **run,
    }  # fmt: skip


def section(title: str, *ratios: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": title, "yardstick": "one product", "ratios": list(ratios), **more}


def layer(*, processor: dict[str, Any] = NARROW, **medians: float) -> dict[str, Any]:
    """``estimators``, at one thread and at two, of contestants by their names."""
    rows = [row(name, median, threads=1, features=768) for name, median in medians.items()]
    rows += [row(name, 99, threads=2, features=768) for name in medians]
    here = section(packages.LAYER, *rows, note="Memory: 9 MB.")
    versions = {"scikit-dimension": "7"}
    return record("estimators", here, processor=processor, versions=versions)


MEASURED = layer(
    **{"shapelib three dimensions, ordinary": 0.5, "scikit-dimension TwoNN": 1.9,
       "shapelib average cosine": 0.1, "shapelib all of a layer": 1.5}
)  # fmt: skip
OTHER = layer(
    processor=PLAIN,
    **{"shapelib three dimensions, ordinary": 1.3, "scikit-dimension TwoNN": 2.9,
       "shapelib all of a layer": 3.5},
)  # fmt: skip
APART = section(
    packages.APART, row("DADApy TwoNN", 2.5, threads=1, features=768),
    row("scikit-dimension TwoNN", 88, threads=1, features=768), measured="2026-11-22",
    versions={"python": "3.11", "dadapy": "0.3", "numpy": "1.26", "scikit-learn": "1.9"},
)  # fmt: skip
WITH_PEER = {**MEASURED, "sections": [*MEASURED["sections"], APART]}


def kept(folder: Path, *made: dict[str, Any]) -> Path:
    """The folder, with these records in it."""
    for each in made:
        place = folder / records.place(each["processor"]) if "processor" in each else folder
        place.mkdir(exist_ok=True)
        (place / f"{each['benchmark']}.json").write_text(json.dumps(each))
    return folder


def tables(folder: Path, *made: dict[str, Any]) -> dict[str, str]:
    return timings.tables(kept(folder, *made))


def test_nothing_recorded_leaves_every_table_empty(tmp_path: Path):
    found = tables(tmp_path)
    assert {"timings-layer", "timings-apart", "timings-subspace", "peers", "answers"} < set(found)
    assert set(found.values()) == {""}


def test_peers_are_compared_by_what_was_measured(tmp_path: Path):
    text = tables(tmp_path, MEASURED)["peers"]
    assert "|  | shapelib | scikit-dimension 7 | DADApy | LLM-Microscope |" in text
    ours, theirs = "0.5 (0.25 to 0.625)", "1.9 (0.95 to 2.38)"
    assert f"| TwoNN | {ours} | {theirs} | not measured | not measured |" in text
    assert f"| MADA | {ours} | not measured | has none | has none |" in text
    assert "| anisotropy | not measured | has none | has none | not measured |" in text
    assert "99" not in text
    assert "DADApy was measured" not in text


def test_a_peer_measured_apart_says_when_and_with_what(tmp_path: Path):
    found = tables(tmp_path, WITH_PEER)
    assert "| 1.9 (0.95 to 2.38) | 2.5 (1.25 to 3.12) | not measured |" in found["peers"]
    assert "| DADApy 0.3 |" in found["peers"]
    assert (
        "DADApy was measured on 2026-11-22, in processor time and with Python 3.11, NumPy 1.26 and "
        "scikit-learn 1.9."
    ) in found["peers"]
    assert "Measured on 2026-11-22. Versions: python 3.11, dadapy 0.3" in found["timings-apart"]
    assert "| scikit-dimension TwoNN | 88 (44 to 110) |" in found["timings-apart"]
    assert "88" not in found["peers"], "what stood beside it is no second measurement"


def test_two_processors_stand_apart_each_with_its_path_and_its_own_product(tmp_path: Path):
    found = tables(tmp_path, OTHER, MEASURED)
    for text in (found["timings-layer"], found["peers"]):
        first, second = text.split("**N9 EPYC (family 9), AVX-512 bf16.**")[::-1]
        assert second.startswith("**Intel Xeon, float32.** Its own product in GFLOP/s was not reco")
        assert first.startswith(" Its own product makes, in GFLOP/s: 33 in float32 on one thread.")
        assert "0.5 (0.25 to 0.625)" in first
        assert "0.5 (0.25 to 0.625)" not in second
        assert "1.3 (0.65 to 1.62)" in second
        assert "1.3 (0.65 to 1.62)" not in first


def test_a_section_of_another_run_says_so(tmp_path: Path):
    new, old = section("New", row("a", 1)), section("Old", row("b", 2), measured="2026-01-01",
                                                    commit="abc")  # fmt: skip
    text = tables(tmp_path, record("scale", new, old, measured="2026-11-29", commit="def"))
    head, _, body = text["timings-scale"].partition("\n")
    assert head.endswith("on one thread. Measured on 2026-11-29 at commit def.")
    assert body.count("Measured on 2026-01-01 at commit abc.") == 1
    assert body.index("*Old*") < body.index("Measured on 2026-01-01")


def test_limits_stand_beside_what_was_measured(tmp_path: Path):
    rows = (
        row("fast", 0.4, limit=0.45, where="bfloat16"), row("free", 3),
        row("twice", 1.9, limit=1.8, at_least=True),
    )  # fmt: skip
    text = tables(tmp_path, record("stages", section("S", *rows)))["timings-stages"]
    assert "| fast | 0.4 (0.2 to 0.5) | 0.45, with bfloat16 units |" in text
    assert "| free | 3 (1.5 to 3.75) | – |" in text
    assert "| twice | 1.9 (0.95 to 2.38) | at least 1.8 |" in text


def sizes(processor: dict[str, Any] = NARROW, slope: float = 2.0) -> dict[str, Any]:
    """A search whose time grows as nᵇ, at three sizes, and a peer at the first alone."""
    made = []
    for points in (4096, 16384, 65536):
        about = {"points": points, "threads": 1 + (points > 20000), "memory_mb": points / 100}
        ratio = 0.5 * (points / 4096) ** (slope - 2)
        rows = [row("shapelib search, k = 20", ratio, searched_again=3, **about)]
        if points == 4096:
            rows.append(row("scikit-dimension MADA", 15, points=points, threads=1, memory_mb=128))
        made.append(section(f"{points} points", *rows))
    made[-1]["note"] = "Left out: MADA."
    return record("sizes", *made, processor=processor)


def test_time_against_size_has_its_exponent_and_its_memory(tmp_path: Path):
    text = tables(tmp_path, sizes(slope=1.9))["timings-sizes"]
    narrow = "\N{NARROW NO-BREAK SPACE}"
    assert f"|  | n = 4{narrow}096 | n = 16{narrow}384 | n = 65{narrow}536 | exponent |" in text
    ours = next(line for line in text.splitlines() if line.startswith("| shapelib search"))
    assert ours.startswith("| shapelib search, k = 20 | 0.5 (0.25 to 0.625) | 0.435 (")
    assert ours.endswith("| 1.90 | 655 MB |")
    assert "| scikit-dimension MADA | 15 (7.5 to 18.8) | – | – | – | 128 MB |" in text
    assert "At 65536 points two threads. Left out: MADA." in text
    assert "searched again, over all sizes: 9." in text


def test_time_against_size_is_drawn_for_each_processor():
    rows = packages.grown({"a": sizes(slope=1.9), "b": sizes(PLAIN)})
    ours = rows[rows["package"] == "shapelib search, k = 20"]
    first = ours[ours["processor"] == "N9 EPYC (family 9), AVX-512 bf16"]
    np.testing.assert_allclose(first["value"], [0.5, 0.5 * 4**1.9, 0.5 * 16**1.9])
    np.testing.assert_allclose(first["exponent"], 1.9)
    panels = drawn.growth(rows).axes
    assert [axes.get_title() for axes in panels] == list(rows["processor"].unique())
    product, line = panels[0].lines[:2]
    np.testing.assert_allclose(product.get_ydata(), [1, 16, 256])
    np.testing.assert_allclose(line.get_ydata(), first["value"])
    said = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert "shapelib search, k = 20, exponent 1.90" in said
    assert "scikit-dimension MADA" in said, "one size has no exponent"


def test_packages_are_drawn_for_each_processor_by_itself():
    rows = packages.compared({"a": WITH_PEER, "b": OTHER})
    panels = drawn.speed(rows).axes
    said = {axes.get_title(loc="left"): [each.get_text() for each in axes.texts] for axes in panels}
    assert said == {
        "TwoNN · N9 EPYC (family 9), AVX-512 bf16": ["0.5", "1.9", "2.5"],
        "all of a layer · N9 EPYC (family 9), AVX-512 bf16": ["1.5"],
        "TwoNN · Intel Xeon, float32": ["1.3", "2.9"],
        "all of a layer · Intel Xeon, float32": ["3.5"],
    }


def test_answers_stand_beside_those_of_the_same_fit(tmp_path: Path):
    cloud = {"cloud": "as drawn", "distinct": 9, "shapelib": 5.236, "DADApy": None}
    rows = [{**cloud, "lowest": 90}, {**cloud, "lowest": 20, "LLM-Microscope": 5.01}]
    made = {"format": records.FORMAT, "benchmark": "values", "command": "python it.py",
            "dimension": 5, "points": 9, "features": 4, "clouds": rows,
            "versions": {"scikit-dimension": "1", "torch": "2"}}  # fmt: skip
    text = tables(tmp_path, made)["answers"]
    assert "| as drawn | 9 | 90 % | 5.24 | not measured | an error | has none |" in text
    assert "| as drawn | 9 | 20 % | 5.24 | not measured | an error | 5.01 |" in text
    assert (
        "9 Gaussian points of dimension 5 among 4 features, in 32 bits. scikit-dimension 1." in text
    )


@pytest.mark.parametrize(
    ("name", "path", "folder"),
    [
        ("AMD EPYC", "AVX-512 bf16", "amd-epyc-avx512-bf16"),
        ("AMD EPYC 7763 64-Core Processor", "float32", "amd-epyc-float32"),
        ("Intel(R) Xeon(R) Processor", "AMX", "intel-xeon-amx"),
        ("12th Gen Intel(R) Core(TM) i7-1260P", "float32", "intel-core-float32"),
        ("Apple M2", "float32", "apple-m2-float32"),
        ("aarch64", "float32", "aarch64-float32"),
        ("not recorded", "not recorded", "not-recorded"),
    ],
)
def test_a_processor_has_a_folder_by_maker_and_path(name: str, path: str, folder: str):
    assert records.place({"name": name, "path": path}) == folder


def test_generations_of_one_name_have_folders_and_names_of_their_own():
    rome = {"name": "AMD EPYC", "family": 23, "model": 49, "path": "float32"}
    milan = {**rome, "family": 25, "model": 1}
    assert records.place(rome) == "amd-epyc-23-49-float32"
    assert records.place(milan) == "amd-epyc-25-1-float32"
    assert records.shown(rome) != records.shown(milan) == "AMD EPYC (family 25, model 1), float32"
    assert records.place({**rome, "family": None, "model": None}) == "amd-epyc-float32"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, "a/estimators.json has the format None, not 'shapelib benchmark 1'"),
        ({"benchmark": "scale"}, "is of the benchmark 'scale'"),
        ({"command": ...}, "lacks command"),
        ({"processor": {"name": "N9 EPYC"}}, "lacks processor.path"),
        ({"processor": PLAIN}, "is of 'intel-xeon-float32': records are apart by processor"),
        ({"sections": [{"title": "x"}]}, "a section of a benchmark's record has"),
        ({"sections": [section("s", {**row("a", 1), "seconds": 3})]}, r"wrong is \['seconds'\]"),
        ({"sections": [section("s", {**row("a", 1), "least": 2})]}, "'s' has a row in no order"),
    ],
)
def test_a_record_of_another_format_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
):
    changed = {name: value for name, value in {**MEASURED, **change}.items() if value is not ...}
    folder = "a" if "format" in change else records.place(NARROW)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "estimators.json").write_text(json.dumps(changed))
    with pytest.raises(ShapelibError, match=message):
        records.of_processors(tmp_path, "estimators")


def test_a_record_of_a_processor_is_none_of_all(tmp_path: Path):
    (tmp_path / "estimators.json").write_text(json.dumps(MEASURED))
    with pytest.raises(ShapelibError, match="is of a processor, and not in its folder"):
        records.read(tmp_path / "estimators.json")
    assert records.read(tmp_path / "values.json") is None


def test_every_kept_record_is_of_the_format_and_in_its_place():
    files = sorted(RECORDS.rglob("*.json"))
    assert {each.name for each in files} >= {"estimators.json", "commands.json", "values.json"}
    for file in files:
        if file.parent == RECORDS:
            assert records.read(file) is not None
        else:
            assert file.parent.name in records.of_processors(RECORDS, file.stem)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(672.4632, "672"), (1301.8265, "1300"), (0.0045, "0.0045"), (1.0, "1"), (12.345, "12.3")],
)
def test_numbers_are_plain(number: float, shown: str):
    assert timings.plain(number) == shown


def test_no_recorded_table_shows_a_power_of_ten_or_hides_a_wide_range():
    found = timings.tables(RECORDS)
    for name, text in found.items():
        assert text, f"{name} was not recorded"
        assert "e+" not in text
        assert ("*Wide*: " in text) == ("(wide: " in text), name
    assert "(wide: 0.0257 to 0.204 in 4 turns)" in found["timings-layer"]


def test_the_figure_has_a_bar_for_each_package_and_starts_at_the_product():
    rows = packages.compared({"here": WITH_PEER})
    assert set(rows["processor"]) == {"N9 EPYC (family 9), AVX-512 bf16"}
    assert list(zip(rows["measure"], rows["package"], rows["value"], strict=True)) == [
        ("TwoNN", "shapelib", 0.5), ("TwoNN", "scikit-dimension", 1.9), ("TwoNN", "DADApy", 2.5),
        ("all of a layer", "shapelib", 1.5),
    ]  # fmt: skip
    figure = drawn.speed(rows)
    first, last = figure.axes
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    here = "N9 EPYC (family 9), AVX-512 bf16"
    assert titles == [f"TwoNN · {here}", f"all of a layer · {here}"]
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == ["shapelib", "scikit-dimension", "DADApy"]
    ends = [[bar.get_x(), bar.get_x() + bar.get_width()] for bar in first.patches]
    np.testing.assert_allclose(ends, [[1, 0.5], [1, 1.9], [1, 2.5]])
    assert first.get_ylim()[0] > first.get_ylim()[1], "the first package stands at the top"
    assert [text.get_text() for text in first.texts] == ["0.5", "1.9", "2.5"]
    whiskers = [line.get_xdata() for line in first.lines[1:]]
    assert [list(each) for each in whiskers] == [[0.25, 0.625], [0.95, 2.375], [1.25, 3.125]]
    assert first.get_xscale() == last.get_xscale() == "log"
    low, high = first.get_xlim()
    assert low < 0.25
    assert high > 3.125
    ticks = last.xaxis.get_major_formatter()
    assert [ticks(each, 0) for each in (0.01, 1, 1000)] == ["0.01", "1", "1000"]
    told = figures.data(figure)
    assert told is not None
    assert told.splitlines()[3] == "TwoNN,DADApy,2.5,1.25,3.125"
    colours = {bar.get_facecolor() for bar in first.patches}
    assert len(colours) == 3
    assert last.patches[0].get_facecolor() == first.patches[0].get_facecolor()


# The processor that the page's words in short are of.
TOLD = "amd-epyc-25-17-avx512-bf16"


@pytest.fixture
def recorded() -> pd.DataFrame:
    """The medians of a layer on one thread, a column a contestant, a row a number of features."""
    rows = records.rows(records.of_processors(RECORDS, "estimators"))
    here = rows[(rows["processor"] == TOLD) & (rows["section"] == packages.LAYER)]
    return here.pivot(index=["threads", "features"], columns="name", values="median").loc[[1]]


def test_what_the_page_on_speed_says_in_short_holds_of_the_record(recorded: pd.DataFrame):
    assert recorded["shapelib all of a layer"].between(0.6, 1.6).all()
    assert recorded["scikit-dimension TwoNN"].between(1, 4).all()
    assert recorded["scikit-dimension MoM"].between(1.5, 3).all()
    assert (recorded["scikit-dimension MADA"] > 10).all()
    svd = recorded[["NumPy SVD, singular values", "torch SVD with vectors"]]
    at = svd.index.get_level_values("features")
    assert (svd[at == 384] < 1).all(axis=None)
    assert svd[at == 2560].round().isin(range(6, 11)).all(axis=None)
    assert svd.rdiv(recorded["shapelib anisotropy, ordinary"], axis=0).max(axis=None) < 1 / 6
    ordinary = recorded["shapelib anisotropy, ordinary"]
    assert (recorded["shapelib anisotropy, isotropic"] > ordinary).all()
    apart = records.section(records.of_processors(RECORDS, "estimators")[TOLD], packages.APART)
    assert apart is not None
    dadapy = [row for row in apart["ratios"] if row["name"].startswith("DADApy")]
    assert dadapy
    assert all(2 <= row["median"] <= 3 for row in dadapy)


def test_what_the_figure_s_text_says_holds_of_the_record():
    every = records.of_processors(RECORDS, "estimators")
    rows = packages.compared(every)
    several = rows[rows["measure"] != "all of a layer"]
    least = several.loc[several.groupby(["processor", "measure"])["value"].idxmin()]
    assert set(least["package"]) == {"shapelib"}
    rows = packages.compared({TOLD: every[TOLD]})
    slowest = rows.loc[rows["value"].idxmax()]
    assert (slowest["measure"], slowest["package"]) == ("TwoNN", "LLM-Microscope")
    assert slowest["greatest"] > 2.5 * slowest["least"]
    one = rows[rows["measure"].isin(["TwoNN", "MADA"]) & (rows["package"] == "shapelib")]
    assert one["value"].nunique() == 1


def test_what_the_page_on_peers_says_of_the_answers_holds_of_the_record():
    found = records.read(RECORDS / "values.json")
    assert found is not None
    for row in found["clouds"]:
        answers = [row[package] for package in packages.PACKAGES if package in row]
        if row["distinct"] == found["points"]:
            assert set(answers) == {answers[0]}, "without copies all agree"
        else:
            ours, *others = answers
            assert row["distinct"] == 0.8 * found["points"]
            assert all(each is None or abs(each / ours - 1) > 0.5 for each in others)
            assert row["DADApy, told to remove copies"] == ours
            assert (row["DADApy"] is None) == (row["lowest"] == 90)


COMMANDS = {
    "format": records.FORMAT, "benchmark": "commands", "command": "python it.py",
    "runs": [{"command": "make book", "seconds": 612.0, "pages": {"one": 60.0}},
             {"command": "make book, again", "seconds": 17.4, "pages": {}}],
    "processor": {"name": "a CPU", "path": "AMX", "cores": 2, "memory_gib": 24},
    "commit": "abc", "versions": {"python": "3.11.7"}, "measured": "2026-11-28",
}  # fmt: skip


def test_the_two_commands_are_told_in_minutes_of_a_machine(tmp_path: Path):
    text = tables(tmp_path, COMMANDS)["commands"]
    assert "| `make book` | 10.2 min |" in text
    assert "| `make book`, again | 17 s |" in text
    assert "a, AMX; 2 cores, 24 GiB of memory, Python 3.11.7. Measured on 2026-11-28" in text
