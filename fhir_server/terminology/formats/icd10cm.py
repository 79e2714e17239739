"""ICD-10-CM as its order file, lines of fixed width. https://www.cms.gov/medicare/coding-billing/icd-10-codes

Columns: order 1-5, code without its dot 7-13, whether it may be billed 15, short name 17-76, name from 78. What lies
above a code is told by its first characters: C34.90 is below C34.9, that below C34.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, prop

URL = "http://hl7.org/fhir/sid/icd-10-cm"
_YEAR = re.compile(r"(20\d\d)")
_CODE = re.compile(r"[A-Z][A-Z0-9]{2,6}")


def read(path: Path, version: str, system: str) -> Content:
    """The codes of icd10cm_order_YEAR.txt; the version is the year in its name. Raises ValueError for another file."""
    file = member(path, r"(?i)icd10cm[_-]order[_-].*\.txt")
    year = _YEAR.search(file.name or file.path.name)
    if not version and not year:
        raise ValueError(f"{path.name} has no year in its name: give --version.")
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": version or (year[1] if year else ""),
        "name": "ICD10CM",
        "title": "International Classification of Diseases, 10th Revision, Clinical Modification (ICD-10-CM)",
        "status": "active",
        "caseSensitive": False,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": [*declared(), {"code": "billable", "type": "boolean"}],
    }
    return Content(about, lambda: _concepts(file), (file,))


def _concepts(file: Member) -> Iterator[Concept]:
    seen: set[str] = set()
    for number, line in enumerate(file.lines(), 1):
        if not line.strip():
            continue
        code, flag, short, name = line[6:13].strip(), line[14:15], line[16:76].strip(), line[77:].strip()
        if not _CODE.fullmatch(code) or flag not in ("0", "1"):
            raise ValueError(f"line {number} is none of an ICD-10-CM order file: {line[:60]!r}")
        seen.add(code)
        given = [prop("parent", "Code", dotted(above)) for above in [_above(code, seen)] if above]
        yield {
            "code": dotted(code),
            "display": name or short,
            "designation": [{"value": short}] if short and short != name else [],
            "property": [*given, prop("billable", "Boolean", flag == "1")],
        }


def _above(code: str, seen: set[str]) -> str:
    """The longest beginning that is a code: an order file names it before."""
    return next((code[:length] for length in range(len(code) - 1, 2, -1) if code[:length] in seen), "")


def dotted(code: str) -> str:
    """A code as it is written: C3490 is C34.90."""
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code
