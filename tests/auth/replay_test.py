"""One assertion, one token: shown to several processes at once, and again after a restart. https://www.rfc-editor.org/rfc/rfc7523#section-3"""

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from fhir_server.cli import main
from tests.auth.door import JWT_BEARER, claims, rsa_jwk, signed
from tests.deep import deep
from tests.serving import Served, served

MANY = deep(50, 1000)
SETTINGS = {"FHIR_SERVER_AUTH": "smart", "FHIR_SERVER_RATE_LIMIT": "0", "FHIR_SERVER_ACCESS_LOG": "no"}


@pytest.fixture
def prepared(store_url: str, tmp_path: Path) -> str:
    """A store with a backend service."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [rsa_jwk("a")]}))
    argv = ["client", "add", "backend", "--scope", "system/*.rs", "--jwks", str(keys), "--store", store_url]
    assert main(argv) == 0
    return store_url


async def shown(server: Served, assertion: str, times: int) -> list[httpx2.Response]:
    """The answers to an assertion that is shown so many times at once."""
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", "client_assertion_type": JWT_BEARER}
    limits = httpx2.Limits(max_connections=64)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        url = f"http://127.0.0.1:{server.port}/auth/token"
        asked = (client.post(url, data={**form, "client_assertion": assertion}) for _ in range(times))
        return list(await asyncio.gather(*asked))


@pytest.mark.timeout(300)
async def test_one_of_many_is_accepted_and_none_after_a_restart(prepared: str) -> None:
    """S-47, M-10."""
    with served(prepared, "--workers", "2", **SETTINGS) as server:
        audience = f"http://127.0.0.1:{server.port}/auth/token"
        assertion = signed(claims(aud=audience))
        answers = await shown(server, assertion, MANY)
        assert Counter(answer.status_code for answer in answers) == {200: 1, 401: MANY - 1}
        told = {answer.json()["error_description"] for answer in answers if answer.status_code == 401}
        assert told == {"The client assertion is refused. Its jti was used before."}
        port = server.port
    with served(prepared, port=port, **SETTINGS) as again:
        assert [answer.status_code for answer in await shown(again, assertion, 3)] == [401] * 3
        assert [answer.status_code for answer in await shown(again, signed(claims(aud=audience)), 1)] == [200]


@pytest.mark.timeout(300)
async def test_a_key_change_of_the_client_does_not_free_a_jti(prepared: str) -> None:
    """The same jti under another signature is used all the same; another client's is its own."""
    with served(prepared, **SETTINGS) as server:
        once = claims(aud=f"http://127.0.0.1:{server.port}/auth/token", jti="only-once")
        first, second = signed(once), signed({**once, "nbf": 1})
        assert [answer.status_code for answer in await shown(server, first, 1)] == [200]
        assert [answer.status_code for answer in await shown(server, second, 1)] == [401]
