"""The rows of R4's page on HTTP that no other test of ours proves. https://hl7.org/fhir/R4/http.html"""

from typing import Any

import pytest

from tests.client import BASE, Client, refusal

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def bundle(type: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    listed = [
        {"request": {"method": method, "url": url}, **({"resource": body} if body else {})}
        for method, url, body in entries
    ]
    return {"resourceType": "Bundle", "type": type, "entry": listed}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "_history?_at=yesterday", {}, 400, id="_at of nonsense"),
        pytest.param("GET", "Patient/p/_history?_list=l", {}, 400, id="_list of a history"),
        pytest.param("GET", "Patient/p", {"accept": "text/turtle"}, 406, id="Turtle"),
        pytest.param("GET", "Patient/p", {"accept": "application/fhir+json; fhirVersion=3.0"}, 406, id="fhirVersion"),
        pytest.param("OPTIONS", "", {}, 405, id="OPTIONS"),
        pytest.param("DELETE", "Patient/p/_history", {}, 405, id="delete history"),
        pytest.param("GET", "Binary/b", {"accept": "image/*"}, 406, id="raw Binary of another type"),
        pytest.param("GET", "$graphql?query={}", {}, 404, id="GraphQL"),
    ],
)
def test_what_is_not_supported_is_refused(
    client: Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    client("PUT", "Patient/p", PATIENT)
    client("PUT", "Binary/b", {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "aGk="})
    answer = client(method, path, headers=headers)
    assert answer.status_code == status, answer.text
    refusal(answer)
    assert client.versions() == 2


def test_the_version_of_fhir_may_be_named(client: Client) -> None:
    mime = "application/fhir+json; fhirVersion=4.0"
    assert client("POST", "Patient", PATIENT, headers={"content-type": mime, "accept": mime}).status_code == 201


def test_an_xml_patch_is_refused(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    answer = client("PATCH", "Patient/p", content="<diff/>", headers={"content-type": "application/xml-patch+xml"})
    assert answer.status_code == 415
    refusal(answer)


def test_a_binary_is_a_resource_like_any_other(client: Client) -> None:
    body = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "aGk="}
    assert client("PUT", "Binary/b", body).status_code == 201
    assert client("GET", "Binary/b").json()["data"] == "aGk="


def test_a_binary_is_read_as_its_own_bytes(client: Client) -> None:
    body = {"resourceType": "Binary", "id": "b", "contentType": "text/html; charset=utf-8", "data": "PHA+aGk8L3A+"}
    context = {"reference": "Patient/p"}
    client("PUT", "Binary/b", {**body, "securityContext": context})
    image = "image/avif,image/webp,*/*;q=0.8"
    for accept in ("text/html;q=0.5, text/*", image, "application/octet-stream, */*;q=0.1", "text/*"):
        answer = client("GET", "Binary/b", headers={"accept": accept})
        assert (answer.status_code, answer.content) == (200, b"<p>hi</p>"), accept
        assert answer.headers["content-type"] == body["contentType"]
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-security-context"] == "Patient/p"
        assert answer.headers["etag"] == 'W/"1"'
    for accept in ("application/fhir+json", "application/json", "application/xml", "text/html", "*/*", "x/y, text/xml"):
        answer = client("GET", "Binary/b", headers={"accept": accept})
        assert answer.content != b"<p>hi</p>", accept
        assert answer.status_code == 200
    assert client("GET", "Binary/b/_history/1", headers={"accept": "text/*"}).content == b"<p>hi</p>"
    assert client("GET", "Binary/b?_format=json", headers={"accept": "image/png"}).json()["id"] == "b"
    fallback = client("GET", "Binary/b", headers={"accept": "image/png, application/fhir+json;q=0.5"})
    assert fallback.json()["id"] == "b"
    missing = client("GET", "Binary/none", headers={"accept": "image/png"})
    assert missing.status_code == 404
    refusal(missing)
    head = client("HEAD", "Binary/b", headers={"accept": "text/*"})
    assert (head.headers["content-length"], head.content) == ("9", b"")


def test_a_content_type_that_is_none_does_not_reach_a_header(client: Client) -> None:
    client("PUT", "Binary/b", {"resourceType": "Binary", "id": "b", "contentType": "text/html\r\nx: y", "data": "aGk="})
    client("PUT", "Binary/c", {"resourceType": "Binary", "id": "c", "contentType": "weird", "data": "aGk="})
    for id in "bc":
        answer = client("GET", f"Binary/{id}", headers={"accept": "image/png, */*;q=0.1"})
        if answer.status_code == 200:
            assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == b"hi"


def test_a_binary_is_written_as_its_own_bytes(client: Client) -> None:
    content = bytes(range(256)) * 20
    headers = {"content-type": "image/png", "x-security-context": "Patient/p"}
    made = client("POST", "Binary", content=content, headers=headers)
    assert made.status_code == 201
    stored = made.json()
    assert stored["contentType"] == "image/png"
    assert stored["securityContext"] == {"reference": "Patient/p"}
    accept = {"accept": "image/*", "accept-encoding": "gzip"}
    assert client("GET", f"Binary/{stored['id']}", headers=accept).content == content
    put = client("PUT", "Binary/x", content=b"\x00%PDF", headers={"content-type": "application/pdf"})
    assert (put.status_code, put.json()["id"]) == (201, "x")
    assert (
        client("PUT", "Binary/x", content=b"", headers={"content-type": "text/plain"}).json()["meta"]["versionId"]
        == "2"
    )
    assert client("GET", "Binary/x", headers={"accept": "text/plain"}).content == b""
    before = client.versions()
    for kind in ("nonsense", "a/b; c=\x01", "x" * 300 + "/y"):
        answer = client("POST", "Binary", content=b"x", headers={"content-type": kind})
        assert answer.status_code == 415, kind
        refusal(answer)
    assert client("POST", "Binary", content=b"x", headers={"content-type": "application/json"}).status_code == 400
    assert client("POST", "Patient", content=b"x", headers={"content-type": "image/png"}).status_code == 415
    assert client.versions() == before


def test_modes_of_the_capability_statement_are_not_told_apart(client: Client) -> None:
    whole = client("GET", "metadata").content
    for mode in ("full", "normative", "terminology"):
        assert client("GET", f"metadata?mode={mode}").content == whole


def test_a_conditional_delete_is_of_one_only(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    client("PUT", "Patient/q", {**PATIENT, "id": "q"})
    assert client("DELETE", "Patient?gender=female").status_code == 412
    assert client("GET", "Patient?gender=female").json()["total"] == 2


def test_a_deletion_answers_with_the_version_it_made(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    gone = client("DELETE", "Patient/p", headers={"if-match": 'W/"1"'})
    assert (gone.status_code, gone.content) == (204, b"")
    assert gone.headers["etag"] == 'W/"2"'


def test_vread_takes_summary_and_elements(client: Client) -> None:
    client("PUT", "Patient/p", {**PATIENT, "birthDate": "1970"})
    read = client("GET", "Patient/p/_history/1?_elements=gender").json()
    assert "gender" in read
    assert "birthDate" not in read


def test_a_search_by_get_or_post_of_form_alone(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    assert client("POST", "Patient/_search", data={"gender": "female"}).json()["total"] == 1
    json = client("POST", "Patient/_search", {"gender": "female"})
    assert json.status_code == 415
    refusal(json)


def test_references_to_versions_and_fragments_are_kept(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    inner = {"resourceType": "Patient", "id": "in"}
    for reference, more in (("Patient/p/_history/1", {}), ("#in", {"contained": [inner]})):
        id = client.create({**OBSERVATION, **more, "subject": {"reference": reference}})
        assert client("GET", f"Observation/{id}").json()["subject"]["reference"] == reference
    assert client("GET", "Observation?subject=Patient/p").json()["total"] == 1


def test_a_dangling_reference_is_stored(client: Client) -> None:
    id = client.create({**OBSERVATION, "subject": {"reference": "Patient/nobody"}})
    assert client("GET", f"Observation/{id}").status_code == 200


def test_a_transaction_that_refers_to_a_version_gets_no_version(client: Client) -> None:
    """`resolve-as-version-specific` is not honoured: the reference becomes one to the resource."""
    urn = "urn:uuid:00000000-0000-4000-8000-000000000001"
    url = "http://hl7.org/fhir/StructureDefinition/resolve-as-version-specific"
    subject = {"reference": urn, "extension": [{"url": url, "valueBoolean": True}]}
    given = bundle(
        "transaction", ("POST", "Patient", PATIENT), ("POST", "Observation", {**OBSERVATION, "subject": subject})
    )
    given["entry"][0]["fullUrl"] = urn
    assert client("POST", "", given).status_code == 200
    stored = client("GET", "Observation").json()["entry"][0]["resource"]
    assert stored["subject"]["reference"].count("/") == 1


@pytest.mark.parametrize("type", ["batch", "transaction"])
def test_history_and_search_are_entries_of_bundles(client: Client, type: str) -> None:
    client("PUT", "Patient/p", PATIENT)
    given = bundle(type, ("GET", "Patient/p/_history", None), ("GET", "Patient?gender=female", None))
    answer = client("POST", "", given).json()
    assert [entry["resource"]["type"] for entry in answer["entry"]] == ["history", "searchset"]


def test_head_of_a_search(client: Client) -> None:
    head = client("HEAD", "Patient")
    assert (head.status_code, head.content) == (200, b"")


def test_an_x_provenance_header_is_left_alone(client: Client) -> None:
    answer = client("PUT", "Patient/p", PATIENT, headers={"x-provenance": '{"resourceType":"Provenance"}'})
    assert answer.status_code == 201
    assert client("GET", "Provenance").json()["total"] == 0


def test_lenient_handling_leaves_what_is_unknown_out_of_self(client: Client) -> None:
    answer = client("GET", "Patient?colour=red&gender=male", headers={"prefer": "handling=lenient"})
    assert answer.json()["link"][0]["url"] == f"{BASE}/Patient?gender=male"


def test_a_history_at_a_time_is_what_was_current_then(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    client("PUT", "Patient/p", {**PATIENT, "gender": "male"})
    newest = client("GET", "Patient/p").json()["meta"]["lastUpdated"]

    def versions(path: str, at: str) -> list[str]:
        answer = client("GET", f"{path}?_at={at}&_count=5")
        assert answer.status_code == 200, answer.text
        assert "_at=" in answer.json()["link"][0]["url"]
        return [one["resource"]["meta"]["versionId"] for one in answer.json().get("entry", ())]

    for path in ("_history", "Patient/_history", "Patient/p/_history"):
        assert versions(path, newest) == ["2"]
        assert versions(path, newest[:4]) == ["2", "1"]
        assert versions(path, "2999-01-01") == ["2"]
        assert versions(path, "1999-01-01") == []


def test_a_history_can_be_counted_only(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    assert "entry" not in client("GET", "Patient/p/_history?_count=0").json()
