"""LOINC as its table of terms and, where it lies beside it, the hierarchy of components. https://loinc.org/kb/users-guide/

The properties are those of https://hl7.org/fhir/R4/loinc.html. Codes of the hierarchy (LP...) are concepts too.
"""

from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, members, need, prop, rows

URL = "http://loinc.org"
PROPERTIES = ("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS", "CLASSTYPE",
              "STATUS", "ORDER_OBS", "EXTERNAL_COPYRIGHT_NOTICE")  # fmt: skip
COPYRIGHT = (
    "This material contains content from LOINC (http://loinc.org). LOINC is copyright Regenstrief Institute, Inc. and "
    "the LOINC Committee and is available at no cost under the license at http://loinc.org/license."
)


def read(path: Path, version: str, system: str) -> Content:
    """The terms of Loinc.csv, or of the folder or archive of a release. Raises ValueError without its columns."""
    terms = member(path, r"(?i)loinc\.csv")
    whole = path.is_dir() or path.suffix == ".zip"
    hierarchy = members(path, r"(?i)componenthierarchybysystem\.csv") if whole else []
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": need(version, "Loinc.csv"),
        "name": "LOINC",
        "title": "LOINC: Logical Observation Identifiers Names and Codes",
        "status": "active",
        "copyright": COPYRIGHT,
        "caseSensitive": False,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": declared(*PROPERTIES),
    }
    return Content(about, lambda: _concepts(terms, hierarchy), (terms, *hierarchy))


def _concepts(terms: Member, hierarchy: list[Member]) -> Iterator[Concept]:
    above: dict[str, dict[str, None]] = {}
    names: dict[str, str] = {}
    for file in hierarchy:
        for row in rows(file):
            names.setdefault(row["CODE"], row["CODE_TEXT"])
            if row["IMMEDIATE_PARENT"]:
                above.setdefault(row["CODE"], {})[row["IMMEDIATE_PARENT"]] = None
    for row in rows(terms):
        if not row.get("LOINC_NUM"):
            raise ValueError("a row has no LOINC_NUM: is this Loinc.csv?")
        code = row["LOINC_NUM"]
        names.pop(code, None)
        given = [prop("parent", "Code", one) for one in above.get(code, ())]
        given += [prop(name, "String", row[name]) for name in PROPERTIES if row.get(name)]
        given += [prop("inactive", "Boolean", True)] if row.get("STATUS") == "DEPRECATED" else []
        display = row.get("LONG_COMMON_NAME") or row.get("COMPONENT") or code
        others = dict.fromkeys(row.get(name, "") for name in ("SHORTNAME", "CONSUMER_NAME", "DisplayName"))
        yield {
            "code": code,
            "display": display,
            **({"definition": row["DefinitionDescription"]} if row.get("DefinitionDescription") else {}),
            "designation": [{"value": one} for one in others if one and one != display],
            "property": given,
        }
    for code, name in names.items():  # parts, which group terms
        yield {"code": code, "display": name, "property": [prop("parent", "Code", one) for one in above.get(code, ())]}
