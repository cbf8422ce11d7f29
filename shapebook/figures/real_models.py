"""What claims' rules say of real models at every window: figures and sentences, each a function of
a kept table (`shapebook.experiments.real_models.kept`) and of nothing else. Numbers, and no word: a
rule is fixed at one window."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.claims import judge
from shapebook.claims.layers import Means, thirds
from shapebook.claims.statistic import group_values, two_decimals
from shapebook.figures.own_words import Sentences
from shapelib.errors import ShapelibError
from shapelib.figures import dress, keep, legend, model_colours
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ["model", "role", "characters", "native", "tokens", "value", "low", "high", "groups"]
_BEGUN = {True: "its own beginning", False: "the other beginning"}


def statistics_by_window(table: pd.DataFrame) -> "Figure":
    """Claims 1 and 2 at every window: decoders' middle minus outer layers, encoders' spread.

    Bars are intervals of 95 %; the shaded side is where the claim wants the number.

    :param table: a kept table of real models (`shapebook.experiments.real_models.kept`).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.9), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, width_ratios=(3, 2)))
    found = {each: by_window(each, table) for each in ("decoder-bell", "encoder-uniform")}
    for axes, (claim, rows) in zip(panels, found.items(), strict=True):
        fixed = judge.claims()[claim]
        dress(axes, f"{fixed.role}s", "characters in a window", None)
        axes.set_ylabel(fixed.effect)
        _lines(axes, rows, _colours(table))
        low, high = axes.get_ylim()
        low, high = min(low, -0.02), max(high, 1.3 * fixed.margin)
        wanted = (fixed.margin, high) if fixed.direction == "above" else (low, fixed.margin)
        axes.axhspan(*wanted, color="#000000", alpha=0.06, linewidth=0)
        axes.axhline(0, color="#767676", linewidth=0.7)
        axes.set_ylim(low, high)
    legend(figure, panels)
    rows = pd.concat([rows.assign(claim=claim) for claim, rows in found.items()])
    return keep(figure, rows)


def massive_by_window(table: pd.DataFrame) -> "Figure":
    """Decoders' massive vectors at every window: their share in the middle third of the layers,
    and claim 1's statistic of what is left without them.

    :param table: a kept table of real models (`shapebook.experiments.real_models.kept`).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.9), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2))
    left = by_window("decoder-bell", table, "rest")
    shares = massive_shares(table)
    drawn = (
        ("massive vectors", "share in the middle third (%)",
         shares.assign(value=100 * shares["value"])),
        ("without them", judge.claims()["decoder-bell"].effect, left),
    )  # fmt: skip
    for axes, (title, label, rows) in zip(panels, drawn, strict=True):
        dress(axes, title, "characters in a window", None)
        axes.set_ylabel(label)
        _lines(axes, rows, _colours(table))
    panels[0].set_ylim(bottom=0)
    margin = judge.claims()["decoder-bell"].margin
    low, high = panels[1].get_ylim()
    high = max(high, 1.3 * margin)
    panels[1].axhspan(margin, high, color="#000000", alpha=0.06, linewidth=0)
    panels[1].axhline(0, color="#767676", linewidth=0.7)
    panels[1].set_ylim(low, high)
    legend(figure, panels)
    both = [shares.assign(shown="massive share"), left.assign(shown="without massive vectors")]
    return keep(figure, pd.concat(both))


def reweighted_profiles(table: pd.DataFrame, reweighted: pd.DataFrame) -> "Figure":
    """Decoders' anisotropy over relative depth at every window: as measured (solid), and as the
    vectors of one window would have it, were their first positions as rare as there (dashed).

    :param table: a kept table of real models (`shapebook.experiments.real_models.kept`).
    :param reweighted: of `shapebook.experiments.first_positions.as_in_windows`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    measured = _measured(table, reweighted)
    models = list(dict.fromkeys(reweighted["model"]))
    lengths = sorted(set(reweighted["characters"]))
    shades = matplotlib.colormaps["viridis"]
    colours = {
        length: shades(0.9 * at / max(len(lengths) - 1, 1)) for at, length in enumerate(lengths)
    }
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(models), sharey=True, squeeze=False).flat)
    drawn = ((measured, "-", "measured"), (reweighted, "--", "reweighted"))
    for axes, model in zip(panels, models, strict=True):
        dress(axes, model, "relative depth")
        for rows, style, how in drawn:
            for length, own in rows[rows["model"] == model].groupby("characters"):
                line = own.sort_values("layer")
                axes.plot(
                    line["depth"], line["value"], style, color=colours[length], linewidth=1.3,
                    label=f"{length} characters, {how}",
                )  # fmt: skip
    panels[0].set_ylabel("anisotropy (centered)")
    panels[0].set_ylim(0, 1.02)
    legend(figure, panels, ncols=2)
    columns = ["model", "role", "characters", "layer", "depth", "after_norm", "value"]
    both = [rows[columns].assign(how=how) for rows, _, how in drawn]
    return keep(figure, pd.concat(both, ignore_index=True))


def tabulate_reweighted(table: pd.DataFrame, reweighted: pd.DataFrame) -> pd.DataFrame:
    """Claim 1's statistic at every window, as measured and as reweighted: a row a model.

    :returns: for each length two columns; a dash where a model was not measured at that length.
    """
    rows: dict[str, dict[tuple[str, str], str]] = {}
    found = (("measured", _measured(table, reweighted)), ("reweighted", reweighted))
    models, lengths = (dict.fromkeys(reweighted[name]) for name in ("model", "characters"))
    for model in models:
        told = {}
        for length in lengths:
            for how, of in found:
                own = of[(of["model"] == model) & (of["characters"] == length)]
                inner = own[(own["layer"] > 0) & ~own["after_norm"]]
                value = two_decimals(Means.of(inner).bell) if len(inner) else "–"
                told[f"{length} characters", how] = value
        rows[str(model)] = told
    return pd.DataFrame.from_dict(rows, orient="index")


def _measured(table: pd.DataFrame, reweighted: pd.DataFrame) -> pd.DataFrame:
    """The measured profiles that reweighted ones stand beside: of their models and lengths, with
    each model's own beginning."""
    rows = chosen(table, {"metric": "anisotropy", "centered": True, "tokens": "all"})
    rows = rows[rows["native"] & rows["model"].isin(set(reweighted["model"]))]
    lengths = rows["window"].astype(str).str.split().str[0].astype(int)
    return rows.assign(characters=lengths)[lengths.isin(set(reweighted["characters"]))]


def massive_shares(table: pd.DataFrame) -> pd.DataFrame:
    """The share of decoders' vectors that are massive, mean over the middle third of the layers.

    :returns: a row for each model, window and beginning, in the form of `by_window`.
    """
    rows = chosen(
        table, {"role": "decoder", "metric": "anisotropy", "centered": True, "tokens": "rest"}
    )
    rows = rows[(rows["layer"] > 0) & ~rows["after_norm"]]
    found = [
        (model, "decoder", int(str(window).split()[0]), bool(native), "rest",
         float(thirds(own)[1]["removed"].mean()))
        for (model, window, native), own in rows.groupby(["model", "window", "native"], sort=False)
    ]  # fmt: skip
    names = ["model", "role", "characters", "native", "tokens", "value"]
    wide = pd.DataFrame(found, columns=names)
    return _in_order(wide)


def by_window(claim: str, table: pd.DataFrame, tokens: str = "all") -> pd.DataFrame:
    """The statistic of a claim about layers, for each model, window and way to begin one.

    :param claim: an id of ``claims.yml``, of a rule about the layers of a shape table.
    :param table: a shape table of windows counted in characters, with a column ``native``: whether
        they begin as the model's tokenizer has it.
    A value is a mean over batches of vectors drawn from all windows. Where windows are long, a
    batch holds few first positions, or none, and what hangs on these is then a matter of the draw,
    which groups of whole windows do not see. So the interval reaches at least to the statistic of
    such groups.

    :param tokens: the token set, in place of the claim's.
    :returns: a row for each, `value` with its interval of 95 % over groups of text, `low` to
        `high`, which are missing where there is none; and `groups`, the same statistic of the means
        over groups of whole windows, missing where the table has none.
    :raises ShapelibError: for windows that are not counted in characters.
    """
    fixed = judge.claims()[claim]
    asked = replace(fixed, select={**fixed.select, "tokens": tokens})
    rows = []
    for (window, native), own in table.groupby(["window", "native"], sort=False):
        length, _, unit = str(window).partition(" ")
        if unit != "characters":
            raise ShapelibError(f"a window is {window!r}; windows of characters are compared")
        for name, layers in asked.groups(own):
            found = judge.statistic(asked, layers)
            grouped = _by_groups(layers)
            of_groups = math.nan if grouped is None else judge.statistic(asked, grouped).value
            rows.append(
                (name, layers["role"].iloc[0], int(length), bool(native), tokens, found.value,
                 np.fmin(found.low, of_groups), np.fmax(found.high, of_groups), of_groups)
            )  # fmt: skip
    found = pd.DataFrame(rows, columns=_COLUMNS)
    return _in_order(found)


def _by_groups(layers: pd.DataFrame) -> pd.DataFrame | None:
    """Rows whose values are the means over groups of whole windows; None where a layer has none."""
    found = group_values(layers) if "by_group" in layers else np.empty((0, 0))
    return layers.assign(value=found.mean(axis=1)) if found.shape[1] else None


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Models as they came, their own beginning first, windows by length."""
    return rows.sort_values(
        ["native", "characters"], ascending=[False, True], kind="stable", ignore_index=True
    )


def sentences(table: pd.DataFrame) -> Sentences:
    """For each decoder at which windows claim 1's number lies beyond the margin, and how it moves
    from the shortest to the longest."""
    margin = judge.claims()["decoder-bell"].margin
    said = []
    for (model, native), own in by_window("decoder-bell", table).groupby(
        ["model", "native"], sort=False
    ):
        line = own.sort_values("characters")
        above, below = line[line["low"] > margin], line[line["high"] < 0]
        first, last = line.iloc[0], line.iloc[-1]
        moves = f"is {two_decimals(first['value'])} at {first['characters']} characters"
        if len(line) > 1:
            moves += f" and {two_decimals(last['value'])} at {last['characters']}"
        torn = line[(line["groups"] == line["low"]) | (line["groups"] == line["high"])]
        said.append(
            f"{model}, with {_BEGUN[bool(native)]}: the middle third minus the higher outer third "
            f"{moves}; beyond the margin of {margin} at {_lengths(above)}, below zero at "
            f"{_lengths(below)}."
        )
        said += [
            f"{model}, with {_BEGUN[bool(row.native)]}, at {row.characters} characters: batches of "
            f"vectors say {two_decimals(row.value)} and groups of whole windows "
            f"{two_decimals(row.groups)}, further apart than groups lie from each other: how many "
            "first positions a batch holds decides."
            for row in torn.itertuples()
        ]
    return Sentences(said)


def _lengths(rows: pd.DataFrame) -> str:
    told = [str(each) for each in rows["characters"]]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told) or "none"


def _colours(table: pd.DataFrame) -> dict[str, str]:
    return model_colours(dict(zip(table["model"], table["role"], strict=True)))


def _lines(axes: "Axes", rows: pd.DataFrame, colours: dict[str, str]) -> None:
    for (model, native), own in rows.groupby(["model", "native"], sort=False):
        line = own.sort_values("characters")
        # The two ways to begin lie on each other where it makes no difference.
        x = line["characters"] * (1.0 if native else 1.06)
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.4}
        style |= {"color": colours[str(model)], "label": f"{model}, {_BEGUN[bool(native)]}"}
        style |= {} if native else {"markerfacecolor": "white", "linestyle": "--"}
        if "low" in line:
            errors = [line["value"] - line["low"], line["high"] - line["value"]]
            axes.errorbar(x, line["value"], errors, capsize=2, **style)
        else:
            axes.plot(x, line["value"], **style)
    lengths = sorted(rows["characters"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [f"{each}" for each in lengths])
    axes.minorticks_off()
