"""A bounded memory of what was found lately: the one kind of cache that a process of several may keep.

What is in it may be forgotten at any time, and is never older than was said when it was put there.
"""

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `most` values, each for the seconds it was put in for; the one put in first goes first."""

    def __init__(self, most: int, now: Callable[[], float] = monotonic) -> None:
        self._most, self._now = most, now
        self._found: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """The value; None if it was never put in, is too old or had to go."""
        found = self._found.get(key)
        if found is None:
            return None
        if found[0] <= self._now():
            self._found.pop(key, None)
            return None
        return found[1]

    def put(self, key: K, value: V, seconds: float) -> None:
        """Remember a value for that long; of nothing or less, it is forgotten."""
        self._found.pop(key, None)
        if seconds <= 0:
            return
        while len(self._found) >= self._most:
            self._found.pop(next(iter(self._found)))
        self._found[key] = (self._now() + seconds, value)

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()

    def __len__(self) -> int:
        return len(self._found)
