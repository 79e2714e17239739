"""A view over a whole store, into a file: the operator's way, in several processes. docs/cli.md

This process reads the store and writes the file, others decode the resources and evaluate the view: the two halves
take about as long. Pieces are put into the file in the order of the store.
"""

import asyncio
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.store.seam import Query
from fhir_server.views.values import failed
from fhir_server.views.view import View, each, view_of
from fhir_server.views.write import encoded, sink

PIECE = 2000  # resources that a process takes at a time
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
    server: Server,
    definition: Any,
    kind: str,
    file: BinaryIO,
    processes: int,
    header: bool = True,
    report: Callable[[int], None] = lambda count: None,
) -> Written:
    """Write the table of a ViewDefinition over all resources of its type, as the operator sees them; `report` is told
    how many resources were read. Raises FhirError 422 for the view or a resource that it cannot take, OSError."""
    base = server.settings.base
    view = view_of(server.definitions, definition, base)
    out = sink(kind, view.columns, file, header)
    pool: ProcessPoolExecutor | None = None
    if await server.store.count(Query((view.type,), EVERYTHING)) > FEW:
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
        async for lines, count in _pieces(server, view.type):
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


async def _pieces(server: Server, type: str) -> AsyncIterator[tuple[bytes, int]]:
    """The stored bytes of all resources of a type, some at a time, one to a line."""
    bodies: list[bytes] = []
    async for row in server.store.scan(Query((type,), EVERYTHING)):
        bodies.append(row.body)
        if len(bodies) == PIECE:
            yield b"\n".join(bodies), PIECE
            bodies = []
    if bodies:
        yield b"\n".join(bodies), len(bodies)
