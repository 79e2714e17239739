"""A second opinion: the models of `fhir.resources` on the same examples, whole and spoiled in seeded ways.

They model R4B, so only types whose elements are equal in both are compared. They check neither required bindings nor
what a reference may point at; what else they see otherwise is listed below.
"""

import copy
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fhir_server.fhir.codec import decode, encode
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.validation.structure import validator

get_fhir_model_class = pytest.importorskip("fhir.resources.R4B").get_fhir_model_class
R4 = load()
validate = validator(R4)

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "Patient",
        "id": "p1",
        "active": True,
        "name": [{"use": "official", "family": "Okafor", "given": ["Ada", "N."], "period": {"start": "2001"}}],
        "telecom": [{"system": "phone", "value": "555-0100", "rank": 1}],
        "gender": "female",
        "birthDate": "1975-04-30",
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "contact": [{"name": {"text": "Sister"}, "relationship": [{"text": "next of kin"}]}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "ig"}]}, "preferred": True}],
        "link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}],
    },
    {
        "resourceType": "Condition",
        "id": "c1",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {"coding": [{"system": "http://oncotree.mskcc.org", "code": "LUAD", "display": "Adenocarcinoma"}]},
        "subject": {"reference": "Patient/p1"},
        "onsetDateTime": "2025-11-02T10:00:00+01:00",
        "recordedDate": "2025-11-03",
        "stage": [{"summary": {"text": "IIIA"}}],
        "note": [{"text": "as told", "time": "2025-11-03T09:00:00Z", "authorString": "Dr. A"}],
    },
    {
        "resourceType": "Specimen",
        "id": "s1",
        "status": "available",
        "subject": {"reference": "Patient/p1"},
        "receivedTime": "2026-01-05T08:30:00Z",
        "collection": {"collectedDateTime": "2026-01-05", "quantity": {"value": 5, "unit": "mL"}},
        "container": [{"capacity": {"value": 10, "unit": "mL"}, "additiveReference": {"reference": "Substance/x"}}],
    },
    {
        "resourceType": "Consent",
        "id": "k1",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "category": [{"text": "research"}],
        "patient": {"reference": "Patient/p1"},
        "dateTime": "2026-01-01",
        "policyRule": {"text": "opt in"},
        "provision": {"type": "permit", "provision": [{"type": "deny", "period": {"start": "2026-01-01"}}]},
    },
    {
        "resourceType": "ResearchStudy",
        "id": "t1",
        "status": "active",
        "title": "A trial",
        "arm": [{"name": "A"}, {"name": "B", "description": "more"}],
        "objective": [{"name": "survival"}],
    },
    {
        "resourceType": "MedicationStatement",
        "id": "m1",
        "status": "active",
        "medicationCodeableConcept": {"text": "osimertinib"},
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2025-12", "end": "2026-02-01"},
        "dosage": [{"text": "daily", "asNeededBoolean": False, "doseAndRate": [{"doseQuantity": {"value": 80}}]}],
    },
)  # fmt: skip


def ours(resource: dict[str, Any]) -> str:
    """Why this project refuses a resource; "" if it does not."""
    try:
        validate(resource)
    except FhirError as error:
        return str(error)
    return ""


@cache
def model(type: str) -> Any:
    return get_fhir_model_class(type)


def theirs(resource: dict[str, Any]) -> str:
    """Why `fhir.resources` refuses a resource; "" if it does not."""
    try:
        model(resource["resourceType"]).model_validate_json(encode(resource))
    except (ValidationError, ValueError) as error:
        return str(error)
    return ""


def objects(value: Any, structure: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object in a resource, with the name of its structure."""
    yield value, structure
    for key, item in value.items():
        element = R4.structures[structure].elements.get(key)
        if element and element.structure:
            for part in item if element.many else [item]:
                yield from objects(part, element.structure)


def spoil(resource: dict[str, Any], fault: str, random: random.Random) -> dict[str, Any] | None:
    """A copy with one fault of the kind; None where the resource offers no place for it."""
    spoiled = copy.deepcopy(resource)
    places = list(objects(spoiled, resource["resourceType"]))
    random.shuffle(places)
    for value, name in places:
        if _spoil_object(value, name, fault, random):
            return spoiled
    return None


def _spoil_object(value: dict[str, Any], name: str, fault: str, random: random.Random) -> bool:
    structure = R4.structures[name]
    present = [structure.elements[key] for key in value if key in structure.elements]
    random.shuffle(present)
    if fault == "unknown element":
        value["colour"] = "blue"
        return True
    for element in present:
        if fault == "missing required element" and element.min:
            del value[element.name]
            return True
        if fault == "second type of a choice" and element.choice:
            other = next(m for m in structure.choices[element.choice].members if m not in value)
            value[other] = EXAMPLE_VALUES.get(structure.elements[other].type, {"id": "x", "text": "x"})
            return True
        if fault == "malformed date" and element.type in ("date", "dateTime", "instant"):
            value[element.name] = random.choice(["2026-13-01", "2026-02-30", "01.02.2026", "soon", "2026-1-1"])
            return True
        if fault == "array for one" and not element.many and element.structure:
            value[element.name] = [value[element.name]]
            return True
        if fault == "one for an array" and element.many and element.structure:
            value[element.name] = value[element.name][0]
            return True
        if fault == "text for an object" and element.structure and not element.many:
            value[element.name] = "text"
            return True
        if fault == "object for a text" and element.type in ("string", "code", "uri") and not element.many:
            value[element.name] = {"text": "x"}
            return True
        if fault == "text for a number" and element.type in ("decimal", "integer", "positiveInt"):
            value[element.name] = "many"
            return True
        if fault == "text for a boolean" and element.type == "boolean":
            value[element.name] = "perhaps"
            return True
    return False


EXAMPLE_VALUES: dict[str, Any] = {
    "boolean": True, "integer": 1, "string": "x", "dateTime": "2026", "date": "2026", "Period": {"start": "2026"},
    "Age": {"value": 1}, "Range": {"low": {"value": 1}}, "Quantity": {"value": 1},
    "Reference": {"reference": "Patient/1"}, "CodeableConcept": {"text": "x"}, "Ratio": {"numerator": {"value": 1}},
}  # fmt: skip
FAULTS = (
    "unknown element", "missing required element", "second type of a choice", "malformed date", "array for one",
    "one for an array", "text for an object", "object for a text", "text for a number", "text for a boolean",
)  # fmt: skip


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: resource["resourceType"])
def test_both_accept_the_examples(resource: dict[str, Any]) -> None:
    assert (ours(resource), theirs(resource)) == ("", "")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: resource["resourceType"])
def test_both_refuse_a_fault(resource: dict[str, Any], fault: str) -> None:
    for seed in range(8):
        spoiled = spoil(resource, fault, random.Random(seed))
        if spoiled is None:
            return
        assert ours(spoiled), spoiled
        assert theirs(spoiled), spoiled


# Where the two differ: what is changed, and whether R4 is with us.
@pytest.mark.parametrize(
    ("change", "ours_refuses", "theirs_refuses", "why"),
    [
        ({"gender": "banana"}, True, False, "administrative-gender is bound required"),
        ({"generalPractitioner": [{"reference": "Claim/1"}]}, True, False, "a claim is no general practitioner"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_reasoned_differences(change: dict[str, Any], ours_refuses: bool, theirs_refuses: bool, why: str) -> None:
    spoiled = EXAMPLES[0] | change
    assert (bool(ours(spoiled)), bool(theirs(spoiled))) == (ours_refuses, theirs_refuses), why


# The types whose elements are equal in R4 and R4B, of those that this server is used for.
EQUAL = """
    AuditEvent Binary CodeSystem ConceptMap Condition Consent Encounter MedicationAdministration MedicationRequest
    MedicationStatement MolecularSequence Organization Patient Practitioner PractitionerRole Procedure Provenance
    Questionnaire QuestionnaireResponse RelatedPerson ResearchStudy ResearchSubject Specimen Subscription Task
    ValueSet"""
ONLY_OURS = {
    "Questionnaire-zika-virus-exposure-assessment.json": "an empty narrative: txt-2 is not looked at by the models"
}


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_both_agree_on_published_examples(shared: Path, fault: str | None) -> None:
    compared = 0
    for path in sorted((shared / "data" / "r4-core-examples").glob("*.json")):
        resource = decode(path.read_bytes())
        if resource["resourceType"] not in EQUAL.split() or path.name in ONLY_OURS:
            continue
        seen = spoil(resource, fault, random.Random(path.name)) if fault else resource
        if seen is not None:
            assert bool(ours(seen)) == bool(theirs(seen)), (path.name, ours(seen), theirs(seen))
            compared += 1
    assert compared > 20
