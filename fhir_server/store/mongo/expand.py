"""Which whole keys begin like this? A walk over the index itself that leaps from one distinct key to the next.

A bare `code=8480-6` is a range of keys (one for each system that has the code). A range cannot be read in the order of
creation or of date, a few exact keys can (the server merges them), so the range is replaced by the keys found in it.
"""

from typing import Any

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.store.mongo.connect import RESOURCE_INDEXES, Database

MOST = 8  # keys worth merging, and round trips worth making


async def exact_keys(
    database: Database, session: AsyncClientSession | None, index: str, type_: str, low: str, high: str
) -> list[str] | None:
    """The distinct keys in [low, high) of the index `key` or `compartment`; None if they are more than MOST."""
    columns = RESOURCE_INDEXES[index]
    name = columns[1][0]
    found: list[str] = []
    start, stop = _edge(columns, type_, low, first=True), _edge(columns, type_, high, first=True)
    while True:
        cursor = database.resource.find(
            {}, hint=index, min=start, max=stop, return_key=True, limit=1, batch_size=1, session=session
        )
        row = await anext(aiter(cursor), None)
        if row is None:
            return found
        if len(found) == MOST:
            return None
        found.append(row[name])
        start = _edge(columns, type_, row[name], first=False)


def _edge(columns: list[tuple[str, int]], type_: str, key: str, first: bool) -> dict[str, Any]:
    """The index position before all, or after all, entries of a key."""
    rest = {name: MinKey() if (direction > 0) == first else MaxKey() for name, direction in columns[2:]}
    return {"t": type_, columns[1][0]: key, **rest}
