"""$meta, $meta-add and $meta-delete. https://hl7.org/fhir/R4/resource-operations.html#meta"""

from typing import Any

import pytest

from tests.client import Client, refusal

TAG, OTHER = {"system": "urn:s", "code": "t"}, {"system": "urn:s", "code": "u", "display": "U"}
SECRET = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}


def parameters(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def said(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json().get("parameter", [{"valueMeta": {}}])
    meta: dict[str, Any] = found[0]["valueMeta"]
    return meta


def test_labels_are_added_and_taken_away_in_new_versions(client: Client) -> None:
    client("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "gender": "female", "meta": {"tag": [TAG]}})
    labels = {"profile": ["urn:p"], "security": [SECRET], "tag": [TAG, OTHER]}
    added = said(client("POST", "Patient/p/$meta-add", parameters(**labels)))
    assert {key: value for key, value in added.items() if key != "lastUpdated"} == {"versionId": "2", **labels}
    assert said(client("GET", "Patient/p/$meta")) == added
    assert client("GET", "Patient?_tag=urn:s|u").json()["total"] == 1
    assert said(client("POST", "Patient/p/$meta-add", parameters(tag=[TAG])))["versionId"] == "2"
    taken = said(client("POST", "Patient/p/$meta-delete", parameters(tag=[TAG, {"code": "never"}], profile=["urn:p"])))
    assert (taken["versionId"], taken["tag"], "profile" in taken) == ("3", [OTHER], False)
    assert client("GET", "Patient/p").json()["gender"] == "female"
    assert client("GET", "Patient/p/_history/1").json()["meta"]["tag"] == [TAG]
    assert client("GET", "Patient?_tag=urn:s|t").json()["total"] == 0


def test_the_labels_in_use(client: Client) -> None:
    assert client("GET", "$meta").json() == {"resourceType": "Parameters"}
    client("PUT", "Patient/p", {"resourceType": "Patient", "id": "p", "meta": {"tag": [TAG]}})
    client("PUT", "Patient/q", {"resourceType": "Patient", "id": "q", "meta": {"tag": [TAG, OTHER]}})
    basic = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "meta": {"profile": ["urn:p"]}}
    client("PUT", "Basic/b", basic)
    assert said(client("GET", "Patient/$meta")) == {"tag": [TAG, OTHER]}
    assert said(client("GET", "$meta")) == {"profile": ["urn:p"], "tag": [TAG, OTHER]}


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Parameters"},
        parameters(),
        parameters(source="urn:x"),
        parameters(tag=[]),
        parameters(tag="t"),
        parameters(tag=["t"]),
        parameters(tag=[{"system": {}}]),
        parameters(profile=[1]),
        {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "t"}]},
    ],
)
def test_what_is_no_meta_is_refused(client: Client, body: Any) -> None:
    client("PUT", "Patient/p", {"resourceType": "Patient", "id": "p"})
    for name in ("meta-add", "meta-delete"):
        answer = client("POST", f"Patient/p/${name}", body)
        assert answer.status_code in ((200,) if body == parameters(tag=[]) else (400, 422)), answer.text
    assert client.versions() == 1


def test_a_resource_that_is_not_there_or_was_changed(client: Client) -> None:
    assert client("POST", "Patient/p/$meta-add", parameters(tag=[TAG])).status_code == 404
    client("PUT", "Patient/p", {"resourceType": "Patient", "id": "p"})
    stale = client("POST", "Patient/p/$meta-add", parameters(tag=[TAG]), headers={"if-match": 'W/"7"'})
    assert stale.status_code == 412
    refusal(stale)
    client("DELETE", "Patient/p")
    assert client("POST", "Patient/p/$meta-add", parameters(tag=[TAG])).status_code == 410
    assert client("GET", "Patient/p/$meta").status_code == 410
