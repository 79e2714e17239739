"""Who shares a projection, for each place that criteria look at: what population.py judges once each.

A place is what criteria look at alike (projection.py).
"""

from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence, Set
from datetime import date
from typing import NamedTuple, Protocol

from fhir_server.matching.criteria import Leaf, Study, leaves
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.projection import place, projection

MANY = 128  # a group of more than one in so many is a set: to go through its members takes longer


class Sets(NamedTuple):
    """Those who surely meet something, and those who may: the first are among the second."""

    met: int
    possible: int


class Index(Protocol):
    """Some people by the projection that they have in one place."""

    def sets(self, judged: Callable[[Facts], Outcome]) -> Sets:
        """Who comes out how, where each projection is judged once."""
        ...


class Places(Protocol):
    """Some people by the projections that they have in all places."""

    @property
    def size(self) -> int:
        """How many they are; each has a number below it."""
        ...

    def index(self, leaf: Leaf) -> Index | None:
        """By the place that a criterion looks at; None if nothing is known of that."""
        ...


class People:
    """The places of some patients, by the number of each in the order given, on one day; found when asked for."""

    def __init__(self, people: Sequence[Facts], today: date) -> None:
        self._people: Sequence[Facts] | None = people
        self._today = today
        self.size = len(people)
        self._indexes: dict[Hashable, _Groups] = {}  # by place

    def prepare(self, studies: Iterable[Study]) -> None:
        """Index all that studies look at now, and let go of the people: only studies with the same criteria, or others
        that look at the same, can be asked about then."""
        for leaf in every_place(studies).values():
            self.index(leaf)
        self._people = None

    def index(self, leaf: Leaf) -> "_Groups":
        """See Places."""
        at = place(leaf)
        found = self._indexes.get(at)
        if found is None:
            if self._people is None:
                raise LookupError("The people were let go of before anybody asked for this.")
            groups: dict[Hashable, list[int]] = {}
            for number, facts in enumerate(self._people):
                groups.setdefault(projection(leaf, facts, self._today), []).append(number)
            found = self._indexes[at] = _grouped(groups.values(), self._people)
        return found


def every_place(studies: Iterable[Study]) -> dict[Hashable, Leaf]:
    """The places that studies look at, each with a criterion that does."""
    every = {id(leaf): leaf for study in studies for way in study.alternatives for leaf in leaves(way.root)}
    return {place(leaf): leaf for leaf in every.values()}


class _Groups(NamedTuple):
    """One place: someone of each projection, and who else has it: as a set where they are many, else by number."""

    examples: list[Facts]
    members: list["int | array[int]"]
    size: int

    def sets(self, judged: Callable[[Facts], Outcome]) -> Sets:
        """See Index."""
        outcomes = list(map(judged, self.examples))
        met = self._those({"met"}, outcomes)
        return Sets(met, met | self._those({"unknown"}, outcomes))

    def _those(self, wanted: Set[Outcome], outcomes: Iterable[Outcome]) -> int:
        held, few = 0, array("I")
        for outcome, members in zip(outcomes, self.members, strict=True):
            if outcome in wanted:
                if isinstance(members, int):
                    held |= members
                else:
                    few += members
        return held | bits(few, self.size) if few else held


def _grouped(groups: Collection[list[int]], people: Sequence[Facts]) -> _Groups:
    size = len(people)
    members: list[int | array[int]] = [
        bits(some, size) if len(some) * MANY > size else array("I", some) for some in groups
    ]
    return _Groups([people[some[0]] for some in groups], members, size)


def ones(held: int) -> Iterator[int]:
    """The numbers that are in a set."""
    digits = bin(held)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def bits(numbers: Iterable[int], size: int) -> int:
    """The set of some numbers below `size`."""
    held = bytearray(size // 8 + 1)
    for one in numbers:
        held[one >> 3] |= 1 << (one & 7)
    return int.from_bytes(held, "little")
