"""Negotiation, preferences, ETags and what every answer carries. https://hl7.org/fhir/R4/http.html#general"""

import pytest

from tests.client import BASE, Client

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}


@pytest.mark.parametrize(
    "accept",
    ["application/fhir+json", "application/json", "text/json", "*/*", "application/*",
     "application/fhir+json; charset=utf-8", "application/pdf, */*;q=0.8",
     "application/fhir+xml;q=0.4, application/fhir+json;q=0.5", ""],
)  # fmt: skip
def test_json_is_given_to_all_who_take_it(client: Client, accept: str) -> None:
    answer = client("GET", "Patient", headers={"accept": accept})
    assert answer.status_code == 200
    wanted = accept if accept in ("application/json", "text/json") else "application/fhir+json"
    assert answer.headers["content-type"] == f"{wanted}; charset=utf-8"


def test_format_overrides_accept(client: Client) -> None:
    xml = {"accept": "application/fhir+xml"}
    for format in ("json", "application/fhir+json", "application/fhir%2Bjson", "application/json", "text/json"):
        assert client("GET", f"Patient?_format={format}", headers=xml).status_code == 200
    assert client("GET", "Patient?_format=turtle", headers={"accept": "*/*"}).status_code == 406


def test_refused_formats_are_refused_before_anything_is_written(client: Client) -> None:
    answer = client("POST", "Patient", PATIENT, headers={"accept": "application/fhir+turtle"})
    assert answer.status_code == 406
    assert client.versions() == 0


def test_headers_of_a_write_and_a_read(client: Client) -> None:
    made = client("POST", "Patient", PATIENT)
    id = made.json()["id"]
    assert id != "p"
    assert made.headers["location"] == f"{BASE}/Patient/{id}/_history/1"
    assert made.headers["etag"] == 'W/"1"'
    read = client("GET", f"Patient/{id}")
    assert read.headers["etag"] == 'W/"1"'
    assert read.headers["last-modified"] == made.headers["last-modified"]
    assert read.headers["cache-control"] == "no-store"
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "location" not in read.headers
    assert int(read.headers["content-length"]) == len(read.content)
    assert read.content == made.content


def test_head_is_get_without_a_body(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    head, get = client("HEAD", "Patient/p"), client("GET", "Patient/p")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_conditional_read(client: Client) -> None:
    made = client("PUT", "Patient/p", PATIENT)
    for headers in (
        {"if-none-match": 'W/"1"'},
        {"if-none-match": '"1"'},
        {"if-none-match": 'W/"7", W/"1"'},
        {"if-modified-since": made.headers["last-modified"]},
    ):
        answer = client("GET", "Patient/p", headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == 'W/"1"'
    for headers in (
        {"if-none-match": 'W/"2"'},
        {"if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT"},
        {"if-modified-since": "nonsense"},
        {"if-none-match": 'W/"2"', "if-modified-since": made.headers["last-modified"]},
    ):
        assert client("GET", "Patient/p", headers=headers).status_code == 200


def test_prefer_return(client: Client) -> None:
    minimal = client("PUT", "Patient/p", PATIENT, headers={"prefer": "return=minimal"})
    assert (minimal.status_code, minimal.content) == (201, b"")
    assert minimal.headers["location"] == f"{BASE}/Patient/p/_history/1"
    outcome = client("PUT", "Patient/p", PATIENT, headers={"prefer": "return=OperationOutcome"})
    assert outcome.json()["resourceType"] == "OperationOutcome"
    whole = client("PUT", "Patient/p", PATIENT, headers={"prefer": 'return="representation"; handling=strict'})
    assert whole.json()["meta"]["versionId"] == "3"


def test_prefer_handling(client: Client) -> None:
    assert client("GET", "Patient?nonsense=1").status_code == 400
    lenient = client("GET", "Patient?nonsense=1&gender=male", headers={"prefer": "handling=lenient"})
    assert lenient.status_code == 200
    assert lenient.json()["link"][0]["url"] == f"{BASE}/Patient?gender=male"


def test_a_sound_request_id_is_kept_and_another_replaced(client: Client) -> None:
    assert client("GET", "Patient", headers={"x-request-id": "abc.1"}).headers["x-request-id"] == "abc.1"
    assert client("GET", "Patient", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_probes(client: Client) -> None:
    client("GET", "Patient/nobody")
    assert client("GET", "/healthz").status_code == 200
    assert client("GET", "/readyz").status_code == 200
    metrics = client("GET", "/metrics")
    assert 'fhir_request_seconds_count{interaction="read",status="404"}' in metrics.text
    assert "nobody" not in metrics.text
