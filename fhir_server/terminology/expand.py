"""Which codes a value set holds, and what lies above and below a code. https://hl7.org/fhir/R4/valueset.html#compositions

Pure: what another resource must say is looked up in a Library, and Absent is raised for what is not in it yet; the
caller fetches that and calls again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.known import Members
from fhir_server.terminology.codes import Concept, Terminology, build

MOST_CODES = 5000  # of an expansion
DEEPEST = 20  # value sets in value sets

Kind = Literal["ValueSet", "CodeSystem"]
Pair = tuple[str, str]


class Absent(Exception):
    """A resource that must be fetched: its type and canonical URL."""

    def __init__(self, kind: Kind, url: str) -> None:
        super().__init__(f"{kind} {url}")
        self.wanted = kind, url


class System(NamedTuple):
    """A code system: its concepts, and whether they are all that it has."""

    concepts: Terminology
    complete: bool


# (type, url) -> a ValueSet resource, or Members, or a System; None for what does not exist.
Library = Mapping[tuple[Kind, str], Resource | Members | System | None]


class _Set(NamedTuple):
    """Codes, and systems of which every code belongs because their codes cannot be listed."""

    pairs: frozenset[Pair]
    systems: frozenset[str] = frozenset()

    def holds(self, pair: Pair) -> bool:
        return pair in self.pairs or pair[0] in self.systems


def expand(library: Library, url: str) -> Members:
    """The codes of a value set. Raises Absent; FhirError 400 for a set that is unknown, too large or not expandable."""
    found = _expand(library, url, 0)
    if len(found.pairs) > MOST_CODES:
        raise _too_costly(url)
    return Members(tuple(sorted(found.pairs)), tuple(sorted(found.systems)))


def hierarchy(library: Library, system: str, code: str, relation: Literal["above", "below"]) -> Members:
    """The code with all that lie above or below it. Raises Absent; FhirError 400 if the code is not known."""
    concepts = _system(library, system, f"The codes {relation} one of").concepts
    if not concepts.known(system, code):
        raise refuse(400, "not-found", f"Code system {system[:200]!r} has no code {code[:60]!r} here.")
    found = concepts.descendants(system, code) if relation == "below" else concepts.ancestors(system, code)
    if len(found) >= MOST_CODES:
        raise _too_costly(f"{system}|{code}")
    return Members(tuple(sorted((system, one) for one in {*found, code})))


def system_of(resource: Resource) -> System:
    """A CodeSystem resource as a System. Raises FhirError 400 if it makes no sense."""
    try:
        return System(build([resource]), resource.get("content") == "complete")
    except (ValueError, KeyError, StopIteration, RecursionError) as error:
        raise refuse(400, "invalid", f"CodeSystem {resource.get('url')!r} cannot be used: {error}") from None


def _too_costly(what: str) -> FhirError:
    return refuse(400, "too-costly", f"{what[:200]!r} expands to more than {MOST_CODES} codes.")


def _fetch(library: Library, kind: Kind, url: str) -> Any:
    if (kind, url) not in library:
        raise Absent(kind, url)
    return library[kind, url]


def _system(library: Library, url: str, what: str) -> System:
    found = _fetch(library, "CodeSystem", url)
    if not isinstance(found, System):
        raise refuse(400, "not-found", f"{what} {url[:200]!r} cannot be listed: no such CodeSystem is loaded.")
    return found


def _expand(library: Library, url: str, depth: int) -> _Set:
    if depth > DEEPEST:
        raise refuse(400, "too-costly", f"Value set {url[:200]!r} imports more than {DEEPEST} deep, or itself.")
    found = _fetch(library, "ValueSet", url)
    if found is None:
        raise refuse(400, "not-found", f"Value set {url[:200]!r} is not known: load it, or check its URL.")
    if isinstance(found, Members):
        return _Set(frozenset(found.pairs), frozenset(found.systems))
    compose = found.get("compose")
    if compose is None:
        return _Set(frozenset(_contained(found.get("expansion", {}).get("contains", ()))))
    inactive = compose.get("inactive", True)
    sets = [_include(library, part, depth, inactive) for part in compose.get("include", ())]
    pairs = frozenset[Pair]().union(*(one.pairs for one in sets))
    systems = frozenset[str]().union(*(one.systems for one in sets))
    for part in compose.get("exclude", ()):
        without = _include(library, part, depth, True)
        open_ = {system for system, _ in without.pairs} & (systems - without.systems)
        if open_:
            raise _unlisted(url, open_)
        pairs = frozenset(pair for pair in pairs if not without.holds(pair))
        systems -= without.systems
    return _Set(pairs, systems)


def _unlisted(url: str, systems: Iterable[str]) -> FhirError:
    text = f"Value set {url[:200]!r} leaves codes out of {', '.join(systems)[:99]}, whose codes are not all here."
    return refuse(400, "not-supported", text)


def _contained(items: Iterable[Mapping[str, Any]]) -> Iterable[Pair]:
    for item in items:
        if "code" in item and not item.get("abstract"):
            yield item.get("system", ""), item["code"]
        yield from _contained(item.get("contains", ()))


def _include(library: Library, part: Mapping[str, Any], depth: int, inactive: bool) -> _Set:
    """One include or exclude: what is in its system part and in each of its value sets."""
    sets = [_expand(library, url, depth + 1) for url in part.get("valueSet", ())]
    if "system" in part:
        sets.append(_of_system(library, part, inactive))
    if not sets:
        return _Set(frozenset())
    first, *others = sets
    for other in others:
        pairs = {pair for pair in first.pairs if other.holds(pair)} | {p for p in other.pairs if first.holds(p)}
        first = _Set(frozenset(pairs), first.systems & other.systems)
    return first


def _of_system(library: Library, part: Mapping[str, Any], inactive: bool) -> _Set:
    url = part["system"]
    if "concept" in part:
        return _Set(frozenset((url, concept["code"]) for concept in part["concept"]))
    filters = part.get("filter", ())
    if not filters:
        whole = _fetch(library, "CodeSystem", url)
        if not isinstance(whole, System) or not whole.complete:
            return _Set(frozenset(), frozenset((url,)))
    system = _system(library, url, "The codes that a filter selects from").concepts
    codes = set(system.loaded.get(url, ()))
    for one in filters:
        codes &= _filtered(system, url, one["property"], one["op"], str(one["value"]))
    if not inactive:
        codes = {code for code in codes if not _is_inactive(system, Concept(url, code))}
    return _Set(frozenset((url, code) for code in codes))


def _is_inactive(system: Terminology, concept: Concept) -> bool:
    return True in system.property(concept, "inactive") or "retired" in system.property(concept, "status")


def _filtered(system: Terminology, url: str, property: str, operator: str, value: str) -> set[str]:
    """The codes that one filter keeps. https://hl7.org/fhir/R4/valueset-filter-operator.html"""
    every = system.loaded.get(url, frozenset())

    def values(code: str) -> set[str]:
        if property in ("concept", "code"):
            return {code}
        return {_plain(found) for found in system.property(Concept(url, code), property)}

    match operator:
        case "=":
            return {code for code in every if value in values(code)}
        case "in" | "not-in":
            listed = {part.strip() for part in value.split(",")}
            return {code for code in every if bool(values(code) & listed) == (operator == "in")}
        case "exists":
            return {code for code in every if bool(values(code)) == (value == "true")}
        case "is-a":
            return {*system.descendants(url, value), value} & every
        case "descendent-of":
            return set(system.descendants(url, value))
        case "is-not-a":
            return set(every - system.descendants(url, value) - {value})
        case "generalizes":
            return {*system.ancestors(url, value), value} & every
    raise refuse(400, "not-supported", f"A value set filters {url[:200]!r} by {operator!r}, which is not supported.")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code", "")) if isinstance(value, Mapping) else str(value)
