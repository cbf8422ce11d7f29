"""The one exception for wrong input: what it says is all a user needs to see."""

import contextlib
from collections.abc import Iterator


class ShapelibError(Exception):
    """Input that cannot be used. The message names it, shows it, and says what is accepted.

    >>> from shapelib import ShapelibError, recipe
    >>> try:
    ...     recipe("decodr")
    ... except ShapelibError as error:
    ...     print(error)
    no such kind: 'decodr'; did you mean 'decoder'? known: decoder, encoder, causal-masked, prefix
    """


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
