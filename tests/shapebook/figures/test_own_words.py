"""Sentences computed from a table say what is in it, and change with it."""

import pandas as pd

from shapebook.figures import own_words


def shape(
    values: list[float], *, metric: str = "anisotropy", tokens: str = "all", removed: float = 0.0,
    stderr: float = 0.001,
) -> pd.DataFrame:  # fmt: skip
    """Layers 0 to n of a decoder; the embedding and the last, after a norm, do not count."""
    last = len(values) - 1
    layers = range(len(values))
    return pd.DataFrame(
        {
            "model": "mine", "role": "decoder", "layer": layers,
            "depth": [each / last for each in layers], "after_norm": [n == last for n in layers],
            "metric": metric, "centered": True, "tokens": tokens, "removed": removed,
            "value": values, "stderr": stderr, "groups": 8,
        }
    )  # fmt: skip


BELL = [0.99, 0.1, 0.3, 0.8, 0.3, 0.05, 0.99]


def said(*tables: pd.DataFrame) -> str:
    return "\n".join(own_words.anisotropy(pd.concat(tables, ignore_index=True)).sentences)


def test_where_the_top_lies_and_how_high_it_is():
    told = said(shape(BELL))
    assert "mine (decoder): of the 5 layers that count, layer 3 is the highest, with 0.80" in told
    assert "at 0.50 of the depth; layer 5 is the lowest, with 0.05." in told
    assert "may be the top" not in told
    moved = said(shape([0.99, 0.9, 0.3, 0.8, 0.3, 0.05, 0.99]))
    assert "layer 1 is the highest, with 0.90 at 0.17" in moved


def test_a_top_within_the_error_is_a_range():
    told = said(shape([0.9, 0.1, 0.78, 0.8, 0.79, 0.05, 0.9], stderr=0.01))
    assert "layers from 0.33 to 0.67 of the depth may be the top" in told


def test_what_is_left_without_massive_vectors_and_how_many_there_are():
    rest = shape([0.2, 0.1, 0.25, 0.12, 0.1, 0.05, 0.2], tokens="rest")
    rest["removed"] = [0, 0.001, 0.02, 0.01, 0, 0, 0]
    told = said(shape(BELL), rest)
    assert "up to 2.0% of a layer's vectors are massive (layer 2)" in told
    assert "layer 3, the highest, falls from 0.80 to 0.12, and layer 2 is the highest of" in told
    assert "no vector is massive in these layers" in said(shape(BELL), shape(BELL, tokens="rest"))
    assert "massive" not in said(shape(BELL))
    gone = shape([float("nan")] * 7, tokens="rest", removed=0.9)
    assert "too few vectors are left" in said(shape(BELL), gone)


def test_whether_the_two_fits_part():
    def told(narrow: list[float]) -> str:
        wide = shape([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0], metric="two_nn")
        other = shape(narrow, metric="two_nn_lowest20")
        return "\n".join(own_words.dimension(pd.concat([wide, other])).sentences)

    alike = told([9.0, 2.0, 4.0, 6.0, 8.0, 10.0, 9.0])
    assert "TwoNN lies between 1.0 and 5.0 by the fit to the lowest 90 %" in alike
    assert "and between 2.0 and 10.0 by that to the lowest 20 %." in alike
    assert "the two fits order the layers alike (rank correlation 1.00 over 5 layers)" in alike
    apart = told([9.0, 5.0, 4.0, 3.0, 2.0, 1.0, 9.0])
    assert "the two fits part: they do not order the layers alike (rank correlation −1.00" in apart
    assert "only roughly alike" in told([9.0, 2.0, 1.0, 4.0, 3.0, 2.5, 9.0])


def beside(**measures: list[float]) -> pd.DataFrame:
    return pd.concat([shape(values, metric=name) for name, values in measures.items()])


def test_how_alike_measures_order_the_layers():
    table = beside(a=[9, 1, 2, 3, 4, 5, 9], b=[9, 10, 20, 30, 40, 50, 9], c=[9, 5, 4, 3, 2, 1, 9])
    measures = {f"measure {each}": {"metric": each} for each in "abc"}
    told = own_words.agreement(table, measures).sentences
    assert told[0] == (
        "mine (decoder): measure a is highest in layer 5, with 5, and lowest in layer 1, with 1."
    )
    assert told[3] == (
        "mine (decoder): measure a and measure b order the layers alike (rank correlation 1.00 "
        "over 5 layers)."
    )
    assert "measure b and measure c part: they do not order the layers alike" in told[5]
    assert "(rank correlation \N{MINUS SIGN}1.00 over 5 layers)" in told[5]
    # A measure that the table lacks is not told of.
    lacking = own_words.agreement(table, {**measures, "measure d": {"metric": "d"}}).sentences
    assert lacking == told


def test_what_centering_does_to_a_measure():
    plain = shape([0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9])
    centered = shape([0.9, 0.4, 0.6, 0.1, 0.6, 0.5, 0.9])
    table = pd.concat([plain.assign(centered=False), centered], ignore_index=True)
    assert own_words.centering(table, "anisotropy", "the share").sentences == [
        "mine (decoder): centering raises the share in 2 of 5 layers, and changes it most in layer "
        "3, from 0.50 to 0.10."
    ]


def test_what_each_factor_leaves():
    rows = [
        shape(values).assign(factor=factor, massive=share).rename(columns={"value": "anisotropy"})
        for factor, values, share in (
            (5.0, [0, 0.1, 0.1, 0.1, 0.1, 0.1, 0], 0.03),
            (10.0, [0, 0.6, 0.6, 0.8, 0.1, 0.1, 0], 0.01),
        )
    ]  # fmt: skip
    low, high = own_words.factors(pd.concat(rows)).sentences
    assert "longer than 5 times the median, up to 3.0% of a layer's" in low
    assert "the middle minus the higher outer third is 0.00." in low
    assert "anisotropy is 0.45 in the middle third, 0.60 in the first and 0.10 in the last" in high
    assert "is \N{MINUS SIGN}0.15." in high


def test_which_change_moves_the_middle_most():
    rows = [
        shape(values).assign(intervention=change)
        for change, values in (
            ("as it is", [0, 0.5, 0.9, 0.9, 0.9, 0.5, 0]),
            ("longer windows", [0, 0.5, 0.8, 0.8, 0.8, 0.5, 0]),
            ("shortened", [0, 0.5, 0.1, 0.1, 0.1, 0.5, 0]),
        )
    ]
    assert own_words.interventions(pd.concat(rows)).sentences == [
        "mine: as it is, the middle third's anisotropy is 0.90.",
        "mine: changed, from what moves it most to what moves it least: shortened: 0.10, longer "
        "windows: 0.80.",
    ]


def test_too_few_layers_are_said():
    few = shape([0.1, 0.2, 0.3])
    lines = [
        own_words.agreement(few, {"a": {"metric": "anisotropy"}}),
        own_words.centering(few, "anisotropy", "it"),
        own_words.factors(
            few.assign(factor=5.0, massive=0).rename(columns={"value": "anisotropy"})
        ),
    ]
    for each in lines:
        assert each.sentences == ["mine (decoder): fewer than 3 layers count."]
    short = own_words.interventions(few.assign(intervention="as it is")).sentences
    assert short == ["mine: fewer than 3 layers count."]
    assert said(shape([0.1, 0.2, 0.3])) == "mine (decoder): fewer than 3 layers count."


def test_sentences_are_shown_as_a_list_and_escaped():
    shown = own_words.Sentences(["a < b"])._repr_mimebundle_()
    assert shown["text/html"] == "<ul class='computed'><li>a &lt; b</li></ul>"
    assert shown["text/plain"] == "a < b"


def test_a_long_list_is_folded():
    few, many = (own_words.Sentences(["one"] * n)._repr_mimebundle_() for n in (12, 13))
    assert "<details>" not in few["text/html"]
    assert "<summary>13 sentences computed from these numbers</summary>" in many["text/html"]
    assert many["text/plain"].count("one") == 13
