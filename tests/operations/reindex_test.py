"""Custom SearchParameters: checked when posted, searched after $reindex, in every process. https://hl7.org/fhir/R4/searchparameter.html"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.interactions import custom
from fhir_server.operations import reindex
from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal

SHOE = "http://x/StructureDefinition/shoe"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindex, "LOOK", 0.0)
    monkeypatch.setattr("fhir_server.rest.endpoint.LOOK", -1.0)  # every request looks


@pytest.fixture
def other(client: Client, store_url: str) -> Iterator[Client]:
    """A second process's view of the same store."""
    opened = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False))
    yield opened
    opened.close()


def parameter(code: str = "shoe", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter", "url": f"http://x/SearchParameter/{code}", "name": code, "status": "active",
        "description": "d", "code": code, "base": ["Patient"], "type": "number",
        "expression": f"Patient.extension.where(url = '{SHOE}').value", **more,
    }  # fmt: skip


def patient(id: str, size: int) -> dict[str, Any]:
    extension = {"url": SHOE, "valueInteger": size}
    return {"resourceType": "Patient", "id": id, "extension": [extension], "name": [{"family": f"F{size}"}]}


def put(client: Client, *resources: dict[str, Any]) -> None:
    for resource in resources:
        answer = client("PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status_code in (200, 201), answer.text


def ids(client: Client, path: str) -> list[str]:
    answer = client("GET", path)
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def run(client: Client, type: str = "") -> dict[str, Any]:
    answer = client("POST", f"{type}/$reindex" if type else "$reindex")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_parameter_is_searched_after_reindex_everywhere(client: Client, other: Client) -> None:
    put(client, patient("a", 40), patient("b", 43))
    client.create(parameter())
    assert client("GET", "Patient?shoe=40").status_code == 400
    told = run(client)
    assert told["parameter"][0] == {"name": "count", "valueInteger": 3}
    assert told["parameter"][1]["part"][1] == {"name": "type", "valueCode": "Patient"}
    for one in (client, other):
        assert ids(one, "Patient?shoe=40") == ["a"]
        assert ids(one, "Patient?shoe=gt39&_sort=-shoe") == ["b", "a"]
        listed = one("GET", "metadata").json()["rest"][0]["resource"]
        (row,) = [row for row in listed if row["type"] == "Patient"]
        assert "shoe" in {param["name"] for param in row["searchParam"]}
    put(other, patient("c", 41))
    assert ids(client, "Patient?shoe=41") == ["c"]
    assert run(client)["parameter"][0]["valueInteger"] == 4


def test_a_parameter_goes_with_its_resource(client: Client) -> None:
    put(client, patient("a", 40))
    id = client.create(parameter())
    run(client)
    assert ids(client, "Patient?shoe=40") == ["a"]
    assert client("DELETE", f"SearchParameter/{id}").status_code in (200, 204)
    assert ids(client, "Patient?shoe=40") == ["a"]
    run(client)
    assert client("GET", "Patient?shoe=40").status_code == 400


def test_one_type_at_a_time(client: Client) -> None:
    put(client, patient("a", 40))
    put(client, {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "name": "n"})
    client.create(parameter("label", base=["Patient", "Group"], type="string",
                            expression="Patient.name.family | Group.name"))  # fmt: skip
    assert run(client, "Group")["parameter"][0]["valueInteger"] == 1
    assert ids(client, "Group?label=n") == ["g"]
    assert client("GET", "Patient?label=F").status_code == 400
    run(client)
    assert ids(client, "Patient?label=F") == ["a"]
    assert ids(client, "Patient?family=F") == ["a"]


def test_kinds_of_parameters(client: Client) -> None:
    extensions = [
        {"url": "http://x/race", "extension": [{"url": "c", "valueCoding": {"system": "s", "code": "1"}}]},
        {"url": "http://x/doctor", "valueReference": {"reference": "Practitioner/d"}},
    ]
    put(client, {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Berg"}]})
    put(client, {"resourceType": "Patient", "id": "a", "extension": extensions, "birthDate": "1990"})
    expression = "Patient.extension.where(url = 'http://x/race').extension.where(url = 'c').value"
    client.create(parameter("race", type="token", expression=expression))
    doctor = "Patient.extension.where(url = 'http://x/doctor').value"
    client.create(parameter("doctor", type="reference", target=["Practitioner"], expression=doctor))
    client.create(parameter("tags", type="token", base=["Resource"], expression="Resource.meta.tag"))
    client.create(parameter("letters", type="string", expression="Patient.name.family.lower()"))
    run(client)
    assert ids(client, "Patient?race=s|1") == ["a"]
    assert ids(client, "Patient?doctor.name=berg") == ["a"]
    assert ids(client, "Practitioner?_has:Patient:doctor:birthdate=1990") == ["d"]
    assert ids(client, "Patient?tags=x") == []
    assert ids(client, "Patient?letters:missing=true") == ["a"]
    body = client("GET", "Patient?_include=Patient:doctor").json()
    assert [entry["resource"]["id"] for entry in body["entry"]] == ["a", "d"]


@pytest.mark.parametrize(
    ("more", "element"),
    [
        ({"code": "family"}, "code"),
        ({"code": "a.b"}, "code"),
        ({"code": "_x"}, "code"),
        ({"type": "special"}, "type"),
        ({"type": "date", "expression": "Patient.name.family"}, "type"),
        ({"expression": "Observation.code"}, "expression"),
        ({"expression": "Patient.name.("}, "expression"),
        ({"expression": ""}, "expression"),
        ({"type": "composite", "expression": "Patient", "component": []}, "component"),
    ],
)
def test_a_parameter_that_cannot_be_searched_is_refused(client: Client, more: dict[str, Any], element: str) -> None:
    body = {key: value for key, value in parameter(**more).items() if value not in ("", [])}
    answer = client("POST", "SearchParameter", body)
    assert answer.status_code == 422
    assert refusal(answer)["expression"] == [f"SearchParameter.{element}"]
    assert client("POST", "SearchParameter", {**body, "status": "draft"}).status_code == 201


def test_two_of_one_name_are_told(client: Client) -> None:
    put(client, patient("a", 40))
    client.create(parameter())
    client.create(parameter(url="http://x/SearchParameter/shoe2", type="token"))
    told = run(client)
    outcome = told["parameter"][-1]
    assert outcome["name"] == "outcome"
    assert "already has" in outcome["resource"]["issue"][0]["diagnostics"]
    assert ids(client, "Patient?shoe=40") == ["a"]


def test_the_state_is_looked_at_once_in_a_while() -> None:
    assert custom.LOOK == 1.0
