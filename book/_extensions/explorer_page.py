"""The directive ``explorer``: profiles and training curves that a reader can redraw.

The tables are put into the page and plotly.js beside it, so that the page works without a server
and without a network; a table that a reader drops on it is read in the browser and goes nowhere.
plotly.js comes with the wheel of plotly.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from shapebook.claims.course import course
from shapebook.experiments import real_models
from shapebook.experiments.results import results
from shapebook.pages import explorer
from shapelib.store import tables

PROFILES = "executed/data/profiles.csv"
TRAINING = "results/training"
MODELS = "results/models"
PLOTLY, OWN = "plotly.min.js", ("explorer_figure.js", "own_table.js", "explorer.js")
FALLBACK = ("anisotropy, centered", "all", "512 characters", "own")


class Explorer(SphinxDirective):
    """Controls, a figure, and its numbers as a table; without scripts, the table of one metric."""

    def run(self) -> list[nodes.Node]:
        file = Path(self.env.srcdir) / PROFILES
        self.env.note_dependency(str(file))
        if not file.is_file():
            raise self.error(f"explorer: {PROFILES} is missing; run: make record")
        profiles = pd.read_csv(file).astype({"centered": "boolean"})
        kept = results(TRAINING)
        for each in ("shape", "training"):
            self.env.note_dependency(str(kept / f"{each}.parquet"))
        shape, training = (tables.read_table(kept / f"{n}.parquet") for n in ("shape", "training"))
        self.env.note_dependency(str(results(MODELS) / "trained.parquet"))
        data = explorer.data(profiles, course(shape, training), real_models.kept())
        self.env.metadata[self.env.docname]["explorer"] = "yes"
        return [nodes.raw("", _html(data), format="html")]


def _html(data: explorer.Plain) -> str:
    # "</" would end the script that holds it.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f"""
<div class="explorer">
<p class="explorer-still"><b>Redrawing needs JavaScript.</b> Below is the table of one metric.</p>
<form class="explorer-controls" autocomplete="off" hidden>
<label>What <select name="view"></select></label>
<label>Metric <select name="metric"></select></label>
<label>Axis <select name="axis"></select></label>
<label data-setting="0"><span></span> <select name="window"></select></label>
<label data-setting="1"><span></span> <select name="native"></select></label>
<fieldset><legend>Models</legend><div data-boxes="group"></div></fieldset>
<fieldset><legend></legend><div data-boxes="set"></div></fieldset>
<div class="explorer-own">
<label for="explorer-file"><b>Your own table</b>: a <code>.csv</code> of <code>shapelib
profile</code>. Choose it here, or drop it anywhere on this page. It is drawn beside these, and
never leaves your browser.</label>
<input type="file" id="explorer-file" accept=".csv" multiple>
<button type="button" data-own="forget" hidden>Take your tables away</button>
<p class="explorer-own-status" role="status"></p>
</div>
</form>
<div class="explorer-figure" role="img" hidden><div aria-hidden="true"></div></div>
<ul class="explorer-legend" aria-label="Curves"></ul>
<p class="explorer-status" aria-live="polite"></p>
<p class="explorer-save" hidden><button type="button" data-save="svg">Save figure (SVG)</button>
<button type="button" data-save="csv">Save rows (CSV)</button></p>
<details class="explorer-numbers"><summary>The numbers shown</summary>
<div tabindex="0" role="region" aria-label="The numbers shown">{_table(data)}</div></details>
<script type="application/json" class="explorer-data">{text}</script>
</div>"""


def _table(data: explorer.Plain) -> str:
    """One metric of every model, as a table of HTML: what is there without scripts."""
    view = data["views"]["profiles"]
    rows = [
        f"<tr><th scope='row'>{escape(curve['group'])}</th><td>{layer}</td><td>{value}</td>"
        f"<td>{'–' if half is None else half}</td></tr>"
        for curve in view["curves"]
        if (curve["metric"], curve["set"], *curve["setting"]) == FALLBACK
        for layer, value, half in zip(
            view["places"][curve["at"]]["layer"], curve["value"], curve["half"], strict=True
        )
    ]
    metric = dict(view["metrics"])[FALLBACK[0]]
    return (
        f"<table><caption>{escape(metric)}</caption><thead><tr><th scope='col'>curve</th>"
        "<th scope='col'>layer</th><th scope='col'>value</th><th scope='col'>±</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def bring_scripts(app: Sphinx, config: Config) -> None:
    """Have the scripts copied beside the book's own static files.

    Not from ``_static``: Jupyter Book loads every script in there on every page.
    """
    import plotly

    library = Path(plotly.__file__).parent / "package_data" / PLOTLY
    own = (Path(__file__).with_name(each) for each in OWN)
    config.html_static_path += [str(library), *map(str, own)]


def add_scripts(app: Sphinx, page: str, template: str, context: Any, doctree: Any) -> None:
    """Load the scripts on pages that explore, and on no others."""
    if "explorer" in app.env.metadata.get(page, {}):
        for script in (PLOTLY, *OWN):
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("explorer", Explorer)
    app.connect("config-inited", bring_scripts)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
