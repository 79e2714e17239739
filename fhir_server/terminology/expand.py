"""Which codes a value set holds, as far as they can be listed here. https://hl7.org/fhir/R4/valueset.html#compositions

What cannot be listed is refused, never left out: a filter on a code system that is not loaded, more codes than LIMIT.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, refuse
from fhir_server.search.known import Members
from fhir_server.store.terms import AllOf, Condition, Term
from fhir_server.terminology.concepts import is_abstract, is_inactive
from fhir_server.terminology.select import ACTIVE, at_or_above, at_or_below, filtered
from fhir_server.terminology.source import Source, sound
from fhir_server.terminology.system import System, concept_of, identity, term, whole

MOST_CODES = 25_000  # of an expansion
DEEPEST = 20  # value sets in value sets

Pair = tuple[str, str]


class Entry(NamedTuple):
    """One code of an expansion; of its concept only what is known: `display`, `designation`."""

    system: str
    code: str
    version: str = ""
    concept: Mapping[str, Any] = {}
    inactive: bool = False
    abstract: bool = False


@dataclass
class Codes:
    """Codes in order, and systems of which every code belongs because their codes cannot be listed."""

    entries: dict[Pair, Entry] = field(default_factory=dict)
    systems: frozenset[str] = frozenset()

    def holds(self, pair: Pair) -> bool:
        """Whether the code is one of them."""
        return pair in self.entries or pair[0] in self.systems


@dataclass
class Reading:
    """One expansion being made: the versions of code systems that it was made from, and how much of each concept is
    wanted: without `told`, codes alone."""

    source: Source
    told: bool = True
    active: bool = False
    versions: dict[str, None] = field(default_factory=dict)
    done: dict[str, Codes] = field(default_factory=dict)  # sets that were imported already, by URL


async def members(source: Source, url: str) -> Members:
    """The codes of a value set for a search. FhirError 400 for a set that is unknown, too large or not expandable."""
    with sound(url):
        found = await expand(Reading(source, told=False), await known(source, url), url)
    return Members(tuple(sorted(found.entries)), tuple(sorted(found.systems)))


async def hierarchy(source: Source, system: str, code: str, relation: Literal["above", "below"]) -> Members:
    """The code with all that lie above or below it. Raises FhirError 400 if the code is not known, or has too many."""
    found = await _system(source, system, "", f"The codes {relation} one of")
    if await term(found, code) is None:
        raise refuse(400, "not-found", f"Code system {system[:200]!r} has no code {code[:60]!r} here.")
    where = await (at_or_below if relation == "below" else at_or_above)(found, code)
    codes = await found.codes(where, MOST_CODES + 1)
    if len(codes) > MOST_CODES:
        raise too_costly(f"{system}|{code}")
    return Members(tuple(sorted((system, one) for one in codes)))


async def known(source: Source, url: str) -> Resource | Members:
    """A value set by its canonical. Raises FhirError 400 not-found."""
    found = await source.value_set(url)
    if found is None:
        raise refuse(400, "not-found", f"Value set {url[:200]!r} is not known: load it, or check its URL.")
    return found


def too_costly(what: str) -> FhirError:
    """The refusal of more codes than are listed at once."""
    return refuse(400, "too-costly", f"{what[:200]!r} expands to more than {MOST_CODES} codes.")


async def expand(reading: Reading, value_set: Resource | Members, url: str, depth: int = 0) -> Codes:
    """All codes of a value set, in the order of its composition. Raises FhirError 400."""
    if depth > DEEPEST:
        raise refuse(400, "too-costly", f"Value set {url[:200]!r} imports more than {DEEPEST} deep, or itself.")
    if isinstance(value_set, Members):
        return Codes({pair: Entry(*pair) for pair in value_set.pairs}, frozenset(value_set.systems))
    compose = value_set.get("compose")
    if compose is None:
        listed = contained(value_set.get("expansion", {}).get("contains", ()), reading.told)
        return Codes({(entry.system, entry.code): entry for entry in listed})
    inactive = compose.get("inactive", True) and not reading.active
    found = Codes()
    for part in compose.get("include", ()):
        more = await _include(reading, part, depth, inactive)
        found.entries.update({pair: entry for pair, entry in more.entries.items() if pair not in found.entries})
        found.systems |= more.systems
        if len(found.entries) > MOST_CODES:
            raise too_costly(url)
    for part in compose.get("exclude", ()):
        without = await _include(reading, part, depth, True)
        open_ = {system for system, _ in without.entries} & (found.systems - without.systems)
        if open_:
            raise _unlisted(url, open_)
        found.entries = {pair: entry for pair, entry in found.entries.items() if not without.holds(pair)}
        found.systems -= without.systems
    return found


def _unlisted(url: str, systems: Iterable[str]) -> FhirError:
    text = f"Value set {url[:200]!r} leaves codes out of {', '.join(systems)[:99]}, whose codes are not all here."
    return refuse(400, "not-supported", text)


def contained(items: Iterable[Mapping[str, Any]], abstract: bool) -> Iterable[Entry]:
    """The codes of an expansion that a resource holds; without `abstract`, those that may be chosen."""
    stack = [*reversed(list(items))]
    while stack:
        item = stack.pop()
        if "code" in item and (abstract or not item.get("abstract")):
            gone = bool(item.get("inactive"))
            version = item.get("version", "")
            yield Entry(item.get("system", ""), item["code"], version, item, gone, bool(item.get("abstract")))
        stack += reversed(item.get("contains", ()))


async def _include(reading: Reading, part: Mapping[str, Any], depth: int, inactive: bool) -> Codes:
    """One include or exclude: what is in its system part and in each of its value sets."""
    sets = [await _imported(reading, url, depth) for url in part.get("valueSet", ())]
    if "system" in part:
        sets.insert(0, await _of_system(reading, part, inactive))
    if not sets:
        return Codes()
    first, *others = sets
    for other in others:
        both = {pair: entry for pair, entry in first.entries.items() if other.holds(pair)}
        both |= {pair: entry for pair, entry in other.entries.items() if pair not in both and first.holds(pair)}
        first = Codes(both, first.systems & other.systems)
    return first


async def _imported(reading: Reading, url: str, depth: int) -> Codes:
    """The codes of a value set that another imports, put together once however often it is named."""
    if url not in reading.done:
        reading.done[url] = await expand(reading, await known(reading.source, url), url, depth + 1)
    return reading.done[url]


async def _of_system(reading: Reading, part: Mapping[str, Any], inactive: bool) -> Codes:
    url, version = part["system"], part.get("version", "")
    if "concept" in part:
        return await _enumerated(reading, part, inactive)
    system = await reading.source.system(url, version)
    if not part.get("filter") and (system is None or not whole(system)):
        return Codes(systems=frozenset((url,)))
    if system is None:
        system = await _system(reading.source, url, version, "The codes that a filter selects from")
    reading.versions[identity(system)] = None
    where = await selected(system, part, inactive)
    if not reading.told:
        codes = await system.codes(where, MOST_CODES + 1)
        return Codes({(url, code): Entry(url, code) for code in codes})
    terms = await system.select(where, 0, MOST_CODES + 1)
    return Codes({(url, one.code): entry(system, one) for one in terms})


async def selected(system: System, part: Mapping[str, Any], inactive: bool) -> Condition:
    """What an include with filters, or none, takes from its system."""
    where = await filtered(system, tuple(part.get("filter", ())))
    return where if inactive else AllOf((where, ACTIVE))


def entry(system: System, one: Term, more: Mapping[str, Any] | None = None) -> Entry:
    """A term as a code of an expansion; `more` is what a value set says of it."""
    concept = {**concept_of(one), **(more or {})}
    gone, abstract = is_inactive(concept, system.named), is_abstract(concept, system.named)
    return Entry(system.about["url"], one.code, system.about.get("version", ""), concept, gone, abstract)


async def _enumerated(reading: Reading, part: Mapping[str, Any], inactive: bool) -> Codes:
    """Codes that a value set names: with what is known of them, and without those that are known not to exist."""
    url = part["system"]
    said = {one["code"]: one for one in part["concept"]}
    system = await reading.source.system(url, part.get("version", "")) if reading.told or not inactive else None
    if system is None:
        return Codes({(url, code): Entry(url, code, part.get("version", ""), one) for code, one in said.items()})
    reading.versions[identity(system)] = None
    found = {one.code: entry(system, one, said[one.code]) for one in await system.find(list(said))}
    if not whole(system):
        found = {code: found.get(code) or Entry(url, code, "", one) for code, one in said.items()}
    listed = [found[code] for code in said if code in found]
    return Codes({(url, one.code): one for one in listed if inactive or not one.inactive})


async def _system(source: Source, url: str, version: str, what: str) -> System:
    found = await source.system(url, version)
    if found is None:
        named = f"{url}|{version}" if version else url
        raise refuse(400, "not-found", f"{what} {named[:200]!r} cannot be listed: no such CodeSystem is loaded.")
    return found
