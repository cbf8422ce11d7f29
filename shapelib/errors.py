"""The one exception for wrong input: what it says is all a user needs to see."""


class ShapelibError(Exception):
    """Input that cannot be used. The message names it, shows it, and says what is accepted."""


def nearest(name: str, known: list[str]) -> str:
    """``known`` as a phrase for an error message, led by what `name` may have meant.

    Of more than twelve only the five nearest are listed, and the others are counted.
    """
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known)
    if len(known) > 12:
        near = difflib.get_close_matches(name, known, n=5, cutoff=0)
        listed = f"{', '.join(near)} and {len(known) - 5} others"
    return f"did you mean {close[0]!r}? known: {listed}" if close else f"known: {listed}"
