# ruff: noqa: E501 - a table reads better with one attack to a line
"""The token endpoint: how clients ask and authenticate, and every way to get that wrong. https://www.rfc-editor.org/rfc/rfc6749"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.auth.door import FORM, JWT_BEARER, Door, claims, signed, smart
from tests.auth.forged_test import refused

CREDENTIALS = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(smart(f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}", rate_limit=0))
    opened.backend()
    opened.backend("writer", ("system/Observation.c",))
    opened.backend("no-grant", grants=("authorization_code",), redirects=("https://app.example/cb",))
    app: dict[str, Any] = {"redirects": ("https://app.example/cb",), "scopes": ("patient/*.rs",)}
    opened.register(id="page", **app)
    opened.secret = opened.register(id="portal", kind="symmetric", **app)  # type: ignore[attr-defined]
    yield opened
    opened.close()


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def asserted(**more: str) -> dict[str, str]:
    """A good request of a backend service, with what is given changed; None leaves a parameter out."""
    form = {**CREDENTIALS, "client_assertion_type": JWT_BEARER, "client_assertion": signed(claims()), **more}
    return {name: value for name, value in form.items() if value is not None}


ATTACKS: dict[str, tuple[Callable[[Door], httpx2.Response], int, str]] = {
    "JSON body": (lambda d: d("POST", "/auth/token", asserted(), headers={"content-type": "application/json"}), 400, "invalid_request"),
    "no content type": (lambda d: d("POST", "/auth/token", content=b"grant_type=client_credentials"), 400, "invalid_request"),
    "multipart body": (lambda d: d("POST", "/auth/token", files={"grant_type": b"client_credentials"}), 400, "invalid_request"),
    "form in the address": (lambda d: d("POST", "/auth/token?grant_type=client_credentials", content=b"", headers={"content-type": FORM}), 400, "invalid_request"),
    "assertion in the address": (lambda d: d.form("/auth/token?client_assertion=" + signed(claims()), CREDENTIALS), 400, "invalid_request"),
    "secret in the address": (lambda d: d.form("/auth/token?client_secret=x", asserted()), 400, "invalid_request"),
    "access token in the address": (lambda d: d.form("/auth/token?access_token=x", asserted()), 400, "invalid_request"),
    "body too large": (lambda d: d.form("/auth/token", asserted(pad="x" * 70_000)), 400, "invalid_request"),
    "body is no UTF-8": (lambda d: d("POST", "/auth/token", content=b"\xff=1", headers={"content-type": FORM}), 400, "invalid_request"),
    "200 parameters": (lambda d: d("POST", "/auth/token", content="&".join(f"a{i}=1" for i in range(200)).encode(), headers={"content-type": FORM}), 400, "invalid_request"),
    "scope twice": (lambda d: d("POST", "/auth/token", content=b"grant_type=client_credentials&scope=a&scope=b", headers={"content-type": FORM}), 400, "invalid_request"),
    "grant_type absent": (lambda d: d.form("/auth/token", asserted(grant_type=None)), 400, "invalid_request"),  # type: ignore[arg-type]
    "grant_type unknown": (lambda d: d.form("/auth/token", asserted(grant_type="not_a_grant_type")), 400, "unsupported_grant_type"),
    "grant_type password": (lambda d: d.form("/auth/token", {"grant_type": "password", "username": "a", "password": "b"}), 400, "unsupported_grant_type"),
    "grant_type implicit": (lambda d: d.form("/auth/token", asserted(grant_type="implicit")), 400, "unsupported_grant_type"),
    "grant_type in capitals": (lambda d: d.form("/auth/token", asserted(grant_type="CLIENT_CREDENTIALS")), 400, "unsupported_grant_type"),
    "no client": (lambda d: d.form("/auth/token", CREDENTIALS), 401, "invalid_client"),
    "client id with a NUL": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "a\0b"}), 401, "invalid_client"),
    "client id with an operator of MongoDB": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id[$ne]": "x", "client_secret[$ne]": "x"}), 401, "invalid_client"),
    "client id of 10,000 characters": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "x" * 10_000}), 401, "invalid_client"),
    "asymmetric client by its id alone": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "backend"}), 401, "invalid_client"),
    "asymmetric client by a secret": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "backend", "client_secret": "x"}), 401, "invalid_client"),
    "symmetric client by its id alone": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "portal"}), 401, "invalid_client"),
    "symmetric client by a wrong secret": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "portal", "client_secret": "x"}), 401, "invalid_client"),
    "symmetric client by the stored digest": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "portal", "client_secret": stored(d)}), 401, "invalid_client"),
    "public client by a secret": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "page", "client_secret": "x"}), 401, "invalid_client"),
    "symmetric client by an assertion": (lambda d: d.token(signed(claims("portal"))), 401, "invalid_client"),
    "public client by an assertion": (lambda d: d.token(signed(claims("page"))), 401, "invalid_client"),
    "Basic and a secret in the body": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_secret": "x"}, basic("portal:x")), 400, "invalid_request"),
    "Basic and an assertion": (lambda d: d.form("/auth/token", asserted(), basic("portal:x")), 400, "invalid_request"),
    "secret and an assertion": (lambda d: d.form("/auth/token", asserted(client_secret="x")), 400, "invalid_request"),
    "Basic of one client, id of another": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "page"}, basic("portal:" + d.secret)), 401, "invalid_client"),
    "client_credentials of a symmetric client": (lambda d: d.form("/auth/token", CREDENTIALS, basic("portal:" + d.secret)), 400, "unauthorized_client"),
    "client_credentials of a public client": (lambda d: d.form("/auth/token", {**CREDENTIALS, "client_id": "page"}), 400, "unauthorized_client"),
    "client_credentials without that grant": (lambda d: d.token(signed(claims("no-grant"))), 400, "unauthorized_client"),
    "scope absent": (lambda d: d.form("/auth/token", asserted(scope=None)), 400, "invalid_scope"),  # type: ignore[arg-type]
    "scope of blanks": (lambda d: d.form("/auth/token", asserted(scope="   ")), 400, "invalid_scope"),
    "scope launch fhirUser": (lambda d: d.form("/auth/token", asserted(scope="launch fhirUser openid")), 400, "invalid_scope"),
    "scope of a patient": (lambda d: d.form("/auth/token", asserted(scope="patient/*.rs user/*.rs")), 400, "invalid_scope"),
    "scope of an unknown type": (lambda d: d.form("/auth/token", asserted(scope="system/UnknownResource.read")), 400, "invalid_scope"),
    "scope of an unknown action": (lambda d: d.form("/auth/token", asserted(scope="system/Patient.xyz")), 400, "invalid_scope"),
    "scope letters out of order": (lambda d: d.form("/auth/token", asserted(scope="system/Patient.sr")), 400, "invalid_scope"),
    "scope to write, for who reads": (lambda d: d.form("/auth/token", asserted(scope="system/Patient.write system/*.cud")), 400, "invalid_scope"),
    "scope to read, for who writes": (lambda d: d.token(signed(claims("writer"))), 400, "invalid_scope"),
    "scope of 30,000 characters": (lambda d: d.form("/auth/token", asserted(scope="system/Patient.rs " * 1700)), 400, "invalid_scope"),
    "scope with a query that cannot be held": (lambda d: d.form("/auth/token", asserted(scope="system/Observation.rs?_has:Patient:x:y=1")), 400, "invalid_scope"),
}  # fmt: skip


def stored(door: Door) -> str:
    """What a copy of the store says of a client's secret."""
    from fhir_server.auth.clients import client_of

    client = door.run(client_of(door.server.store, "portal"))
    assert client is not None
    return client.secret


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(door: Door, name: str) -> None:
    """S-19, S-22, S-43, S-50, S-52, M-15."""
    attack, status, error = ATTACKS[name]
    answer = attack(door)
    refused(answer, status, error)
    assert "www-authenticate" not in answer.headers or "Basic" in name


def test_basic_is_told_to_try_basic(door: Door) -> None:
    """S-22, RFC 6749 section 5.2."""
    for shown in ("portal:wrong", "nobody:wrong", "page:x", "portal", "", "%00:%ff"):
        answer = door.form("/auth/token", CREDENTIALS, basic(shown))
        refused(answer, 401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    answer = door.form("/auth/token", CREDENTIALS, {"authorization": b"Basic \xe9"})
    refused(answer, 401, "invalid_client")


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/*.*", {"system/*.read", "system/*.rs"}),
        ("system/*.cruds", {"system/*.rs"}),
        ("system/Patient.read system/Nothing.read system/Observation.rs launch", {"system/Patient.read system/Observation.rs"}),
        ("system/Patient.rs patient/Patient.rs", {"system/Patient.rs"}),
        ("system/Observation.rs?category=laboratory", {"system/Observation.rs?category=laboratory"}),
    ],
)  # fmt: skip
def test_what_may_not_be_granted_is_left_out(door: Door, asked: str, granted: set[str]) -> None:
    """S-50, S-51: narrowed, not refused."""
    answer = door.form("/auth/token", asserted(scope=asked))
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] in granted


def test_unknown_parameters_are_ignored(door: Door) -> None:
    """S-25: fhirclient sends state, and client_id beside its authentication."""
    assert door.form("/auth/token", asserted(state="x", client_id="backend", resource="y", empty="")).status_code == 200


def test_other_methods_are_refused(door: Door) -> None:
    for path in ("/auth/token", "/auth/introspect", "/auth/revoke", "/auth/register"):
        answer = door("GET", path)
        assert answer.status_code == 405
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_nobody_registers_without_leave(door: Door) -> None:
    refused(door("POST", "/auth/register", {"redirect_uris": ["https://a.example/"]}), 403, "access_denied")
