"""An executed notebook as one HTML file that needs nothing beside it: no network, no scripts."""

import base64
import copy
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from shapebook.notebooks import screens
from shapebook.notebooks.changes import Changes, commands
from shapebook.notebooks.notebook import RUN, Notebook

# Paragraphs that say what the book's own run shows, of which models and how far they can tell; and
# where such a part or another begins.
_OF_THE_BOOK = r"\*\*(?:Reading|Caveats?|We measured|Can these models tell)\b"
_READING = re.compile(rf"^{_OF_THE_BOOK}", re.M)
_PARTS = re.compile(rf"^(?={_OF_THE_BOOK}|\([\w-]+\)=$|#{{1,6}} )", re.M)
_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; background: #fff; color: #222; overflow-wrap: break-word; }
a[href] { color: #0a58ca; }
img { max-width: 100%; background: #fff; }
a.elsewhere { font-style: italic; }
aside.run { border: 1px solid #8888; border-left-width: 0.4rem; padding: 0 1rem 1rem; }
aside.run td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
pre { overflow-x: auto; background: #f3f4f5; padding: 0.5rem; }
summary { color: #595959; cursor: pointer; }
/* A shadow at the edge of what scrolls sideways, which the content's own end covers. */
.wide { --page: #fff; --shadow: #0006; overflow-x: auto;
  background: right / 3rem 100% no-repeat local
      linear-gradient(to left, var(--page) 40%, transparent),
    right / 1.2rem 100% no-repeat linear-gradient(to left, var(--shadow), transparent); }
/* A table of many columns may be wider than the text. */
.wide:has(table[border]) { width: max-content; min-width: 100%; max-width: calc(50vw + 23rem); }
@media (max-width: 55rem) { .wide:has(table[border]) { max-width: 100%; } }
.dataframe thead tr th { text-align: left; }
table { border-collapse: collapse; border: 0; }
th, td { padding: 0.25rem 0.6rem; text-align: left; vertical-align: top;
  border: 0; border-bottom: 1px solid #8888; }
th:has(+ td:last-child), th + td:last-child { overflow-wrap: anywhere; }
th:has(+ td:last-child) { min-width: 5.5rem; }
@media (prefers-color-scheme: dark) {
  body { background: #14181e; color: #ddd; }
  a[href] { color: #8ab4f8; }
  pre { background: #222832; }
  summary { color: #aaa; }
  .wide { --page: #14181e; --shadow: #fff6; }
}
@media (max-width: 760px) {
  .verdicts :is(tbody, tr, td) { display: block; }
  .verdicts thead { display: none; }
  .verdicts tr { margin: 0.75rem 0; padding: 0.5rem; border: 1px solid #8888;
    border-radius: 0.4rem; }
  .verdicts td { border: 0; padding: 0.2rem; }
}
"""


def html(notebook: Notebook, changes: Changes | None = None) -> str:
    """A whole page: prose, figures with captions and alternative text, tables; code folded.

    nbconvert's pages load scripts for their formulas from elsewhere, and know no figures with
    captions. Here formulas become MathML, which browsers draw themselves. References within the
    notebook are links; those to other pages of the book, and to its bibliography, are words.
    `changes`: the parameters that are not the book's (see `changes.changes`): the page says first
    that its text was written for another run. What the book reads out of its own figures does not
    stand, and neither do the places of files on the machine that ran it.
    """
    page = _Page(notebook, bool(changes))
    body = "\n".join(page.cell(cell) for cell in notebook.cells)
    if changes:
        note = _note(changes, commands(notebook))
        end = body.find("</h1>") + len("</h1>") if "</h1>" in body else 0
        body = f"{body[:end]}\n{note}\n{body[end:]}"
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
    name = re.sub(r"<[^>]+>", "", title[1]) if title else "A run"
    given = {name: here for name, (here, _) in (changes or {}).items()}
    body = without_places(body, {**notebook.metadata.get(RUN, {}).get("parameters", {}), **given})
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def without_readings(source: str) -> str:
    """Markdown without what the book says of its own run: what it measured, whether its models can
    tell, its readings and caveats."""
    return "".join(part for part in _PARTS.split(source) if not _READING.search(part))


def without_the_books_readings(notebook: Notebook) -> Notebook:
    """A notebook of another run than the book's, without what the book reads out of its figures;
    cells that held nothing else are gone."""
    kept = copy.deepcopy(notebook)
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            cell.source = without_readings(cell.source).strip()
    kept.cells = [each for each in kept.cells if each.cell_type != "markdown" or each.source]
    return kept


class _Page:
    def __init__(self, notebook: Notebook, other: bool = False) -> None:
        self.other = other
        prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        self.targets = set(re.findall(r"^\(([\w-]+)\)=", prose, re.M))
        named = (_figure(cell).get("name") for cell in notebook.cells)
        self.figures = {name: n for n, name in enumerate(filter(None, named), start=1)}
        self.markdown = self._parser()

    def cell(self, cell: Any) -> str:
        """One cell: prose, or folded code above its outputs; nothing where the book removes it."""
        if "remove-cell" in cell.metadata.get("tags", []):
            return ""
        if cell.cell_type != "code":
            return self._prose(cell.source) if cell.cell_type == "markdown" else ""
        code = f"<details><summary>Code</summary>{_pre(cell.source)}</details>"
        return "\n".join([code, *(self._output(each, cell) for each in cell.outputs)])

    def _prose(self, source: str) -> str:
        """Markdown; on a page of another run than the book's without its readings and caveats."""
        # Comments mark numbers for the book to check.
        source = re.sub(r"<!--.*?-->", "", source, flags=re.S)
        return str(self.markdown.render(without_readings(source) if self.other else source))

    def _output(self, output: Any, cell: Any) -> str:
        if output.output_type == "stream":
            return _pre(output.text)
        data = output.get("data", {})
        for kind in ("image/svg+xml", "image/png"):
            if kind in data:
                return self._image(kind, data[kind], cell)
        if "text/html" in data:
            return f'<div class="wide" tabindex="0">{data["text/html"]}</div>'
        return _pre(data.get("text/plain", ""))

    def _image(self, kind: str, data: str, cell: Any) -> str:
        figure = _figure(cell)
        said = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "A figure")
        dark = ""
        if kind == "image/svg+xml":
            if screens.is_drawn(data):
                night = f"data:{kind};base64,{_base64(screens.dark(data))}"
                dark = f'<source media="(prefers-color-scheme: dark)" srcset="{night}">'
            data = _base64(data)
        image = f'<img src="data:{kind};base64,{data}" alt="{escape(said)}">'
        image = f"<picture>{dark}{image}</picture>" if dark else image
        if name := figure.get("name"):
            words = self.markdown.renderInline(figure.get("caption", ""))
            caption = f"Figure {self.figures[name]}. {words}"
            return f'<figure id="{name}">{image}<figcaption>{caption}</figcaption></figure>'
        return f"<figure>{image}</figure>"

    def _parser(self) -> Any:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.amsmath import amsmath_plugin
        from mdit_py_plugins.colon_fence import colon_fence_plugin
        from mdit_py_plugins.deflist import deflist_plugin
        from mdit_py_plugins.dollarmath import dollarmath_plugin
        from mdit_py_plugins.myst_blocks import myst_block_plugin
        from mdit_py_plugins.myst_role import myst_role_plugin

        parser = MarkdownIt("commonmark").enable("table")
        parser.use(dollarmath_plugin, renderer=lambda text, options: _math(text, **options))
        parser.use(amsmath_plugin, renderer=lambda text: _math(text, display_mode=True))
        parser.use(colon_fence_plugin).use(deflist_plugin)
        parser.use(myst_block_plugin).use(myst_role_plugin)
        renderer: Any = parser.renderer
        rules = renderer.rules
        rules["myst_role"] = self._role
        rules["myst_target"] = _target
        rules["fence"] = rules["colon_fence"] = self._fence
        rules["link_open"] = self._link
        rules["link_close"] = lambda *_: "</a>"
        return parser

    def _role(self, tokens: Sequence[Any], place: int, *_: object) -> str:
        role, text = tokens[place].meta["name"], tokens[place].content
        if role.startswith("cite"):
            return escape(_cited(role, text))
        if role == "math":
            return _math(text)
        titled = re.fullmatch(r"(.*?)\s*<(.+)>", text, re.S)
        words, target = titled.groups() if titled else (text, text)
        if role == "numref" and target in self.figures:
            return f'<a href="#{escape(target)}">Figure {self.figures[target]}</a>'
        if target in self.targets:
            return f'<a href="#{escape(target)}">{escape(words)}</a>'
        return escape(words)

    def _fence(self, tokens: Sequence[Any], place: int, *_: object) -> str:
        """A directive is read as what it holds, other fences are code."""
        info, text = tokens[place].info.strip(), tokens[place].content
        if info == "{math}":
            return _math(_without_options(text), display_mode=True)
        if info.startswith("{"):
            title = info.partition("}")[2].strip()
            head = f"<p><strong>{self.markdown.renderInline(title)}</strong></p>" if title else ""
            return f"<aside>{head}{self.markdown.render(_without_options(text))}</aside>"
        return _pre(text)

    def _link(self, tokens: Sequence[Any], place: int, *_: object) -> str:
        target = str(tokens[place].attrGet("href"))
        if target.startswith(("https://", "http://")):
            return f'<a href="{escape(target)}">'
        name = target.lstrip("#")
        # What leads to another page of the book leads nowhere from here.
        if name in self.targets | set(self.figures):
            return f'<a href="#{escape(name)}">'
        return '<a class="elsewhere">'


def _note(changes: Changes, kept: Sequence[str]) -> str:
    """What is of this run, what is not, and in what the two differ."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(here))}</td>'
        f"<td>{escape(str(book))}</td></tr>"
        for name, (here, book) in changes.items()
    )
    but = ""
    if kept:
        by = ", ".join(f"<code>{escape(each)}</code>" for each in kept)
        but = f" What is drawn and judged from tables kept as data is not of it: {by}."
    return (
        '<aside class="run"><p><strong>This run is not the book\'s.</strong> Figures, tables, '
        "verdicts, parameters and provenance are of this run, and so are the lists of sentences "
        f"below figures, which are computed.{but} All other text was written for the book's run, "
        "and need not be true of this one; what the book reads out of its own figures is left out."
        '</p><div class="wide" tabindex="0"><table><thead><tr>'
        '<th scope="col">parameter</th><th scope="col">here</th><th scope="col">in the book</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></aside>"
    )


def without_places(text: str, parameters: Mapping[str, Any]) -> str:
    """Files by their names alone: where they lie on a machine is nobody else's business."""
    places = {each for value in parameters.values() for each in _strings(value) if _is_place(each)}
    places |= {str(Path(each).expanduser()) for each in places}
    for each in sorted(places, key=len, reverse=True):
        for spelled in {each, escape(each), escape(repr(each)[1:-1])}:
            text = text.replace(spelled, escape(Path(each).name or each))
    return text.replace(f"{Path.home()}/", "~/")


def _is_place(text: str) -> bool:
    """Whether a text says where something lies: from the root or home, or in folders from here."""
    path = Path(text).expanduser()
    return path.is_absolute() or (len(path.parts) > 1 and path.exists())


def _strings(value: Any) -> list[str]:
    """The texts in a parameter's value, names in a mapping included."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def _pre(text: str) -> str:
    # A box that scrolls must be within reach of the keyboard.
    return f'<pre tabindex="0">{escape(text)}</pre>'


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _target(tokens: Sequence[Any], place: int, *_: object) -> str:
    return f'<a id="{escape(tokens[place].content)}"></a>'


def _figure(cell: Any) -> dict[str, Any]:
    figure: dict[str, Any] = cell.metadata.get("mystnb", {}).get("figure", {})
    return figure


def _without_options(text: str) -> str:
    return re.sub(r"\A(:[\w-]+:.*\n)+\n?", "", text)


def _cited(role: str, text: str) -> str:
    """``razzhigaev2024shape`` as Razzhigaev 2024; the book's references say the rest."""
    works = [re.sub(r"^([a-z]+)(\d{4}).*$", r"\1 \2", each.strip()) for each in text.split(",")]
    said = ", ".join(each[:1].upper() + each[1:] for each in works)
    return said if role.endswith(":t") else f"({said})"


def _math(text: str, display_mode: bool = False, **_: object) -> str:
    """MathML, or the formula's source where that cannot be made."""
    from docutils.utils.math import MathError
    from docutils.utils.math.latex2mathml import tex2mathml

    try:
        return str(tex2mathml(text.strip(), as_block=display_mode))
    except MathError:
        return f"<code>{escape(text)}</code>"
