"""Many patients against many studies: three-valued logic on sets of patients. docs/decisions/0013-*.md

A criterion is two sets, of those who surely meet it and of those who may, each an integer with a bit for each patient.
A study is an expression of such sets. Which patients are in the two is found by judging each distinct projection of
their facts once.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from fhir_server.fhir.dates import DAY
from fhir_server.matching.criteria import Leaf, Node, Study
from fhir_server.matching.evaluate import answered
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.kinds import Duration
from fhir_server.matching.places import People, Places, Sets
from fhir_server.terminology.codes import Terminology

_EPOCH = date(1970, 1, 1).toordinal()


def day(now: int) -> date:
    """The day of a time (µs)."""
    return date.fromordinal(_EPOCH + now // DAY)


def population(people: Sequence[Facts], terminology: Terminology, now: int) -> "Population":
    """The patients with these facts, by the number of each in the order given, at time `now` (µs)."""
    return Population(People(people, day(now)), terminology, day(now))


class Population:
    """Some patients, asked on one day."""

    def __init__(self, places: Places, terminology: Terminology, today: date) -> None:
        self._places, self._terminology, self._today = places, terminology, today
        self.size = places.size
        self._all = (1 << self.size) - 1
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
        elif node.needed == len(node.parts):
            found = self._all_of(node.parts)
        elif node.needed == 1:
            found = self._any_of(node.parts)
        else:
            parts = [self._node(part) for part in node.parts]
            met, possible = ([part[side] for part in parts] for side in (0, 1))
            found = Sets(self._at_least(node.needed, met), self._at_least(node.needed, possible))
        if node.exclude:
            return Sets(self._all & ~found.possible, self._all & ~found.met)
        return found

    def _all_of(self, parts: Iterable[Node]) -> Sets:
        met = possible = self._all
        for part in parts:
            one = self._node(part)
            met, possible = met & one.met, possible & one.possible
            if not possible:  # nobody is left: of one patient, most studies end at the first criterion
                break
        return Sets(met, possible)

    def _any_of(self, parts: Iterable[Node]) -> Sets:
        met = possible = 0
        for part in parts:
            one = self._node(part)
            met, possible = met | one.met, possible | one.possible
            if met == self._all:
                break
        return Sets(met, possible)

    def _at_least(self, needed: int, sets: Sequence[int]) -> int:
        """Those who are in at least so many of the sets."""
        if needed > len(sets):
            return 0
        reached = [self._all, *[0] * needed]  # reached[n]: who is in n or more of those seen
        for one in sets:
            for n in range(needed, 0, -1):
                reached[n] |= reached[n - 1] & one
        return reached[needed]

    def _leaf(self, leaf: Leaf) -> Sets:
        key = id(leaf.test), leaf.max_age
        found = self._found.get(key)
        if found is None:
            bare, index = Leaf("", leaf.test, False, leaf.max_age), self._places.index(leaf)

            def judged(facts: Facts) -> Outcome:
                return answered(bare, facts, self._terminology, self._today).outcome

            found = self._found[key] = Sets(0, self._all) if index is None else index.sets(judged)
        return found
