"""What a Reference may point at, by element. https://hl7.org/fhir/R4/references.html"""

from typing import Any

import pytest

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.validation.structure import validator

validate = validator(load())


def observation(subject: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An Observation, whose subject is a Patient, Group, Device or Location."""
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": subject} | more


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/1"},
        {"reference": "Patient/1/_history/2"},
        {"reference": "http://example.org/fhir/Patient/1"},
        {"reference": "http://example.org/fhir/Patient/1/_history/2"},
        {"reference": "http://example.org/something/else"},
        {"reference": "http://example.org/fhir/Organisation/1"},  # no type of R4: any URL may be referred to
        {"reference": "urn:uuid:6b3ff5a2-8e5e-4d0d-9a3d-4a3c6f0f4ad1"},
        {"reference": "Patient?identifier=http://example.org|1"},  # conditional, in a transaction
        {"reference": "#p"},
        {"type": "Patient", "identifier": {"value": "1"}},
        {"type": "http://hl7.org/fhir/StructureDefinition/Patient", "display": "x"},
        {"type": "http://example.org/StructureDefinition/Model", "display": "x"},
        {"display": "x"},
    ],
    ids=str,
)
def test_accepts(subject: dict[str, Any]) -> None:
    validate(observation(subject, contained=[{"resourceType": "Patient", "id": "p"}]))


@pytest.mark.parametrize(
    ("subject", "element"),
    [
        ({"reference": "Organization/1"}, "reference"),
        ({"reference": "http://example.org/fhir/Organization/1"}, "reference"),
        ({"reference": "Organization?identifier=1"}, "reference"),
        ({"reference": "#o"}, "reference"),
        ({"reference": "#nobody"}, "reference"),
        ({"reference": "#"}, "reference"),
        ({"reference": "1"}, "reference"),
        ({"reference": "Patient"}, "reference"),
        ({"reference": "/Patient/1"}, "reference"),
        ({"reference": "Patient/"}, "reference"),
        ({"reference": "Patient/a_b"}, "reference"),
        ({"reference": "Patient/1/2"}, "reference"),
        ({"reference": "Doctor/1"}, "reference"),
        ({"reference": "fhir/Patient/1"}, "reference"),
        ({"type": "Organization"}, "type"),
        ({"type": "Doctor"}, "type"),
    ],
    ids=str,
)
def test_refuses(subject: dict[str, Any], element: str) -> None:
    with pytest.raises(FhirError) as refused:
        validate(observation(subject, contained=[{"resourceType": "Organization", "id": "o"}]))
    assert [issue.expression for issue in refused.value.issues] == [(f"Observation.subject.{element}",)]


def test_the_container_may_be_meant() -> None:
    organization = {"resourceType": "Organization", "id": "o", "partOf": {"reference": "#"}}
    with pytest.raises(FhirError):
        validate(observation({"display": "x"}, contained=[organization]))
    validate({"resourceType": "Organization", "contained": [organization], "partOf": {"reference": "#o"}})


def test_ids_of_contained_resources_differ() -> None:
    twice = [
        {"resourceType": "Patient", "id": "p"},
        {"resourceType": "Group", "id": "p", "type": "person", "actual": True},
    ]
    with pytest.raises(FhirError):
        validate(observation({"reference": "#p"}, contained=twice))


def test_an_entry_of_a_bundle_has_contained_resources_of_its_own() -> None:
    inner = observation({"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
    validate({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}]})


def test_any_type_will_do_where_r4_says_so() -> None:
    validate({"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "Claim/1"}})
