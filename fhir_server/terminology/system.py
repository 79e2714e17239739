"""One version of one code system, in memory or in the store, asked the same questions. https://hl7.org/fhir/R4/codesystem.html"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fhir_server.fhir.codec import Resource, decode, encode
from fhir_server.fhir.outcome import refuse
from fhir_server.recent import Recent
from fhir_server.store.names import LAST
from fhir_server.store.terms import AllOf, Among, AnyOf, Below, Condition, Edition, Keyed, No, Term, Terms
from fhir_server.terminology.closure import closure
from fhir_server.terminology.concepts import Concept, Names, flat, keys, names, parents

Seen = Recent[tuple[int, str], Term]  # concepts asked about lately, by edition and code
KEPT = 600.0  # seconds: an edition never changes, it is replaced by another
MOST_PAIRS = 1_000_000  # of a concept and one above it, in memory: a chain of 1,400 concepts, or a tree of 100,000


class System(Protocol):
    """A code system; `about` is its resource without concepts."""

    @property
    def about(self) -> Resource:
        """The CodeSystem resource without concepts."""
        ...

    @property
    def named(self) -> Names:
        """What it calls the properties that R4 defines."""
        ...

    async def find(self, codes: Sequence[str]) -> list[Term]:
        """The concepts with these codes."""
        ...

    async def select(self, where: Condition, offset: int, count: int) -> list[Term]:
        """A page of those that meet a condition."""
        ...

    async def codes(self, where: Condition, count: int) -> list[str]:
        """The codes of the first `count` of them."""
        ...

    async def count(self, where: Condition) -> int:
        """How many there are."""
        ...


def concept_of(term: Term) -> dict[str, Any]:
    """The concept of a term as CodeSystem.concept has it."""
    found: dict[str, Any] = decode(term.body)
    return found


def identity(system: System) -> str:
    """`url|version`, or the url alone where there is no version."""
    version = system.about.get("version")
    return f"{system.about['url']}|{version}" if version else str(system.about["url"])


def whole(system: System) -> bool:
    """Whether every code of the system is here."""
    return bool(system.about.get("content") == "complete")


async def term(system: System, code: str) -> Term | None:
    """One concept, None if there is none of this code."""
    found = await system.find((code,))
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Imported:
    """A code system that was imported: its terms are in the store, those asked about lately at hand."""

    terms: Terms
    seen: Seen
    edition: int
    about: Resource
    named: Names

    async def find(self, codes: Sequence[str]) -> list[Term]:
        """See System."""
        found = {code: term for code in codes if (term := self.seen.get((self.edition, code))) is not None}
        missing = [code for code in codes if code not in found]
        for term in await self.terms.find(self.edition, missing) if missing else ():
            self.seen.put((self.edition, term.code), term, KEPT)
            found[term.code] = term
        return sorted(found.values())

    async def select(self, where: Condition, offset: int, count: int) -> list[Term]:
        """See System."""
        return await self.terms.select(self.edition, where, offset, count)

    async def codes(self, where: Condition, count: int) -> list[str]:
        """See System."""
        return await self.terms.codes(self.edition, where, count)

    async def count(self, where: Condition) -> int:
        """See System."""
        return await self.terms.count(self.edition, where)


def imported(terms: Terms, edition: Edition, seen: Seen) -> Imported:
    """An edition of the store as a System that keeps in `seen` what it is asked about."""
    about = decode(edition.about)
    return Imported(terms, seen, edition.number, about, names(about))


class Listed:
    """A code system in memory, from a CodeSystem resource that holds its concepts."""

    def __init__(self, about: Resource, concepts: Sequence[Concept]) -> None:
        self.about, self.named = about, names(about)
        tree = closure(((concept["code"], parents(concept, self.named)) for concept in concepts), MOST_PAIRS)
        self._numbers = tree.numbers
        self._all = frozenset(range(len(concepts)))
        self._terms: list[Term] = []
        self._below: dict[int, set[int]] = {}
        self._keyed: dict[str, set[int]] = {}
        for n, concept in enumerate(concepts):
            self._terms.append(Term(n, concept["code"], tuple(tree.above[n]), (), encode(concept)))
            for above in tree.above[n]:
                self._below.setdefault(above, set()).add(n)
            for key in keys(concept, self.named, bool(tree.inner[n])):
                self._keyed.setdefault(key, set()).add(n)
        self._keys = sorted(self._keyed)

    async def find(self, codes: Sequence[str]) -> list[Term]:
        """See System."""
        return [self._terms[self._numbers[code]] for code in codes if code in self._numbers]

    async def select(self, where: Condition, offset: int, count: int) -> list[Term]:
        """See System."""
        return [self._terms[n] for n in sorted(self._meeting(where))[offset : offset + count]]

    async def codes(self, where: Condition, count: int) -> list[str]:
        """See System."""
        return [self._terms[n].code for n in sorted(self._meeting(where))[:count]]

    async def count(self, where: Condition) -> int:
        """See System."""
        return len(self._meeting(where))

    def _meeting(self, where: Condition) -> frozenset[int] | set[int]:
        match where:
            case Below(n):
                return self._below.get(n, frozenset())
            case Among(ns):
                return self._all.intersection(ns)
            case Keyed(key, False):
                return self._keyed.get(key, frozenset())
            case Keyed(key, True):
                first, end = bisect_left(self._keys, key), bisect_left(self._keys, key + LAST)
                return frozenset[int]().union(*(self._keyed[one] for one in self._keys[first:end]))
            case AllOf(parts):
                return self._all.intersection(*map(self._meeting, parts))
            case AnyOf(parts):
                return frozenset[int]().union(*map(self._meeting, parts))
            case No(part):
                return self._all - self._meeting(part)
        raise ValueError(f"{where} is no condition")


def listed(resource: Resource) -> Listed:
    """A CodeSystem resource as a System. Raises FhirError 400 for one whose concepts make no sense."""
    about = {key: value for key, value in resource.items() if key != "concept"}
    try:
        return Listed(about, list(flat(resource.get("concept", ()))))
    except (ValueError, KeyError) as error:
        raise refuse(400, "invalid", f"CodeSystem {resource.get('url')!r} cannot be used: {error}.") from None
