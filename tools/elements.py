"""Elements of differentials, in few words. https://hl7.org/fhir/R4/elementdefinition.html"""

from typing import Any

Json = dict[str, Any]
HOME = "https://participation.example/fhir"
OURS = f"{HOME}/StructureDefinition/"
CORE = "http://hl7.org/fhir/StructureDefinition/"
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
ONCOTREE, HGNC = "http://oncotree.mskcc.org", "http://www.genenames.org"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"


def el(id: str, **more: Any) -> Json:
    """An element of a differential: its path follows from its id; `rule`s become constraints."""
    path = ".".join(part.partition(":")[0] for part in id.split("."))
    slice = id.rpartition(".")[2].partition(":")[2]
    rules = more.pop("rules", ())
    made: Json = {"id": id, "path": path, **({"sliceName": slice} if slice else {}), **more}
    if rules:
        made["constraint"] = [
            {"key": key, "severity": "error", "human": human, "expression": expression}
            for key, human, expression in rules
        ]
    return made


def must(id: str, **more: Any) -> Json:
    """An element that those who take part must be able to fill and to read."""
    return el(id, mustSupport=True, **more)


def musts(*ids: str) -> tuple[Json, ...]:
    """Several such elements of which nothing else is said."""
    return tuple(must(id) for id in ids)


def sliced(id: str, kind: str, path: str, **more: Any) -> Json:
    """An element with slices."""
    return el(id, slicing={"discriminator": [{"type": kind, "path": path}], "rules": "open"}, **more)


def code(system: str, value: str) -> Json:
    """A pattern of a CodeableConcept."""
    return {"coding": [{"system": system, "code": value}]}


def bound(value_set: str, strength: str = "required") -> Json:
    """A binding to a value set of ours."""
    return {"strength": strength, "valueSet": f"{HOME}/ValueSet/{value_set}"}


def targets(*names: str) -> list[Json]:
    """References to these types."""
    return [{"code": "Reference", "targetProfile": [CORE + name for name in names]}]


def component(name: str, loinc: str, type: str, **more: Any) -> tuple[Json, ...]:
    """A slice of Observation.component by its LOINC code."""
    at = f"Observation.component:{name}"
    return (
        must(at, **more),
        el(f"{at}.code", patternCodeableConcept=code(LOINC, loinc)),
        el(f"{at}.value[x]", min=1, type=[{"code": type}]),
    )


def extended(name: str, url: str, *parts: tuple[str, str, str]) -> tuple[Json, ...]:
    """An optional extension of Patient, as US Core 6.1 to 9.0 shape it: parts are (name, max, type)."""
    at = f"Patient.extension:{name}"
    found = [
        must(at, max="1"),
        sliced(f"{at}.extension", "value", "url", min=1),
    ]
    for part, most, type in parts:
        inner = f"{at}.extension:{part}"
        found += [
            el(inner, max=most, **({"min": 1} if part == "text" else {})),
            el(f"{inner}.url", fixedUri=part),
            el(f"{inner}.value[x]", min=1, type=[{"code": type}]),
        ]
    return (*found, el(f"{at}.url", fixedUri=url))
