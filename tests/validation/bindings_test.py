"""Required bindings of code, Coding and CodeableConcept. https://hl7.org/fhir/R4/terminologies.html#required"""

from typing import Any

import pytest

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.validation.structure import validator

validate = validator(load())
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
OTHER = {"system": "http://example.org", "code": "active"}


def condition(status: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "clinicalStatus": status}


@pytest.mark.parametrize(
    "codings",
    [[{"system": CLINICAL, "code": "active"}], [OTHER, {"system": CLINICAL, "code": "relapse", "display": "x"}]],
    ids=str,
)
def test_one_coding_of_a_concept_is_in_the_set(codings: list[Any]) -> None:
    validate(condition({"coding": codings, "text": "x"}))


@pytest.mark.parametrize(
    "status",
    [
        {"text": "active"},
        {"coding": [OTHER]},
        {"coding": [{"code": "active"}]},
        {"coding": [{"system": CLINICAL}]},
        {"coding": [{"system": CLINICAL, "code": "banana"}]},
        {"coding": [{"system": CLINICAL, "display": "active"}]},
    ],
    ids=str,
)
def test_a_concept_outside_the_set_is_refused(status: Any) -> None:
    with pytest.raises(FhirError) as refused:
        validate(condition(status))
    (issue,) = refused.value.issues
    assert (issue.code, issue.expression) == ("code-invalid", ("Condition.clinicalStatus",))
    assert "relapse" in issue.diagnostics
    assert CLINICAL in issue.diagnostics


def test_a_malformed_concept_is_refused_for_its_form_alone() -> None:
    with pytest.raises(FhirError) as refused:
        validate(condition({"coding": [{"system": CLINICAL, "code": ["active"]}]}))
    assert [issue.code for issue in refused.value.issues] == ["structure"]


def test_a_set_that_r4_does_not_enumerate_takes_any_code() -> None:
    validate({"resourceType": "Binary", "contentType": "application/x-anything"})
    validate({"resourceType": "Invoice", "status": "issued", "totalNet": {"value": 1, "currency": "SLE"}})


def test_codes_of_several_systems_are_one_set() -> None:
    when = {"repeat": {"when": ["MORN", "HS"], "periodUnit": "d", "period": 1, "frequency": 1}}
    validate({"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "urn:x", "valueTiming": when}]})


def test_example_and_preferred_bindings_bind_nothing() -> None:
    validate(condition({"coding": [{"system": CLINICAL, "code": "active"}]}) | {"code": {"coding": [OTHER]}})
