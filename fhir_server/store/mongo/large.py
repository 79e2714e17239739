"""What does not fit one document: bodies over 8 MB in `chunk`, index entries over 2,000 in `overflow`.

A MongoDB document holds 16 MB at most. https://www.mongodb.com/docs/manual/reference/limits/
"""

import asyncio
import time
from collections.abc import Sequence

from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document, index_fields, key_of, stored
from fhir_server.store.seam import Change, Stored

MOST_ENTRIES = 2_000
MOST_BYTES = 8 * 1024 * 1024
FRESH = 1.0  # seconds
INDEXED = ("k", "d", "q", "x")


def chunks(change: Change) -> list[Document]:
    """The documents of a body that is too big for one; none if it is not."""
    if len(change.body) <= MOST_BYTES:
        return []
    key = key_of(change.type, change.id)
    starts = range(0, len(change.body), MOST_BYTES)
    return [
        {"_id": {"r": key, "v": change.version, "c": place}, "b": change.body[start : start + MOST_BYTES]}
        for place, start in enumerate(starts)
    ]


def overflow(change: Change) -> list[Document]:
    """The documents of the index entries that are too many for one; none if they are not."""
    key = key_of(change.type, change.id)
    made = []
    for place, start in enumerate(range(MOST_ENTRIES, len(change.entries), MOST_ENTRIES)):
        fields = index_fields(change.entries[start : start + MOST_ENTRIES])
        indexed = {name: fields[name] for name in INDEXED}
        made.append({"_id": f"{key}\t{place}", "of": key, "t": change.type, **indexed})
    return made


async def overflowing(database: Database) -> frozenset[str]:
    """The types of which some resource may have overflow documents: usually none, and then searches ask no further.

    The answer is up to `FRESH` seconds old, which is right because writers wait (`announce`).
    """
    known = database.overflowing
    while (now := time.monotonic()) - known.asked > FRESH:
        row = await database.meta.find_one({"_id": "overflow"})
        for type in row["types"] if row else ():
            known.heard.setdefault(type, time.monotonic())
        known.asked = now
    return frozenset(known.heard)


async def announce(database: Database, overflows: Sequence[Document]) -> None:
    """Before the first overflow documents of a type: tell, and wait until no process searches without them: those that
    asked just before have another `FRESH` seconds to end."""
    known = database.overflowing
    types = {row["t"] for row in overflows}
    if new := sorted(types - known.heard.keys()):
        await database.meta.update_one({"_id": "overflow"}, {"$addToSet": {"types": {"$each": new}}}, upsert=True)
        for type in new:
            known.heard.setdefault(type, time.monotonic())
    if types:
        await asyncio.sleep(max(known.heard[type] for type in types) + 2 * FRESH - time.monotonic())


async def complete(database: Database, session: AsyncClientSession | None, rows: Sequence[Document]) -> list[Stored]:
    """Rows as values, with the bodies that lie in chunks put together."""
    for row in rows:
        if "large" in row:
            key = {"r": key_of(row["r"], row["i"]), "v": row["v"]}
            wanted = {"_id": {"$in": [{**key, "c": place} for place in range(row["large"])]}}
            cursor = database.chunk.find(wanted, sort=[("_id", 1)], session=session)
            row["b"] = b"".join([piece["b"] async for piece in cursor])
    return [stored(row) for row in rows]
