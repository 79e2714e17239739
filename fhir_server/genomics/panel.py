"""What a direct-to-consumer test read at the places of a panel, as preliminary findings that somebody asked for.

Such a file alone says nothing clinical (consumer.py). A panel is a VCF of sites: it names the markers that are wanted,
with their reference and alternate base. What is found there is no result of a laboratory: `preliminary`, stated by the
patient, of the data class of the file, and noted to need confirmation. https://hl7.org/fhir/R4/valueset-observation-status.html
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.genomics.consumer import CODE, DATA_CLASS, VALUES, Checked, markers
from fhir_server.genomics.vcf.calls import GERMLINE, Variant
from fhir_server.genomics.vcf.observations import LOINC, Subject, variant
from fhir_server.genomics.vcf.read import NotVcf, assembly_of, contig_name, lines, opened, read_header

MOST = 100_000  # sites of a panel
CONFIRM = (
    "Read by a direct-to-consumer test, of which only a part has been validated. Needs confirmation by a clinical "
    "laboratory before anything is concluded from it."
)
_OPPOSITE = str.maketrans("ACGT", "TGCA")


class Site(NamedTuple):
    """A place that is asked about: one base that may be another."""

    chromosome: str
    pos: int
    ref: str
    alt: str


def read_panel(file: BinaryIO, build: str) -> Mapping[str, Site]:
    """The sites of a VCF by their dbSNP ids. Raises ValueError for what is none, is on another build than the file that
    it is for, or names a site that cannot be told: one base and one other, with an id."""
    found: dict[str, Site] = {}
    try:
        numbered = lines(opened(file))
        assembly_of(read_header(numbered), build)
        for number, line in numbered:
            parts = line.split("\t")
            if not line:
                continue
            if len(parts) < 5 or not parts[1].isdecimal() or not contig_name(parts[0]) or not parts[2].startswith("rs"):
                raise NotVcf(f"Line {number} names no place with a dbSNP id.")
            ref, alt = parts[3].upper(), parts[4].upper()
            if {len(ref), len(alt)} != {1} or not {ref, alt} <= set("ACGT") or ref == alt:
                raise NotVcf(
                    f"Line {number}: a panel takes sites of one base and one other, not {ref[:9]} and {alt[:9]}."
                )
            found[parts[2]] = Site(contig_name(parts[0]), int(parts[1]), ref, alt)
            if len(found) > MOST:
                raise NotVcf(f"A panel has {MOST:,} sites at most.")
    except NotVcf as reason:
        raise ValueError(str(reason)) from None
    return found


def findings(
    document: Resource, file: BinaryIO, checked: Checked, panel: Mapping[str, Site], left: Counter[str]
) -> Iterator[Resource]:
    """An Observation for each site of the panel that was read; `left` counts, by reason, those that nothing is said of.

    `document` is the DocumentReference of the file, which `checked` says can be read."""
    subject = Subject(document["subject"]["reference"], "", "", document["id"], checked.build, "")
    seen = set()
    for row in markers(file):
        site = panel.get(row.id)
        if site is None or row.id in seen:
            continue
        seen.add(row.id)
        reason = _unsaid(row.position, row.bases, site)
        if reason:
            left[reason] += 1
        else:
            yield _finding(subject, document, row.id, row.bases, site)
    if missing := len(panel) - len(seen):
        left["not among the markers of the file"] += missing


def _unsaid(position: int, bases: str, site: Site) -> str:
    """Why nothing is said of a marker; "" if something is."""
    if not bases or (len(bases) == 1 and site.chromosome not in ("X", "Y", "MT")):
        return "not read"
    if position != site.pos:
        return "at another place than in the panel"
    if site.ref.translate(_OPPOSITE) == site.alt:
        return "read alike on both strands"
    return "" if set(bases) <= {site.ref, site.alt} and len(bases) <= 2 else "neither base of the panel"


def _finding(subject: Subject, document: Resource, id: str, bases: str, site: Site) -> Resource:
    present = site.alt in bases
    state = "" if not present else "heterozygous" if len(set(bases)) == 2 else _alike(bases, site.chromosome)
    made = variant(subject, Variant(site.chromosome, site.pos, site.ref, site.alt, (id,), state=state, source=GERMLINE))
    answer = ("LA9633-4", "Present") if present else ("LA9634-2", "Absent")
    return {
        **made,
        "id": f"dtc-{made['id'].removeprefix('vcf-')}",
        "meta": {"security": [{"system": VALUES, "code": code} for code in ("PATAST", "UNCERTREL")]},
        "status": "preliminary",
        "category": [{"coding": [{"system": DATA_CLASS, "code": CODE}]}],
        "valueCodeableConcept": {"coding": [{"system": LOINC, "code": answer[0], "display": answer[1]}]},
        "note": [{"text": CONFIRM}],
        "derivedFrom": [{"reference": f"DocumentReference/{document['id']}"}],
    }


def _alike(bases: str, chromosome: str) -> str:
    """The state of a marker that was read as one base, once or twice. Vendors write one copy either way."""
    if chromosome == "MT":
        return "homoplasmic"
    if chromosome in ("X", "Y"):
        return "hemizygous" if len(bases) == 1 else ""
    return "homozygous" if len(bases) == 2 else ""
