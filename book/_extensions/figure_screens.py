"""Each figure of a page in the page's colour scheme, and on a phone with its panels below one
another: `shapebook.notebooks.screens`, as a page is written.

Of what matplotlib drew; other pictures stay as they are.
"""

import base64
import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from shapebook.notebooks import screens

_IMAGE = re.compile(r"<img\b[^>]*?\bsrc=\"([^\"]+)\"[^>]*>")
_HERE = "data:image/svg+xml;base64,"
# As in narrow.css.
_PHONE = "(max-width: 600px)"


def dress(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put every figure's four forms in the place of its one."""
    if "body" not in context or not hasattr(app.builder, "imgpath"):
        return
    sources = {name: source for source, name in app.builder.images.items()}

    def dressed(found: re.Match[str]) -> str:
        address = unescape(found[1])
        if address.startswith(_HERE):
            svg = base64.b64decode(address.removeprefix(_HERE)).decode()
            if not screens.is_drawn(svg):
                return found[0]
            forms = _forms(svg)
            return _pictures(found[0], {each: _inline(text) for each, text in forms.items()})
        name = Path(address).name
        source = sources.get(name)
        if source is None or not name.endswith(".svg"):
            return found[0]
        svg = (Path(app.srcdir) / source).read_text(encoding="utf-8")
        if not screens.is_drawn(svg):
            return found[0]
        forms = _forms(svg)
        return _pictures(found[0], {each: _kept(app, address, each, forms) for each in forms})

    context["body"] = _IMAGE.sub(dressed, context["body"])


def _forms(svg: str) -> dict[str, str]:
    """A figure by scheme and screen; its wide, light form is there already."""
    below = screens.narrow(svg)
    forms = {"light": svg, "dark": screens.dark(svg)}
    if screens.fits(svg):
        below = svg
    if below is not None:
        forms |= {"light-narrow": below, "dark-narrow": screens.dark(below)}
    return forms


def _kept(app: Sphinx, address: str, form: str, forms: dict[str, str]) -> str:
    """The address of a form beside that of the figure, written unless it is the figure."""
    if form == "light":
        return address
    name = f"{Path(address).stem}-{form}.svg"
    folder = Path(app.outdir) / app.builder.imagedir
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(forms[form], encoding="utf-8")
    return address[: address.rindex("/") + 1] + name


def _inline(svg: str) -> str:
    return _HERE + base64.b64encode(svg.encode()).decode()


def _pictures(image: str, addresses: dict[str, str]) -> str:
    made = []
    for scheme in ("light", "dark"):
        address = re.search(r'src="[^"]+"', image)
        assert address is not None
        own = image.replace(address[0], f'src="{escape(addresses[scheme])}"')
        own = _with_class(own, f"only-{scheme}")
        narrow = addresses.get(f"{scheme}-narrow")
        below = f'<source media="{_PHONE}" srcset="{escape(narrow)}">' if narrow else ""
        kind = f"only-{scheme}{' stacked' if narrow else ''}"
        made.append(f'<picture class="{kind}">{below}{own}</picture>')
    return "".join(made)


def _with_class(image: str, name: str) -> str:
    if 'class="' in image:
        return image.replace('class="', f'class="{name} ', 1)
    return image.replace("<img", f'<img class="{name}"', 1)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", dress)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
