"""Create, update, delete and what follows from them. https://hl7.org/fhir/R4/http.html#create"""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.fhir.codec import decode
from tests.client import BASE, Client, refusal

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "identifier": [{"system": "urn:s", "value": "1"}]}


def test_create_sets_id_and_meta_and_keeps_the_rest(client: Client) -> None:
    meta = {"versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z", "tag": [{"code": "t"}], "profile": ["urn:p"]}
    answer = client("POST", "Patient", {"gender": "male", "meta": meta, "id": "mine", "resourceType": "Patient"})
    body = answer.json()
    assert answer.status_code == 201
    assert list(body) == ["resourceType", "id", "meta", "gender"]
    assert list(body["meta"]) == ["versionId", "lastUpdated", "tag", "profile"]
    assert body["id"] != "mine"
    assert body["meta"]["versionId"] == "1"
    assert body["meta"]["lastUpdated"] > "2026"
    assert client("GET", f"Patient/{body['id']}").content == answer.content


def test_update_creates_then_updates_then_vread_has_both(client: Client) -> None:
    assert client("PUT", "Patient/p", PATIENT).status_code == 201
    second = client("PUT", "Patient/p", {**PATIENT, "gender": "male"}, headers={"if-match": 'W/"1"'})
    assert second.status_code == 200
    assert second.headers["location"] == f"{BASE}/Patient/p/_history/2"
    assert client("GET", "Patient/p/_history/1").json()["gender"] == "female"
    assert client("GET", "Patient/p/_history/2").content == second.content
    stale = client("PUT", "Patient/p", PATIENT, headers={"if-match": 'W/"1"'})
    assert stale.status_code == 412
    assert "2" in refusal(stale)["diagnostics"]


def test_delete_twice_then_gone_then_back(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    assert [client("DELETE", "Patient/p").status_code for _ in range(2)] == [204, 204]
    gone = client("GET", "Patient/p")
    assert gone.status_code == 410
    assert refusal(gone)["code"] == "deleted"
    assert client("GET", "Patient/p/_history/2").status_code == 410
    assert client("GET", "Patient/p/_history/1").status_code == 200
    assert client("GET", "Patient?gender=female").json()["total"] == 0
    assert client("PATCH", "Patient/p", "[]", headers=PATCH).status_code == 410
    assert client("PUT", "Patient/p", PATIENT, headers={"if-match": 'W/"2"'}).status_code == 412
    back = client("PUT", "Patient/p", PATIENT)
    assert (back.status_code, back.json()["meta"]["versionId"]) == (201, "3")
    assert client("DELETE", "Patient/never").status_code == 204


PATCH = {"content-type": "application/json-patch+json"}


def test_patch(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    operations = [
        {"op": "test", "path": "/gender", "value": "female"},
        {"op": "add", "path": "/name", "value": [{"family": "Chalmers"}]},
        {"op": "remove", "path": "/gender"},
    ]
    answer = client("PATCH", "Patient/p", operations, headers={**PATCH, "if-match": 'W/"1"'})
    assert answer.status_code == 200
    assert "gender" not in answer.json()
    assert answer.json()["name"] == [{"family": "Chalmers"}]
    assert answer.json()["meta"]["versionId"] == "2"


@pytest.mark.parametrize(
    ("patch", "headers", "status"),
    [
        ([{"op": "test", "path": "/gender", "value": "male"}], PATCH, 422),
        ([{"op": "replace", "path": "/gender", "value": "banana"}], PATCH, 422),
        ([{"op": "replace", "path": "/id", "value": "q"}], PATCH, 422),
        ([{"op": "replace", "path": "/resourceType", "value": "Person"}], PATCH, 422),
        ([{"op": "add", "path": "/colour", "value": "red"}], PATCH, 422),
        ([{"op": "remove", "path": ""}], PATCH, 422),
        ({"op": "remove"}, PATCH, 422),
        ("not json", PATCH, 400),
        ('[{"op":"remove","op":"add","path":"/gender"}]', PATCH, 400),
        ([], {"content-type": "application/fhir+json"}, 400),
        ([], {"content-type": "application/json"}, 415),
        ([], {**PATCH, "if-match": 'W/"9"'}, 412),
    ],
)
def test_a_refused_patch_changes_nothing(client: Client, patch: Any, headers: dict[str, str], status: int) -> None:
    client("PUT", "Patient/p", PATIENT)
    answer = client("PATCH", "Patient/p", patch, headers=headers)
    assert answer.status_code == status, answer.text
    refusal(answer)
    assert client.versions() == 1


def test_conditional_create(client: Client) -> None:
    once = {"if-none-exist": "identifier=urn:s|1"}
    first = client("POST", "Patient", PATIENT, headers=once)
    second = client("POST", "Patient", PATIENT, headers=once)
    assert [first.status_code, second.status_code] == [201, 200]
    assert first.json()["id"] == second.json()["id"]
    client("POST", "Patient", PATIENT)
    many = client("POST", "Patient", PATIENT, headers=once)
    assert many.status_code == 412
    assert refusal(many)["code"] == "multiple-matches"
    assert client("POST", "Patient", PATIENT, headers={"if-none-exist": ""}).status_code == 400


def test_conditional_creates_at_the_same_time_make_one_resource(client: Client) -> None:
    async def both() -> list[int]:
        headers = {"if-none-exist": "identifier=urn:s|1", "content-type": "application/fhir+json"}
        requests = [client.http.post("/fhir/Patient", content=json.dumps(PATIENT), headers=headers) for _ in range(8)]
        return sorted(answer.status_code for answer in await asyncio.gather(*requests))

    assert client.run(both()) == [200] * 7 + [201]


def test_conditional_update(client: Client) -> None:
    path = "Patient?identifier=urn:s|1"
    without_id = {key: value for key, value in PATIENT.items() if key != "id"}
    made = client("PUT", path, without_id)
    assert made.status_code == 201
    id = made.json()["id"]
    again = client("PUT", path, {**without_id, "gender": "male"})
    assert (again.status_code, again.json()["id"], again.json()["meta"]["versionId"]) == (200, id, "2")
    assert client("PUT", path, {**PATIENT, "id": id}).status_code == 200
    assert client("PUT", path, {**PATIENT, "id": "other"}).status_code == 400
    assert client("PUT", "Patient?identifier=urn:s|2", {**PATIENT, "id": "mine"}).json()["id"] == "mine"
    client("POST", "Patient", PATIENT)
    assert client("PUT", path, without_id).status_code == 412


def test_conditional_patch_and_delete(client: Client) -> None:
    path, patch = "Patient?identifier=urn:s|1", [{"op": "add", "path": "/active", "value": True}]
    assert client("PATCH", path, patch, headers=PATCH).status_code == 404
    assert client("DELETE", path).status_code == 204
    client("PUT", "Patient/p", PATIENT)
    assert client("PATCH", path, patch, headers=PATCH).json()["active"] is True
    client("PUT", "Patient/q", {**PATIENT, "id": "q"})
    assert client("PATCH", path, patch, headers=PATCH).status_code == 412
    assert client("DELETE", path).status_code == 412
    client("DELETE", "Patient/q")
    assert client("DELETE", path).status_code == 204
    assert client("GET", "Patient/p").status_code == 410


def test_updates_at_the_same_time_all_count(client: Client) -> None:
    async def all_of_them() -> list[int]:
        headers = {"content-type": "application/fhir+json"}
        requests = [client.http.put("/fhir/Patient/p", content=json.dumps(PATIENT), headers=headers) for _ in range(10)]
        return sorted(answer.status_code for answer in await asyncio.gather(*requests))

    assert client.run(all_of_them()) == [200] * 9 + [201]
    assert client("GET", "Patient/p").headers["etag"] == 'W/"10"'


numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@settings(max_examples=60)
@given(number=numbers, text=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1))
def test_what_is_sent_is_what_is_read(client: Client, number: str, text: str) -> None:
    code, quantity = json.dumps({"text": text}), '{"value":' + number + "}"
    body = f'{{"resourceType":"Observation","status":"final","code":{code},"valueQuantity":{quantity}}}'
    answer = client("POST", "Observation", body)
    assert answer.status_code == 201, answer.text
    read = decode(client("GET", f"Observation/{answer.json()['id']}").content)
    assert read["code"]["text"] == text
    value = read["valueQuantity"]["value"]
    assert Decimal(value) == Decimal(number)
    if "e" not in number.lower():
        assert str(value) == str(Decimal(number)) or (number.startswith("-0") and value == 0)
