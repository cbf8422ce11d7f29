"""A notebook's parameter as a command line gives it: read as papermill reads it, by its type.

YAML 1.1 reads ``010`` as 8, ``1:30`` as 90 and ``NO`` as false; papermill does not, and a run by
one must be a run by the other.
"""

import contextlib
import json
import math
from typing import Any

from shapelib.errors import ShapelibError

_WORDS = {"True": True, "False": False, "None": None}
# As JSON writes them, which is how an error shows a list that would do.
_JSON = {"true": True, "false": False, "null": None}


def value_of(text: str, default: Any = None) -> Any:
    """The value of a parameter whose default is known; None is one of any type.

    What is text by default stays text. ``True``, ``False`` and ``None`` are what they are in
    Python, a number is what int and float make of it, and all else is text, as ``papermill -p``
    does. A list or a mapping is written as YAML (or JSON), its plain words read as these are, or
    kept where the default is one of texts.

    :raises ShapelibError: for a list or mapping that is no YAML.
    """
    if isinstance(default, str):
        return text
    if isinstance(default, bool) and text in _JSON:
        return _JSON[text]
    looks = text.lstrip()[:1] in ("[", "{")
    if isinstance(default, list | dict) or (default is None and looks):
        return _nested(text, default)
    return plain(text)


def plain(text: str) -> Any:
    """A word, a number or a text: as papermill resolves it."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _nested(text: str, default: Any) -> Any:
    import yaml

    members = default.values() if isinstance(default, dict) else default or ()
    texts = bool(members) and all(isinstance(each, str) for each in members)
    # YAML takes some letters within quotes for ends of lines, and refuses others.
    with contextlib.suppress(ValueError, RecursionError):
        if not texts:
            return json.loads(text)
        return _texts(json.loads(text, parse_int=str, parse_float=str, parse_constant=str))

    class Loader(yaml.SafeLoader):
        """Without YAML's own idea of what a plain word is."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def scalar(loader: Any, node: Any) -> Any:
        found = loader.construct_scalar(node)
        if node.style is not None or texts:
            return found
        return _JSON[found] if found in _JSON else plain(found)

    Loader.add_constructor("tag:yaml.org,2002:str", scalar)
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ShapelibError(f"{text!r} is not a list or mapping in YAML: {error}") from error


def _texts(value: Any) -> Any:
    """A JSON value with each of its words as the text it was."""
    if isinstance(value, list):
        return [_texts(each) for each in value]
    if isinstance(value, dict):
        return {name: _texts(each) for name, each in value.items()}
    words = {word for word, meant in _JSON.items() if meant is value}
    return words.pop() if words else value


def finite(found: Any) -> bool:
    """Whether a value, or all that a list or mapping holds, is no infinite number and no NaN."""
    if isinstance(found, float):
        return math.isfinite(found)
    if isinstance(found, dict):
        return all(map(finite, found.values()))
    return all(map(finite, found)) if isinstance(found, list) else True
