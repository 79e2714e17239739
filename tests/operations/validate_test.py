"""$validate: structure and invariants. https://hl7.org/fhir/R4/resource-operation-validate.html"""

from pathlib import Path
from typing import Any

import pytest

from fhir_server.fhir import codec
from fhir_server.fhir.definitions import load
from fhir_server.validation.invariants import broken
from fhir_server.validation.structure import validator
from tests.client import Client, refusal

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "p", "text": NARRATIVE}


def issues(answer: Any) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    return [(one["severity"], one["code"], one.get("expression", [""])[0]) for one in answer.json()["issue"]]


def parameters(**given: Any) -> dict[str, Any]:
    named = [
        {"name": name, "resource" if name == "resource" else "valueString": value} for name, value in given.items()
    ]
    return {"resourceType": "Parameters", "parameter": named}


OK = [("information", "informational", "")]


def test_what_would_be_accepted(client: Client) -> None:
    assert issues(client("POST", "Patient/$validate", PATIENT)) == OK
    assert issues(client("POST", "Patient/$validate", parameters(resource=PATIENT, mode="create"))) == OK
    assert issues(client("POST", "Patient/p/$validate", parameters(resource=PATIENT, mode="update"))) == OK
    assert client.versions() == 0
    client("PUT", "Patient/p", PATIENT)
    assert issues(client("GET", "Patient/p/$validate")) == OK
    assert issues(client("GET", "Patient/p/$validate?mode=delete")) == OK
    assert issues(client("POST", "Patient/$validate", client("GET", "Patient/p").json())) == OK


def test_what_would_not(client: Client) -> None:
    wrong = {**PATIENT, "gender": "x", "birthDate": "soon"}
    found = issues(client("POST", "Patient/$validate", wrong))
    assert {(severity, place) for severity, _, place in found} == {
        ("error", "Patient.gender"), ("error", "Patient.birthDate"),
    }  # fmt: skip
    assert issues(client("POST", "Patient/$validate", {**PATIENT, "contact": [{"gender": "male"}]})) == [
        ("error", "invariant", "Patient.contact[0]")
    ]
    bare = {"resourceType": "Patient"}
    assert issues(client("POST", "Patient/$validate", bare)) == [("warning", "invariant", "Patient")]
    assert ("error", "invalid", "Observation") in issues(client("POST", "Observation/$validate", PATIENT))
    assert ("error", "invalid", "Patient.id") in issues(client("POST", "Patient/q/$validate", PATIENT))
    update = parameters(resource=bare, mode="update")
    assert ("error", "required", "Patient.id") in issues(client("POST", "Patient/$validate", update))


def test_a_profile_that_is_not_known_is_an_error(client: Client) -> None:
    base = "http://hl7.org/fhir/StructureDefinition/Patient"
    assert issues(client("POST", "Patient/$validate?profile=" + base, PATIENT)) == OK
    answer = client("POST", "Patient/$validate", parameters(resource=PATIENT, profile="http://x.example/p"))
    assert issues(answer) == [("error", "not-found", "Patient")]


def test_requests_that_make_no_sense(client: Client) -> None:
    for path, body in (
        ("Patient/$validate", None),
        ("Patient/$validate", parameters(mode="create")),
        ("Patient/$validate", parameters(resource=PATIENT, mode="destroy")),
        ("Patient/$validate", parameters(resource=PATIENT, mode="delete")),
    ):
        answer = client("POST", path, body)
        assert answer.status_code == 400, (path, answer.text)
        refusal(answer)
    assert client("GET", "Patient/never/$validate").status_code == 404


@pytest.mark.parametrize(
    ("resource", "keys"),
    [
        ({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueString": "y",
          "dataAbsentReason": {"text": "z"}}, {"obs-6"}),
        ({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
          "valueQuantity": {"value": 1, "code": "g"}}, {"qty-3"}),
        ({"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"},
          "period": {"start": "2021", "end": "2020"}}, {"per-1"}),
        ({"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"},
          "period": {"start": "2020-05-01", "end": "2020"}}, set()),
        ({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}]},
         {"dom-3"}),
        ({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
          "managingOrganization": {"reference": "#o"}}, set()),
        ({"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o"}],
          "managingOrganization": {"reference": "#o"}}, {"org-1"}),
        ({"resourceType": "Questionnaire", "status": "draft", "name": "Q",
          "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1", "type": "string"}]}]}, {"que-2"}),
        ({"resourceType": "Questionnaire", "status": "draft", "name": "Q", "item": [
            {"linkId": "1", "type": "string",
             "enableWhen": [{"question": "1", "operator": "exists", "answerBoolean": True}]}]}, set()),
        ({"resourceType": "Consent", "status": "active", "policyRule": {"text": "x"}, "category": [{"text": "x"}],
          "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]}},
         {"ppc-3"}),
        ({"resourceType": "Consent", "status": "active", "policyRule": {"text": "x"}, "category": [{"text": "x"}],
          "scope": {"coding": [{"system": "urn:other", "code": "research"}]}}, set()),
        ({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1"}]}, {"bdl-5"}),
    ],
)  # fmt: skip
def test_invariants(resource: dict[str, Any], keys: set[str]) -> None:
    found = [one for one in broken(codec.decode(codec.encode(resource))) if one.severity == "error"]
    assert {one.diagnostics.partition(":")[0].rpartition(" ")[2] for one in found} == keys


def test_the_published_examples_break_no_invariant(shared: Path) -> None:
    validate, wrong, seen = validator(load()), [], 0
    for path in sorted((shared / "data").glob("*/*.json"))[::3]:
        resource = codec.decode(path.read_bytes()) if path.stat().st_size < 60_000 else None
        if not isinstance(resource, dict) or resource.get("resourceType") not in load().resources:
            continue
        try:
            validate(resource)
        except Exception:
            continue  # tests/validation lists those with their reasons
        seen += 1
        wrong += [(path.name, one.diagnostics) for one in broken(resource) if one.severity == "error"]
    assert seen > 100
    assert wrong == []
