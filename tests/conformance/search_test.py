"""The rows of R4's page on search, one search each, over HTTP on both stores. https://hl7.org/fhir/R4/search.html"""

import json
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal
from tests.conformance.cases import CASES
from tests.conformance.world import WORLD
from tests.conftest import STORES


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of each kind of store that holds the small world; nothing below writes to it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('conformance') / 'fhir.db'}"
    else:
        url = request.getfixturevalue("mongo").uri(f"t{uuid.uuid4().hex[:16]}")
    client = Client(Settings(store=url, base_url=BASE, auth="open", access_log=False))
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in WORLD
    ]
    made = client("POST", "", json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    assert made.status_code == 200, made.text
    yield client
    client.close()


@pytest.mark.parametrize("name", CASES)
def test_search(world: Client, name: str) -> None:
    path, expected = CASES[name]
    answer = world("GET", quote(path, safe="/?&=:%,|$"))
    if isinstance(expected, int):
        assert answer.status_code == expected, answer.text
        refusal(answer)
        return
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", ())
    found = {
        mode: [one["resource"]["id"] for one in entries if one["search"]["mode"] == mode]
        for mode in ("match", "include")
    }
    matches, _, included = expected.partition("+")
    if "_sort" in path:
        assert found["match"] == matches.split()
    assert sorted(found["match"]) == sorted(matches.split())
    assert sorted(found["include"]) == included.split()
    assert answer.json()["total"] == len(found["match"])
