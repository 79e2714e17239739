"""Where a variant Observation lies and which alleles it names, as Genomics Reporting STU2 and STU3 write it.

https://hl7.org/fhir/uv/genomics-reporting/StructureDefinition-variant.html
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fhir_server.genomics.alleles import ACCESSION, Allele, keys, parse, replaced, spelled
from fhir_server.genomics.assemblies import accession_of, assembly_named, chromosome_named, is_chromosome
from fhir_server.genomics.consumer import is_finding

VARIANT, PRESENT = "69548-6", "LA9633-4"
VOID = ("entered-in-error", "cancelled")  # statuses of what does not hold
MOST_KEYS = 64  # placements of an allele that are indexed; beyond them only the leftmost
ZERO_INTERVAL, ZERO_CHARACTER = "LA30100-4", "LA30101-2"  # LOINC LL5323-2; without a word positions count from 1
LONG = 50  # bases, by which structural variants are told from short ones
# Changes (LOINC 48019-4) that only structural variants are: of copy number, duplication, inversion, translocation.
STRUCTURAL = frozenset({"SO:0001019", "SO:0001742", "SO:0001743", "SO:1000035", "SO:1000036", "SO:0000199",
                        "LA6686-5", "LA6689-9", "LA14033-7", "LA14034-5"})  # fmt: skip

Parts = Mapping[str, list[dict[str, Any]]]
_EMPTY: Mapping[str, Any] = {}


class Interval(NamedTuple):
    """Bases `start` up to and without `end` of a sequence, counted from 0."""

    accession: str
    start: int
    end: int


class Placed(NamedTuple):
    """What a variant Observation that says "present" says of where and what: alleles as (accession, key), HGVS as it
    is spelled, intervals of a simple variant, and of a structural one the widest and the surest that it has."""

    alleles: tuple[tuple[str, str], ...] = ()
    spellings: tuple[str, ...] = ()
    simple: tuple[Interval, ...] = ()
    widest: tuple[Interval, ...] = ()
    surest: tuple[Interval, ...] = ()


NOWHERE = Placed()


def place(resource: Mapping[str, Any]) -> Placed:
    """Read a variant Observation; nothing where it holds no result or does not say that the variant is present."""
    if not holds(resource) or PRESENT not in codes(resource.get("valueCodeableConcept")):
        return NOWHERE
    parts = components(resource)
    accession = _accession(parts)
    system = next(iter(texts(parts, "92822-6")), "")
    exact, outer, inner = (_range(parts, code, system) for code in ("81254-5", "81301-4", "81302-2"))
    alleles: list[tuple[Allele, tuple[str, ...]]] = []
    spellings: list[str] = []
    stated = _stated(parts, accession, exact)
    if stated:
        alleles.append((stated, _keys(stated)))
    for text in dict.fromkeys(texts(parts, "81290-9", "81252-9", "48004-6", "48005-3")):
        allele = parse(text) if ":" in text else None
        found = _keys(allele) if allele else ()
        if allele:
            alleles.append((allele, found))
        if not found and ":" in text:  # what has a key needs no other name
            spellings.append(spelled(text))
    simple = [_of_allele(allele) for allele, _ in alleles if allele.changes]
    widest = surest = None
    if outer or inner:
        widest, surest = outer or inner, inner or outer
    elif exact and not alleles and _is_structural(parts, exact):
        widest = surest = exact
    elif exact and accession and all(allele.accession != accession for allele, _ in alleles):
        simple.append(Interval(accession, *exact))
    return Placed(
        tuple(dict.fromkeys((allele.accession, key) for allele, found in alleles for key in found)),
        tuple(dict.fromkeys(filter(None, spellings))),
        tuple(dict.fromkeys(simple)),
        (Interval(accession, *widest),) if accession and widest else (),
        (Interval(accession, *surest),) if accession and surest else (),
    )


def holds(resource: Mapping[str, Any]) -> bool:
    """Whether an Observation is a result at all: neither void nor read in raw data, which proves nothing."""
    return resource.get("status") not in VOID and not is_finding(resource)


def components(resource: Mapping[str, Any]) -> Parts:
    """The components of an Observation by each code they have, of whatever system."""
    found: dict[str, list[dict[str, Any]]] = {}
    for component in resource.get("component", ()):
        for coding in component.get("code", _EMPTY).get("coding", ()):
            if "code" in coding:
                found.setdefault(coding["code"], []).append(component)
    return found


def codes(concept: Any) -> Iterator[str]:
    """The codes of a CodeableConcept."""
    for coding in (concept or {}).get("coding", ()):
        if "code" in coding:
            yield coding["code"]


def texts(parts: Parts, *wanted: str) -> Iterator[str]:
    """What components say in codes, displays, texts and strings, in the order of `wanted`."""
    for code in wanted:
        for part in parts.get(code, ()):
            concept = part.get("valueCodeableConcept", _EMPTY)
            for coding in concept.get("coding", ()):
                if "code" in coding:
                    yield coding["code"]
                if "display" in coding:
                    yield coding["display"]
            if "text" in concept:
                yield concept["text"]
            if "valueString" in part:
                yield part["valueString"]


def _accession(parts: Parts) -> str:
    """The sequence that the ranges are of: the stated one, else the chromosome of the stated assembly."""
    stated = [text for text in texts(parts, "48013-7") if ACCESSION.fullmatch(text)]
    if stated:
        return next(filter(is_chromosome, stated), stated[0])
    chromosome = next(filter(None, map(chromosome_named, texts(parts, "48000-4"))), "")
    assembly = next(filter(None, map(assembly_named, texts(parts, "62374-4"))), "")
    return accession_of(assembly, chromosome)


def _range(parts: Parts, code: str, system: str) -> tuple[int, int] | None:
    """The first range of a component, as start and end; of one end only, the base that is there."""
    for part in parts.get(code, ()):
        found = interval(part.get("valueRange", {}), system)
        if found:
            return found
    return None


def interval(value: Mapping[str, Any], system: str) -> tuple[int, int] | None:
    """A Range of positions in a coordinate system (a LOINC answer) as start and end, counted from 0."""
    low, high = (_whole(value.get(name, {}).get("value")) for name in ("low", "high"))
    before = 0 if system in (ZERO_INTERVAL, ZERO_CHARACTER) else 1
    start = None if low is None else low - before
    end = None if high is None else high + (system == ZERO_CHARACTER)
    if start is None and end is None:
        return None
    start = (end or 1) - 1 if start is None else start
    end = start + 1 if end is None else end
    return (start, max(end, start)) if start >= 0 else None


def _whole(value: Any) -> int | None:
    return int(value) if value is not None and value == int(value) and abs(value) < 1 << 40 else None


def _stated(parts: Parts, accession: str, exact: tuple[int, int] | None) -> Allele | None:
    """The allele of reference allele, alternate allele and exact start."""
    ref, alt = (next((part["valueString"] for part in parts.get(code, ()) if "valueString" in part), None)
                for code in ("69547-8", "69551-0"))  # fmt: skip
    if not accession or exact is None or ref is None or alt is None:
        return None
    return replaced(accession, exact[0], ref, alt)


def _of_allele(allele: Allele) -> Interval:
    """The bases that an allele concerns; an insertion lies before the base that follows it."""
    return Interval(allele.accession, allele.start, allele.start + max(allele.length, 1))


def _is_structural(parts: Parts, exact: tuple[int, int]) -> bool:
    """Whether a variant of which no allele is known is a structural one: by its kind, its copies or its length."""
    return "82155-3" in parts or exact[1] - exact[0] >= LONG or not STRUCTURAL.isdisjoint(texts(parts, "48019-4"))


def _keys(allele: Allele) -> tuple[str, ...]:
    found = keys(allele, most=MOST_KEYS)
    return found if len(found) < MOST_KEYS else found[:1]
