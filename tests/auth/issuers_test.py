"""Tokens of a hospital's own authorization server: believed if trusted, sound, and for this base. https://www.rfc-editor.org/rfc/rfc9068"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fhir_server.access.grant import Grant
from fhir_server.auth.tokens import grant_of
from tests.auth.door import BASE, Door, b64, ec_jwk, rsa_jwk, signed, smart
from tests.auth.jwks_test import Origin

IDP, OTHER = "https://idp.hospital.example/realm", "https://idp.other.example"
NOW = int(time.time())


def claims(**more: Any) -> dict[str, Any]:
    """The claims of a good token; a value of None leaves one out."""
    given = {
        "iss": IDP,
        "aud": BASE,
        "sub": "u-17",
        "client_id": "growth-chart",
        "exp": NOW + 3000,
        "iat": NOW - 5,
        "scope": "openid fhirUser launch/patient patient/Observation.rs patient/Condition.read user/Patient.r nonsense",
        "patient": "p1",
        "fhirUser": BASE + "/Practitioner/7",
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


@pytest.fixture(scope="module")
def origins() -> Iterator[tuple[Origin, Origin]]:
    one, two = Origin(), Origin()
    one.serve(rsa_jwk("a"), ec_jwk("b"), ec_jwk("p", "256"))
    two.serve(rsa_jwk("o"))
    yield one, two
    for opened in (one, two):
        opened.server.shutdown()
        opened.server.server_close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, origins: tuple[Origin, Origin]) -> Iterator[Door]:
    url = f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}"
    issuers = f"{IDP}={origins[0].url} {OTHER}={origins[1].url}"
    opened = Door(smart(url, jwks_hosts="localhost", issuers=issuers))
    yield opened
    opened.close()


def grant(door: Door, token: str) -> Grant | None:
    return door.run(grant_of(door.server, token))


@pytest.mark.parametrize(("alg", "kid"), [("RS256", "a"), ("RS384", "a"), ("ES384", "b"), ("ES256", "p")])
def test_a_trusted_token_is_believed(door: Door, alg: str, kid: str) -> None:
    by = "p" if kid == "p" else kid
    text = signed(claims(), alg, kid, by=by, typ="at+jwt")
    found = grant(door, text)
    assert found is not None
    assert (found.user, found.patient) == ("Practitioner/7", "p1")
    assert found.scopes == (
        "openid", "fhirUser", "launch/patient", "patient/Observation.rs", "patient/Condition.read", "user/Patient.r",
    )  # fmt: skip
    assert found.client == f"{IDP} growth-chart", "no client of the same name here"
    assert found.expires == (NOW + 3000) * 1_000_000
    assert found.id.startswith("issuer-")


def test_its_audience_may_be_a_list_and_end_in_a_slash(door: Door) -> None:
    assert grant(door, signed(claims(aud=["account", BASE + "/"]), "RS256"))


def test_who_shares_links_is_the_same_user_and_client_and_patient(door: Door) -> None:
    one, again, other = (
        grant(door, signed(claims(**more), "RS256")) for more in ({}, {"exp": NOW + 2999}, {"patient": "p2"})
    )
    assert one
    assert again
    assert other
    assert one.id == again.id != other.id


def test_scopes_without_their_subject_are_dropped(door: Door) -> None:
    """M-1: no patient, no scope of a patient; no user, none of a user."""
    found = grant(door, signed(claims(patient=None, scope="patient/*.rs system/Patient.rs user/*.rs"), "RS256"))
    assert found
    assert found.scopes == ("system/Patient.rs", "user/*.rs")
    found = grant(door, signed(claims(fhirUser=None, scope="patient/*.rs system/Patient.rs user/*.rs"), "RS256"))
    assert found
    assert found.scopes == ("patient/*.rs", "system/Patient.rs")


def test_roles_and_purposes_are_the_issuers_to_give_but_no_operator(door: Door) -> None:
    given = {"role": "researcher", "purposes": ["HRESCH"], "actors": ["Organization/1"], "study": "s1"}
    found = grant(door, signed(claims(**given), "RS256"))
    assert found
    assert (found.role, found.purposes, found.actors, found.study) == (
        "researcher",
        ("HRESCH",),
        ("Organization/1",),
        "s1",
    )
    found = grant(door, signed(claims(role="operator"), "RS256"))
    assert found
    assert found.role == ""


def confused() -> str:
    """The header says none, and there is no signature."""
    return f"{b64(json.dumps({'alg': 'none', 'kid': 'a'}).encode())}.{b64(json.dumps(claims()).encode())}."


REFUSED: dict[str, Callable[[], str]] = {
    "issuer unknown": lambda: signed(claims(iss="https://evil.example"), "RS256"),
    "issuer with a slash": lambda: signed(claims(iss=IDP + "/"), "RS256"),
    "issuer absent": lambda: signed(claims(iss=None), "RS256"),
    "issuer is a list": lambda: signed(claims(iss=[IDP]), "RS256"),
    "key of another trusted issuer": lambda: signed(claims(), "RS256", "o"),
    "name of another trusted issuer": lambda: signed(claims(iss=OTHER), "RS256", "a"),
    "kid unknown": lambda: signed(claims(), "RS256", "z"),
    "alg none": confused,
    "HS256 with the public key": lambda: signed(claims(), "HS256"),
    "PS384": lambda: signed(claims(), "PS384"),
    "embedded jwk": lambda: signed(claims(), "RS256", "m", jwk=rsa_jwk("m")),
    "crit": lambda: signed(claims(), "RS256", crit=["exp"]),
    "signature of another": lambda: signed(claims(), "RS256", by="x"),
    "audience another base": lambda: signed(claims(aud="https://other.example/fhir"), "RS256"),
    "audience a client, as id tokens have": lambda: signed(claims(aud="growth-chart"), "RS256"),
    "audience absent": lambda: signed(claims(aud=None), "RS256"),
    "audience below the base": lambda: signed(claims(aud=BASE + "/Patient"), "RS256"),
    "expired": lambda: signed(claims(exp=NOW - 1), "RS256"),
    "exp absent": lambda: signed(claims(exp=None), "RS256"),
    "exp in a year": lambda: signed(claims(exp=NOW + 31_536_000), "RS256"),
    "exp is true": lambda: signed(claims(exp=True), "RS256"),
    "exp infinite": lambda: signed(json.dumps(claims(exp=None)).encode()[:-1] + b', "exp": 1e999}', "RS256"),
    "not yet": lambda: signed(claims(nbf=NOW + 3600), "RS256"),
    "made in the future": lambda: signed(claims(iat=NOW + 3600), "RS256"),
    "patient is a search": lambda: signed(claims(patient="p1,p2"), "RS256"),
    "patient is a path": lambda: signed(claims(patient="../Patient/p2"), "RS256"),
    "user of another server": lambda: signed(claims(fhirUser="https://other.example/fhir/Practitioner/7"), "RS256"),
    "user is a Group": lambda: signed(claims(fhirUser="Group/7"), "RS256"),
    "client absent": lambda: signed(claims(client_id=None, sub=None), "RS256"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_is_not_to_be_believed_stands_for_nothing(door: Door, name: str) -> None:
    """S-39, M-11, and mixed-up issuers."""
    assert grant(door, REFUSED[name]()) is None


def test_nobody_else_is_trusted_unless_named(tmp_path: Any, origins: tuple[Origin, Origin]) -> None:
    door = Door(smart(f"sqlite:///{tmp_path / 'fhir.db'}", jwks_hosts="localhost"))
    asked = len(origins[0].asked)
    assert grant(door, signed(claims(), "RS256")) is None
    assert len(origins[0].asked) == asked
    door.close()
