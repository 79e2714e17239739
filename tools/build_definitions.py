"""Derive profiles/r4/definitions.json.gz from the published definitions of FHIR R4 4.0.1.

    npm pack hl7.fhir.r4.examples@4.0.1 && tar xf hl7.fhir.r4.examples-4.0.1.tgz
    python tools/build_definitions.py package profiles/r4/definitions.json.gz

The source is a folder with either the files of that package (Bundle-resources.json, ...) or those of the
specification's own download (profiles-resources.json, ...), plain or gzipped. Only facts are taken: names, types,
cardinalities, targets, codes, expressions. The same source gives the same bytes.
"""

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FILES = {
    "resources": ("Bundle-resources", "profiles-resources"),
    "types": ("Bundle-types", "profiles-types"),
    "search": ("Bundle-searchParams", "search-parameters"),
    "expansions": ("Bundle-valueset-expansions", "expansions"),
}
BASE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = BASE + "structuredefinition-fhir-type"
# R4 prints some codes of these, but the sets are "all of" a system that it does not own: MIME types, currencies, UCUM.
OPEN = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "urn:ietf:bcp:13",
    "http://hl7.org/fhir/ValueSet/currencies": "urn:iso:std:iso:4217",
    "http://hl7.org/fhir/ValueSet/ucum-units": "http://unitsofmeasure.org",
}
# Composites whose components R4 4.0.1 prints wrongly. `relationship` has the expressions of its two components
# swapped: relatesto (a reference) with `code`, relation (a token) with `target`.
SWAPPED = {"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"}
# R4 4.0.1 writes the type `DateTime` in code-value-date; the type is called dateTime.
MISSPELT = ("as(DateTime)", "as(dateTime)")
# Expressions that R4 4.0.1 prints without the type they start from.
UNROOTED = {"name | alias": "InsurancePlan.name | InsurancePlan.alias"}


def main() -> None:
    """Read the source folder, write the artefact, print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    artefact = build({key: read(arguments.source, names) for key, names in FILES.items()})
    text = json.dumps(artefact, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with arguments.target.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())
    print({key: len(value) for key, value in artefact.items()}, arguments.target.stat().st_size, "bytes")


def read(folder: Path, names: tuple[str, ...]) -> list[Json]:
    """The resources of one definition Bundle, whichever of its names and packings the folder holds."""
    for name in names:
        for path in (folder / f"{name}.json", folder / f"{name}.json.gz"):
            if path.exists():
                data = path.read_bytes()
                bundle = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
                return [entry["resource"] for entry in bundle["entry"]]
    raise SystemExit(f"{folder} holds none of {', '.join(names)}")


def build(source: dict[str, list[Json]]) -> Json:
    """The artefact: see fhir_server/fhir/definitions.py, which reads it, for the meaning of each row."""
    definitions = {
        d["name"]: d for d in source["resources"] + source["types"] if d["resourceType"] == "StructureDefinition"
    }
    del definitions["MetadataResource"]  # a logical model, of which there are no instances
    primitives = sorted(name for name, d in definitions.items() if d["kind"] == "primitive-type")
    resources = {
        name: bases(d, definitions) for name, d in definitions.items() if d["kind"] == "resource" and not d["abstract"]
    }
    bindings = Bindings(source["expansions"])
    structures: Json = {}
    for name, definition in sorted(definitions.items()):
        if name not in primitives:
            structures |= structures_of(definition, bindings)
    return {
        "bindings": bindings.rows,
        "compartments": {
            d["code"]: {r["code"]: [member(code) for code in r["param"]] for r in d["resource"] if r.get("param")}
            for d in source["resources"]
            if d["resourceType"] == "CompartmentDefinition"
        },
        "primitives": primitives,
        "resources": resources,
        "search": search(source["search"]),
        "structures": structures,
    }


def bases(definition: Json, definitions: dict[str, Json]) -> list[str]:
    """The abstract types that a resource type derives from, most general first."""
    base = definition.get("baseDefinition", "").removeprefix(BASE)
    return [*bases(definitions[base], definitions), base] if base else []


def member(code: str) -> str:
    """The code of a compartment's parameter; R4 writes {def} for the resource itself."""
    return "_id" if code == "{def}" else code


class Bindings:
    """The required value sets, each expanded once; rows are [canonical, {system: [code]} | null, system | null]."""

    def __init__(self, expansions: list[Json]) -> None:
        self.rows: list[list[Any]] = []
        self._numbers: dict[str, int] = {}
        self._expansions = {valueset["url"]: valueset["expansion"] for valueset in expansions}

    def number(self, element: Json) -> int | None:
        """The row of an element's required binding, or None when it has none."""
        binding = element.get("binding", {})
        if binding.get("strength") != "required" or "valueSet" not in binding:
            return None
        url = binding["valueSet"].partition("|")[0]
        if url not in self._numbers:
            self._numbers[url] = len(self.rows)
            self.rows.append(self._row(url))
        return self._numbers[url]

    def _row(self, url: str) -> list[Any]:
        if url in OPEN or url not in self._expansions:
            return [url, None, OPEN.get(url)]
        systems: dict[str, list[str]] = {}
        for concept in concepts(self._expansions[url].get("contains", [])):
            systems.setdefault(concept["system"], []).append(concept["code"])
        codes = [code for codes in systems.values() for code in codes]
        if len(codes) != len(set(codes)):
            raise SystemExit(f"{url} has a code in two systems: the artefact cannot say so")
        return [url, systems, next(iter(systems)) if len(systems) == 1 else None]


def concepts(contains: list[Json]) -> Iterator[Json]:
    """The selectable concepts of an expansion."""
    for concept in contains:
        if not concept.get("abstract"):
            yield concept
        yield from concepts(concept.get("contains", []))


def structures_of(definition: Json, bindings: Bindings) -> Json:
    """The structure of a type and those of its backbone elements, by path."""
    name = definition["name"]
    elements = definition["snapshot"]["element"]
    kind = "resource" if definition["kind"] == "resource" else "type"
    # A constrained type (SimpleQuantity) spells its paths with the type that it constrains.
    root = elements[0]["path"]
    parents = {element["path"].rpartition(".")[0] for element in elements[1:]}
    structures: Json = {
        name + path.removeprefix(root): {"elements": [], "invariants": [], "kind": "backbone"} for path in parents
    }
    structures.setdefault(name, {"elements": [], "invariants": []})["kind"] = kind
    for element in elements:
        path = name + element["path"].removeprefix(root)
        structures[name]["invariants"] += invariants(element, path, definition["url"])
        if element is not elements[0]:
            structures[path.rpartition(".")[0]]["elements"].append(row(element, path, path in structures, bindings))
    return structures


def row(element: Json, path: str, nested: bool, bindings: Bindings) -> list[Any]:
    """One element as [path, min, max, many, summary, [[type, structure, targets, binding], ...]]."""
    high = None if element["max"] == "*" else int(element["max"])
    many = element["base"]["max"] != "1"
    number = bindings.number(element)
    if "contentReference" in element:
        types = [["BackboneElement", element["contentReference"].removeprefix("#"), [], number]]
    else:
        types = [type_row(type, path if nested else None, number) for type in element["type"]]
    if element["base"]["path"] == "Resource.id":
        types[0][0] = "id"  # announced as a string, but see https://hl7.org/fhir/R4/resource.html#id
    return [path, element["min"], high, many, element.get("isSummary", False), types]


def type_row(type: Json, nested: str | None, binding: int | None) -> list[Any]:
    """One type of an element as [type, structure, targets, binding]."""
    code = type["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        code = next(e["valueUrl"] for e in type["extension"] if e["url"] == FHIR_TYPE)
    targets = sorted({url.removeprefix(BASE) for url in type.get("targetProfile", [])} - {"Resource"})
    profile = [url.removeprefix(BASE) for url in type.get("profile", [])]
    structure = nested or (profile or [code])[0] if code[0].isupper() else None
    bound = binding if code in ("code", "Coding", "CodeableConcept", "Quantity", "string", "uri") else None
    return [code, structure, targets, bound]


def invariants(element: Json, path: str, url: str) -> list[list[str]]:
    """The invariants that this definition itself states at `path`, without their prose."""
    return [
        [rule["key"], rule["severity"], rule["expression"], path]
        for rule in element.get("constraint", [])
        if rule.get("source", url) == url and "expression" in rule
    ]


def search(parameters: list[Json]) -> dict[str, list[list[Any]]]:
    """Search parameters by base: [code, kind, expression, targets, [[code, kind, expression]], url]."""
    by_url = {parameter["url"]: parameter for parameter in parameters}
    by_base: dict[str, list[list[Any]]] = {}
    for parameter in sorted(parameters, key=lambda p: p["url"]):
        components = [
            [by_url[c["definition"]]["code"], by_url[c["definition"]]["type"], c["expression"].replace(*MISSPELT)]
            for c in parameter.get("component", [])
        ]
        if parameter["url"] in SWAPPED:
            components[0][2], components[1][2] = components[1][2], components[0][2]
        expression: str = parameter.get("expression", "")
        expression = UNROOTED.get(expression, expression)
        for base in parameter["base"]:
            kept = branches(expression, base)
            row = [parameter["code"], parameter["type"], kept, sorted(parameter.get("target", [])), components]
            by_base.setdefault(base, []).append([*row, parameter["url"]])
    return by_base


def branches(expression: str, base: str) -> str:
    """The branches of a union that start at `base` or at a type it derives from."""
    parts: list[str] = [""]
    depth = 0
    for token in re.split(r"([()|])", expression):
        depth += (token == "(") - (token == ")")
        if token == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    kept = [part.strip() for part in parts if re.match(rf"[(\s]*({base}|Resource|DomainResource)\b", part)]
    if expression and not kept:
        raise SystemExit(f"no branch of {expression!r} is for {base}")
    return " | ".join(kept)


if __name__ == "__main__":
    main()
