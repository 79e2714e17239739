"""Backend Services: tokens for clients that act on their own. https://hl7.org/fhir/smart-app-launch/backend-services.html"""

import pytest

from tests.auth.door import TOKEN, Door, claims, signed


@pytest.mark.parametrize(("alg", "kid"), [("RS384", "a"), ("ES384", "b"), ("PS384", "a"), ("RS512", "a")])
def test_a_service_gets_a_token_for_its_signature(door: Door, alg: str, kid: str) -> None:
    """S-20, S-30, S-45."""
    door.backend()
    answer = door.token(signed(claims(), alg, kid), "system/Patient.rs system/Observation.read")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["token_type"] == "Bearer"
    assert told["expires_in"] == 300
    assert told["scope"] == "system/Patient.rs system/Observation.read"
    assert len(told["access_token"]) >= 43
    assert "refresh_token" not in told
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def test_an_audience_may_be_a_list(door: Door) -> None:
    """S-44."""
    door.backend()
    assert door.token(signed(claims(aud=["https://else.example", TOKEN]))).status_code == 200
