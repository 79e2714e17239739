"""Introspection, revocation and limits. https://www.rfc-editor.org/rfc/rfc7662, https://www.rfc-editor.org/rfc/rfc7009"""

import base64
from typing import Any

import pytest

from fhir_server.auth.records import Authorization
from fhir_server.auth.tokens import authorize, grant_of, issue, subject
from tests.auth.door import BASE, JWT_BEARER, ROOT, Door, claims, signed, smart
from tests.auth.forged_test import refused

NOT_ACTIVE = {"active": False}


def by(id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{id}:{secret}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def opened(door: Door) -> dict[str, Any]:
    """Clients of each kind, and a token that a clinician let the portal have."""
    app: dict[str, Any] = {"redirects": ("https://app.example/cb",), "scopes": ("patient/*.rs", "openid", "fhirUser")}
    known: dict[str, Any] = {
        "portal": door.register(id="portal", kind="symmetric", **app),
        "other": door.register(id="other", kind="symmetric", **app),
    }
    door.register(id="page", **app)
    door.backend("operator", role="operator")
    door.backend("lab")
    known["made"] = Authorization(
        client="portal",
        scopes=("patient/*.rs", "openid", "fhirUser", "launch/patient"),
        user="Practitioner/1",
        name="ann",
        patient="p1",
        encounter="e1",
    )
    known["id"] = door.run(authorize(door.server, known["made"]))
    known["token"] = door.run(issue(door.server, known["id"], known["made"], known["made"].scopes, 600))
    return known


def test_a_token_is_described_to_its_client(door: Door) -> None:
    """S-40."""
    known = opened(door)
    answer = door.form("/auth/introspect", {"token": known["token"]}, by("portal", known["portal"]))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert abs(told.pop("exp") - door.server.clock() // 1_000_000 - 600) <= 30
    assert set(told.pop("scope").split()) == set(known["made"].scopes)
    assert told == {
        "active": True,
        "client_id": "portal",
        "patient": "p1",
        "encounter": "e1",
        "iss": ROOT + "/auth",
        "sub": subject(known["made"]),
        "fhirUser": BASE + "/Practitioner/1",
    }


def test_what_is_no_token_of_the_client_is_not_active(door: Door) -> None:
    """S-40, S-41: of others, only an operator is told."""
    known = opened(door)
    for text in ("x", known["id"], known["token"][:-1], "a.b.c"):
        answer = door.form("/auth/introspect", {"token": text}, by("portal", known["portal"]))
        assert (answer.status_code, answer.json()) == (200, NOT_ACTIVE)
    answer = door.form("/auth/introspect", {"token": known["token"]}, by("other", known["other"]))
    assert (answer.status_code, answer.json()) == (200, NOT_ACTIVE)
    proof = {"client_assertion_type": JWT_BEARER, "client_assertion": signed(claims("operator"))}
    assert door.form("/auth/introspect", {"token": known["token"], **proof}).json()["active"] is True
    proof["client_assertion"] = signed(claims("lab"))
    assert door.form("/auth/introspect", {"token": known["token"], **proof}).json() == NOT_ACTIVE


def test_a_public_client_shows_its_token(door: Door) -> None:
    known = opened(door)
    made = Authorization(client="page", scopes=("patient/*.rs",), patient="p1")
    own = door.run(issue(door.server, door.run(authorize(door.server, made)), made, made.scopes, 60))
    assert door.form("/auth/introspect", {"token": own}, bearer(own)).json()["client_id"] == "page"
    assert door.form("/auth/introspect", {"token": known["token"]}, bearer(own)).json() == NOT_ACTIVE


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, {}),
        ({"client_id": "page"}, {}),
        ({"client_id": "portal"}, {}),
        ({"client_id": "portal", "client_secret": "wrong"}, {}),
        ({}, by("portal", "wrong")),
        ({}, bearer("wrong")),
        ({}, bearer("")),
        ({}, {"authorization": "Digest x"}),
    ],
)
def test_strangers_learn_nothing(door: Door, form: dict[str, str], headers: dict[str, str]) -> None:
    """S-41."""
    known = opened(door)
    answer = door.form("/auth/introspect", {"token": known["token"], **form}, headers)
    refused(answer, 401, "invalid_client")
    assert ("www-authenticate" in answer.headers) == headers.get("authorization", "").startswith(("Basic", "Bearer"))


def test_a_token_in_the_address_is_refused(door: Door) -> None:
    """S-39."""
    known = opened(door)
    for path in ("introspect", "revoke"):
        asked = f"/auth/{path}?token={known['token']}"
        refused(door.form(asked, {"x": "y"}, by("portal", known["portal"])), 400, "invalid_request")
        refused(door.form(f"/auth/{path}", {"x": "y"}, by("portal", known["portal"])), 400, "invalid_request")


def test_two_authorization_headers_are_refused(door: Door) -> None:
    known = opened(door)
    headers = [*by("portal", known["portal"]).items(), *bearer(known["token"]).items()]
    refused(door.form("/auth/introspect", {"token": "x"}, headers), 400, "invalid_request")


def test_a_client_withdraws_its_own_tokens_only(door: Door) -> None:
    """S-42."""
    known = opened(door)
    answer = door.form("/auth/revoke", {"token": known["token"]}, by("other", known["other"]))
    assert answer.status_code == 200
    assert door.run(grant_of(door.server, known["token"])) is not None, "another client's token lives on"
    refused(door.form("/auth/revoke", {"token": known["token"]}), 401, "invalid_client")
    for _ in range(2):
        answer = door.form("/auth/revoke", {"token": known["token"]}, by("portal", known["portal"]))
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert door.run(grant_of(door.server, known["token"])) is None
    answer = door.form("/auth/introspect", {"token": known["token"]}, by("portal", known["portal"]))
    assert answer.json() == NOT_ACTIVE


def test_revoking_what_is_none_succeeds(door: Door) -> None:
    """S-42: RFC 7009 section 2.2."""
    known = opened(door)
    form = {"token": "nonsense", "token_type_hint": "nonsense"}
    assert door.form("/auth/revoke", form, by("portal", known["portal"])).status_code == 200


@pytest.fixture
def strict(tmp_path: Any) -> Any:
    """A server whose addresses and clients may make 45 requests a minute."""
    door = Door(smart(f"sqlite:///{tmp_path / 'fhir.db'}", rate_limit=45))
    yield door
    door.close()


def test_guessing_is_stopped_after_a_few(strict: Door) -> None:
    """S-41: a refusal counts as twenty requests."""
    known = opened(strict)
    for path, form in (("token", {"grant_type": "client_credentials"}), ("introspect", {}), ("revoke", {})):
        strict.server.asked.clear()
        statuses = [
            strict.form(f"/auth/{path}", {"token": "x", **form}, by("portal", f"guess{n}")).status_code
            for n in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]
    answer = strict.form("/auth/introspect", {"token": "x"}, by("portal", known["portal"]))
    refused(answer, 429, "slow_down")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_busy_client_is_slowed_down(strict: Door) -> None:
    strict.backend()
    statuses = [strict.token(signed(claims())).status_code for _ in range(47)]
    assert statuses == [200] * 45 + [429] * 2


def test_nobody_locks_a_client_out_by_failing_in_its_name(strict: Door) -> None:
    strict.backend()
    for _ in range(5):
        strict.token(signed(claims(), by="x"))
    strict.server.asked.put("address/127.0.0.1", (0, 0), 0)  # the client calls from another address
    assert strict.token(signed(claims())).status_code == 200
