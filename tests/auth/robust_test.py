"""Whatever is sent, the authorization server answers, and its log tells nothing that opens a door."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.settings import Settings
from tests.auth.door import BASE, FORM, JWT_BEARER, Door, b64, claims, signed, smart
from tests.deep import deep

PATHS = ("/auth/token", "/auth/introspect", "/auth/revoke", "/auth/register")
PARAMETERS = (
    "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "token", "code",
    "refresh_token", "redirect_uri", "$where", "client_id[$ne]", "redirect_uris", "jwks", "jwks_uri", "grant_types",
)  # fmt: skip
WORDS = (
    "", "client_credentials", "authorization_code", "refresh_token", JWT_BEARER, "backend", "system/*.rs", "../x", "{}",
    "[]", "\0", "é" * 100, "%", "'; --", '{"$gt": ""}', "a.b.c",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(PARAMETERS), inner, max_size=5),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    url = f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}"
    opened = Door(smart(url, rate_limit=0, registration="open"))
    opened.backend()
    yield opened
    opened.close()


@settings(max_examples=deep(150, 20_000))
@given(
    path=st.sampled_from(PATHS),
    form=st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=30) | st.sampled_from(WORDS), max_size=6),
    shown=st.none() | st.binary(max_size=40) | st.sampled_from([b"Basic ", b"Basic Og==", b"Bearer a.b.c", b"Bearer "]),
)
def test_no_form_makes_it_fail(door: Door, path: str, form: dict[str, str], shown: bytes | None) -> None:
    headers = {} if shown is None else {"authorization": shown}
    answer = door.form(path, form, headers)
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or "error" in answer.json()


@settings(max_examples=deep(150, 20_000))
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_it_fail(door: Door, path: str, body: bytes) -> None:
    for kind in (FORM, "application/json"):
        answer = door("POST", path, content=body, headers={"content-type": kind})
        assert answer.status_code < 500, answer.text


@settings(max_examples=deep(150, 20_000))
@given(header=JSON, payload=JSON, tail=st.binary(max_size=100), good=st.booleans())
def test_no_token_makes_it_fail(door: Door, header: object, payload: object, tail: bytes, good: bool) -> None:
    """Also where the header is a good one and the payload names a client that there is."""
    head = {"alg": "ES384", "kid": "b", "typ": "JWT"} if good else header
    body = {**claims(), "x": payload} if good else payload
    token = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}.{b64(tail)}"
    assert door.token(token).status_code == 401


@settings(max_examples=deep(150, 20_000))
@given(name=st.sampled_from(["exp", "aud", "iss", "jti", "nbf", "iat", "sub"]), value=JSON)
def test_no_claim_that_is_signed_makes_it_fail(door: Door, name: str, value: object) -> None:
    answer = door.token(signed({**claims(), name: value}, "ES384", "b"))
    assert answer.status_code in (200, 401), answer.text


def test_the_log_names_the_request_and_nothing_that_it_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'fhir.db'}"
    door = Door(Settings(store=url, base_url=BASE, auth="smart", access_log=True))
    door.backend()
    assertion = signed(claims())
    answer = door.token(assertion)
    token = answer.json()["access_token"]
    door.form("/auth/introspect", {"token": token}, {"authorization": f"Bearer {token}"})
    door.form(f"/auth/introspect?token={token}", {"x": "y"})
    out = capsys.readouterr()
    lines = [json.loads(line) for line in out.out.splitlines()]
    assert [line["interaction"] for line in lines] == ["auth-token", "auth-introspect", "auth-introspect"]
    assert lines[0]["request"] == answer.headers["x-request-id"]
    for secret in (assertion, assertion.split(".")[2], token):
        assert secret not in out.out + out.err
    door.close()


def test_a_store_that_is_gone_is_said_and_logged_without_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(smart(f"sqlite:///{tmp_path / 'fhir.db'}"))
    door.backend()
    assertion = signed(claims())
    door.run(door.server.store.close())
    answer = door.token(assertion)
    assert answer.status_code in (500, 503)
    assert answer.json()["error"] in ("server_error", "temporarily_unavailable")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"] in caplog.text
    assert assertion[-40:] not in caplog.text
    door.loop.close()
