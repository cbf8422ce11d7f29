"""Tables of fine-tuning, from made-up runs whose d90 is known."""

import math

import numpy as np
import pandas as pd
import pytest
from tuned import tuning

from shapebook.experiments.published import published_adapters, published_d90
from shapebook.figures import tuning_tables
from shapelib.errors import ShapelibError
from shapelib.finetuning.best_rate import halves
from shapelib.finetuning.d90 import by_seed, d90

THIN = "\N{NARROW NO-BREAK SPACE}"
PAIR = "encoder-{}-warmup50-seed0"


def test_models_of_the_pair_have_short_names():
    live = PAIR.format(96) + "-87c2b1229b48bfd9"
    shown = tuning_tables.named([live, PAIR.format(192), "minilm-l6", PAIR.format(96) + "-mine"])
    assert list(shown.values()) == [
        "encoder, width 96", "encoder, width 192", "minilm-l6", "encoder-96-warmup50-seed0-mine",
    ]  # fmt: skip
    alike = ["decoder-96-warmup10-seed0", "decoder-96-warmup50-seed0"]
    assert tuning_tables.named(alike) == dict(zip(alike, alike, strict=True))


def test_rows_are_told_apart_by_what_differs():
    table = tuning((0, 80)).query("method == 'DID' and d == 30 and seed == 0")
    trained = table[table["init"] == "pre-trained"]
    both = pd.concat([trained, table[(table["init"] == "random") & (table["step"] == 80)]])
    assert tuning_tables.labels(both) == (["step 0", "step 80", "random"], "weights")
    last = table[table["step"] == 80]
    assert tuning_tables.labels(last) == (["pre-trained", "random"], "weights")
    assert tuning_tables.labels(trained[:1]) == (["m"], "model")
    two = pd.concat([trained[:1], trained[:1].assign(model=PAIR.format(96), method="SAID")])
    assert tuning_tables.labels(two) == (["m, DID", "encoder, width 96, SAID"], "model, method")


def test_a_point_is_the_best_rate_of_each_seed():
    low = tuning().query("init == 'pre-trained'")
    high = low.assign(rate=0.02, score=low["score"] - 0.05)
    high.loc[(high["d"] == 300) & (high["seed"] == 1), "score"] = 0.56
    high.loc[(high["d"] == 300) & (high["seed"] == 1), "stopped"] = 75
    # A stopped run at a rate that is not its seed's best does not count.
    high.loc[(high["d"] == 30) & (high["seed"] == 0), "stopped"] = 75
    points = tuning_tables.curves(pd.concat([low, high])).set_index("d")
    assert points.loc[300, "accuracy"] == pytest.approx((0.5 + 0.56 + 0.5) / 3)
    assert points.loc[300, "two_errors"] == pytest.approx(2 * 0.06 / 3)
    assert points.loc[300, "rates"] == "0.01 0.02 0.01"
    assert list(points.loc[[30, 300, 3000], "stopped"]) == [0, 1, 0]
    assert list(points["seeds"]) == [3] * 4


def test_what_was_not_reached_is_said():
    idle = tuning_tables.estimates_table(d90(tuning().assign(majority=0.85)))
    for definition, name in (("papers", "d90"), ("chance-corrected", "dimension")):
        assert set(idle[definition, name]) == {"nothing learned"}
        assert set(idle[definition, "bar"]) == {"–"}
        assert set(idle[definition, "95 % interval"]) == {"–"}
    shown = tuning_tables.estimates_table(d90(tuning()))["papers"]
    assert shown.loc["random", "d90"] == f"not reached at 3{THIN}000"
    assert shown.loc["random", "95 % interval"] == "not reached"
    expected = 300 * 10 ** (0.22 / 0.3)
    assert shown.loc["pre-trained", "d90"] == f"{round(expected, -1):,.0f}".replace(",", THIN)


def test_an_interval_may_have_no_upper_end():
    rows = d90(tuning()).query("init == 'pre-trained' and definition == 'papers'")
    shown = tuning_tables.estimates_table(rows.assign(low=1234.0, high=math.inf))
    assert list(shown["95 % interval"]) == [f"1{THIN}230 or more"]
    shown = tuning_tables.estimates_table(rows.assign(low=123.4, high=98765.0))
    assert list(shown["95 % interval"]) == [f"123 to 98{THIN}800"]


def test_the_d90_comes_first_and_constants_are_left_out():
    estimates = d90(tuning())
    both = tuning_tables.estimates_table(estimates)
    assert list(both.columns[:3]) == [("papers", n) for n in ("d90", "95 % interval", "bar")]
    assert [which for which, name in both if name == "d90"] == ["papers"]
    assert "accuracy" not in both.columns.get_level_values(0)
    papers = estimates[estimates["definition"] == "papers"]
    other = papers.assign(model="other", full=0.9)
    shown = tuning_tables.estimates_table(pd.concat([papers, other]))
    assert list(shown.columns) == ["d90", "95 % interval", "bar", "full"]
    assert list(shown["full"]) == ["0.800", "0.800", "0.900", "0.900"]


def test_each_seed_stands_beside_their_mean():
    table = tuning()
    table.loc[(table["seed"] == 2) & (table["method"] == "DID"), "score"] -= 0.1
    estimates = d90(table).query("definition == 'papers'")
    shown = tuning_tables.estimates_table(estimates, by_seed(table))
    expected = f"{round(300 * 10 ** (0.22 / 0.3), -1):,.0f}".replace(",", THIN)
    seeds = [f"crossing, seed {seed}" for seed in (0, 1, 2)]
    assert list(shown.loc["pre-trained", seeds]) == [
        expected, expected, "not reached",
    ]  # fmt: skip
    assert set(shown.loc["random", seeds]) == {"not reached"}
    fewer = table[(table["init"] == "pre-trained") | (table["seed"] < 2)]
    estimates = d90(fewer).query("definition == 'papers'")
    of_fewer = tuning_tables.estimates_table(estimates, by_seed(fewer))
    assert list(of_fewer.loc["random", seeds]) == ["not reached", "not reached", "–"]
    # A released model is of no step.
    real = table.assign(step=pd.array([pd.NA] * len(table), dtype="Int64"), checkpoint="final")
    again = tuning_tables.estimates_table(d90(real).query("definition == 'papers'"), by_seed(real))
    pd.testing.assert_frame_equal(again, shown)


def test_a_share_of_all_parameters_stands_beside():
    table = tuning()
    shown = tuning_tables.estimates_table(
        d90(table).query("definition == 'papers'"), by_seed(table)
    )
    share = 300 * 10 ** (0.22 / 0.3) / 10**6
    assert shown.loc["pre-trained", "d90 ÷ D"] == f"{100 * share:.2g} %" == "0.16 %"
    assert shown.loc["random", "d90 ÷ D"] == "–"
    assert set(shown["D"]) == {f"1{THIN}000{THIN}000"}


def two_rates() -> pd.DataFrame:
    """One seed, of eight texts: at d = 300 the halves of the texts ask for different rates."""
    low = tuning().query("init == 'pre-trained' and seed == 0").assign(test=8)
    high = low.assign(rate=0.02)
    # Bits of texts that were got right, the first text's first: a half by one, the rest by another.
    first, second = (np.packbits(half).tobytes().hex() for half in (halves(8), ~halves(8)))
    return pd.concat([low.assign(right=first, score=0.5), high.assign(right=second, score=0.5)])


def test_a_rate_is_chosen_on_other_texts_where_that_is_asked():
    """Each half of the texts is scored by the rate that is the best on the other half."""
    scored = tuning_tables.curves(two_rates())
    other = tuning_tables.curves(two_rates(), "other texts")
    assert set(scored["accuracy"]) == {0.5}
    assert set(other["accuracy"]) == {0.0}
    assert set(other["rates"]) == {"0.01/0.02"}


def test_a_search_is_its_full_fine_tuning_and_what_is_held_against_it():
    table = tuning().query("init == 'pre-trained'")
    full = table["method"] == "full"
    parts = ["one-full", "one-DID", "one-budgets", "two-full", "three-DID"]
    kept = pd.concat([
        table[full if part.endswith("-full") else ~full].assign(part=part) for part in parts
    ])  # fmt: skip
    found = tuning_tables.searched(kept, ["one"])
    assert set(found["part"]) == {"one-full", "one-DID"}
    assert len(d90(found)) == 2
    for stem in ("two", "three", "four"):
        with pytest.raises(ShapelibError, match=f"no search '{stem}' is kept.*one"):
            tuning_tables.searched(kept, [stem])


def test_adapters_stand_by_how_many_numbers_they_train():
    shown = tuning_tables.adapters_table(published_adapters())
    assert list(shown.index[[0, -1]]) == ["Uni-LoRA", "full fine-tuning"]
    assert shown.loc["RandLoRA", "of full fine-tuning"] == "101 %"
    assert list(shown.loc["Uni-LoRA", "of full fine-tuning"]) == ["0 %", "86 %"]


def test_maps_stand_by_method_and_trained_numbers():
    table = tuning().query("init == 'pre-trained'")
    one = table[(table["method"] == "DID") & (table["d"] == 300)].assign(method="Another", d=2310)
    one.loc[one["seed"] == 1, ["score", "rate"]] = [0.56, 0.02]
    shown = tuning_tables.maps_table(pd.concat([table, one]))
    assert list(shown.index) == ["Another", "DID", "DID", "DID", "full"]
    assert shown.iloc[0].to_dict() == {
        "trained numbers": f"2{THIN}310", "accuracy": "0.520", "two standard errors": "0.040",
        "of full fine-tuning": "65 %", "rates": "0.01, 0.02",
    }  # fmt: skip
    assert list(shown.loc["DID", "of full fine-tuning"]) == ["37 %", "62 %", "100 %"]


def test_accuracies_stand_across_d_with_full_fine_tuning_last():
    table = tuning((0, 80)).query("init == 'pre-trained'")
    table.loc[(table["step"] == 80) & (table["method"] == "full"), "score"] = 0.9
    shown = tuning_tables.accuracies_table(table)
    assert list(shown.columns) == ["30", "300", f"3{THIN}000", "full"]
    assert list(shown.index) == ["step 0", "step 80"]
    assert list(shown.loc["step 80"]) == ["0.300", "0.500", "0.800", "0.900"]
    assert shown.loc["step 0", "full"] == "0.800"


def test_stopped_runs_have_a_star():
    table = tuning((0, 80)).query("init == 'pre-trained'")
    table.loc[(table["step"] == 80) & (table["d"] == 300) & (table["seed"] == 1), "stopped"] = 75
    assert list(tuning_tables.accuracies_table(table)["300"]) == ["0.500", "0.500*"]
    assert list(tuning_tables.rates_table(table)["300"]) == ["0.500", "0.500*"]
    table.loc[(table["step"] == 0) & (table["method"] == "full"), "stopped"] = 75
    assert list(tuning_tables.accuracies_table(table)["full"]) == ["0.800*", "0.800"]


def test_rates_have_rows_of_their_own():
    table = tuning()
    low = table[table["d"] == 3000].assign(rate=0.001, score=0.75)
    shown = tuning_tables.rates_table(pd.concat([table, low]))
    assert list(shown.index) == ["pre-trained", "pre-trained", "random", "random"]
    assert list(shown["rate"]) == ["0.001", "0.01"] * 2
    assert list(shown.iloc[0, 1:]) == ["–", "–", "0.750"]
    assert list(shown.iloc[3, 1:]) == ["0.200", "0.400", "0.700"]


def test_bounds_hold_both_forms():
    shown = tuning_tables.bounds_table(by_seed(tuning()))
    expected = 0.1 + math.sqrt(300 * 10 ** (0.22 / 0.3) / 4000)
    assert list(shown["error bound"]) == [f"{expected:.2f}"]
    assert not any("d90" in name for name in shown)
    assert float(shown["with its constant"].iloc[0]) > expected


def test_a_bound_is_the_mean_of_the_bounds_of_seeds():
    """As its claim is judged; the bound at the mean crossing would be another number."""
    runs = by_seed(tuning()).query("init == 'pre-trained' and definition == 'papers'")
    runs = runs.assign(crossing=[100.0, 400.0, 6400.0])
    expected = 0.1 + (10 + 20 + 80) / 3 / math.sqrt(4000)
    assert list(tuning_tables.bounds_table(runs)["error bound"]) == [f"{expected:.2f}"]
    assert tuning_tables.bounds_table(runs.assign(crossing=math.nan)).empty


def test_published_numbers_stand_as_cited():
    shown = tuning_tables.published_table(published_d90())
    assert shown.loc["RoBERTa-Large", ("MRPC", "SAID")] == 207
    assert shown.loc["BERT-Base", ("QQP", "DID")] == 9295
    assert list(shown.index) == ["BERT-Base", "BERT-Large", "RoBERTa-Base", "RoBERTa-Large"]
    assert shown.index.name is None
