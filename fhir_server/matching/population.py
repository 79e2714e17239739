"""Many patients against many studies: three-valued logic on sets of patients. docs/decisions/0013-*.md

A criterion is two sets, of those who surely meet it and of those who may, each an integer with a bit for each patient.
A study is an expression of such sets. Which patients are in the two is found by judging each distinct projection of
their facts once.
"""

from array import array
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence, Set
from datetime import date
from typing import NamedTuple

from fhir_server.fhir.dates import DAY
from fhir_server.matching.criteria import Leaf, Node, Study, leaves
from fhir_server.matching.evaluate import answered
from fhir_server.matching.facts import Facts
from fhir_server.matching.finding import Outcome
from fhir_server.matching.kinds import Duration
from fhir_server.matching.projection import place, projection
from fhir_server.terminology.codes import Terminology

_EPOCH = date(1970, 1, 1).toordinal()
MANY = 128  # a group of more than one in so many is a set: to go through its members takes longer


class Sets(NamedTuple):
    """Those who surely meet something, and those who may: the first are among the second."""

    met: int
    possible: int


class Population:
    """The facts of some patients, by the place of each in the order given, asked on one day."""

    def __init__(self, people: Sequence[Facts], terminology: Terminology, now: int) -> None:
        self._people: Sequence[Facts] | None = people
        self._terminology = terminology
        self._today = date.fromordinal(_EPOCH + now // DAY)
        self.size = len(people)
        self._all = (1 << self.size) - 1
        self._indexes: dict[Hashable, _Index] = {}  # by place
        self._found: dict[tuple[int, Duration | None], Sets] = {}  # by identity of the test

    def of_study(self, study: Study) -> Sets:
        """Who meets a study, by any of its ways in, and who may."""
        ways = [self._node(way.root) for way in study.alternatives]
        met = possible = 0
        for way in ways:
            met, possible = met | way.met, possible | way.possible
        return Sets(met, possible)

    def prepare(self, studies: Iterable[Study]) -> None:
        """Index all that studies look at now, and let go of the people: only studies with the same criteria, or others
        that look at the same, can be asked about then."""
        for leaf in {
            id(leaf): leaf for study in studies for way in study.alternatives for leaf in leaves(way.root)
        }.values():
            self._index(leaf)
        self._people = None

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
            bare, index = Leaf("", leaf.test, False, leaf.max_age), self._index(leaf)
            outcomes = [answered(bare, facts, self._terminology, self._today).outcome for facts in index.examples]
            met = index.those({"met"}, outcomes)
            found = self._found[key] = Sets(met, met | index.those({"unknown"}, outcomes))
        return found

    def _index(self, leaf: Leaf) -> "_Index":
        at = place(leaf)
        found = self._indexes.get(at)
        if found is None:
            if self._people is None:
                raise LookupError("The people were let go of before anybody asked for this.")
            groups: dict[Hashable, list[int]] = {}
            for number, facts in enumerate(self._people):
                groups.setdefault(projection(leaf, facts, self._today), []).append(number)
            found = self._indexes[at] = _index_of(groups.values(), self._people)
        return found


class _Index(NamedTuple):
    """One place: someone of each projection, and who else has it: as a set where they are many, else by name."""

    examples: list[Facts]
    members: list["int | array[int]"]
    size: int

    def those(self, wanted: Set[Outcome], outcomes: Iterable[Outcome]) -> int:
        """Whose projections have such an outcome."""
        held, few = 0, array("I")
        for outcome, members in zip(outcomes, self.members, strict=True):
            if outcome in wanted:
                if isinstance(members, int):
                    held |= members
                else:
                    few += members
        return held | bits(few, self.size) if few else held


def _index_of(groups: Collection[list[int]], people: Sequence[Facts]) -> _Index:
    size = len(people)
    members: list[int | array[int]] = [
        bits(some, size) if len(some) * MANY > size else array("I", some) for some in groups
    ]
    return _Index([people[some[0]] for some in groups], members, size)


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
