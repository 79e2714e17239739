"""Transactions whose process died: the server keeps their locks for a minute, we end them after a few seconds.

A killed process leaves its open transaction idle, and every writer of the same documents clashes with it until
transactionLifetimeLimitSeconds. Ours are never idle for seconds: between two commands they only compute. Ending one
that was merely slow does no harm, it is run again. https://www.mongodb.com/docs/manual/reference/command/killSessions/
"""

from pymongo.errors import OperationFailure

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document

IDLE = 4_000_000  # microseconds


async def end_orphans(database: Database) -> int:
    """End the idle transactions of our own user; returns how many. Without the right to see them: none."""
    found: list[Document] = [
        {"$currentOp": {"idleSessions": True}},
        {"$match": {"active": False, "transaction.timeInactiveMicros": {"$gt": IDLE}}},
        {"$project": {"lsid": 1, "transaction.parameters.txnNumber": 1}},
    ]
    admin = database.client.admin
    try:
        sessions = [{"id": row["lsid"]["id"]} async for row in await admin.aggregate(found)]
        if sessions:
            await admin.command("killSessions", sessions)
    except OperationFailure:
        return 0
    return len(sessions)
