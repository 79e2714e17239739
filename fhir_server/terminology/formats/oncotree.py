"""OncoTree as JSON, one tree of codes with what they were called before. https://github.com/cBioPortal/oncotree/tree/master/trees

A former code of the same meaning (`history`) is an inactive code below the one that replaced it, so that old records
are found under it. Codes that were split, merged or withdrawn (`precursors`, `revocations`) are inactive codes of their
own. Both stand in a ConceptMap from old to new; another maps to NCI Thesaurus and UMLS, as `relatedto`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_server.fhir.codec import Resource, decode
from fhir_server.terminology.concepts import Concept
from fhir_server.terminology.formats.content import Content, declared, member, prop

URL = "http://oncotree.mskcc.org"
NCIT, UMLS = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl", "http://www.nlm.nih.gov/research/umls"
COPYRIGHT = "OncoTree, Memorial Sloan Kettering Cancer Center and contributors, CC BY 4.0."
_DATE = re.compile(r"\d{4}[_-]\d\d[_-]\d\d")
Node = dict[str, Any]


def read(path: Path, version: str, system: str) -> Content:
    """The tree of one file; its version is the date in its name. Raises ValueError for what is none."""
    file = member(path, r".*oncotree.*\.json")
    with file.open() as raw:
        tree = decode(raw.read())
    if not isinstance(tree, dict) or not all(isinstance(node, dict) and "children" in node for node in tree.values()):
        raise ValueError(f"{path} is no OncoTree: an object of nodes with children.")
    found = _DATE.search(file.name or file.path.name)
    version = version or (found[0].replace("_", "-") if found else "")
    if not version:
        raise ValueError(f"{path.name} has no date in its name: give --version.")
    about = {
        "resourceType": "CodeSystem",
        "url": system or URL,
        "version": version,
        "name": "OncoTree",
        "title": "OncoTree",
        "status": "active",
        "copyright": COPYRIGHT,
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "content": "complete",
        "property": declared("main-type", "tissue", "color", "level", "nci", "umls", "replaced-by"),
    }
    nodes = list(_nodes(tree))
    also = (_replaced(nodes, about), _elsewhere(nodes, about))
    return Content(about, lambda: _concepts(nodes), (file,), tuple(one for one in also if one["group"]))


def _nodes(tree: dict[str, Node]) -> Iterator[Node]:
    stack = [*reversed(tree.values())]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(node["children"].values())


def _concepts(nodes: list[Node]) -> Iterator[Concept]:
    for node in nodes:
        given = [prop("parent", "Code", node["parent"])] if node.get("parent") else []
        texts = (("main-type", "mainType"), ("tissue", "tissue"), ("color", "color"), ("level", "level"))
        given += [prop(code, "String", str(node[key])) for code, key in texts if node.get(key) is not None]
        outside = node.get("externalReferences", {})
        given += [
            prop(key.lower(), "String", code)
            for key in ("NCI", "UMLS")
            for code in map(str.strip, outside.get(key, ()))
        ]
        yield {"code": node["code"], "display": node["name"], "property": given}
    for code, heirs in _former(nodes).items():
        given = [prop("inactive", "Boolean", True)]
        given += [prop("replaced-by", "String", heir) for heir, _ in heirs]
        given += [prop("parent", "Code", heir) for heir, how in heirs if how == "equivalent"]
        yield {"code": code, "display": f"{code} (no longer used)", "property": given}


def _former(nodes: list[Node]) -> dict[str, list[tuple[str, str]]]:
    """The codes that are used no more, each with those that took their place and how these stand to them."""
    current = {node["code"] for node in nodes}
    found: dict[str, list[tuple[str, str]]] = {}
    for key, how in (("history", "equivalent"), ("precursors", "inexact"), ("revocations", "inexact")):
        for node in nodes:
            for code in node.get(key, ()):
                heirs = found.setdefault(code, []) if code not in current else []
                if all(heir != node["code"] for heir, _ in heirs):
                    heirs.append((node["code"], how))
    return found


def _replaced(nodes: list[Node], about: Resource) -> Resource:
    elements = [
        {"code": code, "target": [{"code": heir, "equivalence": how} for heir, how in heirs]}
        for code, heirs in _former(nodes).items()
    ]
    return _map(about, "former-codes", [(about["url"], elements)])


def _elsewhere(nodes: list[Node], about: Resource) -> Resource:
    groups = []
    for key, target in (("NCI", NCIT), ("UMLS", UMLS)):
        elements = [
            {"code": node["code"], "display": node["name"],
             "target": [{"code": code.strip(), "equivalence": "relatedto"} for code in node["externalReferences"][key]]}
            for node in nodes
            if node.get("externalReferences", {}).get(key)
        ]  # fmt: skip
        groups.append((target, elements))
    return _map(about, "elsewhere", groups)


def _map(about: Resource, name: str, groups: list[tuple[str, list[Node]]]) -> Resource:
    return {
        "resourceType": "ConceptMap",
        "url": f"{about['url']}/{name}",
        "version": about["version"],
        "name": f"OncoTree{name.title().replace('-', '')}",
        "status": "active",
        "copyright": COPYRIGHT,
        "group": [
            {"source": about["url"], "target": target, "element": elements} for target, elements in groups if elements
        ],
    }
