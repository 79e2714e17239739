"""Variants, regions and their report as Genomics Reporting writes them. https://hl7.org/fhir/uv/genomics-reporting/

Ids are made of whose sample it is and of what is said, so that the same file gives the same resources.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.genomics.assemblies import LOINC_CODES, MITOCHONDRION, NAMES, accession_of
from fhir_server.genomics.vcf.calls import GERMLINE, SOMATIC, Variant

LOINC, SO, UCUM = "http://loinc.org", "http://www.sequenceontology.org", "http://unitsofmeasure.org"
GUIDE = "http://hl7.org/fhir/uv/genomics-reporting"
NUCCORE, HGVS = "http://www.ncbi.nlm.nih.gov/nuccore", "http://varnomen.hgvs.org"
SPDI, DBSNP = "https://api.ncbi.nlm.nih.gov/variation/v0/", "http://www.ncbi.nlm.nih.gov/snp"
PHASES = "http://terminology.hl7.org/CodeSystem/sequence-phase-relationship-cs"
SOURCES = {GERMLINE: ("LA6683-2", "Germline"), SOMATIC: ("LA6684-0", "Somatic")}
STATES = {
    "heteroplasmic": "LA6703-8", "homoplasmic": "LA6704-6", "homozygous": "LA6705-3", "heterozygous": "LA6706-1",
    "hemizygous": "LA6707-9",
}  # fmt: skip
KINDS = {
    "DEL": ("SO:0000159", "deletion"), "DUP": ("SO:1000035", "duplication"), "INV": ("SO:1000036", "inversion"),
    "INS": ("SO:0000667", "insertion"), "CNV": ("SO:0001019", "copy_number_variation"),
}  # fmt: skip
# Answers of LOINC's list LL2938-0, in the order of NAMES.
CHROMOSOMES = (
    "LA21254-0", "LA21255-7", "LA21256-5", "LA21257-3", "LA21258-1", "LA21259-9", "LA21260-7", "LA21261-5",
    "LA21262-3", "LA21263-1", "LA21264-9", "LA21265-6", "LA21266-4", "LA21267-2", "LA21268-0", "LA21269-8",
    "LA21270-6", "LA21271-4", "LA21272-2", "LA21273-0", "LA21274-8", "LA21275-5", "LA21276-3", "LA21277-1",
)  # fmt: skip
RECORDED = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]},
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "GE"}]},
]
_PLAIN = re.compile(r"[ACGT]+", re.ASCII)

Interval = tuple[int, int]  # positions from 1, both ends included


class Subject(NamedTuple):
    """Whose sample was read, and how: references, "" where nothing is to be said."""

    patient: str
    specimen: str
    order: str  # ServiceRequest
    sample: str  # its name in the file
    assembly: str
    date: str


def variant(subject: Subject, found: Variant) -> Resource:
    """The Observation of a variant that is present."""
    accession = accession_of(subject.assembly, found.chromosome)
    said = (accession, found.pos, found.ref, found.alt, found.kind, found.end)
    components = [
        _coded("62374-4", LOINC, LOINC_CODES[subject.assembly], subject.assembly),
        *_chromosome(found.chromosome),
        _coded("48013-7", NUCCORE, accession),
        _coded("92822-6", LOINC, "LA30102-0", "1-based character counting"),
        *_place(found),
        {**_code("69547-8"), "valueString": found.ref},
        {**_code("69551-0"), "valueString": found.alt},
        *_names(accession, found),
        *([_coded("48002-0", LOINC, *SOURCES[found.source])] if found.source else []),
        *([_coded("53034-5", LOINC, STATES[found.state], found.state.capitalize())] if found.state else []),
        *_amounts(found),
    ]
    return {
        **_observation(subject, "variant", "69548-6", _id("variant", subject, *said)),
        "valueCodeableConcept": {"coding": [{"system": LOINC, "code": "LA9633-4", "display": "Present"}]},
        "component": components,
    }


def phased(subject: Subject, one: str, other: str, together: bool) -> Resource:
    """The Observation of how two variants, by their ids, lie: on one copy of the chromosome (cis) or not (trans)."""
    value = "Cis" if together else "Trans"
    made = _observation(subject, "sequence-phase-relationship", "82120-7", _id("phase", subject, one, other))
    return {
        **made,
        "valueCodeableConcept": {"coding": [{"system": PHASES, "code": value}]},
        "derivedFrom": [{"reference": f"Observation/{id}"} for id in (one, other)],
    }


def region(
    subject: Subject,
    chromosome: str,
    studied: Sequence[Interval],
    uncallable: Sequence[Interval],
    part: object = "",
    genes: Sequence[tuple[str, str]] = (),
) -> Resource:
    """The Observation of what was looked at on a chromosome, or of a part of it; of genes their name and HGNC id."""
    unread = {"code": {"coding": [{"system": f"{GUIDE}/CodeSystem/tbd-codes-cs", "code": "uncallable-regions"}]}}
    said = (chromosome, part) if part != "" else (chromosome,)
    return {
        **_observation(subject, "region-studied", "53041-0", _id("region", subject, *said)),
        "component": [
            *(_gene(*one) for one in genes),
            _coded("48013-7", NUCCORE, accession_of(subject.assembly, chromosome)),
            _coded("92822-6", LOINC, "LA30102-0", "1-based character counting"),
            *({**_code("51959-5"), "valueRange": _range(*one)} for one in studied),
            *({**unread, "valueRange": _range(*one)} for one in uncallable),
        ],
    }


def _gene(name: str, code: str) -> Resource:
    coding = {"coding": [{"system": "http://www.genenames.org", "code": code, "display": name}]} if code else {}
    return {**_code("48018-6"), "valueCodeableConcept": coding or {"text": name}}


def panel(subject: Subject, number: int, members: Iterable[str]) -> Resource:
    """An Observation that only groups: a report that named 100,000 results itself would be a resource of megabytes."""
    made = _observation(subject, "", "81247-9", _id("panel", subject, number))
    return {**made, "hasMember": [{"reference": one} for one in members]}


def report(subject: Subject, results: Iterable[str], conclusion: str) -> Resource:
    """The DiagnosticReport that ties it together."""
    codings = [{"system": LOINC, "code": "51969-4"}, {"system": LOINC, "code": "81247-9"}]
    named = [{"reference": one} for one in results]
    return {
        "resourceType": "DiagnosticReport",
        "id": _id("report", subject),
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/genomic-report"]},
        **({"basedOn": [{"reference": subject.order}]} if subject.order else {}),
        "status": "final",
        "category": RECORDED[1:],
        "code": {"coding": codings},
        **_about(subject, many=True),
        **({"result": named} if named else {}),
        "conclusion": conclusion,
    }


def _observation(subject: Subject, profile: str, code: str, id: str) -> Resource:
    claimed = {"meta": {"profile": [f"{GUIDE}/StructureDefinition/{profile}"]}} if profile else {}
    head = {"resourceType": "Observation", "id": id, **claimed, "status": "final", "category": RECORDED}
    return {**head, **_code(code), **_about(subject)}


def _about(subject: Subject, many: bool = False) -> Resource:
    specimen: Any = {"reference": subject.specimen}
    return {
        "subject": {"reference": subject.patient},
        **({"effectiveDateTime": subject.date} if subject.date else {}),
        **({"specimen": [specimen] if many else specimen} if subject.specimen else {}),
    }


def _id(kind: str, subject: Subject, *said: object) -> str:
    whose = (subject.patient, subject.specimen, subject.sample, subject.assembly)
    return "vcf-" + hashlib.sha256(repr((kind, *whose, *said)).encode()).hexdigest()[:40]


def _place(found: Variant) -> Iterator[Resource]:
    """Where it begins and ends; of an imprecise structural variant where at the widest and where at the least."""
    if found.start_error != (0, 0) or found.end_error != (0, 0):
        (left, right), (before, behind) = found.start_error, found.end_error
        yield {**_code("81301-4"), "valueRange": _range(found.pos - abs(left), found.end + behind)}
        if found.pos + right <= found.end - abs(before):
            yield {**_code("81302-2"), "valueRange": _range(found.pos + right, found.end - abs(before))}
        return
    end = found.end if found.kind else found.pos + len(found.ref) - 1
    yield {**_code("81254-5"), "valueRange": _range(found.pos, end if end > found.pos else None)}


def _names(accession: str, found: Variant) -> Iterator[Resource]:
    """By SPDI and, where no reference sequence is needed to be sure of it, by HGVS; and as the file names it."""
    if found.kind in KINDS:
        yield _coded("48019-4", SO, *KINDS[found.kind])
    elif found.kind:
        yield {**_code("48019-4"), "valueCodeableConcept": {"text": "breakend"}}
    literal = not found.kind or (_PLAIN.fullmatch(found.alt) and found.kind != "BND")
    if literal:
        yield _coded("81252-9", SPDI, f"{accession}:{found.pos - 1}:{found.ref}:{found.alt}")
        name = _hgvs(found)
        if name:
            kind = "m" if accession == MITOCHONDRION else "g"
            yield _coded("81290-9", HGVS, f"{accession}:{kind}.{name}")
    for id in found.ids:
        if re.fullmatch(r"rs\d+", id, re.ASCII):
            yield _coded("81252-9", DBSNP, id)


def _hgvs(found: Variant) -> str:
    """A substitution. An insertion or deletion is named by its rightmost place, which takes the reference to know."""
    ref, alt = found.ref, found.alt
    if not (_PLAIN.fullmatch(ref) and _PLAIN.fullmatch(alt) and len(ref) == len(alt)):
        return ""
    if len(ref) == 1:
        return f"{found.pos}{ref}>{alt}" if ref != alt else ""
    if ref[0] == alt[0] or ref[-1] == alt[-1]:
        return ""
    return f"{found.pos}_{found.pos + len(ref) - 1}delins{alt}"


def _amounts(found: Variant) -> Iterator[Resource]:
    if found.frequency is not None:
        value = round(found.frequency, 4)
        unit = "relative frequency of a particular allele in the specimen"
        yield {**_code("81258-6"), "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": "1"}}
    if found.reads is not None:
        yield {**_code("82121-5"), "valueQuantity": {"value": found.reads, "system": UCUM, "code": "1"}}
    if found.copies is not None:
        copies = int(found.copies) if found.copies == int(found.copies) else found.copies
        yield {**_code("82155-3"), "valueQuantity": {"value": copies, "system": UCUM, "code": "1"}}


def _chromosome(name: str) -> Iterator[Resource]:
    if name in NAMES:
        yield _coded("48000-4", LOINC, CHROMOSOMES[NAMES.index(name)], f"Chromosome {name}")


def _range(low: int, high: int | None) -> Resource:
    return {"low": {"value": low}, **({"high": {"value": high}} if high is not None else {})}


def _code(code: str) -> Resource:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}}


def _coded(code: str, system: str, value: str, display: str = "") -> Resource:
    coding = {"system": system, "code": value, **({"display": display} if display else {})}
    return {**_code(code), "valueCodeableConcept": {"coding": [coding]}}
