"""What a profile may say, a case each: elements of its snapshot, what meets it, what does not, where and why. https://hl7.org/fhir/R4/profiling.html"""

from typing import Any

SITE = "http://x.example/StructureDefinition/"
CODES = {
    "resourceType": "CodeSystem",
    "id": "c",
    "url": "urn:c",
    "status": "active",
    "content": "complete",
    "concept": [{"code": "a"}, {"code": "b"}],
}
SET = {
    "resourceType": "ValueSet",
    "id": "s",
    "url": "http://x.example/ValueSet/s",
    "status": "active",
    "compose": {"include": [{"system": "urn:c", "concept": [{"code": "a"}]}]},
}


def profile(name: str, type: str, *elements: dict[str, Any]) -> dict[str, Any]:
    """A StructureDefinition with a snapshot of these elements, each by its id."""
    snapshot = [{"id": type, "path": type, "min": 0, "max": "*"}]
    for element in elements:
        path = ".".join(part.partition(":")[0] for part in element["id"].split("."))
        slice = element["id"].rpartition(".")[2].partition(":")[2]
        snapshot.append({"path": path, "min": 0, "max": "*", **({"sliceName": slice} if slice else {}), **element})
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": SITE + name,
        "name": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type,
        "derivation": "constraint",
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "snapshot": {"element": snapshot},
    }


def sliced(id: str, kind: str, path: str, rules: str = "open", **more: Any) -> dict[str, Any]:
    return {"id": id, "slicing": {"discriminator": [{"type": kind, "path": path}], "rules": rules, **more}}


OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "urn:c", "code": "a"}]},
    "subject": {"reference": "Patient/p"},
    "valueString": "x",
}
CODED = {"coding": [{"system": "urn:c", "code": "b"}]}


def changed(**more: Any) -> dict[str, Any]:
    found = {**OBSERVATION, **more}
    return {key: value for key, value in found.items() if value is not None}


def component(system: str, code: str, **more: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": system, "code": code}]}, "valueString": "v", **more}


RULE = {
    "key": "x-1",
    "severity": "error",
    "human": "Has a note or a method",
    "expression": "note.exists() or method.exists()",
}
OWN = {"url": SITE + "ext", "valueCode": "a"}
TWO = (
    sliced("Observation.component", "pattern", "code", "closed", ordered=True),
    {"id": "Observation.component:one", "min": 1, "max": "1"},
    {"id": "Observation.component:one.code", "patternCodeableConcept": {"coding": [{"code": "1"}]}},
    {"id": "Observation.component:two", "max": "1"},
    {"id": "Observation.component:two.code", "patternCodeableConcept": {"coding": [{"code": "2"}]}},
)

# What a profile says, what meets it, and what does not: with the element named, and a word of why.
Case = tuple[tuple[dict[str, Any], ...], dict[str, Any], dict[str, Any], str, str]
CASES: dict[str, Case] = {
    "required": (
        ({"id": "Observation.method", "min": 1},),
        changed(method=CODED),
        OBSERVATION,
        "Observation.method",
        "required",
    ),
    "forbidden": (
        ({"id": "Observation.method", "max": "0"},),
        OBSERVATION,
        changed(method=CODED),
        "Observation.method",
        "must not",
    ),
    "fewer": (
        ({"id": "Observation.note", "max": "1"},),
        changed(note=[{"text": "1"}]),
        changed(note=[{"text": "1"}, {"text": "2"}]),
        "Observation.note",
        "1 times at most",
    ),
    "within": (
        ({"id": "Observation.code"}, {"id": "Observation.code.text", "min": 1}),
        changed(code={"text": "t"}),
        OBSERVATION,
        "Observation.code.text",
        "required",
    ),
    "type": (
        ({"id": "Observation.value[x]", "type": [{"code": "string"}]},),
        OBSERVATION,
        changed(valueString=None, valueBoolean=True),
        "Observation.value.ofType(boolean)",
        "type string",
    ),
    "fixed": (
        ({"id": "Observation.status", "fixedCode": "final"},),
        OBSERVATION,
        changed(status="amended"),
        "Observation.status",
        "exactly 'final'",
    ),
    "pattern": (
        ({"id": "Observation.code", "patternCodeableConcept": {"coding": [{"code": "a"}]}},),
        OBSERVATION,
        changed(code=CODED),
        "Observation.code",
        "must hold a",
    ),
    "bound": (
        ({"id": "Observation.code", "binding": {"strength": "required", "valueSet": SET["url"]}},),
        OBSERVATION,
        changed(code=CODED),
        "Observation.code",
        "must be a code of",
    ),
    "target": (
        (
            {
                "id": "Observation.subject",
                "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}],
            },
        ),
        OBSERVATION,
        changed(subject={"reference": "Group/g"}),
        "Observation.subject",
        "not to a Group",
    ),
    "length": (
        ({"id": "Observation.value[x]", "maxLength": 3},),
        OBSERVATION,
        changed(valueString="long"),
        "Observation.value.ofType(string)",
        "3 characters",
    ),
    "invariant": (
        ({"id": "Observation", "constraint": [RULE]},),
        changed(method=CODED),
        OBSERVATION,
        "Observation",
        "x-1",
    ),
    "rule within": (
        (
            {"id": "Observation.component"},
            {"id": "Observation.component.code", "constraint": [{**RULE, "expression": "text.exists()"}]},
        ),
        changed(component=[component("urn:c", "1") | {"code": {"text": "t"}}]),
        changed(component=[component("urn:c", "1")]),
        "Observation.component[0].code",
        "x-1",
    ),
    "slice": (
        TWO,
        changed(component=[component("urn:c", "1"), component("urn:c", "2")]),
        changed(component=[component("urn:c", "2")]),
        "Observation.component",
        "as one",
    ),
    "slice closed": (
        TWO,
        changed(component=[component("urn:c", "1")]),
        changed(component=[component("urn:c", "1"), component("urn:c", "3")]),
        "Observation.component[1]",
        "none of the slices",
    ),
    "slice order": (
        TWO,
        changed(component=[component("urn:c", "1")]),
        changed(component=[component("urn:c", "2"), component("urn:c", "1")]),
        "Observation.component",
        "order",
    ),
    "slice twice": (
        TWO,
        changed(component=[component("urn:c", "1")]),
        changed(component=[component("urn:c", "1"), component("urn:d", "1")]),
        "Observation.component",
        "1 times at most as one",
    ),
    "slice by type": (
        (
            sliced("Observation.value[x]", "type", "$this"),
            {"id": "Observation.value[x]:valueQuantity", "type": [{"code": "Quantity"}]},
            {"id": "Observation.value[x]:valueQuantity.unit", "min": 1},
        ),
        changed(valueString=None, valueQuantity={"value": 1, "unit": "g"}),
        changed(valueString=None, valueQuantity={"value": 1}),
        "Observation.value.ofType(Quantity).unit",
        "required",
    ),
    "slice by existence": (
        (
            sliced("Observation.note", "exists", "time"),
            {"id": "Observation.note:timed", "max": "1"},
            {"id": "Observation.note:timed.time", "min": 1},
        ),
        changed(note=[{"text": "1", "time": "2020"}, {"text": "2"}]),
        changed(note=[{"text": "1", "time": "2020"}, {"text": "2", "time": "2021"}]),
        "Observation.note",
        "as timed",
    ),
    "slice by value": (
        (
            sliced("Observation.identifier", "value", "system"),
            {"id": "Observation.identifier:mrn", "min": 1},
            {"id": "Observation.identifier:mrn.system", "fixedUri": "urn:mrn", "min": 1},
        ),
        changed(identifier=[{"system": "urn:mrn", "value": "1"}]),
        changed(identifier=[{"system": "urn:x", "value": "1"}]),
        "Observation.identifier",
        "as mrn",
    ),
    "slice by binding": (
        (
            sliced("Observation.category", "value", "$this"),
            {"id": "Observation.category:s", "min": 1, "binding": {"strength": "required", "valueSet": SET["url"]}},
        ),
        changed(category=[{"coding": [{"system": "urn:c", "code": "a"}]}]),
        changed(category=[CODED]),
        "Observation.category",
        "as s",
    ),
    "slice by a target": (
        (
            sliced("Observation.derivedFrom", "type", "resolve()"),
            {
                "id": "Observation.derivedFrom:seq",
                "min": 1,
                "type": [{"code": "Reference", "targetProfile": [SITE + "sequence"]}],
            },
        ),
        changed(derivedFrom=[{"reference": "MolecularSequence/m"}]),
        changed(derivedFrom=[{"reference": "Observation/o"}]),
        "Observation.derivedFrom",
        "as seq",
    ),
    "slice by profile": (
        (
            sliced("Observation.hasMember", "profile", "resolve()"),
            {
                "id": "Observation.hasMember:own",
                "min": 1,
                "type": [{"code": "Reference", "targetProfile": [SITE + "member"]}],
            },
        ),
        changed(hasMember=[{"reference": "#m"}], contained=[{**OBSERVATION, "id": "m", "method": CODED}]),
        changed(hasMember=[{"reference": "#m"}], contained=[{**OBSERVATION, "id": "m"}]),
        "Observation.hasMember",
        "as own",
    ),
    "extension": (
        (
            {
                "id": "Observation.extension",
                "slicing": {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"},
            },
            {"id": "Observation.extension:ext", "min": 1, "type": [{"code": "Extension", "profile": [SITE + "ext"]}]},
        ),
        changed(extension=[OWN]),
        changed(extension=[{"url": "urn:x", "valueCode": "a"}]),
        "Observation.extension",
        "as ext",
    ),
    "in an extension": (
        ({"id": "Observation.code"},),
        changed(extension=[OWN]),
        changed(extension=[{"url": SITE + "ext", "valueString": "a"}]),
        "Observation.extension[0].value.ofType(string)",
        "type code",
    ),
}
OTHERS = (
    profile("sequence", "MolecularSequence"),
    profile("member", "Observation", {"id": "Observation.method", "min": 1}),
    profile(
        "ext",
        "Extension",
        {"id": "Extension.url", "fixedUri": SITE + "ext", "min": 1},
        {"id": "Extension.value[x]", "min": 1, "type": [{"code": "code"}]},
    ),
)
