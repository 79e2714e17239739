"""Refresh tokens: replaced at each use, narrowed never widened, gone with what they rest on (S-27 to S-29)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_fields

from fhir_server.auth import refresh
from fhir_server.auth.clients import register
from fhir_server.server import Server
from tests.auth.person import APP, Person, living

ALL = "launch/patient openid fhirUser offline_access patient/*.rs"
DAY = 24 * 3600


class Later:
    """The application's clock, set ahead by some seconds."""

    def __init__(self, person: Person) -> None:
        self.endpoint = person.client.app.endpoint
        self.server: Server = self.endpoint.server

    def __call__(self, seconds: float) -> None:
        self.endpoint.server = replace(self.server, clock=lambda: self.server.clock() + round(seconds * 1_000_000))


@pytest.fixture
def later(visitor: Person) -> Iterator[Later]:
    """Time goes on only in this test."""
    one = Later(visitor)
    yield one
    one.endpoint.server = one.server


def first(person: Person, scope: str = ALL) -> str:
    return str(person.redeem(person.code(scope=scope)).json()["refresh_token"])


def error(person: Person, token: str, **more: str) -> str:
    answer = person.refresh(token, **more)
    assert answer.status_code in (400, 401)
    assert "no-store" in answer.headers["cache-control"]
    return str(answer.json()["error"])


def test_a_refresh_gives_new_tokens(person: Person) -> None:
    token = first(person)
    answer = person.refresh(token)
    body = answer.json()
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["pragma"] == "no-cache"
    assert body["scope"] == ALL
    assert body["expires_in"] > 0
    assert body["patient"] == "anna"
    assert body["refresh_token"] != token
    assert living(person, body["access_token"])


@pytest.mark.parametrize("scope", ["patient/Observation.rs", "patient/*.rs", "patient/*.r openid", ALL])
def test_less_may_be_asked_for(visitor: Person, scope: str) -> None:
    body = visitor.refresh(first(visitor), scope=scope).json()
    assert body["scope"] == scope
    assert visitor.refresh(body["refresh_token"]).json()["scope"] == ALL


@pytest.mark.parametrize(
    "scope",
    [
        "patient/*.cruds",
        "patient/*.rs user/*.rs",
        "patient/Observation.rsx",
        "system/*.rs",
        "launch",
        "online_access",
        " ",
    ],
)
def test_more_may_not(visitor: Person, scope: str) -> None:
    token = first(visitor)
    assert error(visitor, token, scope=scope) == "invalid_scope"
    assert visitor.refresh(token).status_code == 200  # asking cost nothing


@pytest.mark.parametrize("token", ["nothing", "x" * 5000, "é", "../token"])
def test_unknown_tokens(visitor: Person, token: str) -> None:
    assert error(visitor, token) == "invalid_grant"


def test_another_client_has_no_use_for_it(visitor: Person) -> None:
    token = first(visitor)
    assert error(visitor, token, client_id="other") in ("invalid_grant", "unauthorized_client")
    assert visitor.refresh(token).status_code == 200


def test_an_access_token_is_no_refresh_token(visitor: Person) -> None:
    assert error(visitor, visitor.redeem(visitor.code()).json()["access_token"]) == "invalid_grant"


def test_a_lost_answer_may_be_asked_for_again_for_ten_seconds(visitor: Person, later: Later) -> None:
    token = first(visitor)
    once = visitor.refresh(token).json()
    later(9)
    again = visitor.refresh(token).json()
    assert again["refresh_token"] != once["refresh_token"]
    assert living(visitor, once["access_token"])
    assert living(visitor, again["access_token"])


def test_reuse_ends_the_family(visitor: Person, later: Later) -> None:
    token = first(visitor)
    new = visitor.refresh(token).json()
    later(11)
    assert error(visitor, token) == "invalid_grant"
    assert not living(visitor, new["access_token"])
    assert error(visitor, new["refresh_token"]) == "invalid_grant"


def test_offline_access_lasts_ninety_days_from_each_use(visitor: Person, later: Later) -> None:
    token = first(visitor)
    for days in (90, 180, 270):
        later(days * DAY)
        token = visitor.refresh(token).json()["refresh_token"]
    later((270 + 101) * DAY)
    assert error(visitor, token) == "invalid_grant"
    assert refresh.LIFETIME >= 90 * DAY * 1_000_000


def test_online_access_ends_with_signing_out(visitor: Person) -> None:
    online = visitor.redeem(visitor.code(scope="online_access patient/*.rs")).json()
    offline = visitor.redeem(visitor.code(scope="offline_access patient/*.rs")).json()
    online = visitor.refresh(online["refresh_token"]).json()
    visitor("GET", "/auth/apps")
    visitor.submit("logout")
    assert visitor.heard() == ["Sign in"]
    assert not living(visitor, online["access_token"])
    assert error(visitor, online["refresh_token"]) == "invalid_grant"
    assert living(visitor, offline["access_token"])
    assert visitor.refresh(offline["refresh_token"]).status_code == 200


def test_online_access_ends_with_the_session(visitor: Person, later: Later) -> None:
    token = first(visitor, "online_access patient/*.rs")
    later(8 * 3600 + 1)
    assert error(visitor, token) == "invalid_grant"


def test_without_either_there_is_no_refresh_token(visitor: Person) -> None:
    assert "refresh_token" not in visitor.redeem(visitor.code(scope="patient/*.rs")).json()


def test_a_client_without_the_grant_is_not_offered_to_stay(visitor: Person) -> None:
    visitor.ask(client_id="other", redirect_uri="https://other.example/", scope="patient/*.rs offline_access")
    visitor.sign_in("anna")
    body = visitor.redeem(visitor.allow()["code"], client_id="other", redirect_uri="https://other.example/").json()
    assert body["scope"] == "patient/*.rs"
    assert "refresh_token" not in body


def test_revoking_a_refresh_token_ends_its_access_tokens(visitor: Person) -> None:
    body = visitor.redeem(visitor.code()).json()
    for client, lives in (("other", True), ("app", False)):
        form = {"client_id": client, "token": body["refresh_token"]}
        assert visitor.client.run(visitor.http.post("/auth/revoke", data=form)).status_code == 200
        assert living(visitor, body["access_token"]) == lives
    assert error(visitor, body["refresh_token"]) == "invalid_grant"


def test_a_public_client_may_leave_its_id_to_the_token(visitor: Person) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": first(visitor)}
    assert visitor.client.run(visitor.http.post("/auth/token", data=form)).status_code == 200
    nobody = visitor.client.run(visitor.http.post("/auth/token", data=form | {"refresh_token": "nothing"}))
    assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_client")


def test_a_client_with_a_secret_may_not(visitor: Person) -> None:
    secret = visitor.client.run(
        register(visitor.client.app.endpoint.server, replace_fields(APP, id="kept", kind="symmetric"))
    )
    code = visitor.code(client_id="kept")
    token = visitor.redeem(code, client_id="kept", client_secret=secret).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer = visitor.client.run(visitor.http.post("/auth/token", data=form))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert visitor.refresh(token, client_id="kept", client_secret=secret).status_code == 200
