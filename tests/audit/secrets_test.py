"""What the trail and the logs must not hold: tokens, secrets, values of queries. https://www.rfc-editor.org/rfc/rfc9700"""

import pytest

from fhir_server.search.predicate import EVERYTHING
from tests.audit.trail import Trail, queries
from tests.auth.door import claims, signed

ASKED = (
    "Patient?family=Zweistein&birthdate=1960-05-04",
    "Patient?identifier=urn:mrn|Zweistein-77",
    "Patient?Zweistein=1",  # a name that is no parameter may be anything
    "Patient?name:Zweistein=x",
    "Observation?subject:Patient.name=Zweistein&code=Zweistein",
    "Patient?_has:Observation:patient:code=Zweistein",
    "Patient?_id=..%2FZweistein%20a",
    "Patient/_search?family=Zweistein",
    "Zweistein?name=x",
    "Zweistein/1",
)


def test_no_token_secret_or_value_is_kept_or_logged(
    trail: Trail, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    trail.backend(role="ehr", scopes=("system/*.rs",))
    secret = trail.register(id="confidential", kind="symmetric", redirects=("https://app.example/cb",))
    assertion = signed(claims())
    token = trail.token(assertion).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    for path in ASKED:
        trail("GET", path, headers=headers)
        trail("GET", path, headers={**headers, "prefer": "handling=lenient"})
    trail.form("Patient/_search", {"family": "Zweistein"}, headers=headers)
    trail("GET", f"Patient?access_token={token}")
    trail.form(
        "/auth/token", {"grant_type": "authorization_code", "client_id": "confidential", "client_secret": secret}
    )
    rows = trail.run(trail.server.store.list_state("audit/", 1000))
    kept = b"".join(key.encode() + value for key, value in rows)
    trail.fold()
    events = trail.run(trail.server.store.history("AuditEvent", None, EVERYTHING, None, None, 500)).rows
    bodies = [row.body for row in events]
    out, err = capfd.readouterr()
    for text in ("Zweistein", "1960-05-04", token, secret, assertion, assertion.rpartition(".")[2]):
        for where in (kept, b"".join(bodies), out.encode(), err.encode(), caplog.text.encode()):
            assert text.encode() not in where
    assert len(bodies) > 3


def test_names_of_parameters_are_kept(trail: Trail) -> None:
    ehr = trail.bearer()
    for query in ("family=x&birthdate=1960", "_has:Observation:patient:code=y", "general-practitioner.name=z"):
        assert trail("GET", f"Patient?{query}", headers=ehr).status_code == 200
    (event,) = trail.events("subtype=search-type")
    assert sorted(queries(event)) == [
        "Patient?_has:Observation:patient:code",
        "Patient?family&birthdate",
        "Patient?general-practitioner.name",
    ]
