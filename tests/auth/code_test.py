"""Codes: redeemed once, by who asked, with the verifier (S-14, S-20 to S-26)."""

import asyncio
import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.auth.clients import client_of
from fhir_server.auth.code import redeem
from fhir_server.auth.errors import OAuthError
from fhir_server.auth.jose import verify
from tests.auth.person import BASE, HOME, Person, challenge, living

# How a code is not redeemed: what is changed, and the error.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no code": ({"code": ""}, "invalid_request"),
    "another code": ({"code": "nothing"}, "invalid_grant"),
    "another client": ({"client_id": "other"}, "invalid_grant"),
    "unknown client": ({"client_id": "nobody"}, "invalid_client"),
    "a secret of a client without": ({"client_secret": "x"}, "invalid_client"),
    "no redirect_uri": ({"redirect_uri": ""}, "invalid_grant"),
    "redirect_uri with a slash": ({"redirect_uri": HOME + "/"}, "invalid_grant"),
    "redirect_uri without the query": ({"redirect_uri": HOME.split("?")[0]}, "invalid_grant"),
    "another redirect_uri of the client": ({"redirect_uri": "http://127.0.0.1/native"}, "invalid_grant"),
    "no verifier": ({"code_verifier": ""}, "invalid_grant"),
    "blank verifier": ({"code_verifier": " "}, "invalid_grant"),
    "wrong verifier": ({"code_verifier": "w" * 43}, "invalid_grant"),
    "short verifier": ({"code_verifier": "short"}, "invalid_grant"),
    "endless verifier": ({"code_verifier": "v" * 129}, "invalid_grant"),
    "verifier beyond ASCII": ({"code_verifier": "é" * 50}, "invalid_grant"),
    "another grant": ({"grant_type": "password"}, "unsupported_grant_type"),
    "grant in another case": ({"grant_type": "Authorization_Code"}, "unsupported_grant_type"),
    "code as refresh token": ({"grant_type": "refresh_token"}, "invalid_request"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_code_is_not_redeemed(visitor: Person, name: str) -> None:
    change, error = REFUSED[name]
    code = visitor.code()
    answer = visitor.redeem(code, **change)
    assert answer.json()["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert "no-store" in answer.headers["cache-control"]
    assert visitor.redeem(code).status_code == 200  # and is still there for who may


def test_the_challenge_is_no_verifier(visitor: Person) -> None:
    code = visitor.code()
    answer = visitor.redeem(code, code_verifier=challenge(visitor.verifier))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_code_comes_in_a_form_only(visitor: Person) -> None:
    code = visitor.code()
    form = {"grant_type": "authorization_code", "code": code, "client_id": "app", "code_verifier": visitor.verifier}
    answer = visitor("POST", "/auth/token", json=form | {"redirect_uri": HOME})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_the_answer_has_what_smart_wants(visitor: Person) -> None:
    answer = visitor.redeem(visitor.code(), state="ignored")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert body["token_type"].lower() == "bearer"
    assert type(body["expires_in"]) is int
    assert 0 < body["expires_in"] <= 3600
    assert body["scope"] == "launch/patient openid fhirUser offline_access patient/*.rs"
    assert body["patient"] == "anna"
    assert body["need_patient_banner"] is True
    assert all(type(body[name]) is str for name in ("access_token", "refresh_token", "id_token", "scope", "patient"))
    assert living(visitor, body["access_token"])


def test_the_id_token_says_who(visitor: Person) -> None:
    token = visitor.redeem(visitor.code()).json()["id_token"]
    head = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    assert head["alg"] == "RS256"
    keys = visitor("GET", "/auth/jwks").json()
    claims = verify(token, keys, ["RS256"])
    discovered = visitor("GET", "/.well-known/openid-configuration").json()
    assert claims["iss"] == discovered["issuer"]
    assert claims["aud"] == "app"
    assert claims["nonce"] == "n-0"
    assert claims["fhirUser"] == f"{BASE}/Patient/anna"
    assert 0 < len(claims["sub"]) < 256
    assert claims["iat"] <= claims["exp"] <= claims["iat"] + 3600


def test_who_did_not_ask_who_is_told_nothing(visitor: Person) -> None:
    assert "id_token" not in visitor.redeem(visitor.code(scope="patient/*.rs")).json()
    token = visitor.redeem(visitor.code(scope="openid patient/*.rs")).json()["id_token"]
    assert "fhirUser" not in verify(token, visitor("GET", "/auth/jwks").json(), ["RS256"])


def test_a_code_that_comes_again_ends_what_it_brought(person: Person) -> None:
    code = person.code()
    body = person.redeem(code).json()
    assert living(person, body["access_token"])
    again = person.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not living(person, body["access_token"])
    assert person.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"


def test_of_many_at_once_none_is_left_with_a_token(person: Person) -> None:
    """All try the same code at once: at most one gets a token, and the others' tries end it."""
    code, server = person.code(), person.client.app.endpoint.server
    form = {"code": code, "redirect_uri": HOME, "code_verifier": person.verifier}

    async def one() -> Any:
        client = await client_of(server.store, "app")
        try:
            return await redeem(server, client, form)
        except OAuthError as error:
            return error

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(one() for _ in range(20)))

    won = [answer for answer in person.client.run(all_at_once()) if isinstance(answer, dict)]
    assert len(won) <= 1
    assert not any(living(person, answer["access_token"]) for answer in won)


def test_a_code_is_good_for_a_minute(visitor: Person) -> None:
    endpoint = visitor.client.app.endpoint
    server = endpoint.server
    code, late = visitor.code(), visitor.code()
    try:
        endpoint.server = replace(server, clock=lambda: server.clock() + 59_000_000)
        assert visitor.redeem(code).status_code == 200
        endpoint.server = replace(server, clock=lambda: server.clock() + 61_000_000)
        assert visitor.redeem(late).json()["error"] == "invalid_grant"
    finally:
        endpoint.server = server


def test_a_code_is_for_one_fhir_base(visitor: Person) -> None:
    endpoint = visitor.client.app.endpoint
    server, code = endpoint.server, visitor.code()
    try:
        moved = replace(server.settings, base_url="http://127.0.0.1:8080/other/fhir")
        endpoint.server = replace(server, settings=moved)
        assert visitor.redeem(code).json()["error"] == "invalid_grant"
    finally:
        endpoint.server = server
