"""A code system of one's own as CSV. https://www.rfc-editor.org/rfc/rfc4180

Its columns: `code,display,parent` and, if wanted, `definition` and `inactive`. Several parents are parted by
`|`. Every other column is a property of that name.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, Member, declared, member, need, prop, rows

OWN = ("code", "display", "parent", "definition", "inactive")


def read(path: Path, version: str, system: str) -> Content:
    """The codes of one file. Raises ValueError without --system and --version, or without a column `code`."""
    file = member(path, r".*\.csv")
    if not system:
        raise ValueError("A CSV does not say which code system it is: give --system URL.")
    header = next(file.lines(), "")
    columns = [one.strip() for one in header.split(",")]
    about = {
        "resourceType": "CodeSystem",
        "url": system,
        "version": need(version, "A CSV"),
        "name": re.sub(r"\W+", "", path.stem.title()) or "CodeSystem",
        "title": path.stem,
        "status": "active",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": declared(*(one for one in columns if one not in OWN)),
    }
    return Content(about, lambda: _concepts(file), (file,))


def _concepts(file: Member) -> Iterator[Concept]:
    for number, row in enumerate(rows(file), 2):
        if not row.get("code"):
            raise ValueError(f"line {number} has no code: the first line must name a column `code`")
        given = [prop("parent", "Code", one.strip()) for one in row.get("parent", "").split("|") if one.strip()]
        given += [prop(name, "String", value) for name, value in row.items() if name not in OWN and value]
        given += [prop("inactive", "Boolean", True)] if row.get("inactive", "").lower() in ("true", "1", "yes") else []
        yield {
            "code": row["code"],
            "display": row.get("display") or row["code"],
            **({"definition": row["definition"]} if row.get("definition") else {}),
            "property": given,
        }
