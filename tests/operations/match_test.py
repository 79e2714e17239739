"""Patient/$match: who may be the same person, and why. https://hl7.org/fhir/R4/patient-operation-match.html"""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.operations.likeness import likeness
from tests.client import Client, refusal

EVA: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:clinic-a", "value": "17"}],
    "name": [{"family": "Müller-Weiß", "given": ["Eva", "Maria"]}],
    "birthDate": "1980-02-13",
    "gender": "female",
    "telecom": [{"system": "phone", "value": "+49 30 1234567"}, {"system": "email", "value": "eva@mail.example"}],
    "address": [{"line": ["Am Markt 3"], "city": "Ulm", "postalCode": "89073"}],
}


def changed(**more: Any) -> dict[str, Any]:
    """Eva as another system knows her; a value of None leaves the element out."""
    body = {**deepcopy(EVA), "identifier": [{"system": "urn:lab-b", "value": "x9"}], **more}
    return {key: value for key, value in body.items() if value is not None}


def matched(client: Client, patient: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    kinds = {bool: "valueBoolean", int: "valueInteger"}
    named = [{"name": name, kinds[type(value)]: value} for name, value in more.items()]
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}, *named]}
    answer = client("POST", "Patient/$match", body)
    assert answer.status_code == 200, answer.text
    found = []
    for one in answer.json().get("entry", ()):
        search = one["search"]
        assert search["mode"] == "match"
        assert 0 < search["score"] <= 1
        grade, *reasons = search["extension"]
        assert grade["url"] == "http://hl7.org/fhir/StructureDefinition/match-grade"
        assert reasons
        found.append((one["resource"]["id"], grade["valueCode"]))
    return found


def test_the_same_person_from_two_systems(client: Client) -> None:
    home = [{"city": "Bonn"}]
    someone = changed(id="no", name=[{"family": "Other"}], birthDate="1950-01-01", telecom=None, address=home)
    for body in ({**EVA, "id": "eva"}, someone):
        assert client("PUT", f"Patient/{body['id']}", body).status_code == 201
    assert matched(client, EVA) == [("eva", "certain")]
    assert matched(client, changed(name=[{"family": "MULLER-WEISS", "given": ["Eva"]}])) == [("eva", "certain")]
    assert matched(client, changed(telecom=None, address=None)) == [("eva", "probable")]
    assert matched(client, changed(birthDate="1980", telecom=None, address=None)) == [("eva", "possible")]
    assert matched(client, changed(birthDate="1980-02", telecom=None, address=None)) == [("eva", "possible")]
    assert matched(client, {"resourceType": "Patient", "identifier": EVA["identifier"]}) == [("eva", "probable")]
    stranger = changed(name=[{"family": "Kim", "given": ["Jo"]}], birthDate="1999-01-01", telecom=None, address=None)
    assert matched(client, stranger) == []
    stolen = {**stranger, "identifier": EVA["identifier"]}
    assert [grade for _, grade in matched(client, stolen)] in ([], ["possible"])
    assert client.versions() == 2


def test_only_certain_matches_are_one_or_none(client: Client) -> None:
    client("PUT", "Patient/eva", {**EVA, "id": "eva"})
    assert matched(client, EVA, onlyCertainMatches=True) == [("eva", "certain")]
    assert matched(client, changed(telecom=None, address=None), onlyCertainMatches=True) == []
    client("PUT", "Patient/again", {**EVA, "id": "again"})
    assert matched(client, EVA, onlyCertainMatches=True) == []
    assert [id for id, _ in matched(client, EVA)] == ["again", "eva"]
    assert [id for id, _ in matched(client, EVA, count=1)] == ["again"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Parameters"}, 400),
        ({"resourceType": "Observation"}, 400),
        ({"resourceType": "Patient"}, 422),
        ({"resourceType": "Patient", "gender": "female"}, 422),
        ({"resourceType": "Patient", "name": [{"family": "Kim"}]}, 422),
        ({"resourceType": "Patient", "birthDate": "soon"}, 422),
    ],
)
def test_refusals(client: Client, body: Any, status: int) -> None:
    answer = client("POST", "Patient/$match", body)
    assert answer.status_code == status, answer.text
    refusal(answer)


texts = st.sampled_from(["", "Eva", "eva", "Ewa", "Kim", "Jo", "Müller", "Muller", "Mueller"])
patients = st.builds(
    lambda family, given, born, gender: {
        "resourceType": "Patient",
        **({"name": [{"family": family or "x", "given": [given or "y"]}]}),
        **({"birthDate": born} if born else {}),
        **({"gender": gender} if gender else {}),
    },
    texts,
    texts,
    st.sampled_from(["", "1980", "1980-02", "1980-02-13", "1980-12-03"]),
    st.sampled_from(["", "male", "female", "unknown"]),
)


@given(patients, patients)
def test_likeness_is_symmetric_and_bounded(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = likeness(one, other), likeness(other, one)
    assert there.score == back.score
    assert 0 <= there.score <= 1
    assert likeness(one, one).score >= there.score
