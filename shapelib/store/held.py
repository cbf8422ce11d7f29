"""What a process keeps from one cell of a grid to the next: one model, one text, one task."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Held(Generic[T]):
    """At most one thing, made again where another is asked for; the old one goes first.

    Cells come to workers as messages, so that what they share cannot come with them: each module
    that measures holds it for its process, in one of these.
    """

    def __init__(self) -> None:
        self._known: tuple[object, T] | None = None

    def of(self, key: object, make: Callable[[], T]) -> T:
        """What was made last, where that was for an equal key; else made now."""
        if self._known is None or self._known[0] != key:
            self.release()
            self._known = key, make()
        return self._known[1]

    def release(self) -> None:
        """Let go of it."""
        self._known = None
