"""A point in time below which no transaction is open. https://www.mongodb.com/docs/manual/reference/operator/aggregation/currentOp/

What a transaction writes bears the time at which it began or a later one. It is known to the server from its first
command on, which follows within LATE seconds or not at all (write.py): so all that began before a point are found
LATE seconds after it, and have ended when none of them is left.
"""

import asyncio
import time

from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document
from fhir_server.store.mongo.orphan import end_orphans

LATE = 0.25  # seconds
LONGEST = 65.0  # seconds after which the server has ended any transaction (transactionLifetimeLimitSeconds is 60)
SUSPICION = 5.0  # seconds after which a dead process may be the cause
_OPEN: list[Document] = [
    {"$currentOp": {"idleSessions": True}},
    {"$match": {"transaction.parameters.txnNumber": {"$exists": True}}},
    {"$project": {"lsid.id": 1, "number": "$transaction.parameters.txnNumber"}},
]


async def settled(database: Database) -> int:
    """See seam.Store."""
    now = milliseconds()
    await asyncio.sleep(2 * LATE)
    began = time.monotonic()
    left = await _open(database)
    while left and time.monotonic() < began + LONGEST:
        await asyncio.sleep(0.05)
        if time.monotonic() > began + SUSPICION:
            await end_orphans(database)
        still = await _open(database)
        left = None if still is None else left & still
    if left is None:  # without the right to see them, they are waited for as long as they may last
        await asyncio.sleep(max(0.0, began + LONGEST - time.monotonic()))
    # A write that a majority has acknowledged: what was committed before it is what majority reads see.
    await database.lock.bulk_write([UpdateOne({"_id": "settled"}, {"$set": {"at": now}}, upsert=True)])
    return now


def milliseconds() -> int:
    """Now, in microseconds cut to milliseconds."""
    return time.time_ns() // 1_000_000 * 1000


async def _open(database: Database) -> set[tuple[bytes, int]] | None:
    """The open transactions of our own user, in whatever process; None if we may not see them."""
    try:
        cursor = await database.client.admin.aggregate(_OPEN)
        return {(bytes(row["lsid"]["id"]), row["number"]) async for row in cursor}
    except OperationFailure:
        return None
