"""A process holds one thing for the next cell: an equal key finds it, another replaces it."""

import weakref

from shapelib.store.held import Held


class Thing:
    """What is made."""


def test_one_thing_is_held():
    held: Held[Thing] = Held()
    first = held.of(("a", {"rows": [1]}), Thing)
    assert held.of(("a", {"rows": [1]}), Thing) is first
    assert held.of(("a", {"rows": [2]}), Thing) is not first
    assert held.of(("a", {"rows": [1]}), Thing) is not first, "it was let go of"


def test_the_old_one_goes_before_the_new_one_is_made():
    held: Held[Thing] = Held()
    old = weakref.ref(held.of("old", Thing))
    assert old() is not None

    def make() -> Thing:
        assert old() is None, "two models may not fit"
        return Thing()

    new = weakref.ref(held.of("new", make))
    assert new() is not None
    held.release()
    assert new() is None
