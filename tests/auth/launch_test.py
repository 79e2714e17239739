"""A launch from an EHR: who may start it, and that it opens one patient, once, in one app (S-16, S-21)."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from fhir_server.auth.records import Authorization
from fhir_server.auth.tokens import authorize, issue
from tests.auth.person import BASE, Person

SCOPE = "launch openid fhirUser patient/*.rs"


def token(person: Person, **about: Any) -> str:
    """A token of a backend service, by default of a registered EHR."""
    server = person.client.app.endpoint.server
    made = Authorization(client="app", scopes=("system/*.rs",), **{"role": "ehr", **about})
    id = person.client.run(authorize(server, made))
    return person.client.run(issue(server, id, made, made.scopes, 300))


def launch(person: Person, body: Any = None, headers: Any = None, **more: Any) -> httpx2.Response:
    asked = body if body is not None else {"client_id": "app", "patient": "anna", **more}
    shown = {"authorization": f"Bearer {token(person)}"} if headers is None else headers
    return person.client.run(person.http.post("/auth/launch", json=asked, headers=shown))


def value(person: Person, **more: Any) -> str:
    return str(launch(person, **more).json()["launch"])


@pytest.fixture
def doctor(visitor: Person) -> Person:
    """A clinician who is signed in."""
    visitor("GET", "/auth/login")
    visitor.sign_in("doc")
    return visitor


def test_the_app_is_opened_with_patient_visit_and_intent(doctor: Person) -> None:
    answer = launch(doctor, encounter="visit", intent="review", need_patient_banner=False)
    assert answer.status_code == 201
    assert "no-store" in answer.headers["cache-control"]
    query = parse_qs(urlsplit(answer.json()["url"]).query)
    assert answer.json()["url"].startswith("https://app.example/launch?")
    assert query == {"iss": [BASE], "launch": [answer.json()["launch"]]}
    doctor.ask(launch=query["launch"][0], scope=SCOPE)
    assert doctor.heard() == ["Allow “Trial finder”?"]
    assert "Anna Berg" in doctor.page.text
    body = doctor.redeem(doctor.allow()["code"]).json()
    assert {name: body[name] for name in ("patient", "encounter", "intent", "need_patient_banner")} == {
        "patient": "anna",
        "encounter": "visit",
        "intent": "review",
        "need_patient_banner": False,
    }
    style = doctor("GET", urlsplit(body["smart_style_url"]).path)
    assert style.status_code == 200
    assert style.json()["color_background"].startswith("#")


def test_a_launch_is_used_once(doctor: Person) -> None:
    one = value(doctor)
    doctor.ask(launch=one, scope=SCOPE)
    assert doctor.heard() == ["Allow “Trial finder”?"]
    doctor.ask(launch=one, scope=SCOPE)
    assert doctor.gone["error"] == "invalid_request"


def test_a_launch_is_for_one_app(doctor: Person) -> None:
    one = value(doctor)
    doctor.ask(client_id="other", redirect_uri="https://other.example/", launch=one, scope=SCOPE)
    assert doctor.gone["error"] == "invalid_request"
    doctor.ask(launch=one, scope=SCOPE)  # and the right one can still come
    assert doctor.gone == {}


def test_a_launch_is_good_for_five_minutes(doctor: Person) -> None:
    endpoint, one = doctor.client.app.endpoint, value(doctor)
    server = endpoint.server
    try:
        endpoint.server = replace(server, clock=lambda: server.clock() + 301_000_000)
        doctor.ask(launch=one, scope=SCOPE)
        assert doctor.gone["error"] == "invalid_request"
    finally:
        endpoint.server = server


def test_a_launch_for_somebody_goes_on_with_nobody_else(doctor: Person) -> None:
    doctor.ask(launch=value(doctor, user="Patient/anna"), scope=SCOPE)
    assert doctor.heard() == ["Sign in", "The record system opened this app for somebody else. Sign in as that person."]
    doctor.sign_in("mum")
    assert doctor.heard()[0] == "Sign in"
    doctor.sign_in("anna")
    assert doctor.redeem(doctor.allow()["code"]).json()["patient"] == "anna"


def test_a_launch_opens_no_record_that_the_person_may_not_see(visitor: Person) -> None:
    visitor.ask(launch=value(visitor, patient="bo"), scope=SCOPE)
    visitor.sign_in("anna")
    assert visitor.gone["error"] == "access_denied"


def test_what_an_ehr_said_is_no_business_of_an_app_without_the_scope(doctor: Person) -> None:
    doctor.ask(launch=value(doctor, encounter="visit"), scope="openid user/*.rs")
    body = doctor.redeem(doctor.allow()["code"]).json()
    assert not {"patient", "encounter", "intent", "smart_style_url"} & body.keys()


def test_who_may_not_launch(visitor: Person) -> None:
    def status(headers: dict[str, str]) -> tuple[int, str]:
        answer = launch(visitor, headers=headers)
        return answer.status_code, answer.headers.get("www-authenticate", "")

    app = visitor.redeem(visitor.code()).json()["access_token"]
    assert status({}) == (401, "Bearer")
    assert status({"authorization": "Bearer nothing"})[0] == 401
    assert status({"authorization": f"Basic {token(visitor)}"})[0] == 401
    assert status({"authorization": f"Bearer {app}"})[0] == 403
    assert status({"authorization": f"Bearer {token(visitor, role='laboratory')}"})[0] == 403
    assert status({"authorization": f"Bearer {token(visitor, user='Practitioner/doc')}"})[0] == 403
    assert status({"authorization": f"Bearer {token(visitor, role='operator')}"})[0] == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "launch",
        {"client_id": "nobody", "patient": "anna"},
        {"client_id": "app"},
        {"client_id": "app", "patient": "nobody"},
        {"client_id": "app", "patient": "Patient/anna"},
        {"client_id": "app", "patient": "../doc"},
        {"client_id": "app", "patient": {"$ne": ""}},
        {"client_id": "app", "patient": "anna", "encounter": "nowhere"},
        {"client_id": "app", "patient": "bo", "encounter": "visit"},
        {"client_id": "app", "patient": "anna", "user": "anna"},
        {"client_id": "app", "patient": "anna", "more": 1},
    ],
)
def test_what_is_no_launch(visitor: Person, body: Any) -> None:
    answer = launch(visitor, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
