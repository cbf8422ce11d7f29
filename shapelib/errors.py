"""The one exception for wrong input: what it says is all a user needs to see."""


class ShapelibError(Exception):
    """Input that cannot be used. The message names it, shows it, and says what is accepted."""


def nearest(name: str, known: list[str]) -> str:
    """``known`` as a phrase for an error message, led by what `name` may have meant."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known)
    return f"did you mean {close[0]!r}? known: {listed}" if close else f"known: {listed}"
