"""Repository and Binder buttons follow one setting: `repository.url` in `_config.yml`.

Jupyter Book has a switch for each button and refuses a switch without an address; a Binder
address without a repository breaks its theme. Here the address alone turns all of them on or off.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def set_buttons(app: Sphinx, config: Config) -> None:
    """Turn the buttons on where `repository_url` is set, and every link to a host off elsewhere."""
    options: dict[str, Any] = config.html_theme_options
    known = bool(options.get("repository_url"))
    options.update(dict.fromkeys(BUTTONS, known))
    if not known:
        options["launch_buttons"] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", set_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
