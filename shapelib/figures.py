"""The figures, each a function of a table and of nothing else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapelib.store.tables import chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Decoders take their colours from the front (cool ones), encoders from the end (warm ones).
_BY_ROLE = tuple(PALETTE[at] for at in (0, 2, 5, 4, 3, 1))
STYLES = ("-", "--", ":", "-.")
# Models of one role and colour differ in these.
_MARKERS = ("o", "s", "^", "D", "v")
# So many models are named with each of their curves; of more, models and kinds of curves apart.
_MANY = 6
# Rows of a legend that a figure has room for, and the inches that a further one takes.
_ROOM, _ROW = 6, 0.2
# Columns that a figure's data keep even where they are the same in every row.
_NAMED = ("model", "metric", "tokens", "value")
# The attribute of a figure that holds its rows: callers get a plain figure, and a copy of it has
# them as well.
_ROWS = "shapelib_rows"


def anisotropy_profile(table: pd.DataFrame, tokens: str = "all") -> "Figure":
    """Figure 1 of the paper: centered anisotropy over relative depth, encoders and decoders.

    Lines are means over batches and bands one standard deviation; open markers are the embedding
    and layers after the final norm. The other profiles are drawn alike.

    :param table: of `profile` or `sweep`, of any number of models.
    :param tokens: the token set that is drawn.
    :returns: a matplotlib figure; ``savefig("mine.svg")`` writes it.
    """
    return _panels(
        table, [("anisotropy", True, "")], tokens, "anisotropy (centered)", limits=(0, 1.02)
    )


def cosine_profile(table: pd.DataFrame, tokens: str = "all") -> "Figure":
    """Average cosine over relative depth, as it stands and after centering.

    :param table: of `profile` or `sweep`, of any number of models.
    :param tokens: the token set that is drawn.
    """
    curves = [("average_cosine", False, "uncentered"), ("average_cosine", True, "centered")]
    return _panels(table, curves, tokens, "average cosine", limits=None)


def dimension_profile(table: pd.DataFrame, tokens: str = "all") -> "Figure":
    """Representation dimension over relative depth, by both TwoNN fits.

    :param table: of `profile` or `sweep`, of any number of models.
    :param tokens: the token set that is drawn.
    """
    curves = [
        ("two_nn", None, "fit to the lowest 90 %"),
        ("two_nn_lowest20", None, "fit to the lowest 20 %"),
    ]
    return _panels(table, curves, tokens, "TwoNN dimension", limits=None)


def estimators_profile(table: pd.DataFrame, tokens: str = "all") -> "Figure":
    """Figure 5 of the paper, over layers: three estimators of the representation dimension.

    :param table: of `profile` or `sweep`, of any number of models.
    :param tokens: the token set that is drawn.
    """
    curves = [
        ("two_nn", None, "TwoNN"),
        ("mada_k20", None, "MADA, k = 20"),
        ("mom_k20", None, "moments, k = 20"),
        ("mom_k100", None, "moments, k = 100"),
    ]
    return _panels(table, curves, tokens, "dimension", limits=None)


def share_profile(table: pd.DataFrame, tokens: str = "all") -> "Figure":
    """The first singular value's share over relative depth, centered and not.

    :param table: of `profile` or `sweep`, of any number of models.
    :param tokens: the token set that is drawn.
    """
    curves = [("anisotropy", True, "centered"), ("anisotropy", False, "uncentered")]
    return _panels(table, curves, tokens, "share of σ₁²", limits=(0, 1.02))


def model_colours(roles: Mapping[str, str]) -> dict[str, str]:
    """A colour for each model by its role: the one rule of all figures in which models differ.

    `roles`: ``encoder`` or ``decoder`` by the model's name, in the order in which colours are
    dealt. The first decoder is blue and the first encoder orange, and no model of the other role
    is, where there are both. Up to six models have six colours; more of a role begin anew.
    """
    colours: dict[str, str] = {}
    dealt: Counter[str] = Counter()
    kept_back = len(set(roles.values())) > 1
    for name, role in roles.items():
        order = _BY_ROLE[::-1] if role == "encoder" else _BY_ROLE
        colours[name] = order[dealt[role] % (len(order) - kept_back)]
        dealt[role] += 1
    return colours


def keep(figure: "Figure", rows: pd.DataFrame) -> "Figure":
    """The figure, with the rows that it shows; `show` hands them on."""
    setattr(figure, _ROWS, rows)
    return figure


def data(figure: "Figure") -> str | None:
    """The rows that a figure shows, as CSV to six digits; None where it keeps none.

    Columns that say the same in every row are left out, but for those that name what is measured.

    :param figure: one of this library.
    """
    rows: pd.DataFrame | None = getattr(figure, _ROWS, None)
    if rows is None:
        return None
    told = [name for name in rows if name in _NAMED or rows[name].nunique(dropna=False) > 1]
    return str(rows[told].to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _panels(
    table: pd.DataFrame,
    curves: Sequence[tuple[str, bool | None, str]],
    tokens: str,
    label: str,
    limits: tuple[float, float] | None,
) -> "Figure":
    """A panel for encoders and one for decoders, with curves of several metrics."""
    wanted = [
        (
            {"metric": metric, "centered": centered}
            if centered is not None
            else {"metric": metric},
            n,
        )
        for metric, centered, n in curves
    ]
    return role_panels(table[table["tokens"] == tokens], wanted, label, limits)


def role_panels(
    table: pd.DataFrame,
    curves: Sequence[tuple[dict[str, Any], str]],
    label: str,
    limits: tuple[float, float] | None,
) -> "Figure":
    """A panel for encoders and one for decoders, on one scale; a curve is what its rows have.

    A role that no model has gets no panel.
    """
    from matplotlib.figure import Figure

    roles = [role for role in ("encoder", "decoder") if (table["role"] == role).any()]
    looks = _looks(dict(zip(table["model"], table["role"], strict=True)))
    many = len(looks) > _MANY
    size = (7 if len(roles) > 1 else 4.6, 4.9 if many else 3.9)
    figure = Figure(figsize=size, layout="constrained")
    panels: list[Axes] = list(
        figure.subplots(1, max(len(roles), 1), sharey=True, squeeze=False).flat
    )
    for axes, role in zip(panels, roles, strict=False):
        dress(axes, f"{role}s")
        of_role = table[table["role"] == role]
        for model, of_model in of_role.groupby("model", sort=False):
            for (wanted, note), style in zip(curves, STYLES, strict=False):
                rows = chosen(of_model, wanted)
                name = f"{model}, {note}" if note else str(model)
                _curve(axes, rows.sort_values("layer"), looks[model], style, "" if many else name)
    panels[0].set_ylabel(label)
    if many:
        _name_apart(panels[0], looks, [note for _, note in curves])
    legend(figure, panels, ncols=3 if many else min(len(roles), 2) or 1)
    if limits:
        panels[0].set_ylim(*limits)
    shown = [chosen(table, wanted) for wanted, _ in curves]
    return keep(figure, pd.concat(shown))


def dress(
    axes: "Axes",
    title: str,
    label: str = "relative depth (layer ÷ last layer)",
    limits: tuple[float, float] | None = (-0.03, 1.03),
) -> None:
    """A panel's title, its horizontal axis and a light grid."""
    axes.set_title(title)
    axes.set_xlabel(label)
    if limits:
        axes.set_xlim(*limits)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: "Figure", panels: Sequence["Axes"], ncols: int = 2) -> None:
    """One legend below the panels, where it covers no curve; a name is shown once."""
    named = {
        name: handle
        for axes in panels
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if named:
        # What a tall legend takes must not be taken from the panels.
        rows = -(-len(named) // ncols)
        figure.set_figheight(figure.get_figheight() + _ROW * max(0, rows - _ROOM))
        figure.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=ncols, frameon=False
        )


def _looks(roles: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model."""
    colours = model_colours(roles)
    before: Counter[tuple[str, str]] = Counter()
    looks = {}
    for name, role in roles.items():
        at = before[role, colours[name]]
        looks[name] = colours[name], _MARKERS[at % len(_MARKERS)]
        before[role, colours[name]] += 1
    return looks


def _name_apart(axes: "Axes", looks: Mapping[str, tuple[str, str]], notes: Sequence[str]) -> None:
    """Name the models, and then what each style of line is, for the legend."""
    for model, (colour, marker) in looks.items():
        axes.plot([], [], color=colour, marker=marker, markersize=4, label=model)
    for note, style in zip(notes, STYLES, strict=False):
        if note:
            axes.plot([], [], style, color="#333333", label=note)


def _curve(axes: "Axes", rows: pd.DataFrame, look: tuple[str, str], style: str, name: str) -> None:
    colour, marker = look
    x, y, spread = rows["depth"], rows["value"], rows["std"].fillna(0)
    axes.plot(x, y, style, color=colour, label=name, linewidth=1.5)
    axes.fill_between(x, y - spread, y + spread, color=colour, alpha=0.2, linewidth=0)
    apart = (rows["layer"] == 0) | rows["after_norm"]
    axes.plot(x[~apart], y[~apart], marker, color=colour, markersize=3)
    axes.plot(x[apart], y[apart], marker, color=colour, markersize=5, markerfacecolor="white")
