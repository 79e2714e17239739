"""The structure that R4 defines: what is accepted, and where and why the rest is refused."""

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.codec import decode
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.validation.structure import validator

validate = validator(load())

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "example",
    "meta": {"profile": ["http://example.org/profile"], "lastUpdated": "2026-01-02T03:04:05.678+01:00"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>A <b>person</b></p></div>'},
    "extension": [
        {"url": "http://example.org/plain", "valueDecimal": Decimal("1.50")},
        {"url": "http://example.org/nested", "extension": [{"url": "part", "valueCode": "x"}]},
    ],
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "Ärztin-Ng",
            "given": ["Ana", None],
            "_given": [None, {"extension": [{"url": "http://example.org/absent", "valueCode": "masked"}]}],
        }
    ],
    "gender": "female",
    "birthDate": "1980-02",
    "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1980-02-29T14:35:45-05:00"}]},
    "deceasedBoolean": False,
    "contact": [
        {"name": {"text": "A friend"}, "organization": {"reference": "Organization/1", "type": "Organization"}}
    ],
    "generalPractitioner": [{"reference": "#gp"}, {"identifier": {"value": "12"}}, {"display": "Dr. X"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "name": [{"family": "X"}]}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "69548-6", "display": "Genetic variant assessment"}]},
    "subject": {"reference": "Patient/1"},
    "effectiveDateTime": "2026-03-01",
    "valueQuantity": {"value": 5, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"},
    "component": [{"code": {"text": "a part"}, "valueString": "x", "referenceRange": [{"text": "all"}]}],
}
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:6b3ff5a2-8e5e-4d0d-9a3d-4a3c6f0f4ad1",
            "resource": OBSERVATION,
            "request": {"method": "POST", "url": "Observation"},
        }
    ],
}


def issues(resource: Any) -> tuple[Issue, ...]:
    with pytest.raises(FhirError) as refused:
        validate(resource)
    assert refused.value.status == 422
    assert all(issue.severity == "error" for issue in refused.value.issues)
    return refused.value.issues


def changed(resource: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the resource in which the value at the path (`name.0.use`) is another; `...` removes it."""
    whole = copy.deepcopy(resource)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    part: Any = whole
    for step in steps:
        part = part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return whole


@pytest.mark.parametrize(
    "resource",
    [
        PATIENT,
        OBSERVATION,
        BUNDLE,
        {"resourceType": "Patient"},
        {"resourceType": "Binary", "contentType": "image/png", "data": "AAAA"},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": PATIENT}]},
        changed(OBSERVATION, "status", ...) | {"_status": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}},
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_is_accepted(resource: dict[str, Any]) -> None:
    validate(resource)


@pytest.mark.parametrize("value", [None, [], "x", 5, {}, {"resourceType": 5}, {"resourceType": None}], ids=str)
def test_what_is_no_resource_is_a_bad_request(value: Any) -> None:
    with pytest.raises(FhirError) as refused:
        validate(value)
    assert refused.value.status == 400


REFUSED = [
    # unknown
    (PATIENT, "birthdate", "1980", "Patient.birthdate", "structure"),
    (PATIENT, "fhir_comments", ["x"], "Patient", "structure"),
    (PATIENT, "$where", "x", "Patient", "structure"),
    (PATIENT, "a\x00", "x", "Patient", "structure"),
    (PATIENT, "", "x", "Patient", "structure"),
    (PATIENT, "contact.0.resourceType", "Patient", "Patient.contact[0].resourceType", "structure"),
    (PATIENT, "_contact", [{"id": "x"}], "Patient._contact", "structure"),
    (PATIENT, "extension.0._url", {"id": "x"}, "Patient.extension[0]._url", "structure"),
    (OBSERVATION, "valueMoney", {"value": 1}, "Observation.valueMoney", "structure"),
    # cardinality
    (OBSERVATION, "status", ..., "Observation.status", "required"),
    (OBSERVATION, "component.0.code", ..., "Observation.component[0].code", "required"),
    (PATIENT, "extension.0.url", ..., "Patient.extension[0].url", "required"),
    (PATIENT, "name", {"family": "x"}, "Patient.name", "structure"),
    (PATIENT, "name", [], "Patient.name", "structure"),
    (PATIENT, "name.0", {}, "Patient.name[0]", "structure"),
    (PATIENT, "name.0", None, "Patient.name[0]", "structure"),
    (PATIENT, "gender", ["male"], "Patient.gender", "structure"),
    (PATIENT, "gender", None, "Patient.gender", "structure"),
    (PATIENT, "active", "true", "Patient.active", "value"),
    (PATIENT, "contact.0.name", "A friend", "Patient.contact[0].name", "structure"),
    (PATIENT, "contact.0", {"id": "x"}, "Patient.contact[0]", "invariant"),
    (OBSERVATION, "component.0.referenceRange.0.low", {"comparator": "<"},
     "Observation.component[0].referenceRange[0].low.comparator", "structure"),
    # primitives
    (PATIENT, "id", "a" * 65, "Patient.id", "value"),
    (PATIENT, "birthDate", "2026-02-30", "Patient.birthDate", "value"),
    (PATIENT, "extension.0.valueDecimal", "1.5", "Patient.extension[0].value.ofType(decimal)", "value"),
    (PATIENT, "text.div", "<p>x</p>", "Patient.text.div", "value"),
    # primitives with extensions
    (PATIENT, "_birthDate", {}, "Patient.birthDate", "structure"),
    (OBSERVATION, "_issued", {"id": "only"}, "Observation.issued", "invariant"),
    (PATIENT, "name.0._given", [None, {"id": "only"}], "Patient.name[0].given[1]", "invariant"),
    (PATIENT, "_birthDate", {"value": "1980"}, "Patient.birthDate.value", "structure"),
    (PATIENT, "_birthDate", "x", "Patient.birthDate", "structure"),
    (PATIENT, "name.0._given", [None, None], "Patient.name[0].given[1]", "structure"),
    (PATIENT, "name.0._given", [None], "Patient.name[0].given", "structure"),
    (PATIENT, "name.0._given", ..., "Patient.name[0].given[1]", "structure"),
    (PATIENT, "name.0._given", {"id": "x"}, "Patient.name[0].given", "structure"),
    # choices
    (PATIENT, "deceasedDateTime", "2020", "Patient.deceased", "structure"),
    (OBSERVATION, "_valueString", {"id": "x", "extension": [{"url": "urn:x", "valueCode": "x"}]},
     "Observation.value", "structure"),
    # bindings
    (PATIENT, "gender", "banana", "Patient.gender", "code-invalid"),
    (OBSERVATION, "status", "Final", "Observation.status", "code-invalid"),
    (PATIENT, "name.0.use", "official ", "Patient.name[0].use", "value"),
    # extensions
    (PATIENT, "extension.0.valueDecimal", ..., "Patient.extension[0]", "invariant"),
    (PATIENT, "extension.1.valueCode", "x", "Patient.extension[1]", "invariant"),
    # contained resources
    (PATIENT, "contained.0.resourceType", "Doctor", "Patient.contained[0]", "structure"),
    (PATIENT, "contained.0.gender", "banana", "Patient.contained[0].gender", "code-invalid"),
    (PATIENT, "contained.0.contained", [{"resourceType": "Patient"}], "Patient.contained[0].contained", "invariant"),
    (PATIENT, "contained.0.meta", {"versionId": "1"}, "Patient.contained[0].meta.versionId", "invariant"),
    (PATIENT, "contained.0.meta", {"security": [{"code": "R"}]}, "Patient.contained[0].meta.security", "invariant"),
    # resources in resources
    (BUNDLE, "entry.0.resource.status", "banana", "Bundle.entry[0].resource.status", "code-invalid"),
    (BUNDLE, "entry.0.resource", {"name": "x"}, "Bundle.entry[0].resource", "structure"),
    (BUNDLE, "entry.0.resource", [], "Bundle.entry[0].resource", "structure"),
    (BUNDLE, "entry.0.resource.subject.reference", "#p", "Bundle.entry[0].resource.subject.reference", "not-found"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "path", "value", "expression", "code"), REFUSED, ids=lambda x: str(x)[:30])
def test_is_refused(resource: dict[str, Any], path: str, value: Any, expression: str, code: str) -> None:
    (issue,) = issues(changed(resource, path, value))
    assert issue.expression == (expression,)
    assert issue.code == code
    assert issue.diagnostics.startswith(f"{expression} ")


def test_a_value_may_have_an_id() -> None:
    """ele-1 asks for a value or children beside the id; the value stands under the name without the underscore."""
    validate({"resourceType": "Patient", "birthDate": "1970", "_birthDate": {"id": "b"}})
    validate({"resourceType": "Patient", "name": [{"given": ["A"], "_given": [{"id": "g"}]}]})


def test_an_unknown_type() -> None:
    (issue,) = issues({"resourceType": "Doctor"})
    assert "Doctor" in issue.diagnostics


def test_a_required_choice_names_its_members() -> None:
    (issue,) = issues({"resourceType": "MedicationStatement", "status": "active", "subject": {"display": "x"}})
    assert issue.expression == ("MedicationStatement.medication",)
    assert "medicationCodeableConcept, medicationReference" in issue.diagnostics


def test_a_misspelt_element_is_met_with_the_right_one() -> None:
    (issue,) = issues(PATIENT | {"birthdate": "1980"})
    assert "birthDate" in issue.diagnostics


def test_all_issues_are_told() -> None:
    found = issues(
        {"resourceType": "Observation", "status": "x", "valueString": "", "subject": {"reference": "Claim/1"}}
    )
    assert [issue.expression[0] for issue in found] == [
        "Observation.status",
        "Observation.value.ofType(string)",
        "Observation.subject.reference",
        "Observation.code",
    ]


def test_the_number_of_issues_is_limited() -> None:
    assert len(issues({"resourceType": "Patient", "name": [{"use": "x", "given": [""]}] * 1000})) == 50
    assert len(issues({"resourceType": "Patient"} | {f"x{number}": 1 for number in range(100_000)})) == 50


def test_messages_are_short_and_printable() -> None:
    for issue in issues({"resourceType": "Patient", "gender": "x\x00" * 10_000, "y" * 10_000: 1, "z\x07": 1}):
        assert issue.diagnostics.isprintable()
        assert len(issue.diagnostics) < 400


def nested_extension(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"url": "u", "valueString": "x"}
    for _ in range(depth - 1):
        inner = {"url": "u", "extension": [inner]}
    return {"resourceType": "Patient", "extension": [inner]}


def nested_item(depth: int) -> dict[str, Any]:
    item: dict[str, Any] = {"linkId": "1", "type": "group"}
    for _ in range(depth - 1):
        item = {"linkId": "1", "type": "group", "item": [item]}
    return {"resourceType": "Questionnaire", "status": "draft", "item": [item]}


def nested_assigner(depth: int) -> dict[str, Any]:
    identifier: dict[str, Any] = {"value": "x"}
    for _ in range(depth - 1):
        identifier = {"assigner": {"identifier": identifier}}
    return {"resourceType": "Patient", "identifier": [identifier]}


def nested_bundle(depth: int) -> dict[str, Any]:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "collection"}
    for _ in range(depth):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    return bundle


def nested_contained(depth: int) -> dict[str, Any]:
    resource: dict[str, Any] = {"resourceType": "Patient"}
    for _ in range(depth):
        resource = {"resourceType": "Patient", "contained": [resource]}
    return resource


NESTED = (nested_extension, nested_item, nested_assigner, nested_bundle)


@pytest.mark.parametrize("nested", NESTED)
def test_nesting_within_reason_is_accepted(nested: Any) -> None:
    validate(nested(60))


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("depth", [70, 250, 5000])
def test_deep_nesting_is_refused_not_suffered(nested: Any, depth: int) -> None:
    assert "too-long" in {issue.code for issue in issues(nested(depth))}


def test_contained_resources_do_not_nest() -> None:
    (issue,) = issues(nested_contained(5000))
    assert issue.expression == ("Patient.contained[0].contained",)


def test_a_dot_in_a_key() -> None:
    (issue,) = issues(PATIENT | {"name.family": "x"})
    assert "'name.family'" in issue.diagnostics


@pytest.mark.parametrize("type", [[], {}, None, 5, "Doctor", ""], ids=str)
def test_a_contained_resource_without_a_proper_type(type: Any) -> None:
    (issue,) = issues(changed(PATIENT, "contained.0.resourceType", type))
    assert issue.expression == ("Patient.contained[0]",)


def test_a_fault_deep_down_is_reported_once_and_soon() -> None:
    resource = json.loads(json.dumps(nested_extension(60)).replace('"x"', "5"))
    (issue,) = issues(resource)
    assert issue.code == "value"
    assert issue.expression[0].count("extension[0]") == 60


def test_json_as_decoded_by_the_codec_is_what_is_checked() -> None:
    validate(
        decode(b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":0.470}}')
    )
    (issue,) = issues(decode(b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueInteger":1.0}'))
    assert "integer" in issue.diagnostics


def test_validation_leaves_the_resource_as_it_was() -> None:
    before = copy.deepcopy(PATIENT)
    validate(PATIENT)
    assert before == PATIENT


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "extension", "url", "reference", "resourceType", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def paths(value: Any, before: str = "") -> list[str]:
    """Every place in a resource, as `changed` takes it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in items for path in (f"{before}{key}", *paths(item, f"{before}{key}."))]


@pytest.mark.parametrize("resource", [PATIENT, OBSERVATION, BUNDLE], ids=lambda resource: resource["resourceType"])
@given(data=st.data())
def test_whatever_stands_anywhere_is_accepted_or_refused(resource: dict[str, Any], data: st.DataObject) -> None:
    whole = changed(resource, data.draw(st.sampled_from(paths(resource))), data.draw(JSON))
    refusal = None
    try:
        validate(whole)
    except FhirError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status in (400, 422)
        assert all(issue.expression for issue in refusal.issues if refusal.status == 422)
