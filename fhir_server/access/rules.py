"""Rules: what the patients of a resource say of its use, as a number that its row carries. decisions/0011-consent.md

Many resources share a rule, many patients too: what differs between them (names, dates, the Consents' ids) is resolved
before. A rule never changes; its number is a hash of what it says. Which rules permit a request is worked out once, so
that consent in a search is one comparison of a column. A row that is held from participants (gate.py) carries the
number with a minus: the same rule for all others.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

import msgspec

from fhir_server.access.consent import Request, decide
from fhir_server.access.provisions import Node, Voter
from fhir_server.recent import Recent
from fhir_server.search.predicate import RULE, UNTIL, And, Is, Not, Predicate
from fhir_server.store.seam import Store, StoreError, Tx

PREFIX, COUNT = "consent/rule/", "consent/rules"
UNKNOWN, OPEN = 0, 1  # no rule yet: seen by nobody whom consent concerns; and no patient's, so no consent is asked for
FRESH = 1.0  # seconds: how long a rule that another process made may go unnoticed; until then its resources are hidden
MOST = 1_000_000
PERSONS = ("Practitioner", "Patient", "RelatedPerson", "Device")
RELEASED: Predicate = Not(Is(RULE, (("rule", "<", UNKNOWN),)))  # what is not held from participants

People = tuple[tuple[Voter, ...], ...]  # for each person that a resource is about, what they say


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """What is said of a resource by all whom it is about; `contact` where that of its contact details differs."""

    people: People
    contact: People | None = None


class Allowed(NamedTuple):
    """The numbers of the rules that permit a request as it is; and of those that permit it with less (Limits)."""

    rules: tuple[tuple[int], ...]
    limited: "Mapping[int, Limits]"

    def at(self, now: int) -> Predicate:
        """As a condition on resources; `now` in µs. A rule past its time permits nothing until it is made anew."""
        return And((Is(RULE, (("rule", "in", self.rules),)), Is(UNTIL, (("until", ">", now),))))


class Limits(NamedTuple):
    """What must be left out of a resource."""

    identity: bool
    contact: bool


def rule_of(people: Sequence[Sequence[Voter]], contact: Sequence[Sequence[Voter]] | None = None) -> Rule:
    """The rule in its one form: without ids and paths, sorted, each person's once."""
    bare = _bare(people)
    other = None if contact is None else _bare(contact)
    return Rule(bare, None if other == bare else other)


def number_of(rule: Rule) -> int:
    """Its number: 63 bits of SHA-256, never UNKNOWN or OPEN."""
    return max(int.from_bytes(hashlib.sha256(msgspec.json.encode(rule)).digest()[:8], "big") >> 1, 2)


class Rules:
    """The rules that a store holds, as far as this process knows them."""

    def __init__(self) -> None:
        self._known: dict[int, Rule] = {DEFAULT_NUMBER: DEFAULT, -DEFAULT_NUMBER: DEFAULT}
        self._allowed: dict[Request, Allowed] = {}
        self._count, self._looked = b"", -FRESH
        self.names_groups = False  # whether some rule speaks of more than persons
        self.belonging: Recent[frozenset[str], frozenset[str]] = Recent(10_000)  # of those who ask

    async def fresh(self, store: Store, at_once: bool = False) -> None:
        """Learn, at most FRESH seconds late or `at_once`, what other processes have added."""
        if not at_once and monotonic() - self._looked < FRESH:
            return
        self._looked = monotonic()
        count = await store.get_state(COUNT)
        if count is None or count[0] == self._count:
            return
        for key, value in await store.list_state(PREFIX, MOST):
            self._learn(int(key.removeprefix(PREFIX), 16), msgspec.json.decode(value, type=Rule))
        self._count = count[0]

    def get(self, number: int) -> Rule | None:
        """A rule by its number."""
        return self._known.get(number)

    async def add(self, tx: Tx, rule: Rule, held: bool = False) -> int:
        """The number of a rule that a transaction is about to use, stored with it if it is new."""
        number = -number_of(rule) if held else number_of(rule)
        if abs(number) == DEFAULT_NUMBER:
            return number
        key, value = f"{PREFIX}{number:016x}", msgspec.json.encode(rule)
        found = await tx.get_state(key)
        if found is None:
            count = await tx.get_state(COUNT)
            total, version = (int(count[0]), count[1]) if count else (0, 0)
            await tx.put_state(key, value, 0)
            await tx.put_state(COUNT, str(total + 1).encode(), version)
        elif found[0] != value:
            raise StoreError(f"Two rules of consent have the number {number}: the store is damaged.")
        return self.learn(rule, held)

    def learn(self, rule: Rule, held: bool = False) -> int:
        """The number of a rule that is judged but not stored."""
        number = -number_of(rule) if held else number_of(rule)
        self._learn(number, rule)
        return number

    @property
    def known(self) -> int:
        """How many rules this process knows."""
        return len(self._known)

    def allowed(self, request: Request) -> Allowed:
        """Which rules permit a request."""
        found = self._allowed.get(request)
        if found is None:
            if len(self._allowed) >= 10_000:
                self._allowed.clear()
            found = Allowed(((OPEN,),), {})
            for number, rule in self._known.items():
                found = _with(found, number, rule, request)
            self._allowed[request] = found
        return found

    def permits(self, rule: Rule | int, request: Request) -> Limits | None:
        """What must be left out of a resource with this rule for this request; None if it is not permitted at all."""
        if rule == OPEN:
            return Limits(False, False)
        known = self._known.get(rule) if isinstance(rule, int) else rule
        found = _with(Allowed((), {}), OPEN, known, request) if known is not None else Allowed((), {})
        return Limits(False, False) if found.rules else found.limited.get(OPEN)

    def _learn(self, number: int, rule: Rule) -> None:
        if number not in self._known:
            self._known[number] = rule
            nodes = (
                node for person in (*rule.people, *(rule.contact or ())) for voter in person for node in voter.roots
            )
            groups = (one for one in actors(nodes) if one.partition("/")[0] not in PERSONS)
            self.names_groups = self.names_groups or any(groups)
            self._allowed = {request: _with(found, number, rule, request) for request, found in self._allowed.items()}


def actors(nodes: Iterable[Node]) -> Iterator[str]:
    """Everyone whom provisions name."""
    for node in nodes:
        yield from node.actors or ()
        yield from actors(node.nested)


def _with(allowed: Allowed, number: int, rule: Rule, request: Request) -> Allowed:
    decisions = [decide(person, request) for person in rule.people]
    if not all(decision.permit for decision in decisions):
        return allowed
    hidden = any(decision.deidentified for decision in decisions)
    contact = rule.contact is not None and not all(decide(person, request).permit for person in rule.contact)
    if hidden or contact:
        return allowed._replace(limited={**allowed.limited, number: Limits(hidden, contact)})
    return allowed._replace(rules=(*allowed.rules, (number,)))


def _bare(people: Sequence[Sequence[Voter]]) -> People:
    said = {_sorted(person) for person in people}
    return tuple(sorted(said, key=msgspec.json.encode))


def _sorted(person: Sequence[Voter]) -> tuple[Voter, ...]:
    bare = {_without_names(voter) for voter in person}
    return tuple(sorted(bare, key=msgspec.json.encode))


def _without_names(voter: Voter) -> Voter:
    return msgspec.structs.replace(voter, consent="", roots=tuple(map(_without_path, voter.roots)))


def _without_path(node: Node) -> Node:
    nested = {_without_path(inner) for inner in node.nested}
    return msgspec.structs.replace(node, at="", nested=tuple(sorted(nested, key=msgspec.json.encode)))


DEFAULT = rule_of([()])  # of whom no consent speaks
DEFAULT_NUMBER = number_of(DEFAULT)
