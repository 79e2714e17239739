"""SNOMED CT as an RF2 snapshot: concepts, descriptions, is-a relationships. https://confluence.ihtsdotools.org/display/DOCRELFMT

The display is the synonym that a language reference set prefers, else the fully specified name. Descriptions and
relationships are held in memory while the concepts are read.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, members, prop, rows

URL = "http://snomed.info/sct"
CORE = "900000000000207008"  # the International Edition
IS_A, FULLY_SPECIFIED, PREFERRED = "116680003", "900000000000003001", "900000000000548007"
INFERRED = ("900000000000011006", "")
COPYRIGHT = "SNOMED CT, SNOMED International: its use needs a licence in most territories."
_DATE = re.compile(r"_(\d{8})\.txt")


def read(path: Path, version: str, system: str) -> Content:
    """The snapshot in a folder or archive of a release. The version is the URI of the edition and the date in its
    files' names. Raises FileNotFoundError if a file is missing."""
    concepts = member(path, r"x?sct2_Concept_Snapshot_.*\.txt")
    related = member(path, r"x?sct2_Relationship_Snapshot_.*\.txt")
    described = members(path, r"x?sct2_Description_Snapshot.*\.txt")
    preferred = members(path, r"x?der2_cRefset_Language.*Snapshot.*\.txt")
    date = _DATE.search(concepts.name or concepts.path.name)
    if not version and not date:
        raise ValueError(f"{concepts.name or concepts.path.name} has no date in its name: give --version.")
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": version or f"{URL}/{CORE}/version/{date[1] if date else ''}",
        "name": "SNOMEDCT",
        "title": "SNOMED CT",
        "status": "active",
        "copyright": COPYRIGHT,
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": declared("moduleId", "sufficientlyDefined"),
    }
    files = (concepts, related, *described, *preferred)
    return Content(about, lambda: _concepts(concepts, related, described, preferred), files)


def _concepts(concepts: Member, related: Member, described: list[Member], preferred: list[Member]) -> Iterator[Concept]:
    above: dict[str, list[str]] = {}
    for row in rows(related, "\t"):
        if row["active"] == "1" and row["typeId"] == IS_A and row.get("characteristicTypeId", "") in INFERRED:
            above.setdefault(row["sourceId"], []).append(row["destinationId"])
    liked = {
        row["referencedComponentId"]
        for file in preferred
        for row in rows(file, "\t")
        if row["active"] == "1" and row["acceptabilityId"] == PREFERRED
    }
    names: dict[str, list[tuple[int, str, str]]] = {}  # how good a display it is, its language, the term
    for file in described:
        for row in rows(file, "\t"):
            if row["active"] == "1":
                full = row["typeId"] == FULLY_SPECIFIED
                rank = 1 if full else 0 if row["id"] in liked else 2
                names.setdefault(row["conceptId"], []).append((rank, row["languageCode"], row["term"]))
    for row in rows(concepts, "\t"):
        known = sorted(names.get(row["id"], ()), key=lambda one: one[0])
        given = [prop("parent", "Code", one) for one in above.get(row["id"], ())]
        given.append(prop("moduleId", "String", row["moduleId"]))
        given.append(prop("sufficientlyDefined", "Boolean", row["definitionStatusId"] == "900000000000073002"))
        given += [prop("inactive", "Boolean", True)] if row["active"] != "1" else []
        yield {
            "code": row["id"],
            "display": known[0][2] if known else row["id"],
            "designation": [{"language": language, "value": text} for _, language, text in known],
            "property": given,
        }
