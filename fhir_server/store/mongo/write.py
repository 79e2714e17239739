"""Transactions: `work` reads one snapshot, its writes are sent together at its end, and all is run again on a clash.

https://www.mongodb.com/docs/manual/core/transactions-production-consideration/
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from fhir_server.search.predicate import Entry
from fhir_server.store.mongo import find, state
from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import COLUMNS, Document, columns, index_fields, key_of, next_number
from fhir_server.store.mongo.expunge import expunge
from fhir_server.store.mongo.large import INDEXED, MOST_ENTRIES, announce, chunks, complete, overflow
from fhir_server.store.mongo.lock import buckets, every_place, one_place, searched_types
from fhir_server.store.mongo.orphan import ENDED, INTERRUPTED, end_orphans, living
from fhir_server.store.mongo.settle import LATE, milliseconds
from fhir_server.store.seam import Busy, Change, Conflict, Page, Query, Ruling, Stored, TooLarge

T = TypeVar("T")

MOST_WRITES = 10_000  # takes 3 to 5 s and needs a 1 GB cache (5,000: 0.5 GB); a transaction may last 60 s
MOST_BYTES = 256 * 1024 * 1024  # of bodies: they wait in the server's cache until the commit
MOST_ASKED = 1000  # resources read in one query
BIG = 200  # writes from which a transaction waits for one of the few places
PLACES = 2
PATIENCE = 30.0  # seconds that a transaction is tried again
DUPLICATE = 11000  # the code of DuplicateKey
SUSPICION = 2.0  # seconds of clashes after which a dead process may be the cause


class Late(Exception):
    """The server heard of the transaction too long after it began: it runs again."""


class MongoTx:
    """One attempt at a transaction (seam.Tx)."""

    def __init__(self, database: Database, session: AsyncClientSession, big: asyncio.Semaphore, careful: bool) -> None:
        self._database, self._session, self._big, self._careful = database, session, big, careful
        self._known: dict[str, Stored | None] = {}
        self._waiting: dict[str, tuple[int, Change]] = {}  # key -> (version in the database, last change)
        self._versions: list[Change] = []
        self._writes = self._bytes = 0
        self._held: set[int] = set()  # locks that this transaction touched
        self.began, self._known_to_server = milliseconds(), False

    async def read(self, type: str, id: str) -> Stored | None:
        """See seam.Tx."""
        key = key_of(type, id)
        if key not in self._known:
            self._speak()
            row = await self._database.resource.find_one({"_id": key}, COLUMNS, session=self._session)
            self._known[key] = (await complete(self._database, self._session, [row]))[0] if row else None
        return self._known[key]

    async def read_all(self, keys: Sequence[tuple[str, str]]) -> list[Stored]:
        """See seam.Tx. One query; what is read is known from then on, also that there is none."""
        wanted = [key_of(type, id) for type, id in keys]
        new = [key for key in dict.fromkeys(wanted) if key not in self._known]
        for at in range(0, len(new), MOST_ASKED):
            some = new[at : at + MOST_ASKED]
            self._speak()
            cursor = self._database.resource.find({"_id": {"$in": some}}, COLUMNS, session=self._session)
            rows = await complete(self._database, self._session, await cursor.to_list())
            self._known |= {**dict.fromkeys(some), **{key_of(row.type, row.id): row for row in rows}}
        return [row for key in wanted if (row := self._known[key]) is not None]

    async def search(self, query: Query) -> Page:
        """See seam.Tx. Takes the locks of the criteria first: the other writer then fails, and runs again after us."""
        self._speak()
        types = searched_types(query)
        if self._waiting and (not types or any(change.type in types for _, change in self._waiting.values())):
            await self.flush()
        await self._take(buckets(query))
        return await find.search(self._database, query, self._session)

    async def write(self, change: Change) -> Stored:
        """See seam.Tx. A creation is believed unless this attempt is a careful one; the unique key is the proof."""
        self._writes += 1
        self._bytes += len(change.body)
        if self._writes > MOST_WRITES or self._bytes > MOST_BYTES:
            raise TooLarge(
                f"A transaction may write {MOST_WRITES} resources and {MOST_BYTES >> 20} MB; split this one."
            )
        key = key_of(change.type, change.id)
        if key not in self._known and (change.version > 1 or self._careful):
            await self.read(change.type, change.id)
        before = self._known.get(key)
        if (before.version if before else 0) != change.version - 1:
            raise Conflict(f"{key} is at version {before.version if before else 0}, not {change.version - 1}.")
        base = self._waiting[key][0] if key in self._waiting else change.version - 1
        self._waiting[key] = (base, change)
        self._versions.append(change)
        written = Stored(*change[:6], change.rule)
        self._known[key] = written
        return written

    async def rule(self, rulings: Sequence[Ruling]) -> None:
        """See seam.Tx."""
        self._speak()
        await self.flush()
        alike: dict[tuple[int, int], list[str]] = {}
        for type, id, rule, until in rulings:
            alike.setdefault((rule, until), []).append(key_of(type, id))
            self._known.pop(key_of(type, id), None)
        for (rule, until), keys in alike.items():
            fields = {"rule": rule, "until": until}
            await self._database.resource.update_many({"_id": {"$in": keys}}, {"$set": fields}, session=self._session)

    async def share(self, keys: Sequence[str]) -> None:
        """See seam.Tx."""
        await self._take([one_place(key) for key in keys])

    async def own(self, keys: Sequence[str]) -> None:
        """See seam.Tx."""
        await self._take([place for key in keys for place in every_place(key)])

    async def _take(self, places: Sequence[int]) -> None:
        self._speak()
        fresh = sorted(set(places) - self._held)
        self._held.update(fresh)
        if fresh:
            locks = [UpdateOne({"_id": place}, {"$inc": {"taken": 1}}, upsert=True) for place in fresh]
            await self._database.lock.bulk_write(locks, session=self._session)

    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """See seam.Tx."""
        self._speak()
        return await state.get_state(self._database, key, self._session)

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """See seam.Tx."""
        self._speak()
        return await state.get_states(self._database, keys, self._session)

    async def put_state(self, key: str, value: bytes, version: int, expires: int | None = None) -> bool:
        """See seam.Tx."""
        self._speak()
        return await state.put_in_transaction(self._database, self._session, key, value, version, expires)

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """See seam.Tx."""
        self._speak()
        await self.flush()
        removed = await expunge(self._database, self._session, resources, now)
        self._known.update((key_of(type, id), None) for type, id in resources)
        return removed

    async def open(self) -> None:
        """Let the server know of the transaction, and begin."""
        await self._database.lock.find_one({"_id": "settled"}, session=self._session)
        self.began, self._known_to_server = milliseconds(), True

    def _speak(self) -> None:
        """Before each command. Raises Late if it is the first, and comes so late that `settled` may have missed us."""
        if not self._known_to_server and milliseconds() > self.began + LATE * 1_000_000:
            raise Late
        self._known_to_server = True

    async def flush(self) -> None:
        """Send what waits: one bulk write per collection."""
        if not self._waiting:
            return
        if len(self._waiting) > BIG:
            async with self._big:
                await self._send()
        else:
            await self._send()
        self._waiting.clear()
        self._versions.clear()

    async def _send(self) -> None:
        database, session = self._database, self._session
        numbers = [next_number() for _ in self._versions]
        born = {key_of(c.type, c.id): n for c, n in zip(self._versions, numbers, strict=True) if c.version == 1}
        current: list[InsertOne[Document] | UpdateOne] = []
        more: list[Document] = []
        grown: list[str] = []
        for key, (base, change) in self._waiting.items():
            fields = _current(change)
            if base == 0:
                current.append(InsertOne({"_id": key, "n": born[key], **fields}))
            else:
                gone = {name: "" for name in ("t", "large") if name not in fields}
                current.append(
                    UpdateOne({"_id": key, "v": base}, {"$set": fields, **({"$unset": gone} if gone else {})})
                )
                grown.append(key)
            more += overflow(change)
        await announce(database, more)
        self._speak()
        if grown:
            await database.overflow.delete_many({"of": {"$in": grown}}, session=session)
        await database.resource.bulk_write(current, ordered=False, session=session)
        pieces = [piece for change in self._versions for piece in chunks(change)]
        versions = [_version(change, number) for change, number in zip(self._versions, numbers, strict=True)]
        await database.version.insert_many(versions, ordered=False, session=session)
        if pieces:
            await database.chunk.insert_many(pieces, ordered=False, session=session)
        if more:
            await database.overflow.insert_many(more, ordered=False, session=session)


def _body(change: Change) -> Document:
    fields = columns(change)
    pieces = len(chunks(change))
    return {**fields, "b": b"", "large": pieces} if pieces else fields


def _current(change: Change) -> Document:
    fields = {**_body(change), **index_fields(change.entries), "rule": change.rule, "until": change.until}
    if len(change.entries) > MOST_ENTRIES:  # the sort keys are of all entries, the arrays of the first
        first = index_fields(change.entries[:MOST_ENTRIES])
        fields |= {name: first[name] for name in INDEXED}
    if change.method != "DELETE":
        fields["t"] = change.type
    return fields


async def replace_entries(database: Database, row: Stored, entries: tuple[Entry, ...]) -> None:
    """Index one resource anew, overflow documents included, unless it was changed meanwhile."""
    change = Change(*row[:6], entries)
    fields = _current(change)
    indexed = {name: fields[name] for name in (*INDEXED, "c", "s", "z", "when")}
    async with database.client.start_session() as session, await session.start_transaction():
        done = await database.resource.update_one(
            {"_id": key_of(row.type, row.id), "v": row.version}, {"$set": indexed}, session=session
        )
        if done.matched_count:
            await database.overflow.delete_many({"of": key_of(row.type, row.id)}, session=session)
            if more := overflow(change):
                await announce(database, more)
                await database.overflow.insert_many(more, ordered=False, session=session)


def _version(change: Change, number: int) -> Document:
    return {"_id": {"r": key_of(change.type, change.id), "v": change.version}, "w": number, **_body(change)}


async def transact(
    database: Database, lane: asyncio.Lock, big: asyncio.Semaphore, work: Callable[[MongoTx], Awaitable[T]]
) -> T:
    """Run `work` until it commits. Those that clash run again one after the other (`lane`), which ends the clash here;
    against other processes they wait a random while."""
    deadline = time.monotonic() + PATIENCE
    suspicious = time.monotonic() + SUSPICION
    careful = False
    pause = 0.0
    while True:
        try:
            if not pause:
                return await _attempt(database, big, work, careful)
            async with lane:
                return await _attempt(database, big, work, careful)
        except Late:
            careful = True
        except PyMongoError as error:
            if _too_large(error):
                raise TooLarge(
                    "The transaction does not fit MongoDB's cache: split it, or give mongod more."
                ) from error
            if not _clash(error):
                raise
            careful = careful or _duplicate(error)
            if time.monotonic() > suspicious:
                await end_orphans(database)
                suspicious = time.monotonic() + SUSPICION
            if time.monotonic() > deadline:
                raise Busy(f"Other writers kept this transaction from committing for {PATIENCE:.0f} s.") from error
        pause = min(0.5, pause * 2 or 0.002)
        await asyncio.sleep(pause * random.random())


async def _attempt(
    database: Database, big: asyncio.Semaphore, work: Callable[[MongoTx], Awaitable[T]], careful: bool
) -> T:
    async with database.client.start_session(causal_consistency=False) as session:
        async with await session.start_transaction(
            ReadConcern("snapshot"), WriteConcern("majority"), ReadPreference.PRIMARY
        ):
            with living(session):
                tx = MongoTx(database, session, big, careful)
                if careful:
                    await tx.open()
                result = await work(tx)
                await tx.flush()
                await _commit(session)
        return result


async def _commit(session: AsyncClientSession) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await session.commit_transaction()
        except PyMongoError as error:
            if not (error.has_error_label("UnknownTransactionCommitResult") or INTERRUPTED in _codes(error)):
                raise
            if time.monotonic() > deadline:
                raise Busy("MongoDB went away during a commit: whether it happened is not known.") from error
            await asyncio.sleep(0.05)


def _clash(error: PyMongoError) -> bool:
    """Whether to run again: others came first, or another process took this one for dead."""
    return error.has_error_label("TransientTransactionError") or not _codes(error).isdisjoint((DUPLICATE, *ENDED))


def _codes(error: PyMongoError) -> set[int]:
    if isinstance(error, BulkWriteError):
        return {problem["code"] for problem in (error.details or {}).get("writeErrors", ())}
    return {error.code} if isinstance(error, OperationFailure) and error.code is not None else set()


def _duplicate(error: PyMongoError) -> bool:
    """Another writer created the same resource (or lock) first; run again, the work sees it."""
    return DUPLICATE in _codes(error)


def _too_large(error: PyMongoError) -> bool:
    """TransactionTooLarge, TransactionTooLargeForCache, or a document over 16 MB."""
    return not _codes(error).isdisjoint((257, 388, 10334)) or isinstance(error, DocumentTooLarge)
