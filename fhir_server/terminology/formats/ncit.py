"""NCI Thesaurus as its flat file: one line for each concept, cells parted by tabs. https://evs.nci.nih.gov/ftp1/NCI_Thesaurus/

The cells: code, IRI, parents, synonyms (the first is preferred), definition, display name, status, semantic types,
subsets; lists are parted by `|`. Older files have no IRI.
"""

from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, need, prop

URL = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
CELLS = 9
GONE = ("Retired_Concept", "Obsolete_Concept")


def read(path: Path, version: str, system: str) -> Content:
    """The thesaurus of Thesaurus.txt or the archive that holds it. Raises ValueError for a line that is none of it."""
    file = member(path, r"(?i)thesaurus.*\.txt")
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": need(version, "The flat file of NCI Thesaurus"),
        "name": "NCIThesaurus",
        "title": "NCI Thesaurus",
        "status": "active",
        "copyright": "NCI Thesaurus, National Cancer Institute, CC BY 4.0.",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": declared("semantic-type", "subset", "concept-status"),
    }
    return Content(about, lambda: _concepts(file), (file,))


def _concepts(file: Member) -> Iterator[Concept]:
    for number, line in enumerate(file.lines(), 1):
        if not line:
            continue
        cells = line.split("\t")
        if not cells[1].startswith(("http", "<http")):
            cells.insert(1, "")
        if not 6 <= len(cells) <= CELLS or not cells[0]:
            raise ValueError(f"line {number} has {len(cells)} cells: code, IRI, parents, synonyms, definition, ...")
        code, _, above, names, definition, name, status, kinds, subsets = (*cells, *[""] * (CELLS - len(cells)))
        synonyms = [one for one in names.split("|") if one]
        display = name or (synonyms[0] if synonyms else code)
        statuses = [one for one in status.split("|") if one]
        given = [prop("parent", "Code", one) for one in above.split("|") if one]
        given += [prop("semantic-type", "String", one) for one in kinds.split("|") if one]
        given += [prop("subset", "String", one) for one in subsets.split("|") if one]
        given += [prop("concept-status", "String", one) for one in statuses]
        given += [prop("inactive", "Boolean", True)] if not set(GONE).isdisjoint(statuses) else []
        yield {
            "code": code,
            "display": display,
            **({"definition": definition} if definition else {}),
            "designation": [{"value": one} for one in dict.fromkeys(synonyms) if one != display],
            "property": given,
        }
