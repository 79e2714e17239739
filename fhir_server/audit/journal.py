"""The journal: accesses of one process, written to the store in batches, durable before the answers leave.

While one batch is being written the next gathers, so that a write to disk serves all requests that are under way. A
batch is State `audit/[process]/[number]`: a JSON array of Access. They are committed in any order.
"""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from prometheus_client import Counter

from fhir_server.audit.record import Access
from fhir_server.store.seam import Busy, Store

PREFIX = "audit/"
BATCH = 128_000  # bytes from which a batch takes no further access
AT_ONCE = 2  # batches: one is committed while the next has its place in the store's queue
JOURNALLED = Counter("fhir_audit_accesses", "Accesses journalled by this process")
_ENCODE = msgspec.json.Encoder().encode


class _Waiting(NamedTuple):
    """Encoded accesses, and who waits for them to be durable."""

    text: bytes
    number: int  # of accesses
    done: "asyncio.Future[None]"


class Journal:
    """Where requests of this process write what they did."""

    def __init__(self, store: Store, process: str) -> None:
        self._store, self._process = store, process
        self._number = 0
        self._waiting: list[_Waiting] = []
        self._asked = False  # for a place in the store's queue, in which a batch is to take what waits then
        self._writing: set[asyncio.Task[None]] = set()

    async def write(self, *accesses: Access) -> None:
        """Return when they are durable. Raises Busy, StoreError if they cannot be written."""
        if not accesses:
            return
        all_done = []
        for text, count in _pieces([_ENCODE(one) for one in accesses]):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(text, count, done))
            all_done.append(done)
        self._start()
        for done in all_done:
            await done

    async def close(self) -> None:
        """Write what is waiting."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _start(self) -> None:
        if self._waiting and not self._asked and len(self._writing) < AT_ONCE:
            self._asked = True
            task = asyncio.create_task(self._write())
            self._writing.add(task)

    async def _write(self) -> None:
        batch: list[_Waiting] = []

        def taken() -> bytes:
            batch.extend(self._take())
            return b"[" + b",".join([one.text for one in batch]) + b"]"

        self._number += 1
        refused: Exception | None = None
        try:
            if not await self._store.put_state(f"{PREFIX}{self._process}/{self._number:015}", taken, 0):
                refused = Busy("The journal has a batch of this name already.")
        except Exception as error:
            refused = error
            if not batch:
                batch.extend(self._take())
        task = asyncio.current_task()
        assert task is not None
        self._writing.discard(task)
        self._start()
        JOURNALLED.inc(sum([one.number for one in batch]) if refused is None else 0)
        for one in batch:
            if one.done.done():
                continue
            if refused is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(refused)

    def _take(self) -> list[_Waiting]:
        """What waits, up to the size of a batch."""
        self._asked = False
        most, size = 0, 0
        while most < len(self._waiting) and size < BATCH:
            size += len(self._waiting[most].text)
            most += 1
        batch, self._waiting = self._waiting[:most], self._waiting[most:]
        self._start()
        return batch


def _pieces(texts: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Encoded accesses joined up to the size of a batch, and how many each piece is."""
    piece: list[bytes] = []
    size = 0
    for text in texts:
        if piece and size + len(text) > BATCH:
            yield b",".join(piece), len(piece)
            piece, size = [], 0
        piece.append(text)
        size += len(text)
    yield b",".join(piece), len(piece)


def batch_of(value: bytes) -> list[Access]:
    """The accesses of a batch again."""
    return msgspec.json.decode(value, type=list[Access])
