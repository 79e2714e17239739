"""Transactions whose process died: the server keeps their locks for a minute, we end them after a few seconds.

A killed process leaves its open transaction idle, and every writer of the same documents clashes with it until
transactionLifetimeLimitSeconds. Those of a living process are hardly ever idle for seconds: between two commands they
only compute. Ending one that was merely slow does no harm, it is run again; those of this process are known to live.
https://www.mongodb.com/docs/manual/reference/command/killSessions/
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document

IDLE = 4_000_000  # microseconds
INTERRUPTED = 11601  # of a command that was running then; of a commit it leaves open whether it happened
ENDED = frozenset({237, 251, INTERRUPTED})  # CursorKilled, NoSuchTransaction: what an ended one hears of it
_living: set[bytes] = set()  # ids of the sessions in which this process has a transaction open


@contextmanager
def living(session: AsyncClientSession) -> Iterator[None]:
    """While its transaction is open, a session of this process is no orphan, however busy the process is."""
    id = bytes(session.session_id["id"])
    _living.add(id)
    try:
        yield
    finally:
        _living.discard(id)


async def end_orphans(database: Database) -> int:
    """End the idle transactions of our own user; returns how many. Without the right to see them: none."""
    found: list[Document] = [
        {"$currentOp": {"idleSessions": True}},
        {"$match": {"active": False, "transaction.timeInactiveMicros": {"$gt": IDLE}}},
        {"$project": {"lsid": 1, "transaction.parameters.txnNumber": 1}},
    ]
    admin = database.client.admin
    try:
        idle = [row["lsid"]["id"] async for row in await admin.aggregate(found)]
        sessions = [{"id": id} for id in idle if bytes(id) not in _living]
        if sessions:
            await admin.command("killSessions", sessions)
    except OperationFailure:
        return 0
    return len(sessions)
