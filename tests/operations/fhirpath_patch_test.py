"""FHIRPath Patch: single, conditional, in bundles, and what it refuses. https://hl7.org/fhir/R4/fhirpatch.html"""

from typing import Any

import pytest

from fhir_server.fhir.definitions import load
from fhir_server.fhir.fhirpath_patch import apply_fhirpath_patch
from fhir_server.fhir.outcome import FhirError
from tests.client import Client, refusal

MARK = {"extension": [{"url": "urn:m", "valueCode": "m"}]}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "urn:s", "value": "1"}],
    "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"], "_given": [None, MARK]},
        {"use": "usual", "given": ["Jim"]},
    ],
    "birthDate": "1974-12-25",
    "_birthDate": MARK,
    "deceasedBoolean": False,
    "extension": [{"url": "urn:x", "valueCode": "y"}],
}


def operation(**parts: Any) -> dict[str, Any]:
    """Parts by name; a dict is taken as it is (`value={"valueDate": ...}`)."""
    kinds = {str: "valueString", int: "valueInteger", bool: "valueBoolean"}
    listed = [
        {
            "name": name,
            **(part if isinstance(part, dict) else {"valueCode" if name == "type" else kinds[type(part)]: part}),
        }
        for name, part in parts.items()
    ]
    return {"name": "operation", "part": listed}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def applied(*operations: dict[str, Any]) -> dict[str, Any]:
    return apply_fhirpath_patch(load(), PATIENT, patch(*operations))


def test_replace() -> None:
    changed = applied(operation(type="replace", path="Patient.birthDate", value={"valueDate": "1975"}))
    assert (changed["birthDate"], "_birthDate" in changed) == ("1975", False)
    changed = applied(operation(type="replace", path="Patient.deceased", value={"valueDateTime": "2020"}))
    assert (changed["deceasedDateTime"], "deceasedBoolean" in changed) == ("2020", False)
    path = "Patient.name.where(use='official').given[1]"
    changed = applied(operation(type="replace", path=path, value={"valueString": "J"}))
    assert (changed["name"][0]["given"], changed["name"][0]["_given"]) == (["Peter", "J"], [None, None])
    changed = applied(operation(type="replace", path="Patient.extension('urn:x').value", value={"valueString": "z"}))
    assert changed["extension"] == [{"url": "urn:x", "valueString": "z"}]


def test_add() -> None:
    changed = applied(
        operation(type="add", path="Patient", name="gender", value={"valueCode": "male"}),
        operation(type="add", path="Patient", name="multipleBirth", value={"valueInteger": 2}),
        operation(type="add", path="Patient.name[0]", name="given", value={"valueString": "Third"}),
        operation(type="add", path="Patient", name="telecom", value={"valueContactPoint": {"value": "1"}}),
        operation(
            type="add",
            path="Patient",
            name="contact",
            value={
                "part": [
                    {"name": "name", "valueHumanName": {"text": "N"}},
                    {"name": "telecom", "valueContactPoint": {"value": "2"}},
                    {"name": "telecom", "valueContactPoint": {"value": "3"}},
                ]
            },
        ),
    )
    assert (changed["gender"], changed["multipleBirthInteger"]) == ("male", 2)
    assert changed["name"][0]["given"] == ["Peter", "James", "Third"]
    assert changed["name"][0]["_given"] == [None, MARK, None]
    assert changed["contact"] == [{"name": {"text": "N"}, "telecom": [{"value": "2"}, {"value": "3"}]}]
    assert "gender" not in PATIENT


def test_insert_and_move_and_delete() -> None:
    path = "Patient.name[0].given"
    changed = applied(operation(type="insert", path=path, index=1, value={"valueString": "New"}))
    assert changed["name"][0]["given"] == ["Peter", "New", "James"]
    assert changed["name"][0]["_given"] == [None, None, MARK]
    changed = applied(operation(type="move", path="Patient.name", source=1, destination=0))
    assert [name["use"] for name in changed["name"]] == ["usual", "official"]
    changed = applied(operation(type="delete", path="Patient.name.where(use='usual')"))
    assert len(changed["name"]) == 1
    changed = applied(*(operation(type="delete", path=f"Patient.{name}") for name in ("birthDate", "gender")))
    assert not {"birthDate", "_birthDate", "gender"} & changed.keys()
    changed = applied(operation(type="delete", path="Patient.identifier[0]"))
    assert "identifier" not in changed
    changed = applied(operation(type="delete", path="Patient.name[0].given[1]"))
    assert (changed["name"][0]["given"], "_given" in changed["name"][0]) == (["Peter"], False)
    value = {"valueContactPoint": {"value": "1"}}
    changed = applied(operation(type="insert", path="Patient.telecom", index=0, value=value))
    assert changed["telecom"] == [{"value": "1"}]


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({}, 400),
        ({"type": "test", "path": "Patient"}, 400),
        ({"type": "replace"}, 422),
        ({"type": "replace", "path": "Patient.birthDate"}, 422),
        ({"type": "replace", "path": "Patient", "value": {"valueString": "x"}}, 422),
        ({"type": "replace", "path": "Patient.name.given", "value": {"valueString": "x"}}, 422),
        ({"type": "replace", "path": "Patient.gender", "value": {"valueCode": "male"}}, 422),
        ({"type": "replace", "path": "Patient.id", "value": {"valueId": "other"}}, 422),
        ({"type": "replace", "path": "Observation.status", "value": {"valueCode": "final"}}, 422),
        ({"type": "replace", "path": "Patient.nothing", "value": {"valueCode": "x"}}, 422),
        ({"type": "replace", "path": "Patient.name.first()", "value": {"valueCode": "x"}}, 422),
        ({"type": "replace", "path": "Patient.name.where(", "value": {"valueCode": "x"}}, 422),
        ({"type": "replace", "path": "Patient.deceased", "value": {"valueString": "x"}}, 422),
        ({"type": "add", "path": "Patient", "name": "birthDate", "value": {"valueDate": "2020"}}, 422),
        ({"type": "add", "path": "Patient", "name": "deceased", "value": {"valueDateTime": "2020"}}, 422),
        ({"type": "add", "path": "Patient", "name": "nothing", "value": {"valueDate": "2020"}}, 422),
        ({"type": "add", "path": "Patient.birthDate", "name": "x", "value": {"valueDate": "2020"}}, 422),
        ({"type": "delete", "path": "Patient"}, 422),
        ({"type": "delete", "path": "Patient.name"}, 422),
        ({"type": "insert", "path": "Patient.name", "index": 3, "value": {"valueHumanName": {"text": "x"}}}, 422),
        ({"type": "insert", "path": "Patient.name", "index": -1, "value": {"valueHumanName": {"text": "x"}}}, 422),
        ({"type": "insert", "path": "Patient.gender", "index": 0, "value": {"valueCode": "x"}}, 422),
        ({"type": "move", "path": "Patient.name", "source": 2, "destination": 0}, 422),
        ({"type": "move", "path": "Patient.telecom", "source": 0, "destination": 0}, 422),
    ],
)
def test_what_cannot_be_applied(parts: dict[str, Any], status: int) -> None:
    with pytest.raises(FhirError) as refused:
        applied(operation(**parts))
    assert refused.value.status == status


def test_over_http(client: Client) -> None:
    assert client("PUT", "Patient/p", PATIENT).status_code == 201
    replace = patch(operation(type="replace", path="Patient.birthDate", value={"valueDate": "1975"}))
    answer = client("PATCH", "Patient/p", replace, headers={"if-match": 'W/"1"'})
    assert (answer.status_code, answer.json()["birthDate"], answer.json()["meta"]["versionId"]) == (200, "1975", "2")
    stale = client("PATCH", "Patient/p", replace, headers={"if-match": 'W/"1"'})
    assert stale.status_code == 412
    add = patch(operation(type="add", path="Patient", name="gender", value={"valueCode": "male"}))
    conditional = client("PATCH", "Patient?identifier=urn:s|1", add)
    assert (conditional.status_code, conditional.json()["gender"]) == (200, "male")
    assert client("PATCH", "Patient?identifier=urn:s|2", add).status_code == 404
    invalid = patch(operation(type="replace", path="Patient.gender", value={"valueCode": "banana"}))
    answer = client("PATCH", "Patient/p", invalid)
    assert (answer.status_code, refusal(answer)["expression"]) == (422, ["Patient.gender"])
    for body in ({"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}, {"a": 1}):
        assert client("PATCH", "Patient/p", body).status_code == 400, body
    entry = {"resource": patch(operation(type="delete", path="Patient.gender")),
             "request": {"method": "PATCH", "url": "Patient/p"}}  # fmt: skip
    for kind in ("transaction", "batch"):
        bundle = client("POST", "", {"resourceType": "Bundle", "type": kind, "entry": [entry]})
        assert bundle.json()["entry"][0]["response"]["status"] == "200"
    assert "gender" not in client("GET", "Patient/p").json()
