"""The MongoDB store: `open_mongo(url)`. The documents are described in document.py, the indexes in connect.py."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fhir_server.search.predicate import Entry, Predicate
from fhir_server.store.mongo import connect, find, history, reindex, settle, state, write
from fhir_server.store.mongo.connect import Database, answering
from fhir_server.store.mongo.terms import MongoTerms
from fhir_server.store.seam import Lines, Page, Position, Query, Store, Stored, Tx, Value

T = TypeVar("T")


async def open_mongo(url: str) -> "MongoStore":
    """Open `mongodb://HOST/DATABASE` (a replica set or mongos). Raises StoreError with the cure."""
    return MongoStore(await connect.connect(url))


class MongoStore:
    """seam.Store over one MongoDB database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lane = asyncio.Lock()
        self._big = asyncio.Semaphore(write.PLACES)
        self.terms = MongoTerms(database)

    async def transact(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """See seam.Store."""
        async with answering():
            return await write.transact(self.database, self._lane, self._big, work)

    async def read(self, type: str, id: str, where: Predicate, version: int | None = None) -> Stored | None:
        """See seam.Store."""
        async with answering():
            return await find.read(self.database, type, id, where, version)

    async def search(self, query: Query) -> Page:
        """See seam.Store."""
        async with answering():
            return await find.search(self.database, query)

    async def lines(self, query: Query, at: int | None = None) -> Lines:
        """See seam.Store."""
        async with answering():
            return await find.lines(self.database, query, at)

    async def count(self, query: Query) -> int:
        """See seam.Store."""
        async with answering():
            return await find.count(self.database, query)

    async def history(
        self,
        type: str | None,
        id: str | None,
        where: Predicate,
        since: int | None,
        after: Position | None,
        count: int,
        at: tuple[int, int] | None = None,
    ) -> Page:
        """See seam.Store."""
        async with answering():
            return await history.history(self.database, type, id, where, since, after, count, at)

    async def scan(self, query: Query) -> AsyncIterator[Stored]:
        """See seam.Store."""
        async with answering():
            async for row in find.scan(self.database, query):
                yield row

    async def changes(self, after: Position | None) -> AsyncIterator[tuple[Position, Stored]]:
        """See seam.Store."""
        async with answering():
            async for change in history.changes(self.database, after):
                yield change

    async def settled(self) -> int:
        """See seam.Store."""
        async with answering():
            return await settle.settled(self.database)

    async def explain(self, query: Query) -> dict[str, Any]:
        """See seam.Store."""
        async with answering():
            return await find.explain(self.database, query)

    async def reindex(self, entries: Callable[[bytes], tuple[Entry, ...]], types: tuple[str, ...]) -> int:
        """See seam.Store."""
        async with answering():
            return await reindex.reindex(self.database, entries, types)

    async def check(self) -> None:
        """See seam.Store."""
        await connect.check(self.database)

    async def close(self) -> None:
        """See seam.Store."""
        await self.database.client.close()

    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """See seam.Store."""
        async with answering():
            return await state.get_state(self.database, key)

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """See seam.Store."""
        async with answering():
            return await state.get_states(self.database, keys)

    async def list_state(self, prefix: str, count: int) -> list[tuple[str, bytes]]:
        """See seam.Store."""
        async with answering():
            return await state.list_state(self.database, prefix, count)

    async def put_state(self, key: str, value: Value, version: int, expires: int | None = None) -> bool:
        """See seam.Store."""
        async with answering():
            now = value if isinstance(value, bytes) else value()
            return await state.put_state(self.database, key, now, version, expires)

    async def delete_state(self, key: str) -> bool:
        """See seam.Store."""
        async with answering():
            return await state.delete_state(self.database, key)


_: type[Store] = MongoStore  # mypy: the class is what the seam asks for
