"""The figures of what makes the bell, each a function of a table and of nothing else."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from shapebook.claims.layers import LEAST, Means, thirds
from shapebook.claims.statistic import two_decimals
from shapebook.experiments.dissect import FIRST
from shapebook.figures.shown import grid_of_panels, round_labels
from shapelib.figures import (
    PALETTE,
    dress,
    keep,
    legend,
    model_colours,
    role_panels,
)
from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = "#767676"
_MEASURES = {
    "anisotropy_trimmed": "without the longest 5 %",
    "anisotropy_directions": "of directions",
    "anisotropy_median": "median over tokens",
    "effective_rank": "effective rank",
    "participation_ratio": "participation ratio",
    "isoscore": "IsoScore",
}


def massive_profile(table: pd.DataFrame, untaught: pd.DataFrame | None = None) -> "Figure":
    """Centered anisotropy over relative depth: all vectors, and without the massive ones.

    :param table: a shape table of any number of models.
    :param untaught: the same of networks with random weights: thin lines beneath, in the colours of
        the models that they have the name of; others are not drawn.
    """
    rows = chosen(table, {"metric": "anisotropy", "centered": True})
    figure = role_panels(
        rows,
        [({"tokens": "all"}, "all vectors"), ({"tokens": "rest"}, "without massive vectors")],
        "anisotropy (centered)",
        (0, 1.02),
    )
    if untaught is None or untaught.empty:
        return figure
    roles = dict(zip(table["model"], table["role"], strict=True))
    colours = model_colours(roles)
    fresh = chosen(untaught, {"metric": "anisotropy", "centered": True, "tokens": "all"})
    fresh = fresh[fresh["model"].isin(set(roles))]
    drawn_roles = [role for role in ("encoder", "decoder") if role in roles.values()]
    panels = dict(zip(drawn_roles, figure.axes, strict=True))
    for model, own in fresh.groupby("model", sort=False):
        line = own.sort_values("layer")
        panels[roles[str(model)]].plot(
            line["depth"], line["value"], "-", color=colours[str(model)], linewidth=0.6,
            zorder=1,
        )  # fmt: skip
    drawn = [chosen(rows, {"tokens": each}) for each in ("all", "rest")]
    drawn.append(fresh.assign(tokens="all, random weights"))
    return keep(figure, pd.concat(drawn, ignore_index=True))


def leave_out_curves(table: pd.DataFrame) -> "Figure":
    """Anisotropy against the share of highest-leverage vectors left out; a line a layer."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    models = list(table.groupby(["role", "model"], sort=True))
    figure = Figure(figsize=(max(3.6 * len(models), 4.6), 3.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(models), sharey=True, squeeze=False).flat)
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    for axes, ((_, model), rows) in zip(panels, models, strict=True):
        dress(axes, str(model), "share left out (%)")
        axes.set_xlim(-0.1, 100 * rows["removed"].max() + 0.1)
        for _, layer in rows.groupby("layer"):
            depth = float(layer["depth"].iloc[0])
            apart = layer["layer"].iloc[0] == 0 or layer["after_norm"].iloc[0]
            axes.plot(
                100 * layer["removed"], layer["anisotropy"], ":" if apart else "-",
                color=colours(depth), linewidth=1.2,
            )  # fmt: skip
    panels[0].set_ylabel("anisotropy (centered)")
    panels[0].set_ylim(0, 1.02)
    shown = ScalarMappable(Normalize(0, 1), colours)
    figure.colorbar(shown, ax=panels, label="relative depth", shrink=0.85)
    return keep(figure, table)


def carriers_profile(carriers: pd.DataFrame, model: str, named: int = 4) -> "Figure":
    """Who carries σ₁² in each layer of a model: of all vectors, and of all but first positions.

    The first position and the `named` tokens that carry most over the layers have a colour.
    """
    from matplotlib.figure import Figure

    rows = carriers[carriers["model"] == model]
    totals = rows.groupby("token")["share"].sum().sort_values(ascending=False)
    tokens = list(totals.index[: named + 1])
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    titles = {"all": "of all vectors", "later": "of those after the first position"}
    for axes, (token_set, title) in zip(panels, titles.items(), strict=True):
        dress(axes, title, "layer", None)
        of_set = rows[rows["tokens"] == token_set]
        shares = of_set.pivot_table(index="layer", columns="token", values="share", fill_value=0)
        bottom = np.zeros(len(shares))
        for token, colour in zip(tokens, PALETTE, strict=False):
            if token in shares:
                axes.bar(shares.index, shares[token], 0.9, bottom, color=colour, label=token)
                bottom += shares[token].to_numpy()
        axes.bar(shares.index, 1 - bottom, 0.9, bottom, color="#DDDDDD", label="all others")
    panels[0].set_ylabel("share of σ₁²")
    panels[0].set_ylim(0, 1)
    legend(figure, panels, ncols=3)
    named_rows = rows.loc[rows["token"].isin(tokens), ["layer", "tokens", "token", "share"]]
    return keep(figure, named_rows)


def carriers_side_by_side(carriers: pd.DataFrame, others: int = 3) -> "Figure":
    """Who carries σ₁² of all vectors in each layer: a panel a model.

    The first position of windows, the heaviest of the other kinds of token, up to `others` of
    them whatever they are, and the rest.

    :param carriers: those of `shapebook.experiments.dissect.Dissection`, of any number of models.
    """
    from matplotlib.figure import Figure

    rows = carriers[carriers["tokens"] == "all"]
    models = list(rows.groupby("model", sort=False))
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(models), sharey=True, squeeze=False).flat)
    heaviest = f"the {others} heaviest other tokens"
    shown = []
    for axes, (model, own) in zip(panels, models, strict=True):
        dress(axes, str(model), "layer", None)
        is_first = own["token"] == FIRST
        first = own[is_first].groupby("layer")["share"].sum()
        rest = own[~is_first].sort_values("rank").groupby("layer").head(others)
        parts = pd.DataFrame({FIRST: first, heaviest: rest.groupby("layer")["share"].sum()})
        parts = parts.reindex(sorted(own["layer"].unique())).fillna(0)
        bottom = np.zeros(len(parts))
        for name, colour in zip(parts, PALETTE, strict=False):
            axes.bar(parts.index, parts[name], 0.9, bottom, color=colour, label=name)
            bottom += parts[name].to_numpy()
        axes.bar(parts.index, 1 - bottom, 0.9, bottom, color="#DDDDDD", label="all others")
        shown.append(parts.melt(ignore_index=False, var_name="token", value_name="share")
                     .reset_index().assign(model=model))  # fmt: skip
    panels[0].set_ylabel("share of σ₁²")
    panels[0].set_ylim(0, 1)
    legend(figure, panels, ncols=3)
    return keep(figure, pd.concat(shown, ignore_index=True))


def robust_profile(measures: pd.DataFrame) -> "Figure":
    """Six other measures over relative depth; solid: all vectors, dashed: without massive ones."""
    figure, panels = grid_of_panels(len(_MEASURES), 3)
    colours = model_colours(dict(zip(measures["model"], measures["role"], strict=True)))
    for axes, (metric, title) in zip(panels, _MEASURES.items(), strict=True):
        dress(axes, title, "relative depth")
        for (model, tokens), rows in measures[measures["metric"] == metric].groupby(
            ["model", "tokens"], sort=False
        ):
            line = rows.sort_values("layer")
            name = str(model) if tokens == "all" else f"{model}, without massive vectors"
            axes.plot(
                line["depth"], line["value"], "-" if tokens == "all" else "--",
                color=colours[str(model)], linewidth=1.3, label=name,
            )  # fmt: skip
        if metric.startswith("anisotropy") or metric == "isoscore":
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
            round_labels(axes)
    legend(figure, panels[:1])
    return keep(figure, measures[measures["metric"].isin(_MEASURES)])


def interventions_profile(table: pd.DataFrame, model: str) -> "Figure":
    """A panel an intervention: anisotropy of all vectors and of the rest; grey: no intervention."""
    rows = table[table["model"] == model]
    names = list(rows["intervention"].unique())
    figure, panels = grid_of_panels(len(names), 3)
    plain = rows[(rows["intervention"] == names[0]) & (rows["tokens"] == "all")]
    colour = model_colours({model: str(plain["role"].iloc[0])})[model]
    for axes, name in zip(panels, names, strict=True):
        dress(axes, _title(rows, name), "relative depth")
        axes.plot(
            plain["depth"], plain["value"], color=_GREY, linewidth=3, alpha=0.35,
            label="all vectors, nothing changed",
        )  # fmt: skip
        for tokens, style, of in (("all", "-", "all"), ("rest", "--", "without massive")):
            line = rows[(rows["intervention"] == name) & (rows["tokens"] == tokens)]
            axes.plot(
                line["depth"], line["value"], style, color=colour, linewidth=1.3,
                label=f"{of} vectors",
            )  # fmt: skip
        axes.set_ylim(0, 1.02)
    for axes in panels[::3]:
        axes.set_ylabel("anisotropy (centered)")
    legend(figure, panels[:1], ncols=3)
    return keep(figure, rows)


def _title(rows: pd.DataFrame, name: str) -> str:
    block: Any = rows.loc[rows["intervention"] == name, "block"].iloc[0]
    return _two_lines(name if pd.isna(block) else f"{name}, in block {block}")


def _two_lines(name: str) -> str:
    """A title broken near its middle, so that it fits a small panel."""
    words = name.split()
    lengths = [abs(len(" ".join(words[:k])) - len(name) / 2) for k in range(1, len(words))]
    if len(name) < 22 or not lengths:
        return name
    at = int(np.argmin(lengths)) + 1
    return " ".join(words[:at]) + "\n" + " ".join(words[at:])


def tabulate(carriers: pd.DataFrame, model: str, layers: Sequence[int]) -> pd.DataFrame:
    """Who carries most in these layers of a model, after the first position: for a page."""
    rows = carriers[
        (carriers["model"] == model)
        & (carriers["tokens"] == "later")
        & carriers["layer"].isin(layers)
        & (carriers["rank"] < 2)
    ]
    columns = ["token", "count", "share", "half", "coordinate", "weight"]
    return rows.set_index("layer")[columns]


def tabulate_interventions(table: pd.DataFrame) -> pd.DataFrame:
    """One line an intervention: what the middle third of the layers and the middle one show."""
    layers = table[(table["layer"] > 0) & ~table["after_norm"]]
    third = thirds(layers.drop_duplicates("layer"))[1]["layer"].to_numpy()
    rows = []
    for name, of in layers[layers["layer"].isin(third)].groupby("intervention", sort=False):
        by_set = of.groupby("tokens")["value"].mean()
        middle = of[of["layer"] == third[len(third) // 2]].iloc[0]
        rows.append(
            {
                "change": name,
                "windows": middle["windows"],
                "vectors": middle["n"],
                "all, middle third": round(by_set["all"], 3),
                "without massive": round(by_set["rest"], 3),
                "massive (%)": round(100 * middle["massive"], 2),
                "of which first (%)": round(100 * middle["first"]) if middle["massive"] else None,
                "perplexity": round(middle["perplexity"], 1),
            }
        )
    shown = pd.DataFrame(rows).set_index("change")
    shown = shown.astype({"of which first (%)": "Int64"}).astype(object)
    return shown.where(shown.notna(), "–")


def tabulate_factors(factors: pd.DataFrame, shown: Sequence[float] = (10, 5)) -> pd.DataFrame:
    """What is left without massive vectors by several factors, beside each other: a row a model.

    :param factors: those of `shapebook.experiments.dissect.Dissection`.
    :param shown: the factors, as the columns have them.
    :returns: for each factor the mean anisotropy of the first, middle and last third of the layers
        that count, the middle minus the higher outer third, and the largest share of a layer's
        vectors that is massive, in per cent; a dash where fewer layers count than a third needs.
    """
    inner = factors[(factors["layer"] > 0) & ~factors["after_norm"]]
    rows = {}
    for model, own in inner.groupby("model", sort=False):
        told: dict[tuple[str, str], str] = {}
        for factor in shown:
            at = own[own["factor"] == factor].rename(columns={"anisotropy": "value"})
            head = f"factor {factor:g}"
            few = at["layer"].nunique() < LEAST
            means = Means(*[float("nan")] * 3) if few else Means.of(at)
            values = {f"{third} third": mean for third, mean in means._asdict().items()}
            values["middle minus outer"] = means.bell
            told |= {
                (head, name): "–" if few else two_decimals(value) for name, value in values.items()
            }
            told[head, "massive (%), at most"] = "–" if few else f"{100 * at['massive'].max():.1f}"
        rows[str(model)] = told
    return pd.DataFrame.from_dict(rows, orient="index")
