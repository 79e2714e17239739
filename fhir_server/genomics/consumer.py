"""Raw data files of direct-to-consumer tests: which they are, and whether build and strand are what they should be.

They are kept as they are, as a document of a data class of its own, and nothing is concluded from them: of what such a
test reports only a part has been validated. What is made of them where it is asked for: panel.py. https://hl7.org/fhir/R4/documentreference.html
"""

import base64
import csv
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.genomics.assemblies import GRCH37, GRCH38
from fhir_server.genomics.vcf.read import NotVcf, contig_name, lines, opened

DATA_CLASS, CODE = "https://participation.example/fhir/CodeSystem/data-class", "direct-to-consumer"  # access/facts.py
VALUES = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
LARGEST = 36_000_000  # bytes of a file, which a Binary of 50 million can hold; those of today are of 15 to 30 million
FEWEST, KNOWN = 1000, 3  # rows that such a file has, and of those whose place is known, to say anything
WRONG = 0.01  # share of rows that may be none
AGREEING = 0.8  # share of the markers of known place that must be where, and what, they are


class Site(NamedTuple):
    """Where a variant of dbSNP lies on each build, and the bases that are found there on the plus strand."""

    places: Mapping[str, int]
    bases: frozenset[str]


def _site(on37: int, on38: int, bases: str) -> Site:
    return Site({GRCH37: on37, GRCH38: on38}, frozenset(bases))


# Common variants that every array holds, none of which reads alike on both strands.
SITES: Mapping[str, Site] = {
    "rs1801133": _site(11856378, 11796321, "GA"), "rs1801131": _site(11854476, 11794419, "TG"),
    "rs4988235": _site(136608646, 135851076, "GA"), "rs53576": _site(8804371, 8762685, "AG"),
    "rs1800562": _site(26093141, 26092913, "GA"), "rs7903146": _site(114758349, 112998590, "CT"),
    "rs1815739": _site(66328095, 66560624, "TC"), "rs12913832": _site(28365618, 28120472, "AG"),
    "rs1426654": _site(48426484, 48134287, "AG"), "rs762551": _site(75041917, 74749576, "CA"),
    "rs429358": _site(45411941, 44908684, "TC"), "rs7412": _site(45412079, 44908822, "CT"),
    "rs4680": _site(19951271, 19963748, "GA"), "rs1805007": _site(89986117, 89919709, "CT"),
    "rs10757278": _site(22124477, 22124478, "AG"),
}  # fmt: skip
_VENDORS = {
    "23andme": "23andMe",
    "ancestrydna": "AncestryDNA",
    "myheritage": "MyHeritage",
    "family tree": "FamilyTreeDNA",
}
_OPPOSITE = str.maketrans("ACGT", "TGCA")


class Row(NamedTuple):
    """One marker: the bases found at a place, "" where it was not read, or one copy of two only."""

    id: str
    position: int
    bases: str


class Checked(NamedTuple):
    """A file that may be kept."""

    vendor: str
    build: str
    rows: int
    unread: int


def check(file: BinaryIO) -> Checked:
    """What the file is. Raises ValueError for one that is none, is on another build or strand, or cannot be told."""
    try:
        return _check(file)
    except NotVcf as reason:
        raise ValueError(str(reason)) from None


def _check(file: BinaryIO) -> Checked:
    vendor, counted, wrong, unread = "", 0, 0, 0
    on: dict[str, int] = {GRCH37: 0, GRCH38: 0}
    placed = turned = straight = 0
    for _, line in lines(opened(file)):
        if line.startswith("#"):
            vendor = vendor or next((name for word, name in _VENDORS.items() if word in line.lower()), "")
            continue
        row = _row(line)
        if row is None:
            wrong += bool(line.strip()) and not line.lower().lstrip('"').startswith("rsid")
            continue
        counted += 1
        unread += not row.bases
        site = SITES.get(row.id)
        if site is None:
            continue
        placed += 1
        for build, position in site.places.items():
            on[build] += position == row.position
        found = set(row.bases) & set("ACGT")
        straight += bool(found) and found <= site.bases
        turned += bool(found) and not found <= site.bases and {one.translate(_OPPOSITE) for one in found} <= site.bases
    if counted < FEWEST or wrong > WRONG * counted:
        raise ValueError(
            f"This is no raw data file: {counted:,} lines name a marker, its place and its bases, {wrong:,} do not."
        )
    build = max(on, key=on.__getitem__)
    if placed < KNOWN or on[build] < KNOWN:
        raise ValueError(
            f"The build cannot be told: of {len(SITES)} common markers {placed} are in the file, and {on[build]} of "
            f"them lie where they do on {build}. Files on build 36 are not taken: download yours anew."
        )
    if on[build] < AGREEING * placed:
        raise ValueError(f"{placed - on[build]} of {placed} common markers do not lie where they do on {build}.")
    if straight < AGREEING * (turned + straight):
        raise ValueError(f"{turned} of {turned + straight} common markers are read from the minus strand.")
    return Checked(vendor or "unknown", build, counted, unread)


def markers(file: BinaryIO) -> Iterator[Row]:
    """The markers of a file that was checked, one after the other."""
    for _, line in lines(opened(file)):
        row = None if line.startswith("#") else _row(line)
        if row is not None:
            yield row


def _row(line: str) -> Row | None:
    """A line of any of the forms: by tabs with one or two columns of bases, or by commas in quotes."""
    try:
        parts = line.split("\t") if "\t" in line else next(csv.reader([line]), [])
    except csv.Error:
        return None
    if len(parts) not in (4, 5) or not parts[2].isdecimal():
        return None
    id, contig, position = parts[0], parts[1], int(parts[2])
    bases = "".join(parts[3:]).strip().upper()
    if not id or not (contig_name(contig) or contig in ("0", "23", "24", "25", "26", "XY")):
        return None
    if not set(bases) <= set("ACGTDI-0"):
        return None
    return Row(id, position, "" if "-" in bases or "0" in bases else bases)


def document(patient: str, name: str, content: bytes, checked: Checked) -> Iterator[Resource]:
    """The DocumentReference and the Binary of a file; the same file gives the same ids."""
    id = "dtc-" + hashlib.sha256(patient.encode() + b"\x00" + content).hexdigest()[:40]
    kind = {"coding": [{"system": DATA_CLASS, "code": CODE}]}
    zipped = content[:2] == b"\x1f\x8b"
    attachment = {
        "contentType": "application/gzip" if zipped else "text/plain",
        "url": f"Binary/{id}",
        "size": len(content),
        "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
        "title": name,
    }
    yield {
        "resourceType": "DocumentReference",
        "id": id,
        "meta": {"security": [{"system": VALUES, "code": code} for code in ("PATAST", "UNCERTREL")]},
        "status": "current",
        "type": kind,
        "subject": {"reference": patient},
        "description": f"Raw data of a direct-to-consumer test ({checked.vendor}, {checked.build}): {checked.rows:,} "
        f"markers, {checked.unread:,} of them not read. Not confirmed by a clinical laboratory.",
        "content": [{"attachment": attachment}],
    }
    yield {
        "resourceType": "Binary",
        "id": id,
        "contentType": attachment["contentType"],
        "securityContext": {"reference": f"DocumentReference/{id}"},
        "data": base64.b64encode(content).decode(),
    }


def is_finding(resource: Mapping[str, Any]) -> bool:
    """Whether a resource is a preliminary Observation of this data class, as panel.py makes them. That is its sender's
    word; a laboratory's own result is final one day."""
    return (
        resource.get("resourceType") == "Observation"
        and resource.get("status") == "preliminary"
        and any(
            coding.get("system") == DATA_CLASS and coding.get("code") == CODE
            for concept in resource.get("category", ())
            for coding in concept.get("coding", ())
        )
    )
