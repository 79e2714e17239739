"""Genes with their symbols from HGNC's complete set, cells parted by tabs. https://www.genenames.org/download/archive/"""

from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, need, prop, rows

URL = "http://www.genenames.org"
# Column: the property that it becomes.
PROPERTIES = {
    "locus_group": "locus-group",
    "locus_type": "locus-type",
    "location": "location",
    "ensembl_gene_id": "ensembl",
    "entrez_id": "entrez",
    "refseq_accession": "reference-sequence",
    "mane_select": "mane-select",
    "ucsc_id": "ucsc",
}
GONE = "Entry Withdrawn"


def read(path: Path, version: str, system: str) -> Content:
    """The genes of hgnc_complete_set.txt. Raises ValueError if the columns hgnc_id and symbol are not there."""
    file = member(path, r"(?i)hgnc.*\.(txt|tsv)")
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": need(version, "HGNC's complete set"),
        "name": "HGNC",
        "title": "HUGO Gene Nomenclature Committee: gene symbols",
        "status": "active",
        "copyright": "HGNC, CC0.",
        "caseSensitive": True,
        "content": "complete",
        "property": declared(*PROPERTIES.values()),
    }
    return Content(about, lambda: _concepts(file), (file,))


def _concepts(file: Member) -> Iterator[Concept]:
    for row in rows(file, "\t"):
        if not row.get("hgnc_id") or not row.get("symbol"):
            raise ValueError("a row has no hgnc_id or no symbol: is this HGNC's complete set?")
        former = [*_list(row.get("alias_symbol", "")), *_list(row.get("prev_symbol", ""))]
        given = [
            prop(code, "String", value)
            for column, code in PROPERTIES.items()
            for value in _list(row.get(column, "") or "")
        ]
        given += [prop("inactive", "Boolean", True)] if row.get("status") == GONE else []
        yield {
            "code": row["hgnc_id"],
            "display": row["symbol"],
            **({"definition": row["name"]} if row.get("name") else {}),
            "designation": [{"value": one} for one in dict.fromkeys(former)],
            "property": given,
        }


def _list(cell: str) -> list[str]:
    return [one for one in cell.strip('"').split("|") if one]
