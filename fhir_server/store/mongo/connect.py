"""Opening a MongoDB database: the connection, what it must be able to do, its collections and indexes.

https://www.mongodb.com/docs/manual/core/transactions/ https://pymongo.readthedocs.io/en/stable/api/pymongo/asynchronous/
"""

import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.uri_parser import parse_uri
from pymongo.errors import (
    AutoReconnect,
    CollectionInvalid,
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.store.mongo.document import Document
from fhir_server.store.seam import Busy, StoreError

SCHEMA = 1  # of the documents; a database with a higher number was written by a later server
PATIENCE = 5000  # milliseconds to find a server

Collection = AsyncCollection[Document]
Keys = list[tuple[str, int]]

# Every index that the store has. Reads of `resource` all begin with the type; most end with n, for paging.
RESOURCE_INDEXES: dict[str, Keys] = {
    "created": [("t", 1), ("n", 1)],
    "updated": [("t", 1), ("u", 1), ("n", 1)],
    "updated-": [("t", 1), ("u", -1), ("n", 1)],
    "date-": [("t", 1), ("when", -1), ("n", 1)],
    "key": [("t", 1), ("k", 1), ("n", 1)],
    "compartment": [("t", 1), ("c", 1), ("when", -1), ("n", 1)],
    "date from": [("t", 1), ("d.p", 1), ("d.lo", 1), ("d.hi", 1), ("n", 1)],
    "date to": [("t", 1), ("d.p", 1), ("d.hi", 1), ("n", 1)],
    "quantity": [("t", 1), ("q.p", 1), ("q.lo", 1), ("q.hi", 1), ("n", 1)],
}
OVERFLOW_INDEXES: dict[str, Keys] = {
    "of": [("of", 1)],
    **{name: RESOURCE_INDEXES[name][:-1] for name in ("key", "date from", "date to", "quantity")},
}
VERSION_INDEXES: dict[str, Keys] = {
    "type history": [("r", 1), ("u", -1), ("w", -1)],
    "history": [("u", -1), ("w", -1)],
    "written": [("w", 1)],
}
TERM_INDEXES: dict[str, Keys] = {
    "below": [("a", 1), ("_id", 1)],
    "key": [("e", 1), ("k", 1), ("_id", 1)],
}


class Overflowing:
    """The types known to have overflow documents (large.py), and when this process first and last heard of them."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}  # type -> seconds of the monotonic clock
        self.asked = -math.inf


class Database(NamedTuple):
    """The client and the collections of one database."""

    client: AsyncMongoClient[Document]
    overflowing: Overflowing
    resource: Collection  # the current version of every resource, with its index arrays (document.py)
    overflow: Collection  # index arrays of a resource that has too many of them
    version: Collection  # every version with its body: reads of old ones, history, change feed
    chunk: Collection  # bodies that are too big for a document, in pieces
    lock: Collection  # what two conditional writers both touch
    state: Collection
    meta: Collection
    edition: Collection  # versions of code systems (terms.py)
    term: Collection  # and their concepts


async def connect(url: str) -> Database:
    """Open the database of a MongoDB URL (`fhir` if it names none), make what is missing.

    Raises StoreError with the cure when there is no server, it is no replica set, or its data are of a later version.
    """
    name = urlsplit(url).path.strip("/") or "fhir"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
        raise StoreError(f"{name!r} is no database name: use letters, digits, - and _ after the host in the URL.")
    try:
        await parse_uri(url)  # a client that fails half made cannot be closed
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            url, serverSelectionTimeoutMS=PATIENCE, connectTimeoutMS=PATIENCE, appname="fhir-server", tz_aware=True
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise StoreError(f"{_shown(url)} is no MongoDB URL: {error}.") from None
    try:
        database = _database(client, name)
        await check(database)
        await _prepare(database)
    except BaseException:
        await client.close()
        raise
    return database


def _database(client: AsyncMongoClient[Document], name: str) -> Database:
    safe = client.get_database(name, write_concern=WriteConcern("majority"), read_concern=ReadConcern("majority"))
    return Database(client, Overflowing(), *(safe[collection] for collection in Database._fields[2:]))


async def check(database: Database) -> None:
    """Raise StoreError unless a primary of a replica set (or a mongos) answers."""
    try:
        hello = await database.client.admin.command("hello")
    except OperationFailure as error:
        raise StoreError(
            f"MongoDB refuses us: {error.details or error}. Check user, password and authSource."
        ) from None
    except PyMongoError as error:
        raise StoreError(
            f"No MongoDB answers within {PATIENCE // 1000} s ({_first(error)})."
            " Start it, or correct host and port in --store."
        ) from None
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise StoreError(
            "This mongod runs alone, without transactions."
            " Start it with --replSet rs0 and run rs.initiate() once in mongosh."
        )


async def _prepare(database: Database) -> None:
    try:
        found = await database.meta.find_one({"_id": "schema"})
        if found and found["version"] > SCHEMA:
            raise StoreError(
                f"The database has schema version {found['version']}, this server knows {SCHEMA}:"
                " install the newer server."
            )
        await _create(database)
        await database.meta.update_one({"_id": "schema"}, {"$set": {"version": SCHEMA}}, upsert=True)
    except OperationFailure as error:
        raise StoreError(f"MongoDB cannot prepare the database: {_first(error)}. Grant readWrite on it.") from None
    except PyMongoError as error:
        raise StoreError(f"MongoDB went away while the database was prepared ({_first(error)}). Try again.") from None


async def _create(database: Database) -> None:
    there = set(await database.resource.database.list_collection_names())
    for collection in database[2:]:
        if collection.name not in there:
            # Bodies are JSON: zstd halves what snappy leaves, at no cost that the load shows.
            options: dict[str, Any] = {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zstd"}}}
            with suppress(CollectionInvalid):  # another process made it at the same moment
                await collection.database.create_collection(collection.name, **options)
    for collection, indexes in (
        (database.resource, RESOURCE_INDEXES),
        (database.overflow, OVERFLOW_INDEXES),
        (database.version, VERSION_INDEXES),
        (database.term, TERM_INDEXES),
    ):
        await collection.create_indexes([IndexModel(keys, name=name) for name, keys in indexes.items()])
    await database.term.create_index([("e", 1), ("c", 1)], name="code", unique=True)
    await database.state.create_index([("ttl", 1)], name="ttl", expireAfterSeconds=0)
    types = await database.overflow.distinct("t")  # of a version that told nobody
    await database.meta.update_one({"_id": "overflow"}, {"$addToSet": {"types": {"$each": types}}}, upsert=True)


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Turn a lost connection into Busy: the client may try again, a primary may be elected meanwhile."""
    try:
        yield
    except (AutoReconnect, ConnectionFailure) as error:
        raise Busy(f"MongoDB does not answer: {_first(error)}") from error


def _first(error: Exception) -> str:
    return str(error).partition(",")[0].partition(" (configured")[0]


def _shown(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", url)
