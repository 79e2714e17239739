# ruff: noqa: E501 - tables read better with one case to a line
"""Clients that register themselves: to read, for who signs in, and nothing more. https://www.rfc-editor.org/rfc/rfc7591"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.auth.clients import client_of
from tests.auth.door import Door, rsa_jwk, smart
from tests.auth.forged_test import refused

APP = {"client_name": "Viewer", "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "none"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    url = f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}"
    opened = Door(smart(url, rate_limit=0, registration="open"))
    yield opened
    opened.close()


def test_a_public_app_registers(door: Door) -> None:
    answer = door("POST", "/auth/register", APP, headers=JSON)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["redirect_uris"] == APP["redirect_uris"]
    assert "client_secret" not in told
    client = door.run(client_of(door.server.store, told["client_id"]))
    assert client is not None
    assert client.dynamic
    assert (client.kind, client.origins) == ("public", ("https://app.example",))
    assert door("GET", "Patient", headers={"origin": "https://app.example"}).headers["access-control-allow-origin"]


def test_a_confidential_app_is_told_its_secret_once(door: Door) -> None:
    told = door(
        "POST", "/auth/register", {**APP, "token_endpoint_auth_method": "client_secret_post"}, headers=JSON
    ).json()
    form = {"grant_type": "client_credentials", "client_id": told["client_id"], "client_secret": told["client_secret"]}
    refused(door.form("/auth/token", form), 400, "unauthorized_client")
    refused(door.form("/auth/token", {**form, "client_secret": "x"}), 401, "invalid_client")
    assert told["client_secret_expires_at"] == 0


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("patient/*.cruds", {"patient/*.rs"}),
        ("system/*.rs patient/Patient.rs openid", {"patient/Patient.rs", "openid"}),
        ("user/Observation.write user/Observation.read", {"user/Observation.read"}),
        ("launch/patient offline_access patient/Observation.rs?category=laboratory", {"launch/patient", "offline_access", "patient/Observation.rs?category=laboratory"}),
    ],
)  # fmt: skip
def test_it_may_read_at_most(door: Door, asked: str, granted: set[str]) -> None:
    told = door("POST", "/auth/register", {**APP, "scope": asked}, headers=JSON).json()
    assert set(told["scope"].split()) == granted


def test_it_never_acts_on_its_own(door: Door) -> None:
    """No grant of backend services, no role, no purpose: those come from the operator."""
    asked = {
        **APP,
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [rsa_jwk("a")]},
        "grant_types": ["authorization_code", "client_credentials"],
        "role": "operator",
        "purposes": ["TREAT"],
        "study": "s1",
        "client_id": "admin",
    }
    told = door("POST", "/auth/register", asked, headers=JSON).json()
    assert told["grant_types"] == ["authorization_code"]
    assert told["client_id"] != "admin"
    client = door.run(client_of(door.server.store, told["client_id"]))
    assert client is not None
    assert (client.role, client.purposes, client.study) == ("", (), "")


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "invalid_client_metadata"),
    "no Unicode": (b'{"client_name": "\\ud800", "redirect_uris": ["https://a.example/"]}', "invalid_client_metadata"),
    "a list": ([], "invalid_client_metadata"),
    "too deep": (b"[" * 50_000, "invalid_client_metadata"),
    "no redirect": ({**APP, "redirect_uris": []}, "invalid_redirect_uri"),
    "redirect over http": ({**APP, "redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
    "redirect to a script": ({**APP, "redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
    "redirect to data": ({**APP, "redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
    "redirect with a fragment": ({**APP, "redirect_uris": ["https://app.example/#"]}, "invalid_redirect_uri"),
    "redirect with a wildcard": ({**APP, "redirect_uris": ["https://*.example/"]}, "invalid_redirect_uri"),
    "redirect with a user": ({**APP, "redirect_uris": ["https://a@app.example/"]}, "invalid_redirect_uri"),
    "redirect with a backslash": ({**APP, "redirect_uris": ["https://app.example\\@evil.example/"]}, "invalid_redirect_uri"),
    "redirect that is no list": ({**APP, "redirect_uris": "https://app.example/"}, "invalid_client_metadata"),
    "redirect that is a number": ({**APP, "redirect_uris": [1]}, "invalid_client_metadata"),
    "launch over http": ({**APP, "initiate_login_uri": "http://app.example/"}, "invalid_redirect_uri"),
    "grant of passwords": ({**APP, "grant_types": ["password"]}, "invalid_client_metadata"),
    "only a grant that it may not have": ({**APP, "grant_types": ["client_credentials"]}, "invalid_client_metadata"),
    "method unknown": ({**APP, "token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata"),
    "keys without need": ({**APP, "jwks": {"keys": [rsa_jwk("a")]}}, "invalid_client_metadata"),
    "no keys": ({**APP, "token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
    "keys inside": ({**APP, "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/"}, "invalid_client_metadata"),
    "no scope left": ({**APP, "scope": "system/*.rs"}, "invalid_client_metadata"),
    "scope is a list": ({**APP, "scope": ["openid"]}, "invalid_client_metadata"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_may_not_be_is_refused(door: Door, name: str) -> None:
    body, error = BAD[name]
    refused(door("POST", "/auth/register", body, headers=JSON), 400, error)


def test_it_must_be_json(door: Door) -> None:
    refused(door.form("/auth/register", {"client_name": "x"}), 400, "invalid_client_metadata")


def test_registering_is_slowed_down(tmp_path: Any) -> None:
    door = Door(smart(f"sqlite:///{tmp_path / 'fhir.db'}", rate_limit=45, registration="open"))
    statuses = [door("POST", "/auth/register", APP, headers=JSON).status_code for _ in range(4)]
    door.close()
    assert statuses == [201, 201, 429, 429]
