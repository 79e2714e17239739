"""What a client finds before it knows anything. https://hl7.org/fhir/smart-app-launch/conformance.html"""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.access.scopes import LAUNCH, read_scope
from fhir_server.auth import keys
from fhir_server.auth.jose import sign, verify
from fhir_server.auth.keys import published, signing_keys
from fhir_server.settings import Settings
from fhir_server.store.seam import Store
from tests.auth.door import BASE, ROOT, Door, smart
from tests.client import Client

PAGE, STRANGER = "https://app.example", "https://evil.example"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(smart(f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}"))
    opened.register(id="page", redirects=(PAGE + "/callback",), scopes=("patient/*.rs",))
    confidential = {"kind": "symmetric", "scopes": ("patient/*.rs",)}
    opened.register(id="portal", redirects=("https://portal.example/cb",), **confidential)
    yield opened
    opened.close()


@pytest.mark.parametrize("accept", ["", "application/json", "application/fhir+xml", "text/html", "*/*"])
@pytest.mark.parametrize("path", ["/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"])
def test_the_configuration_is_json_whatever_is_asked_for(door: Door, path: str, accept: str) -> None:
    """S-1, S-2, S-5, S-8."""
    answer = door("GET", path, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["token_endpoint"] == ROOT + "/auth/token"
    assert told["authorization_endpoint"] == ROOT + "/auth/authorize"
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert {"authorization_code", "client_credentials"} <= set(told["grant_types_supported"])
    assert {"client_secret_basic", "client_secret_post", "private_key_jwt"} <= set(
        told["token_endpoint_auth_methods_supported"]
    )
    assert {"RS384", "ES384"} <= set(told["token_endpoint_auth_signing_alg_values_supported"])
    assert not {"none", "HS256", "HS384"} & set(told["token_endpoint_auth_signing_alg_values_supported"])
    addresses = [value for name, value in told.items() if name.endswith(("_endpoint", "_uri"))]
    assert all(address.startswith(ROOT + "/") for address in addresses)
    assert "registration_endpoint" not in told, "nobody may register here"
    assert all(isinstance(one, str) for one in told["capabilities"])


def test_all_capabilities_of_the_certification_are_claimed(door: Door) -> None:
    """S-3, S-4: the exact list of ONC (g)(10), US Core 6 and 7."""
    wanted = """launch-ehr launch-standalone authorize-post client-public client-confidential-symmetric
        client-confidential-asymmetric sso-openid-connect context-banner context-style context-ehr-patient
        context-ehr-encounter context-standalone-patient permission-offline permission-patient permission-user
        permission-v1 permission-v2"""
    told = door("GET", "/.well-known/smart-configuration").json()
    assert set(wanted.split()) <= set(told["capabilities"])
    assert told["issuer"] == ROOT + "/auth"
    assert told["jwks_uri"] == ROOT + "/auth/jwks"


def test_every_scope_that_is_listed_can_be_held(door: Door) -> None:
    """S-5: what is listed is understood, granular scopes too."""
    for text in door("GET", "/.well-known/smart-configuration").json()["scopes_supported"]:
        assert text in LAUNCH or read_scope(door.server.definitions, text) is not None, text


def test_the_statement_says_the_same(door: Door) -> None:
    """S-7."""
    security = door("GET", "metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    (found,) = security["extension"]
    assert found["url"] == "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    uris = {one["url"]: one["valueUri"] for one in found["extension"]}
    told = door("GET", "/.well-known/smart-configuration").json()
    assert uris == {
        "authorize": told["authorization_endpoint"],
        "token": told["token_endpoint"],
        "introspect": told["introspection_endpoint"],
        "revoke": told["revocation_endpoint"],
        "manage": told["management_endpoint"],
    }


def test_openid_configuration_lies_below_the_issuer(door: Door) -> None:
    """S-9."""
    issuer = door("GET", "/.well-known/smart-configuration").json()["issuer"]
    told = door("GET", issuer.removeprefix(ROOT) + "/.well-known/openid-configuration").json()
    assert told == door("GET", "/.well-known/openid-configuration").json()
    assert told["issuer"] == issuer
    assert "RS256" in told["id_token_signing_alg_values_supported"]
    assert told["response_types_supported"] == ["code"]
    assert told["subject_types_supported"] == ["public"]


def test_an_open_server_says_nothing_of_tokens(tmp_path: Any) -> None:
    client = Client(Settings(store=f"sqlite:///{tmp_path / 'fhir.db'}", access_log=False, auth="open"))
    try:
        assert "security" not in client("GET", "metadata").json()["rest"][0]
        for path in ("/.well-known/smart-configuration", "/fhir/.well-known/smart-configuration", "/auth/jwks"):
            assert client("GET", path).status_code == 404
        assert client("POST", "/auth/token", data={"grant_type": "client_credentials"}).status_code == 404
    finally:
        client.close()


def test_published_keys_check_what_we_sign_and_hold_no_secret(door: Door) -> None:
    """S-9, S-53."""
    answer = door("GET", "/auth/jwks")
    assert "max-age" in answer.headers["cache-control"]
    found = answer.json()["keys"]
    assert {key["kty"] for key in found} == {"RSA", "EC"}
    for key in found:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()
        assert {"kid", "alg", "use"} <= key.keys()
    ours = door.run(signing_keys(door.server.store, door.server.clock()))
    for alg in ("RS256", "ES384"):
        assert verify(sign(ours, {"sub": "x"}, alg), answer.json(), (alg,)) == {"sub": "x"}


async def test_keys_are_renewed_before_they_are_needed_and_kept_after(store: Store) -> None:
    """S-53: what signs was published a day before, and is for a day after, however rarely anybody asks."""
    now, first, before = 10 * keys.IN_USE, {}, set[str]()
    began = now
    for wait in (0.25, 0.5, 0.9, 7, 0.3, 0.9, 40, 0.5, 0.6, 50, 0.9, 0.9, 300, 0.5, 0.9, 0.9, 85, 4.5, 0.9):
        known = {key["kid"] for key in (await published(store, now))["keys"]}
        signing = {key.kid for key in await signing_keys(store, now)}
        assert before <= known, "what was signed less than a day ago can be checked"
        for kid in known:
            first.setdefault(kid, now)
        assert all(first[kid] == began or first[kid] <= now - keys.DAY for kid in signing)
        before = signing if wait < 1 else set()
        now += int(wait * keys.DAY)
    assert len(first) >= 8, "they were renewed"
    assert len(known) <= 6, "and the old ones went"


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/smart-configuration",
        "/fhir/.well-known/smart-configuration",
        "/fhir/metadata",
        "/auth/jwks",
        "/.well-known/openid-configuration",
    ],
)
def test_any_page_may_read_what_everyone_may_know(door: Door, path: str) -> None:
    """S-6."""
    assert door("GET", path, headers={"origin": STRANGER}).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in door("GET", path).headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/auth/token"), ("GET", "/fhir/Patient/x"), ("GET", "/fhir/Patient"), ("POST", "/auth/revoke")],
)
def test_only_pages_of_registered_apps_may_call(door: Door, method: str, path: str) -> None:
    """S-6: of public clients; a confidential one has no page that calls."""
    answer = door(method, path, headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Origin" in answer.headers["vary"]
    exposed = answer.headers["access-control-expose-headers"]
    assert all(name in exposed for name in ("ETag", "Location", "Content-Location", "X-Progress", "Retry-After"))
    for other in (
        STRANGER,
        "null",
        "https://portal.example",
        PAGE + ".evil.example",
        PAGE.replace("https", "http"),
        PAGE + ":8443",
        "\xe9",
    ):
        answer = door(method, path, headers={"origin": other.encode("latin-1")})
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/auth/token", "/fhir/Patient/x", "/fhir"])
def test_a_preflight_is_answered_without_a_token(door: Door, path: str) -> None:
    """S-6."""
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization,if-match"}
    answer = door("OPTIONS", path, headers={"origin": PAGE, **asked})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    allowed = answer.headers["access-control-allow-headers"]
    assert all(name in allowed for name in ("Authorization", "Content-Type", "Prefer", "If-Match"))
    stranger = door("OPTIONS", path, headers={"origin": STRANGER, **asked})
    assert stranger.status_code == 204
    assert not [name for name in stranger.headers if name.startswith("access-control")]


def test_the_authorize_page_is_nobodys_to_call(door: Door) -> None:
    answer = door("GET", "/auth/authorize", headers={"origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers


def test_nothing_assumes_where_the_server_is(tmp_path: Any) -> None:
    opened = Door(smart(f"sqlite:///{tmp_path / 'fhir.db'}", registration="open"))
    try:
        told = opened("GET", "/.well-known/smart-configuration").json()
        assert told["registration_endpoint"] == ROOT + "/auth/register"
        assert BASE == ROOT + "/fhir"
    finally:
        opened.close()
