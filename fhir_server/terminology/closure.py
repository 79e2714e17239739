"""Concepts numbered in the order they come, and everything above each of them. https://hl7.org/fhir/R4/codesystem.html#hierarchy"""

from array import array
from collections.abc import Iterable
from typing import NamedTuple


class Tree(NamedTuple):
    """The closure of a hierarchy: numbers by code; of each number what is above it, and whether it is above others.

    `strange` counts the parents that are no concept themselves: they are left out.
    """

    numbers: dict[str, int]
    above: list["array[int]"]
    inner: bytearray
    strange: int


def closure(concepts: Iterable[tuple[str, tuple[str, ...]]], most: int | None = None) -> Tree:
    """The closure of (code, codes of its parents). Raises ValueError for a code that comes twice or lies above itself,
    and for more than `most` pairs of a concept and one above it.

    Every concept is looked at once, after all its parents.
    """
    numbers: dict[str, int] = {}
    named: list[tuple[str, ...]] = []
    for code, parents in concepts:
        if numbers.setdefault(code, len(named)) != len(named):
            raise ValueError(f"the code {code!r} comes twice")
        named.append(parents)
    strange = 0
    inner = bytearray(len(named))
    over: list[list[int]] = []
    under: dict[int, list[int]] = {}
    for n, parents in enumerate(named):
        known = [numbers[parent] for parent in parents if parent in numbers]
        strange += len(parents) - len(known)
        over.append(known)
        for parent in known:
            inner[parent] = 1
            under.setdefault(parent, []).append(n)
    waiting = [len(one) for one in over]
    ready = [n for n, count in enumerate(waiting) if count == 0]
    above: list[array[int]] = [array("I")] * len(named)
    pairs = 0
    for n in ready:  # grows while it is walked
        found: set[int] = set(over[n])
        for parent in over[n]:
            found.update(above[parent])
        pairs += len(found)
        if most is not None and pairs > most:
            raise ValueError(f"it has more than {most} pairs of a concept and one above it: import it instead")
        above[n] = array("I", sorted(found))
        for child in under.get(n, ()):
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    if len(ready) < len(named):
        cyclic = next(code for code, n in numbers.items() if waiting[n] and _reaches(n, over))
        raise ValueError(f"the code {cyclic!r} lies above itself")
    return Tree(numbers, above, inner, strange)


def _reaches(start: int, over: list[list[int]]) -> bool:
    """Whether a way up from a concept leads back to it."""
    seen, open_ = set[int](), list(over[start])
    while open_:
        n = open_.pop()
        if n == start:
            return True
        if n not in seen:
            seen.add(n)
            open_ += over[n]
    return False
