"""Grants, refusals and withdrawals are journalled, without a secret. https://www.rfc-editor.org/rfc/rfc6819"""

from fhir.resources.R4B.auditevent import AuditEvent

from tests.audit.trail import Trail, client, count, interaction
from tests.auth.door import JWT_BEARER, claims, signed


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
