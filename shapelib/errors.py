"""The one exception for wrong input: what it says is all a user needs to see."""


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
