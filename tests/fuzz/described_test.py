"""What OpenAPI can describe, fuzzed by schemathesis over real sockets: never a 5xx, every refusal one to act on.

https://schemathesis.readthedocs.io/
"""

from collections.abc import Iterator

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from fhir_server.fhir.codec import encode
from tests.deep import DEEP, deep
from tests.fuzz.bodies import WORLD
from tests.fuzz.openapi import authorization, operations
from tests.serving import Served, served

OPERATIONS = schemathesis.openapi.from_dict(operations())
AUTHORIZATION = schemathesis.openapi.from_dict(authorization())
for schema in (OPERATIONS, AUTHORIZATION):  # a thousand examples of values at the edges of each type
    schema.config.phases.coverage.enabled = DEEP
pytestmark = pytest.mark.timeout(deep(300, 3600))
FHIR = {"content-type": "application/fhir+json"}
PAGE = "text/html; charset=utf-8"  # for people, who come to /auth/authorize by a link
EACH = settings(max_examples=deep(6, 500), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that lets everyone in, and holds something."""
    with served(f"sqlite:///{tmp_path_factory.mktemp('described') / 'fhir.db'}") as server:
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in WORLD
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert httpx2.post(server.base, content=encode(bundle), headers=FHIR, timeout=60).status_code == 200
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks for tokens."""
    store = f"sqlite:///{tmp_path_factory.mktemp('guarded') / 'fhir.db'}"
    settings = {"FHIR_SERVER_AUTH": "smart", "FHIR_SERVER_RATE_LIMIT": "0", "FHIR_SERVER_REGISTRATION": "open"}
    with served(store, **settings) as server:
        yield server


def answered(case: Case, server: Served) -> None:
    """The answer is one to a client's mistake if it is no success, and says which."""
    answer = case.call(base_url=server.base.removesuffix("/fhir"), allow_redirects=False)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.headers["content-type"] != [PAGE]:
        told = answer.json()
        assert told.get("error") or all(issue["diagnostics"] for issue in told["issue"])


@OPERATIONS.parametrize()
@EACH
def test_no_operation_fails(opened: Served, case: Case) -> None:
    answered(case, opened)


@AUTHORIZATION.parametrize()
@EACH
def test_the_authorization_server_never_fails(guarded: Served, case: Case) -> None:
    answered(case, guarded)
