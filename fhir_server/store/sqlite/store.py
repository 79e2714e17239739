"""The store itself: one writer with group commit, a connection for point reads, a few readers for searches.

The writer runs its SQL on the event loop, where the interactions already are: each statement takes microseconds, and a
thread of its own would fight for the interpreter at every row. What takes long goes to a thread: inserting the rows of
a whole group, and COMMIT, which waits for the disk. The requests that arrive meanwhile make the next group.
"""

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from fhir_server.search.predicate import EVERYTHING, Entry, Predicate
from fhir_server.store.seam import Busy, Lines, Page, Position, Query, Stored, StoreError, Tx, Value
from fhir_server.store.sqlite import find, history
from fhir_server.store.sqlite.expunge import empty_log
from fhir_server.store.sqlite.rows import Hasher
from fhir_server.store.sqlite.schema import connect, pace_log, prepare, unusable
from fhir_server.store.sqlite.terms import SqliteTerms
from fhir_server.store.sqlite.write import Batch, SqliteTx, current

T = TypeVar("T")
READERS = 3
GROUP = 256  # requests committed together at most
QUEUE = 10_000  # requests waiting at most, then Busy


class Job(NamedTuple):
    """A `work` in the writer's queue and where its result goes."""

    work: Callable[[Tx], Awaitable[Any]]
    done: asyncio.Future[Any]


class Answer(NamedTuple):
    """What a job is told after the commit."""

    value: Any
    refused: BaseException | None


class SqliteStore:
    """Implements store.seam.Store; open it with `open_sqlite`."""

    def __init__(self, path: Path, key: bytes, folder: tempfile.TemporaryDirectory[str] | None = None) -> None:
        self._path, self._folder = path, folder
        self.hasher = Hasher(key)
        self._writer = connect(path, write=True, cache_mib=64)
        self._point = connect(path, write=False, cache_mib=16)
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(READERS):
            self._readers.put(connect(path, write=False, cache_mib=32))
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-read")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.terms = SqliteTerms(self, self._writer)

    async def transact(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Queue `work` for the writer; returns after the commit of its group."""
        if self._closed:  # nobody would take it from the queue, and whoever asks would wait for ever
            raise StoreError("The store is closed.")
        if self._task is None:
            self._task = asyncio.create_task(self._write_groups())
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(Job(work, done))
        except asyncio.QueueFull:
            raise Busy("Too many writes are waiting.") from None
        return await done

    async def _write_groups(self) -> None:
        last = False
        while not last and (job := await self._queue.get()) is not None:
            group = [job]  # all whose answer waits for this commit
            answers: list[Answer] = []
            try:
                await self._begin()
                batch = Batch(self._writer, self.hasher)
                for waiting in group:  # grows while it is walked
                    answers.append(await self._run(waiting, batch))
                    if len(group) < GROUP and not self._queue.empty():
                        following = self._queue.get_nowait()
                        last = following is None
                        group.extend([following] if following else [])
                await self._off_loop(lambda: self._commit(batch))  # waits for the disk  # noqa: B023
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                refused = failed(self._path, error)
                answers = [Answer(None, refused)] * len(group)
                if not isinstance(error, Exception):
                    raise
            finally:
                for waiting, answer in zip(group, answers, strict=True):
                    if waiting.done.cancelled():
                        continue
                    if answer.refused is not None:
                        waiting.done.set_exception(answer.refused)
                    else:
                        waiting.done.set_result(answer.value)

    async def _begin(self) -> None:
        """Become the writer: at once if nobody else is, as most often; else a thread waits for the other process."""
        self._writer.execute("PRAGMA busy_timeout=0")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        finally:
            self._writer.execute("PRAGMA busy_timeout=30000")
        await self._off_loop(lambda: self._writer.execute("BEGIN IMMEDIATE"))

    async def _off_loop(self, run: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._disk, run)

    def _commit(self, batch: Batch) -> None:
        batch.flush()
        self._writer.execute("COMMIT")
        with contextlib.suppress(sqlite3.Error):  # what is committed is
            pace_log(self._writer)
        if batch.expunged:
            empty_log(self._writer)

    async def _run(self, job: Job, batch: Batch) -> Answer:
        """One work in its savepoint. Its own exceptions are its answer; those of SQLite end the whole group."""
        mark = batch.mark()
        self._writer.execute("SAVEPOINT work")
        try:
            value = await job.work(SqliteTx(batch))
        except sqlite3.Error:
            raise
        except Exception as refused:
            self._writer.execute("ROLLBACK TO work")
            self._writer.execute("RELEASE work")
            batch.back_to(mark)
            return Answer(None, refused)
        self._writer.execute("RELEASE work")
        return Answer(value, None)

    async def read(self, type: str, id: str, where: Predicate, version: int | None = None) -> Stored | None:
        """A point read takes 10 microseconds from the page cache, a sixth of what a thread would add: it runs here."""
        if where is EVERYTHING and version is None:
            try:  # what most requests are: no context manager
                return current(self._point, self.hasher, type, id)
            except sqlite3.Error as error:
                raise failed(self._path, error) from error
        with guarded(self._path):
            return history.read(self._point, self.hasher, type, id, where, version)

    async def search(self, query: Query) -> Page:
        """One page, in one snapshot."""
        return await self.reading(lambda connection: find.search(connection, self.hasher, query))

    async def lines(self, query: Query, at: int | None = None) -> Lines:
        """One page as text, in one snapshot."""
        return await self.reading(lambda connection: find.lines(connection, self.hasher, query, at))

    async def count(self, query: Query) -> int:
        """How many resources match."""
        return await self.reading(lambda connection: find.count(connection, self.hasher, query))

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
        """Versions, newest first."""
        return await self.reading(lambda c: history.page(c, self.hasher, type, id, where, since, after, count, at))

    async def scan(self, query: Query) -> AsyncIterator[Stored]:
        """Pages of 500 in order of creation."""
        step = query._replace(sort=(), after=None, count=500, total=False)
        while True:
            page = await self.search(step)
            for stored in page.rows:
                yield stored
            if page.next is None:
                return
            step = step._replace(after=page.next)

    async def changes(self, after: Position | None) -> AsyncIterator[tuple[Position, Stored]]:
        """Writers commit one after the other, so the number of a version is its place in the order of commits."""
        batch = await self.reading(lambda connection: history.since(connection, after, 500))
        while batch:
            for position, stored in batch:
                yield position, stored
            batch = await self.reading(lambda connection: history.since(connection, position, 500))  # noqa: B023

    async def settled(self) -> int:
        """Writers run one after the other, over all processes: once it is our turn, those before have ended."""
        now = time.time_ns() // 1_000_000 * 1000

        async def nothing(tx: Tx) -> None: ...

        await asyncio.sleep(0.002)  # what begins after us must begin in a later millisecond
        await self.transact(nothing)
        return now

    async def explain(self, query: Query) -> dict[str, Any]:
        """The statement, its arguments' number and SQLite's plan."""

        def run(connection: sqlite3.Connection) -> dict[str, Any]:
            typed = query._replace(types=query.types or find.all_types(connection))
            plan = find.make_plan(connection, self.hasher, typed)
            rows = connection.execute(f"EXPLAIN QUERY PLAN {plan.select.text}", plan.select.args).fetchall()
            return {"plan": plan.kind, "sql": plan.select.text, "sqlite": [row[3] for row in rows]}

        return await self.reading(run)

    async def reindex(self, entries: Callable[[bytes], tuple[Entry, ...]], types: tuple[str, ...]) -> int:
        """Compute the index rows of all current resources anew, 200 resources to a transaction."""
        done, batch = 0, []
        async for stored in self.scan(Query(types, EVERYTHING)):
            batch.append(stored)
            if len(batch) == 200:
                done += await self.transact(self._reindexing(entries, batch))
                batch = []
        return done + (await self.transact(self._reindexing(entries, batch)) if batch else 0)

    def _reindexing(
        self, entries: Callable[[bytes], tuple[Entry, ...]], batch: list[Stored]
    ) -> Callable[[Tx], Awaitable[int]]:
        async def work(tx: Tx) -> int:
            assert isinstance(tx, SqliteTx)  # our own
            for stored in batch:
                tx.batch.reindex(stored.type, stored.id, entries)
            return len(batch)

        return work

    async def index_keys(self) -> dict[str, int]:
        """How many keys each index of the store holds: the write amplification that the bench reports."""
        return await self.reading(history.index_keys)

    async def check(self) -> None:
        """Raise StoreError unless the file answers."""
        with guarded(self._path):
            self._point.execute("SELECT 1 FROM resource LIMIT 1").fetchone()

    async def close(self) -> None:
        """Commit what was queued, then close all connections."""
        self._closed = True
        if self._task is not None:
            await self._queue.put(None)
            await self._task
        self._threads.shutdown(wait=True)
        self._disk.shutdown(wait=True)
        while not self._readers.empty():
            self._readers.get().close()
        self._point.close()
        self._writer.close()
        if self._folder is not None:
            self._folder.cleanup()

    async def get_state(self, key: str) -> tuple[bytes, int] | None:
        """The value and its version; None if absent or expired."""
        with guarded(self._path):
            return history.get_state(self._point, key)

    async def get_states(self, keys: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """The values of many keys; those that are absent or expired are left out."""
        return await self.reading(lambda connection: history.get_states(connection, keys))

    async def list_state(self, prefix: str, count: int) -> list[tuple[str, bytes]]:
        """The first keys that begin with `prefix`, with their values."""
        return await self.reading(lambda connection: history.list_state(connection, prefix, count))

    async def put_state(self, key: str, value: Value, version: int, expires: int | None = None) -> bool:
        """Write if the current version is `version`."""

        async def work(tx: Tx) -> bool:
            return history.put_state(
                self._writer, key, value if isinstance(value, bytes) else value(), version, expires
            )

        return await self.transact(work)

    async def delete_state(self, key: str) -> bool:
        """Remove; False if it was absent."""

        async def work(tx: Tx) -> bool:
            return self._writer.execute("DELETE FROM state WHERE key=?", (key,)).rowcount > 0

        return await self.transact(work)

    async def reading(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run on a reader thread, in one snapshot."""

        def reading() -> T:
            connection = self._readers.get()
            try:
                with guarded(self._path):
                    connection.execute("BEGIN")
                    return run(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("COMMIT")
                self._readers.put(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, reading)

    def at_once(self, run: Callable[[sqlite3.Connection], T]) -> T:
        """Run here what takes microseconds."""
        with guarded(self._path):
            return run(self._point)


@contextlib.contextmanager
def guarded(path: Path) -> Any:
    """SQLite's errors as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise failed(path, error) from error


def failed(path: Path, error: BaseException) -> Exception:
    """What a waiting request is told when its group could not be committed."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return Busy("Another process keeps the database locked.")
    if isinstance(error, sqlite3.Error):
        return unusable(path, error)
    return error if isinstance(error, Exception) else StoreError("The server is stopping.")


async def open_sqlite(url: str) -> SqliteStore:
    """Open `sqlite:///PATH`; `sqlite:///:memory:` is a private file that goes when the store is closed."""
    name = url.removeprefix("sqlite:///")
    if not url.startswith("sqlite:///") or not name:
        raise StoreError(f"{url!r} names no file: give sqlite:///relative/path or sqlite:////absolute/path.")
    folder = tempfile.TemporaryDirectory(prefix="fhir-") if name == ":memory:" else None
    path = Path(folder.name) / "fhir.db" if folder else Path(name)
    return SqliteStore(path, prepare(path), folder)
