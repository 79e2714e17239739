"""Many patients against many studies: three-valued logic on sets of patients. docs/decisions/0013-*.md

A criterion is two sets, of those who surely meet it and of those who may, each an integer with a bit for each patient.
A study is an expression of such sets. Which patients are in the two is found by judging each distinct projection of
their facts once.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import date
from functools import reduce
from operator import and_, or_
from typing import NamedTuple

from fhir_server.fhir.dates import DAY
from fhir_server.matching.criteria import Leaf, Node, Study
from fhir_server.matching.evaluate import answered
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.kinds import Duration
from fhir_server.matching.projection import place, projection
from fhir_server.terminology.codes import Terminology

_EPOCH = date(1970, 1, 1).toordinal()


class Sets(NamedTuple):
    """Those who surely meet something, and those who may: the first are among the second."""

    met: int
    possible: int


class Population:
    """The facts of some patients, by the place of each in the order given, asked on one day."""

    def __init__(self, people: Sequence[Facts], terminology: Terminology, now: int) -> None:
        self._people, self._terminology = people, terminology
        self._today = date.fromordinal(_EPOCH + now // DAY)
        self._all = (1 << len(people)) - 1
        self._groups: dict[Hashable, list[tuple[Facts, int]]] = {}  # by place: someone of each projection, and the set
        self._found: dict[tuple[int, Duration | None], Sets] = {}  # by identity of the test

    def of_study(self, study: Study) -> Sets:
        """Who meets a study, by any of its ways in, and who may."""
        ways = [self._node(way.root) for way in study.alternatives]
        met = possible = 0
        for way in ways:
            met, possible = met | way.met, possible | way.possible
        return Sets(met, possible)

    def outcome(self, sets: Sets, number: int) -> Outcome:
        """How one patient stands."""
        bit = 1 << number
        return "met" if sets.met & bit else "unknown" if sets.possible & bit else "not-met"

    def _node(self, node: Node) -> Sets:
        if isinstance(node, Leaf):
            found = self._leaf(node)
        else:
            parts = [self._node(part) for part in node.parts]
            met, possible = ([part[side] for part in parts] for side in (0, 1))
            found = Sets(self._at_least(node.needed, met), self._at_least(node.needed, possible))
        if node.exclude:
            return Sets(self._all & ~found.possible, self._all & ~found.met)
        return found

    def _at_least(self, needed: int, sets: Sequence[int]) -> int:
        """Those who are in at least so many of the sets."""
        if needed > len(sets):
            return 0
        if needed == len(sets):
            return reduce(and_, sets, self._all)
        if needed == 1:
            return reduce(or_, sets, 0)
        reached = [self._all, *[0] * needed]  # reached[n]: who is in n or more of those seen
        for one in sets:
            for n in range(needed, 0, -1):
                reached[n] |= reached[n - 1] & one
        return reached[needed]

    def _leaf(self, leaf: Leaf) -> Sets:
        key = id(leaf.test), leaf.max_age
        found = self._found.get(key)
        if found is None:
            bare, met, possible = Leaf("", leaf.test, False, leaf.max_age), 0, 0
            for facts, members in self._projected(leaf):
                outcome = answered(bare, facts, self._terminology, self._today).outcome
                met |= members if outcome == "met" else 0
                possible |= members if outcome != "not-met" else 0
            found = self._found[key] = Sets(met, possible)
        return found

    def _projected(self, leaf: Leaf) -> list[tuple[Facts, int]]:
        at = place(leaf)
        found = self._groups.get(at)
        if found is None:
            groups: dict[Hashable, list[int]] = {}
            for number, facts in enumerate(self._people):
                groups.setdefault(projection(leaf, facts), []).append(number)
            size = len(self._people)
            found = self._groups[at] = [(self._people[some[0]], bits(some, size)) for some in groups.values()]
        return found


def ones(held: int) -> Iterator[int]:
    """The places that are in a set."""
    while held:
        lowest = held & -held
        yield lowest.bit_length() - 1
        held ^= lowest


def bits(places: Iterable[int], size: int) -> int:
    """The set of some places below `size`."""
    held = bytearray(size // 8 + 1)
    for one in places:
        held[one >> 3] |= 1 << (one & 7)
    return int.from_bytes(held, "little")
