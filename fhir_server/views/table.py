"""A view over a whole store or over files, into a file: in several processes, if it is worth it. docs/cli.md

This process reads the resources and writes the table, others decode the resources and evaluate the view: the two
halves take about as long. Pieces are put into the table in the order in which they were read.
"""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.fhirpath.values import failed
from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.pace import FIRST, paced
from fhir_server.store.seam import Query, Store
from fhir_server.views.view import View, each, view_of
from fhir_server.views.write import encoded, sink

PIECE = 2000  # resources that a process takes at a time, if they are small
READ = 2_000_000  # bytes of a file that it takes at a time, with the end of the last line
AHEAD = 3  # pieces under way for each process
FEW = 10_000  # resources for which starting processes is not worth it


class Piece(NamedTuple):
    """What was made of some resources: how many rows, and these encoded."""

    rows: int
    encoded: bytes


class Written(NamedTuple):
    """Resources read and rows written."""

    resources: int
    rows: int


_making: tuple[View, str] | None = None


def _begin(definition: Any, base: str, kind: str) -> None:
    """Make this process a worker: compile the view once."""
    global _making
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _making = view_of(load(), definition, base), kind
    gc.freeze()  # as app.py: collections find nothing in what stays, and no cycles in rows
    gc.set_threshold(50_000, 20, 50)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(lines: bytes) -> Piece | str:
    assert _making is not None
    try:
        return made(*_making, lines)
    except FhirError as error:  # it does not travel between processes
        return str(error)


def made(view: View, kind: str, lines: bytes) -> Piece:
    """The rows of resources, one to a line. Raises FhirError 422 for what the view cannot take."""
    rows = list(each(view, lines.split(b"\n")))
    return Piece(len(rows), encoded(kind, view.columns, rows) if rows else b"")


async def table(
    definition: Any,
    base: str,
    source: "Source",
    kind: str,
    file: BinaryIO,
    processes: int,
    header: bool = True,
    report: Callable[[int], None] = lambda count: None,
) -> Written:
    """Write the table of a ViewDefinition over all resources of its type in the source; `report` is told how many
    resources were read. Raises FhirError 422 for the view or a resource that it cannot take, OSError."""
    view = view_of(load(), definition, base)
    out = sink(kind, view.columns, file, header)
    few, pieces = await source(view.type)
    pool: ProcessPoolExecutor | None = None
    if not few:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, context, _begin, (definition, base, kind))
    under_way: deque[asyncio.Future[Piece | str]] = deque()
    loop, read, rows = asyncio.get_running_loop(), 0, 0

    async def take() -> int:
        piece = await under_way.popleft()
        if isinstance(piece, str):
            raise failed(piece)
        if piece.rows:
            await asyncio.to_thread(out.add, piece.encoded)
        return piece.rows

    try:
        async for count, lines in pieces:
            if not count:
                continue
            if pool is None:
                piece = made(view, kind, lines)
                out.add(piece.encoded)
                rows += piece.rows
            else:
                under_way.append(loop.run_in_executor(pool, _make, lines))
                if len(under_way) >= AHEAD * processes:
                    rows += await take()
            read += count
            report(read)
        while under_way:
            rows += await take()
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
    out.end()
    return Written(read, rows)


# For a resource type: whether there are few of it, and some at a time how many and their JSON, one to a line.
Source = Callable[[str], Awaitable[tuple[bool, AsyncIterator[tuple[int, bytes]]]]]


def of_store(store: Store) -> Source:
    """All resources of the type in a store, as its operator sees them."""

    async def pieces(type: str) -> AsyncIterator[tuple[int, bytes]]:
        query = Query((type,), EVERYTHING, count=FIRST)
        while True:
            page = await store.lines(query)
            yield len(page.ids), page.text
            if page.next is None:
                return
            # As large as memory allows: each page costs a change of threads.
            count = paced(query.count, len(page.ids), len(page.text), PIECE)
            query = query._replace(after=page.next, count=count)

    async def source(type: str) -> tuple[bool, AsyncIterator[tuple[int, bytes]]]:
        return await store.count(Query((type,), EVERYTHING)) <= FEW, pieces(type)

    return source


def of_files(paths: Sequence[Path]) -> Source:
    """All resources in NDJSON files, such as those of an export; of other types the view makes no rows."""

    async def pieces() -> AsyncIterator[tuple[int, bytes]]:
        for path in paths:
            with path.open("rb") as file:
                while lines := file.readlines(READ):
                    told = [line.rstrip(b"\r\n") for line in lines if line.strip()]
                    yield len(told), b"\n".join(told)

    async def source(type: str) -> tuple[bool, AsyncIterator[tuple[int, bytes]]]:
        return sum(path.stat().st_size for path in paths) <= FEW * 1000, pieces()

    return source
