"""A profile of one's own as one page: its numbers, the book's beside, and what is refused."""

import base64
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import Reader, serve

from shapebook.claims.records import sentence
from shapebook.experiments import real_models
from shapebook.pages.own import page as own_page
from shapebook.pages.own import table as own_table
from shapelib import read_table, write_table
from shapelib.errors import ShapelibError

ROOT = Path(__file__).parents[4]
RECORDS = json.loads((ROOT / "book" / "executed" / "claims.json").read_text())
METRICS = ("anisotropy", "average_cosine", "two_nn", "two_nn_lowest20")
SUFFIXES = pytest.mark.parametrize("suffix", [".parquet", ".csv"])


def kept(*models: str) -> pd.DataFrame:
    """Kept models at the primary setting, as `shapelib profile` gives a table of them."""
    table = real_models.primary(real_models.kept())
    runs = [each for each in table.attrs["provenance"] if each["model"] in models]
    table.attrs = {}
    # Claims about scale are judged for seconds.
    table = table[table["model"].isin(models) & table["metric"].isin(METRICS)].reset_index(
        drop=True
    )
    table.attrs["provenance"] = runs
    return table


def renamed(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    made = table.assign(model=table["model"].replace(old, new))
    made.attrs["provenance"] = [
        {**each, "model": new if each["model"] == old else each["model"]}
        for each in table.attrs["provenance"]
    ]
    return made


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """The kept table takes seconds to read and to check."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_models, "kept", functools.cache(real_models.kept))
        yield


def page_of(path: Path) -> str:
    own = own_table.read(path)
    return own_page.page(own, own_page.judged(own))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two models: Gemma as ``mine``, and MPNet by its name."""
    table = renamed(kept("gemma-3-270m", "mpnet-base"), "gemma-3-270m", "mine")
    return write_table(table, tmp_path_factory.mktemp("own") / "two.parquet")


def test_the_words_are_those_of_the_rules_and_the_numbers_those_of_the_table(mine: Path):
    own = own_table.read(mine)
    records = own_page.judged(own)
    said = "\n".join(own_page.lines(own, records))
    (bell,) = [each for each in RECORDS if each["id"] == "decoder-bell"]
    (gemma,) = [each for each in bell["models"] if each["model"] == "gemma-3-270m"]
    assert f"1. {bell['title']}: mine: {sentence(gemma)}, {gemma['word']}" in said
    assert "mpnet-base" in said
    assert "its training is contrastive" in said
    page = own_page.page(own, records)
    text = re.sub(r"<[^>]+>", "", page)
    assert f"mine: {bell['effect']} {sentence(gemma)}" in text
    assert re.search(
        r"mine \(decoder\): of the \d+ layers that count, layer 9 is the highest", text
    )
    (csv,) = re.findall(r'href="data:text/csv;base64,([^"]+)" download="two.csv"', page)
    assert base64.b64decode(csv).decode() == own.table.to_csv(index=False)


def test_the_books_models_stand_beside_thin(mine: Path):
    own = own_table.read(mine)
    beside = set(own.book["model"])
    assert {"smollm2-135m", "minilm-l6", "mpnet-base (book)", "gemma-3-270m"} <= beside
    figure = own_page.emphasised(own_page.PARTS[0].draw(own.together("all")), own)
    widths = {
        str(line.get_label()): line.get_linewidth()
        for axes in figure.axes for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }  # fmt: skip
    assert set(widths) == {"mine", "mpnet-base", *beside}
    assert min(widths["mine"], widths["mpnet-base"]) > 2 * max(widths[each] for each in beside)
    # What one outlier of another kind of model would flatten has models of its own kind alone.
    encoder = own_table.read(write_table(kept("minilm-l6"), mine.with_name("encoder.parquet")))
    assert set(encoder.together("roles")["role"]) == {"encoder"}
    assert set(encoder.together("none")["model"]) == {"minilm-l6"}
    # Dimensions of other batches are not comparable, and are left out.
    smaller = own_table.read(
        write_table(read_table(mine).assign(batch_size=64), mine.with_name("small.parquet"))
    )
    assert set(smaller.book["metric"]) == {"anisotropy", "average_cosine"}


@SUFFIXES
def test_a_table_of_few_columns_is_shown_as_far_as_it_goes(tmp_path: Path, suffix: str):
    """Without provenance, one token set and one metric; two runs of one name."""
    table = kept("gemma-3-270m")
    table = table[(table["metric"] == "anisotropy") & (table["tokens"] == "all")]
    first = table[[*own_table.NEEDED, "window"]].assign(model="a <b>b</b>")
    both = pd.concat([first, first.assign(window="64 characters")], ignore_index=True)
    own = own_table.read(write_table(both, tmp_path / f"t{suffix}"))
    assert own.models == ["a <b>b</b>, 512 characters", "a <b>b</b>, 64 characters"]
    page = own_page.page(own, own_page.judged(own))
    assert page.count("its number of parameters is not recorded") >= 2
    assert "its window is 64 characters, and the rule is fixed at 512 characters" in page
    assert "<b>b</b>" not in page
    assert page.count("<figure") == 1


def test_checkpoints_have_their_own_names_and_provenance(tmp_path: Path):
    table = kept("gemma-3-270m")
    runs = table.attrs["provenance"]
    table.attrs = {}
    suite = pd.concat([table.assign(checkpoint="step1"), table.assign(checkpoint="step2")])
    suite.attrs["provenance"] = runs
    own = own_table.read(write_table(suite, tmp_path / "suite.parquet"))
    assert own.models == ["gemma-3-270m, checkpoint step1", "gemma-3-270m, checkpoint step2"]
    bell = own_page.judged(own)[0]
    assert {each["word"] for each in bell["models"]} == {"too small"}


WRONG: dict[str, Any] = {
    "no table of shapelib profile: it has no column 'model', 'role'": lambda t: t[["value"]],
    "has no rows": lambda t: t.iloc[:0],
    "a role is 'both'; accepted: encoder, decoder": lambda t: t.assign(role="both"),
    "value: could not convert": lambda t: t.assign(value="high"),
    "twice for anisotropy, all; one row each": lambda t: pd.concat([t, t]),
    "holds 9 models and runs, and a page shows 8 at most": lambda t: pd.concat(
        t.assign(seed=each) for each in range(9)
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence_", WRONG)
def test_a_wrong_table_is_refused_with_a_sentence(tmp_path: Path, sentence_: str):
    table = kept("gemma-3-270m")
    table = table[(table["metric"] == "anisotropy") & (table["tokens"] == "all")]
    table.attrs = {}
    path = write_table(WRONG[sentence_](table), tmp_path / "wrong.csv")
    with pytest.raises(ShapelibError, match=re.escape(sentence_)) as caught:
        own_table.read(path)
    assert "wrong.csv" in str(caught.value)


def test_the_page_is_one_file_that_asks_for_nothing(browser: Any, mine: Path, tmp_path: Path):
    (tmp_path / "page.html").write_text(page_of(mine))
    with serve(tmp_path) as address:
        for scheme in ("light", "dark"):
            reader = Reader(browser, address, scheme)
            reader.page.emulate_media(color_scheme=scheme)
            # The book's pages say what scheme they are in, this one follows the system's.
            reader.page.add_init_script(
                "document.addEventListener('DOMContentLoaded', () => { "
                f"document.documentElement.dataset.theme = '{scheme}' }})"
            )
            assert reader.look("page.html", axe=scheme == "light") == []
            assert reader.page.locator("figure img").count() == 4
            reader.close()
