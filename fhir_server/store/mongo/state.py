"""Small versioned values with an expiry: codes, tokens, leases, jobs, cursors."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document
from fhir_server.store.names import LAST

# `ttl` lets the server remove the document within about a minute; `expires` decides at once.

MOST_ASKED = 1000  # keys in one query
FAR = 253_402_214_400  # seconds: the last day that a datetime holds


def _alive() -> Document:
    return {"$or": [{"expires": None}, {"expires": {"$gt": time.time_ns() // 1000}}]}


async def get_state(
    database: Database, key: str, session: AsyncClientSession | None = None
) -> tuple[bytes, int] | None:
    """See seam.Store."""
    row = await database.state.find_one({"_id": key, **_alive()}, session=session)
    return (row["value"], row["version"]) if row else None


async def get_states(
    database: Database, keys: Sequence[str], session: AsyncClientSession | None = None
) -> dict[str, tuple[bytes, int]]:
    """See seam.Store."""
    found: dict[str, tuple[bytes, int]] = {}
    for at in range(0, len(keys), MOST_ASKED):
        some = {"_id": {"$in": list(keys[at : at + MOST_ASKED])}, **_alive()}
        rows = await database.state.find(some, session=session).to_list()
        found |= {row["_id"]: (row["value"], row["version"]) for row in rows}
    return found


async def list_state(database: Database, prefix: str, count: int) -> list[tuple[str, bytes]]:
    """See seam.Store."""
    within = {"_id": {"$gte": prefix, "$lt": prefix + LAST}, **_alive()}
    rows = await database.state.find(within, {"value": 1}).sort("_id", 1).limit(count).to_list()
    return [(row["_id"], row["value"]) for row in rows]


async def put_state(database: Database, key: str, value: bytes, version: int, expires: int | None = None) -> bool:
    """See seam.Store."""
    fields = _fields(value, version, expires)
    if version:
        done = await database.state.update_one({"_id": key, "version": version, **_alive()}, {"$set": fields})
        return done.matched_count == 1
    try:
        # Matches an expired one only; otherwise the upsert inserts, or meets the living one's key.
        await database.state.update_one({"_id": key, "$nor": [_alive()]}, {"$set": fields}, upsert=True)
    except DuplicateKeyError:
        return False
    return True


async def put_in_transaction(
    database: Database, session: AsyncClientSession, key: str, value: bytes, version: int, expires: int | None
) -> bool:
    """See seam.Tx. It looks first: a duplicate key would end the transaction. Who is overtaken meanwhile runs again."""
    found = await database.state.find_one({"_id": key, **_alive()}, {"version": 1}, session=session)
    if (found["version"] if found else 0) != version:
        return False
    fields = _fields(value, version, expires)
    await database.state.update_one({"_id": key}, {"$set": fields}, upsert=True, session=session)
    return True


def _fields(value: bytes, version: int, expires: int | None) -> Document:
    ttl = datetime.fromtimestamp(min(max(expires // 1_000_000, 0), FAR), UTC) if expires is not None else None
    return {"value": value, "version": version + 1, "expires": expires, "ttl": ttl}


async def delete_state(database: Database, key: str) -> bool:
    """See seam.Store."""
    row = await database.state.find_one_and_delete({"_id": key})
    return row is not None and (row["expires"] is None or row["expires"] > time.time_ns() // 1000)
