"""Grants, refusals and withdrawals are journalled, without a secret. https://www.rfc-editor.org/rfc/rfc6819"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_server.auth import users
from tests.audit.trail import Trail, client, count, interaction
from tests.auth.door import JWT_BEARER, claims, signed
from tests.auth.person import APP, DOCTORS, PASSWORD, Person


def test_a_token_given_refused_and_withdrawn(trail: Trail) -> None:
    trail.backend(role="ehr")
    token = trail.token(signed(claims())).json()["access_token"]
    assert trail.token(signed(claims(), by="b-forged")).status_code == 401
    assert trail.form("/auth/token", {"grant_type": "password"}).status_code == 400
    form = {"client_assertion_type": JWT_BEARER, "token": token}
    assert trail.form("/auth/introspect", {**form, "client_assertion": signed(claims())}).json()["active"]
    assert trail.form("/auth/revoke", {**form, "client_assertion": signed(claims())}).status_code == 200
    assert trail("POST", "/auth/register", {"client_name": "x"}).status_code == 403
    events = {(interaction(one), client(one), one.get("outcomeDesc", "")): one for one in trail.events()}
    assert {key: count(one) for key, one in events.items()} == {
        ("auth-token", "backend", ""): 1,
        ("auth-token", "", "refused with status 401"): 1,
        ("auth-token", "", "refused with status 400"): 1,
        ("auth-introspect", "backend", ""): 1,
        ("auth-revoke", "backend", ""): 1,
        ("auth-register_itself", "", "refused with status 403"): 1,
    }
    for event in events.values():
        AuditEvent.model_validate(event)
        assert event["type"]["code"] == "110114"
    assert events["auth-token", "backend", ""]["subtype"][0]["code"] == "110122"


def test_discovery_is_no_access(trail: Trail) -> None:
    for path in ("/.well-known/smart-configuration", "/.well-known/openid-configuration"):
        assert trail("GET", path).status_code == 200
    assert trail.fold() == 0


@pytest.fixture
def here(trail: Trail) -> Iterator[Trail]:
    """The same store behind the address that a Person's browser is at."""
    opened = Trail(replace(trail.server.settings, base_url=""))
    yield opened
    opened.close()


def test_signing_in_and_picking_a_patient(here: Trail) -> None:
    trail, ehr = here, here.bearer()
    trail.put(ehr, "Practitioner", "doc")
    for id, name in (("anna", "Berg"), ("bo", "Berger")):
        trail.put(ehr, "Patient", id, name=[{"family": name}], **DOCTORS)
    trail.run(users.add(trail.server.store, "doc", "Practitioner/doc", PASSWORD))
    trail.register(id="app", scopes=APP.scopes, grants=APP.grants, redirects=APP.redirects, launch=APP.launch)
    person = Person(trail)
    person.ask()
    person.sign_in("doc", "not this one")
    person.sign_in("doc")
    person.submit("patients", name="berg")
    person.submit("patient", patient="anna")
    assert "code" in person.allow()
    trail.run(person.http.aclose())
    said = {(interaction(one), one["outcome"]) for one in trail.events() if interaction(one).startswith("auth-")}
    assert {("auth-login", "4"), ("auth-login", "0"), ("auth-search_patients", "0"), ("auth-pick_patient", "0"),
            ("auth-decide", "0")} <= said  # fmt: skip
    for id, shown in (("anna", {"auth-search_patients", "auth-pick_patient", "auth-decide"}),
                      ("bo", {"auth-search_patients"})):  # fmt: skip
        seen = trail.events(f"patient={id}&agent=Practitioner/doc")
        assert {interaction(one) for one in seen} == shown
        assert {client(one) for one in seen} == {"app"}
