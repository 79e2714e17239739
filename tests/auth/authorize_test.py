"""The authorization endpoint: what it takes, what it refuses and to whom it says so (S-10 to S-18)."""

from typing import Any
from urllib.parse import urlencode

import lxml.html
import pytest

from tests.auth.person import BASE, HOME, Person, request

Change = dict[str, str]
GOOD = request("v" * 43)

# What must never lead to a redirect: a page with status 400 instead.
NEVER_SENT: dict[str, Change] = {
    "no client": {"client_id": ""},
    "unknown client": {"client_id": "nobody"},
    "client with a control character": {"client_id": "app\x00"},
    "client of another case": {"client_id": "APP"},
    "no redirect_uri": {"redirect_uri": ""},
    "redirect_uri of another app": {"redirect_uri": "https://other.example/"},
    "host in another case": {"redirect_uri": "https://APP.example/home?x=1"},
    "scheme in another case": {"redirect_uri": "HTTPS://app.example/home?x=1"},
    "path in another case": {"redirect_uri": "https://app.example/Home?x=1"},
    "trailing slash": {"redirect_uri": "https://app.example/home/?x=1"},
    "without the query": {"redirect_uri": "https://app.example/home"},
    "other query": {"redirect_uri": "https://app.example/home?x=2"},
    "longer query": {"redirect_uri": HOME + "&y=2"},
    "port": {"redirect_uri": "https://app.example:443/home?x=1"},
    "plain http": {"redirect_uri": "http://app.example/home?x=1"},
    "path traversal": {"redirect_uri": "https://app.example/a/../home?x=1"},
    "path traversal, encoded": {"redirect_uri": "https://app.example/%2e%2e/home?x=1"},
    "encoded letter": {"redirect_uri": "https://app.example/%68ome?x=1"},
    "fragment": {"redirect_uri": HOME + "#a"},
    "user info": {"redirect_uri": "https://app.example@evil.example/home?x=1"},
    "subdomain": {"redirect_uri": "https://app.example.evil.example/home?x=1"},
    "backslash": {"redirect_uri": "https://app.example\\@evil.example/home?x=1"},
    "scheme-relative": {"redirect_uri": "//app.example/home?x=1"},
    "script": {"redirect_uri": "javascript:alert(1)"},
    "newline": {"redirect_uri": HOME + "\r\nlocation: https://evil.example"},
    "space after it": {"redirect_uri": HOME + " "},
    "native app's address with another path": {"redirect_uri": "http://127.0.0.1:9999/native/x"},
    "native app's address by name": {"redirect_uri": "http://localhost:9999/native"},
    "native app's address elsewhere": {"redirect_uri": "http://127.0.0.1:9999@evil.example/native"},
    "far too long": {"state": "s" * 8000},
}

# What is told to the app: the error, and the change that brings it.
TOLD: dict[str, tuple[str, Change]] = {
    "no response_type": ("invalid_request", {"response_type": ""}),
    "implicit": ("unsupported_response_type", {"response_type": "token"}),
    "hybrid": ("unsupported_response_type", {"response_type": "code id_token"}),
    "no challenge": ("invalid_request", {"code_challenge": ""}),
    "plain by name": ("invalid_request", {"code_challenge_method": "plain"}),
    "plain by default": ("invalid_request", {"code_challenge_method": ""}),
    "method in another case": ("invalid_request", {"code_challenge_method": "s256"}),
    "challenge too short": ("invalid_request", {"code_challenge": "a" * 42}),
    "challenge too long": ("invalid_request", {"code_challenge": "a" * 44}),
    "challenge with padding": ("invalid_request", {"code_challenge": "a" * 42 + "="}),
    "no aud": ("invalid_request", {"aud": ""}),
    "aud elsewhere": ("invalid_request", {"aud": "https://evil.example/fhir"}),
    "aud with more path": ("invalid_request", {"aud": BASE + "/x"}),
    "aud in another case": ("invalid_request", {"aud": BASE.replace("fhir", "FHIR")}),
    "aud with two slashes": ("invalid_request", {"aud": BASE + "//"}),
    "aud with a query": ("invalid_request", {"aud": BASE + "?"}),
    "no scope": ("invalid_scope", {"scope": ""}),
    "unknown scopes": ("invalid_scope", {"scope": "patient/Nothing.rs patient/Patient.dus everything"}),
    "system scopes": ("invalid_scope", {"scope": "system/*.rs"}),
    "only to stay": ("invalid_scope", {"scope": "offline_access online_access"}),
    "unknown launch": ("invalid_request", {"launch": "nothing", "scope": "launch patient/*.rs"}),
    "empty launch": ("invalid_request", {"launch": "", "scope": "launch patient/*.rs"}),
    "request object": ("request_not_supported", {"request": "eyJ"}),
    "request object elsewhere": ("request_not_supported", {"request_uri": "https://evil.example/"}),
    "fragment as response": ("invalid_request", {"response_mode": "fragment"}),
    "no interaction": ("interaction_required", {"prompt": "none"}),
}


@pytest.mark.parametrize("name", NEVER_SENT)
def test_never_a_redirect(visitor: Person, name: str) -> None:
    for method in ("GET", "POST"):
        answer = visitor.ask(method, **NEVER_SENT[name])
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "evil.example" not in answer.text


@pytest.mark.parametrize("name", TOLD)
def test_the_app_is_told_with_state_and_issuer(visitor: Person, name: str) -> None:
    error, change = TOLD[name]
    answer = visitor.ask(**change)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(HOME + "&")
    assert visitor.gone["error"] == error
    assert visitor.gone["state"] == GOOD["state"]
    assert visitor.gone["iss"] == "http://127.0.0.1:8080/auth"
    assert visitor.gone["x"] == "1"
    assert "code" not in visitor.gone


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_who_is_named_twice_gets_no_redirect(visitor: Person, name: str) -> None:
    answer = visitor("GET", f"/auth/authorize?{urlencode(GOOD)}&{urlencode({name: GOOD[name]})}")
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["state", "scope", "code_challenge", "aud", "response_type"])
def test_what_is_given_twice_is_refused(visitor: Person, name: str) -> None:
    visitor("GET", f"/auth/authorize?{urlencode(GOOD)}&{urlencode({name: GOOD[name]})}")
    assert visitor.gone["error"] == "invalid_request"


def test_without_state_none_is_sent_back(visitor: Person) -> None:
    visitor.ask(drop="state", aud="")
    assert "state" not in visitor.gone


def test_a_form_must_be_a_form(visitor: Person) -> None:
    assert visitor("POST", "/auth/authorize", json=GOOD).status_code == 415
    assert visitor("POST", "/auth/authorize", data={"x": "y" * 70_000}).status_code == 413
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert visitor("POST", "/auth/authorize", content=b"client_id=%ff", headers=headers).status_code == 400
    assert visitor("POST", "/auth/authorize", content=b"client_id=\xff", headers=headers).status_code == 400


@pytest.mark.parametrize("aud", [BASE, BASE + "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_participant_consents_and_the_app_gets_a_code(visitor: Person, method: str, aud: str) -> None:
    visitor.ask(method, aud=aud)
    assert visitor.heard() == ["Sign in"]
    visitor.sign_in("anna")
    assert visitor.heard() == ["Allow “Trial finder”?"]
    assert "Anna Berg" in visitor.page.text
    sent = visitor.allow()
    assert sent.keys() == {"x", "code", "state", "iss"}
    assert sent["state"] == GOOD["state"]
    assert visitor.redeem(sent["code"]).json()["patient"] == "anna"


def test_a_native_app_may_listen_on_any_port(visitor: Person) -> None:
    code = visitor.code(redirect_uri="http://127.0.0.1:9999/native")
    assert visitor.redeem(code, redirect_uri="http://127.0.0.1:9998/native").json()["error"] == "invalid_grant"
    assert visitor.redeem(code, redirect_uri="http://127.0.0.1:9999/native").status_code == 200


def test_refusing_says_access_denied(visitor: Person) -> None:
    visitor.ask()
    visitor.submit("consent", decision="deny")  # before signing in
    assert visitor.gone["error"] == "access_denied"
    visitor.ask()
    visitor.sign_in("anna")
    visitor.submit("consent", decision="deny")
    assert (visitor.gone["error"], visitor.gone["state"]) == ("access_denied", GOOD["state"])


def test_a_request_is_answered_once(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("anna")
    form = visitor.page
    assert "code" in visitor.allow()
    visitor.page = form
    assert visitor.allow() == {}
    assert visitor.page.status_code == 400
    assert visitor.heard() == ["This request is over"]


def test_each_scope_can_be_removed_and_split(visitor: Person) -> None:
    visitor.ask(scope="openid fhirUser offline_access patient/*.rs launch/patient")
    visitor.sign_in("anna")
    boxes = lxml.html.fromstring(visitor.page.text).xpath("//input[@type='checkbox']")
    ticked = [box.get("value") for box in boxes if box.get("checked") is not None]
    assert ticked == ["openid", "fhirUser", "offline_access", "patient/*.rs", "launch/patient"]
    assert {"patient/Condition.rs", "patient/Observation.rs"} <= {box.get("value") for box in boxes}
    laboratory = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    sent = visitor.allow(scope=["openid", "patient/Condition.rs", laboratory])
    answer = visitor.redeem(sent["code"]).json()
    assert answer["scope"].split() == ["openid", "patient/Condition.rs", laboratory]
    assert answer["patient"] == "anna"
    assert "refresh_token" not in answer


def test_nothing_beyond_what_was_asked_can_be_granted(visitor: Person) -> None:
    visitor.ask(scope="patient/Observation.rs")
    visitor.sign_in("anna")
    sent = visitor.allow(scope=["patient/Observation.rs", "patient/*.cruds", "system/*.rs", "user/*.rs", "openid"])
    assert visitor.redeem(sent["code"]).json()["scope"] == "patient/Observation.rs"


def test_granting_nothing_asks_again(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("anna")
    assert visitor.allow(scope=["patient/*.cruds"]) == {}
    assert visitor.page.status_code == 400
    assert visitor.heard()[-1] == "Tick at least one line, or refuse."


def test_who_only_signs_in_gives_no_patient(visitor: Person) -> None:
    answer = visitor.redeem(visitor.code(name="doc", scope="openid fhirUser")).json()
    assert "patient" not in answer
    assert answer["id_token"].count(".") == 2


def test_old_scopes_are_returned_as_they_were_asked(visitor: Person) -> None:
    answer = visitor.redeem(visitor.code(scope="patient/Observation.read patient/Condition.rs")).json()
    assert answer["scope"] == "patient/Observation.read patient/Condition.rs"


def test_a_clinician_picks_a_patient(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("doc")
    assert visitor.heard() == ["Pick a patient"]
    visitor.submit("patients", name="berg", born="")
    names = lxml.html.fromstring(visitor.page.text).xpath("//button[@name='patient']/strong/text()")
    assert names == ["Anna Berg", "Bo Berger"]
    visitor.submit("patients", name="Berg An", born="")
    assert "Anna Berg" in visitor.page.text
    assert "Bo Berger" not in visitor.page.text
    visitor.submit("patients", name="", born="1980-01-02")
    assert "Bo Berger" in visitor.page.text
    visitor.submit("patient", patient="bo")
    assert "Bo Berger" in visitor.page.text
    assert visitor.redeem(visitor.allow()["code"]).json()["patient"] == "bo"


@pytest.mark.parametrize(("name", "born"), [("x", "yesterday"), ("x", "1970-13-01"), ("", "ge1970")])
def test_a_bad_date_is_said(visitor: Person, name: str, born: str) -> None:
    visitor.ask()
    visitor.sign_in("doc")
    answer = visitor.submit("patients", name=name, born=born)
    assert (answer.status_code == 400) or born == "ge1970"


@pytest.mark.parametrize("name", ["a,b", "$", "\\", "|", "a" * 3000, "' OR 1=1 --", '{"$ne":1}'])
def test_what_is_searched_is_text(visitor: Person, name: str) -> None:
    visitor.ask()
    visitor.sign_in("doc")
    assert visitor.submit("patients", name=name, born="").status_code in (200, 400)
    assert "0 found" in visitor.page.text or visitor.page.status_code == 400


@pytest.mark.parametrize("patient", ["nobody", "", "bo/../anna", "Patient/bo"])
def test_only_a_patient_who_is_there_can_be_picked(visitor: Person, patient: str) -> None:
    visitor.ask()
    visitor.sign_in("doc")
    visitor.submit("patients", name="berg", born="")
    assert visitor.submit("patient", patient=patient).status_code == 403


def test_a_representative_opens_the_one_record_and_no_other(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("mum")
    assert "Bo Berger" in visitor.page.text
    sent = visitor.allow(patient="anna")  # what a form says is not what decides
    assert visitor.redeem(sent["code"]).json()["patient"] == "bo"


def test_a_participant_opens_no_other_record(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("anna")
    sent = visitor.allow(patient="bo")
    assert visitor.redeem(sent["code"]).json()["patient"] == "anna"


def test_a_participant_cannot_search_patients(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("anna")
    fields: dict[str, Any] = dict(lxml.html.fromstring(visitor.page.text).forms[0].form_values())
    fields = {name: fields[name] for name in ("csrf", "flow")} | {"name": "berg", "born": ""}
    answer = visitor("POST", "/auth/patients", data=fields)
    assert answer.status_code == 403
    assert "Berger" not in answer.text


def test_without_a_patient_there_is_no_patient_scope(visitor: Person) -> None:
    visitor.ask()
    visitor.sign_in("past")
    assert visitor.gone["error"] == "access_denied"
