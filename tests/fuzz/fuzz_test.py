"""Malformed requests by the thousand: never a 5xx, every refusal an OperationOutcome, memory flat.

`make test` sends a seeded sample, `make test-deep` 100,000, PIECE after PIECE.
"""

import gc
import gzip
import json
import xml.etree.ElementTree as etree
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from fhir_server.fhir.codec import encode
from tests.client import Client
from tests.deep import DEEP, deep
from tests.fuzz.bodies import WORLD
from tests.fuzz.raw import Request, Response, send
from tests.fuzz.requests import requests

PIECE = deep(1200, 4000)
PIECES = deep(1, 23)
MONGO_PIECE = deep(1000, 2000)
MOST_GROWTH = 60_000_000  # bytes: caches fill, then nothing may be added
NO_BODY = (204, 304)


@pytest.fixture
def filled(client: Client) -> Client:
    """A server that holds something to search."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}} for one in WORLD
    ]
    assert client("POST", "", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})).is_success
    return client


def check(request: Request, answer: Response) -> None:
    """The answer is what a client can rely on, whatever it sent."""
    assert 200 <= answer.status < 500, answer.body[:500]
    body = answer.body
    if request.method == "HEAD" or answer.status in NO_BODY:
        assert body == b""
        return
    if "content-length" in answer.headers:
        assert int(answer.headers["content-length"]) == len(body)
    if answer.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    kind = answer.headers.get("content-type", "")
    if "html" in kind:
        assert b"<html" in body
        outcome = b"OperationOutcome" in body
    elif "xml" in kind:
        root = etree.fromstring(body)
        outcome = root.tag.endswith("}OperationOutcome")
    elif "json" in kind:
        value = json.loads(body)
        outcome = value.get("resourceType") == "OperationOutcome"
        if outcome:
            assert all({"severity", "code", "diagnostics"} <= issue.keys() for issue in value["issue"])
        check_entries(value)
    else:
        outcome = False
        assert body == b"" or answer.status < 300, (kind, body[:100])
    assert outcome or answer.status < 400


def check_entries(value: Any) -> None:
    for entry in value.get("entry", ()) if value.get("resourceType") == "Bundle" else ():
        status = entry.get("response", {}).get("status", "200") if value["type"] == "batch-response" else "200"
        assert int(status[:3]) < 500, entry


def fuzz(client: Client, number: int, count: int) -> Counter[int]:
    """Send `count` requests of the piece; returns how often each status came."""
    seen: Counter[int] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def one(request: Request) -> None:
        answer = client.run(send(client.app, request))
        seen[answer.status] += 1
        check(request, answer)

    one()
    return seen


def resident() -> int:
    """Bytes of memory that this process holds, after what can be freed is freed."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def whole(client: Client) -> None:
    """Whatever was written in between is sound: it is read, searched and written as XML."""
    path = "?_count=200"
    while path:
        page = client("GET", path).json()
        for entry in page["entry"]:
            one = entry["resource"]
            read = client("GET", f"{one['resourceType']}/{one['id']}", headers={"accept": "application/fhir+xml"})
            assert read.status_code == 200
            etree.fromstring(read.content)
        links = {link["relation"]: link["url"] for link in page["link"]}
        path = "?" + links["next"].partition("?")[2] if "next" in links else ""


def run(client: Client, number: int, count: int) -> None:
    seen = fuzz(client, number, count // 4)
    before = resident()
    seen += fuzz(client, number + 1000, count - count // 4)
    growth = resident() - before
    print(f"piece {number}: {dict(sorted(seen.items()))}, {growth / 1e6:.1f} MB more", flush=True)
    assert {200, 201, 400, 404, 422} <= seen.keys(), "the requests reach too little to tell anything"
    assert growth < MOST_GROWTH
    whole(client)


@pytest.mark.timeout(deep(300, 1800))
@pytest.mark.parametrize("piece", range(PIECES))
def test_nothing_sent_makes_the_server_fail(filled: Client, piece: int, request: pytest.FixtureRequest) -> None:
    mongo = "mongodb" in request.node.callspec.id
    if mongo and DEEP and piece > 3:
        pytest.skip("The stores share all that reads requests: a sample is sent to MongoDB.")
    run(filled, piece, MONGO_PIECE if mongo else PIECE)
