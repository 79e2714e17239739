"""Random searches over a mixed data set: SQLite, MongoDB and the in-memory oracle name the same ids in the same order.

`make test` asks the first SAMPLE of the queries, `make test-deep` all of them, PIECE after PIECE.
"""

import os
from typing import Any
from urllib.parse import parse_qsl

import pytest

from fhir_server.access import OPERATOR
from fhir_server.fhir.codec import decode, encode
from fhir_server.interactions.lookup import parsed
from fhir_server.search.predicate import EVERYTHING, Indexed, Sort, entries_of, fields, matches
from fhir_server.server import Server
from fhir_server.store.seam import Query
from tests.client import Client
from tests.search_oracle.queries import Generator
from tests.search_oracle.world import resources

SAMPLE, ALL, PIECE = 150, 10_000, 500
DEEP = bool(os.environ.get("FHIR_SERVER_DEEP_TESTS"))


class Oracle:
    """The stored resources as Python values, searched by the definition of predicates and of order."""

    def __init__(self, client: Client) -> None:
        self.client = client
        found = client.app.endpoint.server
        assert found is not None
        self.server: Server = found
        self.rows: list[Indexed] = []
        client.run(self._read())
        self.world = {(row.type, row.id): row for row in self.rows}

    async def _read(self) -> None:
        async for stored in self.server.store.scan(Query((), EVERYTHING)):
            entries = self.server.index(decode(stored.body))
            self.rows.append(Indexed(stored.type, stored.id, stored.updated, entries))

    def search(self, type: str, query: str) -> list[str]:
        """The ids that the query finds, in order."""
        server, pairs = self.server, tuple(parse_qsl(query))
        asked = self.client.run(parsed(server, OPERATOR, server.store.search, type, pairs, False, server.clock()))
        rows = [row for row in self.rows if row.type == type and matches(asked.where, row, self.world)]
        for sort in reversed(asked.sort):
            rows = ordered(rows, sort)
        return [row.id for row in rows]


def ordered(rows: list[Indexed], sort: Sort) -> list[Indexed]:
    """The rows by one key, those without a value last, ties as they were."""
    names = {"token": "code", "string": "norm", "uri": "uri", "id": "id"}

    def values(row: Indexed) -> list[Any]:
        found = entries_of(row, sort.param)
        if sort.param.kind == "reference":
            return [(entry[1], entry[2] or entry[3]) for entry in found]
        place = 1 + fields(sort.param.kind).index(names.get(sort.param.kind, "low"))
        return [entry[place] for entry in found]

    pick = max if sort.descending else min
    keys = {(row.type, row.id): values(row) for row in rows}
    having = [row for row in rows if keys[row.type, row.id]]
    having.sort(key=lambda row: pick(keys[row.type, row.id]), reverse=sort.descending)
    return having + [row for row in rows if not keys[row.type, row.id]]


@pytest.fixture
def oracle(client: Client) -> Oracle:
    """The mixed data set, written to one store over HTTP, and its oracle."""
    made = resources()
    for start in range(0, len(made), 60):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in made[start : start + 60]
        ]
        body = encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        answer = client("POST", "", body)
        assert answer.status_code == 200, answer.text
    found = Oracle(client)
    assert len(found.rows) == len(made)
    return found


def agree(oracle: Oracle, seed: int, count: int) -> None:
    generator = Generator(oracle.server.definitions, seed)
    found = 0
    for _ in range(count):
        type, query = generator.query()
        want = oracle.search(type, query)
        answer = oracle.client("GET", f"{type}?{query}{'&' if query else ''}_count=500")
        assert answer.status_code == 200, (type, query, answer.text)
        assert [entry["resource"]["id"] for entry in answer.json().get("entry", ())] == want, (type, query)
        found += bool(want)
    assert found > count // 4, "the queries find too little to tell anything"


def test_a_sample_of_queries(oracle: Oracle) -> None:
    agree(oracle, 0, SAMPLE)


@pytest.mark.deep
@pytest.mark.skipif(not DEEP, reason="make test-deep asks all queries")
@pytest.mark.parametrize("piece", range(ALL // PIECE))
def test_all_queries(oracle: Oracle, piece: int) -> None:
    agree(oracle, 1000 + piece, PIECE)
