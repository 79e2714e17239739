"""Batch and transaction. https://hl7.org/fhir/R4/http.html#transaction"""

import base64
import json
from typing import Any

import pytest

from tests.client import BASE, Client, refusal

PATIENT = {"resourceType": "Patient", "gender": "female", "identifier": [{"system": "urn:s", "value": "1"}]}
URN = "urn:uuid:00000000-0000-4000-8000-000000000001"
OTHER = "urn:uuid:00000000-0000-4000-8000-000000000002"


def bundle(type: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(method: str, url: str, resource: Any = None, full_url: str = "", **request: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        parts["resource"] = resource
    if full_url:
        parts["fullUrl"] = full_url
    return parts


def observation(reference: str, **more: Any) -> dict[str, Any]:
    code = {"text": "x"}
    return {"resourceType": "Observation", "status": "final", "code": code, "subject": {"reference": reference}, **more}


def statuses(answer: Any) -> list[str]:
    return [one["response"]["status"] for one in answer.json()["entry"]]


def test_references_to_entries_are_rewritten_everywhere(client: Client) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">her</a> {URN}</div>'
    seen = observation(
        URN,
        focus=[{"reference": URN}, {"reference": OTHER}],
        instantiatesCanonical=None,
        text={"status": "generated", "div": div},
        extension=[
            {"url": "urn:e1", "valueReference": {"reference": URN}},
            {"url": "urn:e2", "valueUri": URN},
            {"url": "urn:e3", "valueString": URN},
        ],
        identifier=[{"system": "urn:ietf:rfc:3986", "value": URN}],
    )
    del seen["instantiatesCanonical"]
    answer = client(
        "POST",
        "",
        bundle("transaction", entry("POST", "Observation", seen, OTHER), entry("POST", "Patient", PATIENT, URN)),
    )
    assert statuses(answer) == ["201", "201"], answer.text
    location = answer.json()["entry"][1]["response"]["location"]
    assert location.startswith(f"{BASE}/Patient/")
    patient = "/".join(location.split("/")[-4:-2])
    stored = client("GET", "Observation").json()["entry"][0]["resource"]
    assert stored["subject"]["reference"] == patient
    assert stored["focus"] == [{"reference": patient}, {"reference": f"Observation/{stored['id']}"}]
    assert stored["extension"][0]["valueReference"]["reference"] == patient
    assert stored["extension"][1]["valueUri"] == patient
    assert stored["extension"][2]["valueString"] == URN
    assert stored["identifier"][0]["value"] == URN
    assert f'href="{patient}"' in stored["text"]["div"]
    assert f" {URN}</div>" in stored["text"]["div"]
    assert client("GET", f"Observation?subject={patient}").json()["total"] == 1


def test_addresses_of_another_server_are_rewritten_too(client: Client) -> None:
    full = "http://other.example/fhir/Patient/123"
    entries = [entry("POST", "Patient", PATIENT, full), entry("POST", "Observation", observation("Patient/123"))]
    client("POST", "", bundle("transaction", *entries))
    patient = client("GET", "Patient").json()["entry"][0]["resource"]["id"]
    stored = client("GET", "Observation").json()["entry"][0]["resource"]
    assert stored["subject"]["reference"] == f"Patient/{patient}"


def test_conditional_references(client: Client) -> None:
    by_search = observation("Patient?identifier=urn:s|1")
    none = client("POST", "", bundle("transaction", entry("POST", "Observation", by_search)))
    assert none.status_code == 412
    refusal(none)
    id = client.create(PATIENT)
    found = client("POST", "", bundle("transaction", entry("POST", "Observation", by_search)))
    assert statuses(found) == ["201"]
    assert client("GET", f"Observation?subject=Patient/{id}").json()["total"] == 1
    client.create(PATIENT)
    many = client("POST", "", bundle("transaction", entry("POST", "Observation", by_search)))
    assert many.status_code == 412
    assert client.versions() == 3


def test_conditional_create_in_a_transaction_is_what_others_refer_to(client: Client) -> None:
    def send() -> Any:
        made = entry("POST", "Patient", PATIENT, URN, ifNoneExist="identifier=urn:s|1")
        by_search = observation("Patient?identifier=urn:s|1")
        entries = (made, entry("POST", "Observation", observation(URN)), entry("POST", "Observation", by_search))
        return client("POST", "", bundle("transaction", *entries))

    assert statuses(send()) == ["201", "201", "201"]
    assert statuses(send()) == ["200", "201", "201"]
    id = client("GET", "Patient").json()["entry"][0]["resource"]["id"]
    assert client("GET", f"Observation?subject=Patient/{id}").json()["total"] == 4


def test_equal_conditional_creates_in_one_transaction_make_one_resource(client: Client) -> None:
    one = entry("POST", "Patient", PATIENT, URN, ifNoneExist="identifier=urn:s|1")
    answer = client("POST", "", bundle("transaction", one, {**one, "fullUrl": OTHER}))
    assert statuses(answer) == ["201", "200"]
    assert client.versions() == 1


def test_order_is_delete_post_put_get_and_answers_keep_theirs(client: Client) -> None:
    client("PUT", "Patient/a", {**PATIENT, "id": "a"})
    answer = client(
        "POST",
        "",
        bundle(
            "transaction",
            entry("GET", "Patient?gender=female&_count=0"),
            entry("GET", "Patient/b"),
            entry("PUT", "Patient/b", {**PATIENT, "id": "b"}),
            entry("POST", "Patient", PATIENT),
            entry("DELETE", "Patient/a"),
            entry("GET", "Patient/b/_history"),
        ),
    )
    assert statuses(answer) == ["200", "200", "201", "201", "204", "200"], answer.text
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["total"] == 2
    assert entries[1]["resource"]["id"] == "b"
    assert entries[2]["response"]["etag"] == 'W/"1"'
    assert "resource" not in entries[2]
    assert entries[5]["resource"]["type"] == "history"


def test_resources_come_back_when_asked_for(client: Client) -> None:
    given = bundle("transaction", entry("POST", "Patient", PATIENT))
    answer = client("POST", "", given, headers={"prefer": "return=representation"})
    assert answer.json()["entry"][0]["resource"]["gender"] == "female"


GOOD = entry("POST", "Patient", PATIENT)


@pytest.mark.parametrize(
    ("entries", "status", "at"),
    [
        ([entry("PUT", "Patient/a", {**PATIENT, "id": "a"})] * 2, 400, "Bundle.entry[2]"),
        ([entry("PUT", "Patient/a", {**PATIENT, "id": "a"}), entry("DELETE", "Patient/a")], 400, "Bundle.entry[2]"),
        ([entry("POST", "Patient", {**PATIENT, "gender": "banana"})], 422, "Bundle.entry[1].resource.gender"),
        ([entry("POST", "Patient", observation("Patient/1"))], 400, "Bundle.entry[1].resource"),
        ([entry("POST", "Patient")], 400, "Bundle.entry[1]"),
        ([entry("PUT", "Patient/a", {**PATIENT, "id": "b"})], 400, "Bundle.entry[1].resource.id"),
        ([entry("PUT", "Patient/a", {**PATIENT, "id": "a"}, ifMatch='W/"3"')], 412, "Bundle.entry[1]"),
        ([entry("GET", "Patient/nobody")], 404, "Bundle.entry[1]"),
        ([entry("PATCH", "Patient/nobody", {"resourceType": "Binary"})], 415, "Bundle.entry[1].resource"),
        ([entry("POST", "Banana", PATIENT)], 404, "Bundle.entry[1]"),
        ([entry("BREW", "Patient", PATIENT)], 405, "Bundle.entry[1]"),
        ([entry("POST", "", bundle("batch"))], 405, "Bundle.entry[1]"),
        ([{"resource": PATIENT}], 400, "Bundle.entry[1].request"),
        ([{"request": {"method": 3, "url": "Patient"}}], 400, "Bundle.entry[1].request.method"),
        (["x"], 400, "Bundle.entry[1].request"),
        ([{"request": {"method": "POST", "url": "Patient"}, "resource": []}], 400, "Bundle.entry[1].resource"),
        ([entry("POST", "Patient", PATIENT, ifNoneExist="nonsense=1")], 400, None),
        ([entry("POST", "Observation", observation("Banana?identifier=1"))], 400, None),
    ],
)
def test_a_transaction_with_one_bad_entry_changes_nothing(
    client: Client, entries: list[Any], status: int, at: str | None
) -> None:
    answer = client("POST", "", bundle("transaction", GOOD, *entries))
    assert answer.status_code == status, answer.text
    issue = refusal(answer)
    assert at is None or issue["expression"] == [at]
    assert client.versions() == 0


def test_all_bad_entries_are_reported_at_once(client: Client) -> None:
    bad = {**PATIENT, "gender": "banana"}
    answer = client("POST", "", bundle("transaction", *[entry("POST", "Patient", bad)] * 3))
    paths = [issue["expression"][0] for issue in answer.json()["issue"]]
    assert paths == [f"Bundle.entry[{number}].resource.gender" for number in range(3)]


@pytest.mark.parametrize("type", ["batch", "transaction"])
def test_a_search_by_post_is_a_read_in_a_bundle(client: Client, type: str) -> None:
    search = entry("POST", "Patient/_search?gender=female", PATIENT, ifNoneExist="gender=male")
    answer = client("POST", "", bundle(type, search, GOOD))
    assert statuses(answer) == ["200", "201"]
    assert answer.json()["entry"][0]["resource"]["total"] == (1 if type == "transaction" else 0)


def test_batch_entries_stand_alone(client: Client) -> None:
    answer = client(
        "POST",
        "",
        bundle(
            "batch",
            GOOD,
            entry("POST", "Patient", {**PATIENT, "gender": "banana"}),
            entry("GET", "Patient/nobody"),
            entry("GET", "Patient?gender=female"),
            entry("GET", f"{BASE}/Patient?_summary=count"),
            {"resource": PATIENT},
            entry("GET", "Banana/1"),
        ),
    )
    assert answer.status_code == 200
    assert answer.json()["type"] == "batch-response"
    assert statuses(answer) == ["201", "422", "404", "200", "200", "400", "404"]
    entries = answer.json()["entry"]
    assert entries[1]["response"]["outcome"]["issue"][0]["expression"] == ["Patient.gender"]
    assert entries[3]["resource"]["total"] == 1
    assert client.versions() == 1


def test_patch_in_a_bundle(client: Client) -> None:
    client("PUT", "Patient/a", {**PATIENT, "id": "a"})
    patch = base64.b64encode(json.dumps([{"op": "replace", "path": "/gender", "value": "male"}]).encode()).decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": patch}
    for type in ("batch", "transaction"):
        answer = client("POST", "", bundle(type, entry("PATCH", "Patient/a", binary)))
        assert statuses(answer) == ["200"], answer.text
    assert client("GET", "Patient/a").json()["gender"] == "male"


def test_conditional_update_and_delete_in_a_transaction(client: Client) -> None:
    put = entry("PUT", "Patient?identifier=urn:s|1", PATIENT, URN)
    seen = entry("POST", "Observation", observation(URN))
    assert statuses(client("POST", "", bundle("transaction", put, seen))) == ["201", "201"]
    assert statuses(client("POST", "", bundle("transaction", put, seen))) == ["200", "201"]
    id = client("GET", "Patient").json()["entry"][0]["resource"]["id"]
    assert client("GET", f"Observation?subject=Patient/{id}").json()["total"] == 2
    gone = entry("DELETE", "Patient?identifier=urn:s|1")
    assert statuses(client("POST", "", bundle("transaction", gone))) == ["204"]
    assert statuses(client("POST", "", bundle("transaction", gone))) == ["204"]
    assert client("GET", f"Patient/{id}").status_code == 410


def test_an_id_that_is_no_string_is_refused_in_a_conditional_update(client: Client) -> None:
    answer = client("POST", "", bundle("transaction", entry("PUT", "Patient?identifier=urn:s|9", {**PATIENT, "id": 5})))
    assert answer.status_code == 400
    assert "not a string" in refusal(answer)["diagnostics"]
    assert client("GET", "Patient?_summary=count").json()["total"] == 0


@pytest.mark.parametrize("type", ["collection", "searchset", None, 3])
def test_other_bundles_are_refused(client: Client, type: Any) -> None:
    answer = client("POST", "", {"resourceType": "Bundle", "type": type})
    assert answer.status_code == 400
    assert refusal(answer)["expression"] == ["Bundle.type"]


def test_an_empty_bundle_is_no_error(client: Client) -> None:
    for type in ("batch", "transaction"):
        answer = client("POST", "", {"resourceType": "Bundle", "type": type})
        assert answer.json() == {"resourceType": "Bundle", "type": f"{type}-response"}
