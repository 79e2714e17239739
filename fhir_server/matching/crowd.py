"""Everybody as the matcher judged them last, in memory: whom a study that changed may concern. decisions/0013-*.md

It only says who is judged first. Whoever that is, is judged by what is stored; and a study that changed is compared
with everybody all the same. So nothing depends on what is missing here, or not of today. Of whom nothing may be known,
nothing is kept.
"""

from array import array
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import repeat
from typing import NamedTuple

from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.people import Person
from fhir_server.matching.permission import NO_STUDY
from fhir_server.matching.places import Sets, ones
from fhir_server.matching.population import Population
from fhir_server.matching.projection import excerpt, place, projection
from fhir_server.terminology.codes import Terminology

MOST = 250_000  # people, about 1.1 kB each; those who come later are judged in their turn
_NO, _YES = b"01"  # digits of a set


class Crowd:
    """People by number; for each place that criteria look at the projection that each of them has."""

    def __init__(self, terminology: Terminology) -> None:
        self.terminology = terminology
        self._ids: list[str] = []  # by number; "" where nobody is any more
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []
        self._named: dict[str, frozenset[str]] = {}  # studies that a person's Consents name and permit
        self._columns: dict[Hashable, _Column] = {}  # by place

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self._ids)

    @property
    def full(self) -> bool:
        """Whether nobody more is kept."""
        return max(len(self._numbers), len(self._named)) >= MOST

    def learn(self, person: Person, places: Mapping[Hashable, Leaf], today: date) -> None:
        """Keep what some places show of a person. What other places showed stays."""
        self.forget(id for id in person.ids if id != person.id)
        permission = person.permission
        named = frozenset(id for id in permission.named if not person.deceased and permission.of_study(id))
        self._named.pop(person.id, None)
        if named and not self.full:
            self._named[person.id] = named
        facts = person.known.get(NO_STUDY)
        if facts is None:
            self._leave(person.id)
        elif (number := self._number(person.id)) is not None:
            for at, leaf in places.items():
                column = self._columns.get(at)
                if column is None:
                    column = self._columns[at] = _Column(leaf)
                column.put(number, facts, today)

    def forget(self, ids: Iterable[str]) -> None:
        """Let go of all that is known of some."""
        for id in ids:
            self._named.pop(id, None)
            self._leave(id)

    def only(self, places: Container[Hashable]) -> None:
        """Let go of what places show that nobody looks at any more."""
        self._columns = {at: column for at, column in self._columns.items() if at in places}

    def likely(self, study: Study, today: date, most: int) -> list[str]:
        """Whom a study does not surely rule out: ids of Patients that lead; nobody if they are more than `most`."""
        found = Population(self, self.terminology, today).of_study(study).possible
        if found.bit_count() - len(self._free) > most:  # of who is not there, all is possible
            return []
        ids = dict.fromkeys(self._ids[number] for number in ones(found))
        ids.update((id, None) for id, named in self._named.items() if study.id in named)
        ids.pop("", None)
        return list(ids)

    def index(self, leaf: Leaf) -> "_Asked | None":
        """See places.Places."""
        column = self._columns.get(place(leaf))
        return None if column is None else _Asked(column, self.size)

    def _number(self, id: str) -> int | None:
        number = self._numbers.get(id)
        if number is None and len(self._numbers) < MOST:
            number = self._free.pop() if self._free else len(self._ids)
            self._ids[number : number + 1] = [id]
            self._numbers[id] = number
        return number

    def _leave(self, id: str) -> None:
        number = self._numbers.pop(id, None)
        if number is not None:
            for column in self._columns.values():
                column.drop(number)
            self._ids[number] = ""
            self._free.append(number)


@dataclass(slots=True)
class _Shared:
    """A projection: what it is, facts that have it and show no more, and how many people have it."""

    key: Hashable
    facts: Facts
    people: int = 0


class _Column:
    """One place: which projection each person has. What nobody has any more is let go of."""

    def __init__(self, leaf: Leaf) -> None:
        self._leaf = leaf  # one of those that look here
        self.held = array("I")  # by the number of the person, which of `shared`; 0: not known
        self.shared: list[_Shared | None] = [None]
        self._places: dict[Hashable, int] = {}
        self._free: list[int] = []

    def put(self, number: int, facts: Facts, today: date) -> None:
        """Note what facts show here."""
        key = projection(self._leaf, facts, today)
        at = self._places.get(key)
        if at is None:
            at = self._places[key] = self._free.pop() if self._free else len(self.shared)
            self.shared[at : at + 1] = [_Shared(key, excerpt(self._leaf, facts, today))]
        self._hold(number, at)

    def drop(self, number: int) -> None:
        """Forget what somebody showed here."""
        if number < len(self.held):
            self._hold(number, 0)

    def _hold(self, number: int, at: int) -> None:
        self.held.extend(repeat(0, number + 1 - len(self.held)))
        before, self.held[number] = self.held[number], at
        if (now := self.shared[at]) is not None:
            now.people += 1
        if (old := self.shared[before]) is not None:
            old.people -= 1
            if not old.people:
                del self._places[old.key]
                self.shared[before] = None
                self._free.append(before)


class _Asked(NamedTuple):
    """A place as population.py asks about it. Of whom nothing is known there, all is possible."""

    column: _Column
    size: int

    def sets(self, judged: Callable[[Facts], Outcome]) -> Sets:
        """See places.Index."""
        shared, held = self.column.shared, self.column.held
        outcomes = ["unknown" if one is None else judged(one.facts) for one in shared]
        met = bytes(_YES if outcome == "met" else _NO for outcome in outcomes)
        possible = bytes(_NO if outcome == "not-met" else _YES for outcome in outcomes)
        return Sets(_set(met, held, self.size), _set(possible, held, self.size))


def _set(digits: bytes, held: "array[int]", size: int) -> int:
    """The people whose projection has a 1, as a set; its last digit is the person of number 0."""
    every = bytes(map(digits.__getitem__, held)).ljust(size, digits[:1])
    return int(every[::-1] or b"0", 2)
