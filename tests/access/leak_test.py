"""What is hidden from a caller is answered like what never was, by every interaction. https://hl7.org/fhir/R4/security.html"""

from typing import Any

import pytest

from fhir_server.access import Caller
from fhir_server.fhir.definitions import load
from fhir_server.rest.negotiate import Headers
from fhir_server.search.predicate import Is, Param
from fhir_server.server import Server
from tests.client import Client

# This caller sees what carries the tag `shown`.
SHOWN = Is(Param("_tag", "token"), (("code", "=", "shown"),))
CALLER = Caller("limited", lambda type, letter: SHOWN, types=tuple(load().resources))


async def limited_caller(server: Server, headers: Headers, interaction: str) -> Caller:
    return CALLER


PATCH = {"content-type": "application/json-patch+json"}


def resource(type: str, id: str, shown: bool, **more: Any) -> dict[str, Any]:
    meta = {"tag": [{"code": "shown"}]} if shown else {"tag": [{"code": "secret"}]}
    return {"resourceType": type, "id": id, "meta": meta, **more}


@pytest.fixture
def limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client that is not the operator any more, over a shown and a hidden patient with a shown Observation each."""
    for body in (
        resource("Patient", "seen", True, name=[{"family": "Open"}]),
        resource("Patient", "hidden", False, name=[{"family": "Secret"}]),
    ):
        client("PUT", f"Patient/{body['id']}", body)
    for id, subject in (("o1", "seen"), ("o2", "hidden")):
        more = {"status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{subject}"}}
        client("PUT", f"Observation/{id}", resource("Observation", id, True, **more))
    client("PUT", "Observation/o3", resource("Observation", "o3", False, status="final", code={"text": "x"},
                                             subject={"reference": "Patient/seen"}))  # fmt: skip
    for id, shown in (("m1", True), ("m2", False)):
        drug = {"resourceType": "Medication", "id": "inner", "code": {"text": "x" if shown else "Secret"}}
        more = {"status": "active", "intent": "order", "medicationReference": {"reference": "#inner"}}
        whose = {"subject": {"reference": "Patient/seen"}, "contained": [drug]}
        client("PUT", f"MedicationRequest/{id}", resource("MedicationRequest", id, shown, **more, **whose))
    client("PUT", "Binary/secret", resource("Binary", "secret", False, contentType="text/plain", data="U2VjcmV0"))
    monkeypatch.setattr(client.app.endpoint, "caller_of", limited_caller)
    return client


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "Patient/{}", {}),
        ("GET", "Patient/{}", {"if-none-match": 'W/"1"'}),
        ("GET", "Patient/{}/_history", {}),
        ("GET", "Patient/{}/_history/1", {}),
        ("GET", "Patient?_id={}", {}),
        ("GET", "Patient?_id={}&_summary=count", {}),
        ("GET", "Patient?_id={}&_revinclude=Observation:subject", {}),
        ("DELETE", "Patient/{}", {}),
        ("DELETE", "Patient/{}", {"if-match": 'W/"1"'}),
        ("DELETE", "Patient?_id={}", {}),
        ("PATCH", "Patient/{}", PATCH),
        ("PATCH", "Patient?_id={}", PATCH),
    ],
)
def test_hidden_is_answered_like_absent(limited: Client, method: str, path: str, headers: dict[str, str]) -> None:
    content = "[]" if method == "PATCH" else None
    hidden = limited(method, path.format("hidden"), headers=headers, content=content)
    absent = limited(method, path.format("absent"), headers=headers, content=content)
    assert hidden.status_code == absent.status_code
    assert hidden.text.replace("hidden", "absent") == absent.text
    assert "etag" not in hidden.headers


def test_nothing_of_the_hidden_is_in_any_answer(limited: Client) -> None:
    paths = (
        "",
        "Patient",
        "_history",
        "Patient/_history",
        "Observation?_include=Observation:subject",
        "?_type=Patient",
        "_history?_at=2999",
        "Patient/seen/*",
        "Patient/hidden/*",
        "Medication?_contained=true",
        "Medication?_contained=both&_containedType=contained",
        "Binary",
    )
    for path in paths:
        answer = limited("GET", path)
        assert answer.status_code == 200
        assert "Secret" not in answer.text
        assert "secret" not in answer.text


def test_chains_has_and_includes_do_not_see_it(limited: Client) -> None:
    total = {
        "Observation?subject:Patient.family=Secret": 0,
        "Observation?subject:Patient.family=Open": 1,
        "Observation?subject:Patient.family:missing=false": 1,
        "Patient?_has:Observation:subject:status=final": 1,
        "Patient?_has:Observation:subject:_id=o3": 0,
        "Observation?_total=accurate": 2,
        "Observation?_summary=count": 2,
        "Patient/seen/*": 3,
        "Patient/seen/*?_summary=count": 3,
        "Patient/hidden/*": 1,
        "Patient/hidden/*?_sort=_id": 1,
        "Medication?_contained=true": 1,
        "Medication?_contained=true&_total=accurate": 1,
        "Medication?_contained=both&_summary=count": 1,
    }
    for path, expected in total.items():
        assert limited("GET", path).json()["total"] == expected, path
    body = limited("GET", "Patient?_id=seen&_revinclude=Observation:subject").json()
    assert [one["resource"]["id"] for one in body["entry"]] == ["seen", "o1"]


def test_the_bytes_of_a_hidden_binary_are_not_found(limited: Client) -> None:
    hidden, absent = (limited("GET", f"Binary/{id}", headers={"accept": "text/plain"}) for id in ("secret", "absent"))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("secret", "absent") == absent.text


def test_it_is_neither_overwritten_nor_deleted(limited: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = resource("Patient", "hidden", True, name=[{"family": "Taken"}])
    refused = limited("PUT", "Patient/hidden", body)
    absent = limited("PUT", "Patient/absent", {**body, "id": "absent"})
    assert refused.status_code == absent.status_code == 403
    assert refused.text == absent.text
    limited("DELETE", "Patient/hidden")
    entries = [{"request": {"method": "PUT", "url": "Patient/hidden"}, "resource": body}]
    for type in ("batch", "transaction"):
        assert "Taken" not in limited("POST", "", {"resourceType": "Bundle", "type": type, "entry": entries}).text
    monkeypatch.undo()
    assert limited("GET", "Patient/hidden").json()["name"] == [{"family": "Secret"}]
    assert limited("GET", "Patient/hidden").headers["etag"] == 'W/"1"'


def test_a_page_is_good_for_the_caller_who_got_it(limited: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    url = next(
        link["url"] for link in limited("GET", "Observation?_count=1").json()["link"] if link["relation"] == "next"
    )
    page = url[url.index("Observation?") :]
    assert limited("GET", page).json()["entry"][0]["resource"]["id"] == "o2"
    monkeypatch.undo()
    assert limited("GET", page).status_code == 400
