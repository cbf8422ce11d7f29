"""The one exception for wrong input, which says all a user needs to see, and what checks input."""

import contextlib
import errno
import math
import numbers
import re
from collections.abc import Iterator, Mapping
from typing import Any


class ShapelibError(Exception):
    """Input that cannot be used. The message names it, shows it, and says what is accepted.

    >>> from shapelib import ShapelibError, recipe
    >>> try:
    ...     recipe("decodr")
    ... except ShapelibError as error:
    ...     print(error)
    no such kind: 'decodr'; did you mean 'decoder'? known: decoder, encoder, causal-masked, prefix
    """


class NamesArguments(ShapelibError):
    """Its message names arguments of Python's; `command` says the same to a command line."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message, command)
        self.message, self.command = message, command

    def __str__(self) -> str:
        return self.message


class WindowTooLong(ShapelibError):
    """A window has `have` tokens, and `model` reads `most` at once."""

    _SAID = "a window has {} tokens, but {} reads at most {}; use a shorter window"
    _HEARD = re.compile(_SAID.format(r"(\d+)", "(.*)", r"(\d+)"), re.S)

    def __init__(self, have: int, model: str, most: int) -> None:
        super().__init__(have, model, most)
        self.have, self.model, self.most = have, model, most

    def __str__(self) -> str:
        return self._SAID.format(self.have, self.model, self.most)


class NoTokenizer(ShapelibError):
    """A model's folder holds no tokenizer of its own; the message says how that showed."""


def heard(name: str, message: str) -> ShapelibError | None:
    """The error that another process, such as a notebook's kernel, told of by the name of its class
    and its message; None where it has no class of its own here."""
    if name == WindowTooLong.__name__ and (found := WindowTooLong._HEARD.fullmatch(message)):
        return WindowTooLong(int(found[1]), found[2], int(found[3]))
    return NoTokenizer(message) if name == NoTokenizer.__name__ else None


def nearest(name: str, known: list[str]) -> str:
    """``known`` as a phrase for an error message, led by what `name` may have meant.

    Of more than twelve only the five nearest are listed, and the others are counted.
    """
    import difflib

    lowered = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=5, cutoff=0)
    near = [lowered[each] for each in found]
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    listed = ", ".join(known)
    if len(known) > 12:
        listed = f"{', '.join(near)} and {len(known) - len(near)} others"
    return f"did you mean {near[0]!r}? known: {listed}" if close else f"known: {listed}"


def is_whole_number(value: object, least: float = -math.inf, *, numpy: bool = False) -> bool:
    """Whether a value is a whole number of at least `least`; a bool is none.

    `numpy`: numpy's whole numbers are some as well. JSON knows none of them, so not where the value
    is kept.

    >>> from shapelib.errors import is_whole_number
    >>> is_whole_number(3), is_whole_number(3, least=4), is_whole_number(3.0), is_whole_number(True)
    (True, False, False, False)
    """
    kinds = numbers.Integral if numpy else int
    return isinstance(value, kinds) and not isinstance(value, bool) and value >= least  # type: ignore[operator]


def is_number(value: object) -> bool:
    """Whether a value is a number of Python's; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@contextlib.contextmanager
def foreign(what: str, *but: type[BaseException]) -> Iterator[None]:
    """Whatever another library raises inside becomes one `ShapelibError` that begins with `what`.

    Libraries have errors without a common base, and another version has other ones: a closed list
    lets some through. `but`: those that the caller answers itself.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (ShapelibError, *but)):
            raise
        raise ShapelibError(f"{what}: {said(error)}") from error


def said(error: BaseException) -> str:
    """What an error says, with its type where the message alone does not tell what happened."""
    words = str(error).strip()
    if words and isinstance(error, ValueError | OSError | RuntimeError | ImportError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What the system says where a disk has no room, or may not be written."""

# Of what would just fit: the next window may hold more tokens for its characters.
_ROOM = 0.75


def advice(error: BaseException | None, given: Mapping[str, Any] | None = None) -> str:
    """What a user can do about an error, to stand behind its message; empty if nothing is known.

    `given`: the parameters of a notebook, by name; None is a command, whose options are meant.
    """
    if isinstance(error, WindowTooLong):
        return _shorter(error.have, error.most, given)
    if isinstance(error, NoTokenizer):
        return (
            "; a model's folder must hold its tokenizer as well: if there is none, write it there "
            "with tokenizer.save_pretrained(FOLDER)"
        )
    return ""


def _shorter(have: int, most: int, given: Mapping[str, Any] | None) -> str:
    if given is None:
        share = f"{_ROOM * most / have:.0%}"
        return f": --window is its length, in what --unit says; about {share} of it would do"
    if "window" not in given:
        return "; this notebook has no parameter for it, so it takes longer contexts only"
    unit = given.get("unit", "characters")
    if unit == "tokens":
        # What is over the window's own length are special tokens, which every window gets.
        fits = most - max(have - given["window"], 0)
    else:
        fits = max(int(_ROOM * most * given["window"] / have), 1)
    return (
        f": the parameter window counts {unit} and is {given['window']}; -p window={fits} would do"
    )
