"""Patients and genomic observations for the tests, made as laboratories write them."""

from pathlib import Path
from typing import Any

LOINC = "http://loinc.org"
REFSEQ, HGVS = "http://www.ncbi.nlm.nih.gov/refseq", "http://varnomen.hgvs.org"
TBD = "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs"
LABORATORY = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]},
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "GE"}]},
]
# What a direct-to-consumer test read: preliminary, and no result of a laboratory.
CONSUMER = {"system": "https://participation.example/fhir/CodeSystem/data-class", "code": "direct-to-consumer"}
RAW: dict[str, Any] = {"status": "preliminary", "category": [*LABORATORY, {"coding": [CONSUMER]}]}
GERMLINE, SOMATIC = "LA6683-2", "LA6684-0"
PRESENT, ABSENT = "LA9633-4", "LA9634-2"
Resource = dict[str, Any]


def fill(client: Any, *resources: Resource) -> None:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    answer = client("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text


def patient(id: str) -> Resource:
    return {"resourceType": "Patient", "id": id}


def concept(system: str, code: str, display: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def component(code: str, **value: Any) -> Resource:
    return {"code": concept(LOINC if code[0].isdigit() else TBD, code), **value}


def coded(code: str, system: str, value: str, display: str = "") -> Resource:
    return component(code, valueCodeableConcept=concept(system, value, display))


def ends(code: str, low: int | None, high: int | None = None) -> Resource:
    told = {name: {"value": at} for name, at in (("low", low), ("high", high)) if at is not None}
    return component(code, valueRange=told)


def observation(id: str, of: str, code: str, *components: Resource, system: str = LOINC, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": LABORATORY,
        "code": concept(system, code),
        "subject": {"reference": f"Patient/{of}"},
        **({"component": list(components)} if components else {}),
        **more,
    }


def variant(id: str, of: str, *components: Resource, present: str = PRESENT, **more: Any) -> Resource:
    said = {"valueCodeableConcept": concept(LOINC, present)}
    return observation(id, of, "69548-6", *components, **{**said, **more})


def simple(
    id: str, of: str, spdi: str, *components: Resource, zero: bool = True, source: str = SOMATIC, **more: Any
) -> Resource:
    """A variant by reference allele, alternate allele and start, in the coordinates of the reference implementation or
    those of VCF."""
    accession, at, ref, alt = spdi.split(":")
    return variant(
        id,
        of,
        coded("48013-7", REFSEQ, accession),
        component("69547-8", valueString=ref or "-"),
        component("69551-0", valueString=alt or "-"),
        ends("81254-5", int(at) + (not zero)),
        coded("92822-6", LOINC, "LA30100-4" if zero else "LA30102-0"),
        coded("48002-0", LOINC, source),
        *components,
        **more,
    )


def structural(id: str, of: str, accession: str, *ranges: Resource, **more: Any) -> Resource:
    """A structural variant with inner or outer ends, counted from 0."""
    return variant(
        id,
        of,
        coded("48013-7", REFSEQ, accession),
        coded("48019-4", "http://www.sequenceontology.org", "SO:0000159", "deletion"),
        coded("92822-6", LOINC, "LA30100-4"),
        *ranges,
        **more,
    )


def chain_file(folder: Path, *blocks: tuple[str, int, int, int]) -> str:
    """A chain file in which blocks of GRCh37 (chromosome, start, end) are moved by some bases on GRCh38."""
    path = folder / "hg19ToHg38.over.chain"
    lines = [
        f"chain {1000 - number} chr{name} 300000000 + {start} {end} chr{name} 300000000 + {start + by} {end + by} "
        f"{number}\n{end - start}\n"
        for number, (name, start, end, by) in enumerate(blocks)
    ]
    path.write_text("\n".join(lines))
    return str(path)
