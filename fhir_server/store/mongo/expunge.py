"""Removing resources for good: versions, pieces, index entries and State. https://www.mongodb.com/docs/manual/core/replica-set-oplog/

The tombstone in `meta` holds the type, a keyed hash, the time, how many versions went and the number of the last write
that they can have had. The oplog still holds the versions until it is overwritten; the change feed, which reads it,
leaves out what a tombstone covers. The same id may be used again: later writes have higher numbers.
"""

import os
from collections.abc import Callable, Sequence
from hashlib import blake2b

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo import DeleteMany, DeleteOne, InsertOne, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document, key_of, next_number
from fhir_server.store.names import KEPT, LAST, naming

KIND = "expunged"


async def expunge(
    database: Database, session: AsyncClientSession, resources: Sequence[tuple[str, str]], now: int
) -> int:
    """Remove resources within a transaction; returns how many versions."""
    keys = {key_of(type, id): type for type, id in resources}
    counts = await _counts(database, session, list(keys))
    if counts:
        spans = [{"_id": {"$gt": {"r": key, "v": MinKey()}, "$lt": {"r": key, "v": MaxKey()}}} for key in counts]
        await database.version.bulk_write([DeleteMany(span) for span in spans], ordered=False, session=session)
        await database.chunk.bulk_write([DeleteMany(span) for span in spans], ordered=False, session=session)
        await database.overflow.delete_many({"of": {"$in": list(counts)}}, session=session)
        await database.resource.bulk_write([DeleteOne({"_id": key}) for key in counts], ordered=False, session=session)
        secret = await _secret(database)
        stones: list[InsertOne[Document]] = [
            InsertOne(
                {
                    "_id": f"{KIND} {next_number()}",
                    KIND: hashed(secret, key),
                    "type": keys[key],
                    "at": now,
                    "versions": count,
                    "w": next_number(),
                }
            )
            for key, count in counts.items()
        ]
        await database.meta.bulk_write(stones, ordered=False, session=session)
    names = naming(resources)
    cursor = database.state.find({"_id": {"$not": {"$gte": KEPT, "$lt": KEPT + LAST}}}, {"value": 1}, session=session)
    gone = [row["_id"] async for row in cursor if names(row["_id"].encode()) or names(bytes(row["value"]))]
    if gone:
        await database.state.delete_many({"_id": {"$in": gone}}, session=session)
    return sum(counts.values())


async def _counts(database: Database, session: AsyncClientSession, keys: list[str]) -> dict[str, int]:
    """How many versions each resource has; those that never were are left out."""
    rows = database.resource.find({"_id": {"$in": keys}}, {"v": 1}, session=session)
    return {row["_id"]: row["v"] async for row in rows}


async def tombstones(database: Database) -> Callable[[str, int], bool]:
    """A test whether the write of a resource, by key and number, was expunged."""
    rows = await database.meta.find({KIND: {"$exists": True}}).to_list()
    if not rows:
        return lambda key, number: False
    secret = await _secret(database)
    last: dict[bytes, int] = {}
    for row in rows:
        last[row[KIND]] = max(row["w"], last.get(row[KIND], 0))
    return lambda key, number: number <= last.get(hashed(secret, key), 0)


def hashed(secret: bytes, key: str) -> bytes:
    """A resource's name as only this database can compute it."""
    return blake2b(key.encode(), digest_size=16, key=secret).digest()


async def _secret(database: Database) -> bytes:
    row = await database.meta.find_one_and_update(
        {"_id": "expunge key"},
        {"$setOnInsert": {"key": os.urandom(32)}},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert row is not None  # an upsert that returns what is after it
    return bytes(row["key"])
