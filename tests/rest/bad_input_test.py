"""What clients get wrong: always a 4xx with an OperationOutcome, never a trace in the data. https://hl7.org/fhir/R4/http.html#Status-Codes"""

from typing import Any

import pytest

from tests.client import Client, refusal

JSON = {"content-type": "application/fhir+json"}
PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}

BODIES: dict[str, tuple[Any, int]] = {
    "broken JSON": (b'{"resourceType":"Patient"', 400),
    "no JSON at all": (b"\xff\xfe\x00", 400),
    "empty": (b"", 400),
    "an array": (b"[]", 400),
    "null": (b"null", 400),
    "NaN": (b'{"resourceType":"Patient","multipleBirthInteger":NaN}', 400),
    "Infinity": (b'{"resourceType":"Patient","multipleBirthInteger":Infinity}', 400),
    "a key twice": (b'{"resourceType":"Patient","gender":"male","gender":"female"}', 400),
    "a key twice, once escaped": (b'{"resourceType":"Patient","gender":"male","gend\\u0065r":"female"}', 400),
    "no resourceType": (b'{"gender":"male"}', 400),
    "resourceType is a number": (b'{"resourceType":3}', 400),
    "another resourceType": (b'{"resourceType":"Observation"}', 400),
    "5,000 deep": (b'{"resourceType":"Patient","extension":' + b"[{" * 5000 + b"}]" * 5000 + b"}", 400),
    "5,000 deep, well formed": (
        b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 5000 + b"1" + b"}]" * 5000 + b"}",
        400,
    ),
    "900 deep": (b'{"resourceType":"Patient","x":' + b"[" * 900 + b"]" * 900 + b"}", None),
    "$ in a key": (b'{"resourceType":"Patient","$where":"1"}', 422),
    ". in a key": (b'{"resourceType":"Patient","a.b":"1"}', 422),
    "NUL in a key": (b'{"resourceType":"Patient","gen\\u0000der":"male"}', 422),
    "NUL in a string": (b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}', 422),
    "lone surrogate": (b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}', 400),
    "lone surrogate in a key": (b'{"resourceType":"Patient","\\udfff":"a"}', 400),
    "raw surrogate bytes": (b'{"resourceType":"Patient","name":[{"family":"\xed\xa0\x80"}]}', 400),
    "no such date": (b'{"resourceType":"Patient","birthDate":"2026-02-30"}', 422),
    "date and time for a date": (b'{"resourceType":"Patient","birthDate":"2026-02-03T10:00:00Z"}', 422),
    "reference to a wrong type": (b'{"resourceType":"Patient","managingOrganization":{"reference":"Patient/1"}}', 422),
    "unknown element": (b'{"resourceType":"Patient","colour":"red"}', 422),
    "unknown code": (b'{"resourceType":"Patient","gender":"banana"}', 422),
    "meta is null": (b'{"resourceType":"Patient","meta":null}', None),
    "meta is a string": (b'{"resourceType":"Patient","meta":"x"}', None),
    "integer beyond all": (b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 400 + b"}", None),
    "decimal beyond all": (b'{"resourceType":"Patient","multipleBirthInteger":1e999999999}', None),
    "10 MB string": (b'{"resourceType":"Patient","gender":"' + b"x" * 10_000_000 + b'"}', 422),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused_and_leave_no_trace(client: Client, name: str) -> None:
    body, status = BODIES[name]
    for method, path in (("POST", "Patient"), ("PUT", "Patient/p")):
        if method == "PUT":
            body = body.replace(b'{"resourceType":"Patient"', b'{"resourceType":"Patient","id":"p"', 1)
        answer = client(method, path, headers=JSON, content=body)
        assert answer.status_code in ((status,) if status else (400, 422)), (answer.status_code, answer.text[:300])
        refusal(answer)
    assert client.versions() == 0


REQUESTS: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "Banana", {}, 404),
    ("GET", "Banana/1", {}, 404),
    ("GET", "patient/1", {}, 404),
    ("GET", "Patient/nobody", {}, 404),
    ("GET", "Patient/nobody/_history", {}, 404),
    ("GET", "Patient/nobody/_history/1", {}, 404),
    ("GET", "Patient/p/_history/2", {}, 404),
    ("GET", "Patient/p/_history/" + "9" * 500, {}, 404),
    ("GET", "Patient/p/_history/%D9%A1", {}, 404),
    ("GET", "Patient/p/_history/1.5", {}, 404),
    ("GET", "Patient/" + "x" * 65, {}, 404),
    ("GET", "Patient/%00", {}, 404),
    ("GET", "Patient/a%00b", {}, 404),
    ("GET", "Patient/a%2Fb%2Fc%2Fd%2Fe", {}, 404),
    ("GET", "Patient/%FF%FE", {}, 404),
    ("GET", "Patient/%ED%A0%80", {}, 404),
    ("GET", "Patient/..%2F..%2Fetc", {}, 404),
    ("GET", "*/*", {}, 404),
    ("GET", "_nothing", {}, 404),
    ("GET", "Patient/p/$nothing", {}, 404),
    ("GET", "Patient/p/Banana", {}, 404),
    ("GET", "Patient?nonsense=1", {}, 400),
    ("GET", "Patient?birthdate=yesterday", {}, 400),
    ("GET", "Patient?_count=minus", {}, 400),
    ("GET", "Patient?_count=-1", {}, 400),
    ("GET", "Patient?_page=forged", {}, 400),
    ("GET", "Patient?_page=" + "A" * 200, {}, 400),
    ("GET", "Patient?_page=%F0%9F%92%A9", {}, 400),
    ("GET", "Patient?name=%00", {}, 400),
    ("GET", "Patient?name=%FF", {}, 400),
    ("GET", "Patient?_sort=nonsense", {}, 400),
    ("GET", "Patient?_include=nonsense", {}, 400),
    ("GET", "Patient?" + "&".join(f"name={n}" for n in range(2000)), {}, 400),
    ("GET", "Patient/p?_summary=nonsense", {}, 400),
    ("GET", "_history?_since=never", {}, 400),
    ("GET", "_history?_count=x", {}, 400),
    ("GET", "_history?_count=%D9%A1", {}, 400),
    ("GET", "_history?nonsense=1", {}, 400),
    ("GET", "Patient/p", {"if-none-match": "x"}, 400),
    ("GET", "Patient/p", {"accept": "application/pdf"}, 406),
    ("GET", "Patient/p?_format=turtle", {}, 406),
    ("DELETE", "Patient/p", {"if-match": "nonsense"}, 400),
    ("DELETE", "Patient/p", {"if-match": 'W/"7"'}, 412),
    ("DELETE", "Patient", {}, 400),
    ("DELETE", "Patient?nonsense=1", {"prefer": "handling=lenient"}, 400),
    ("DELETE", "", {}, 405),
    ("PUT", "Patient/p/_history/1", {}, 405),
    ("BREW", "Patient/p", {}, 405),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), REQUESTS, ids=lambda value: str(value)[:40])
def test_bad_requests_are_refused(client: Client, method: str, path: str, headers: dict[str, str], status: int) -> None:
    client("PUT", "Patient/p", PATIENT)
    answer = client(method, path, headers=headers)
    assert answer.status_code == status, answer.text
    refusal(answer)
    assert client.versions() == 1


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("Patient/q", PATIENT, {}, 400),
        ("Patient/p", {"resourceType": "Patient"}, {}, 400),
        ("Patient/" + "x" * 65, {**PATIENT, "id": "x" * 65}, {}, 400),
        ("Patient/p", PATIENT, {"if-match": 'W/"2"'}, 412),
        ("Patient/p", PATIENT, {"if-match": "2"}, 400),
        ("Patient/p", PATIENT, {"if-none-match": "*"}, 412),
        ("Patient/p", PATIENT, {"content-type": "text/plain"}, 415),
        ("Patient/p", PATIENT, {"content-type": "application/fhir+turtle"}, 415),
        ("Patient/p", PATIENT, {"content-type": "application/fhir+json; charset=latin-1"}, 415),
        ("Patient/p", PATIENT, {"content-encoding": "br"}, 415),
        ("Patient/q", {**PATIENT, "id": "q"}, {"if-match": 'W/"1"'}, 412),
        ("Patient?nonsense=1", PATIENT, {}, 400),
        ("Patient", PATIENT, {}, 400),
        ("Patient?gender=female", {**PATIENT, "id": "other"}, {}, 400),
        ("Patient?gender=male", PATIENT, {}, 409),
        ("Patient?gender=male", {**PATIENT, "id": 'a","x":"'}, {}, 422),
        ("Patient?gender=male", {**PATIENT, "id": ["a"]}, {}, 400),
        ("Patient?gender=male", {**PATIENT, "id": 5}, {}, 400),
    ],
)
def test_bad_updates_are_refused(
    client: Client, path: str, body: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    client("PUT", "Patient/p", PATIENT)
    answer = client("PUT", path, body, headers=headers)
    assert answer.status_code == status or (status == 422 and answer.status_code == 400), answer.text
    refusal(answer)
    assert client.versions() == 1


def test_a_body_over_the_limit_is_413(client: Client) -> None:
    answer = client("POST", "Patient", headers=JSON, content=b" " * (client.app.endpoint.server.settings.max_body + 1))
    assert answer.status_code == 413
    refusal(answer)


def test_addresses_outside_the_base_have_an_outcome_too(client: Client) -> None:
    for path in ("/", "/nothing", "/fhirX/Patient"):
        answer = client("GET", path)
        assert answer.status_code == 404
        refusal(answer)


def test_an_exception_nobody_foresaw_is_500_with_the_request_id_only(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("the patient's name is Secret")

    monkeypatch.setattr(client.app.endpoint.server.store, "read", fail)
    answer = client("GET", "Patient/p", headers={"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert "abc-1" in refusal(answer)["diagnostics"]
    assert "Secret" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
