"""The journal: accesses of one process, written to the store in batches, durable before the answers leave.

While one batch is being written the next gathers, so that a write to disk serves all requests that are under way. A
batch is State `audit/[process]/[number]`: a JSON array of Access. Batches of a process are written one after the other.
"""

import asyncio
from typing import NamedTuple

import msgspec
from prometheus_client import Counter

from fhir_server.audit.record import Access
from fhir_server.store.seam import Busy, Store

PREFIX = "audit/"
BATCH = 256_000  # bytes from which a batch takes no further access
JOURNALLED = Counter("fhir_audit_accesses", "Accesses journalled by this process")
_ENCODE = msgspec.json.Encoder().encode


class _Waiting(NamedTuple):
    """Encoded accesses of one request, and who waits for them to be durable."""

    texts: list[bytes]
    done: "asyncio.Future[None]"


class Journal:
    """Where requests of this process write what they did."""

    def __init__(self, store: Store, process: str) -> None:
        self._store, self._process = store, process
        self._number = 0
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, *accesses: Access) -> None:
        """Return when they are durable. Raises Busy, StoreError if they cannot be written."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting([_ENCODE(one) for one in accesses], done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await done

    async def close(self) -> None:
        """Write what is waiting."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._write_all(waiting)
        finally:
            self._writing = None

    async def _write_all(self, waiting: list[_Waiting]) -> None:
        """Tell everyone who waits: an error reaches all, whether or not part of theirs was written before it."""
        refused: Exception | None = None
        try:
            batch: list[bytes] = []
            size = 0
            for text in (text for one in waiting for text in one.texts):
                batch.append(text)
                size += len(text)
                if size > BATCH:
                    await self._put(batch)
                    batch, size = [], 0
            if batch:
                await self._put(batch)
        except Exception as error:
            refused = error
        for _, done in waiting:
            if done.done():
                continue
            if refused is None:
                done.set_result(None)
            else:
                done.set_exception(refused)

    async def _put(self, batch: list[bytes]) -> None:
        self._number += 1
        key = f"{PREFIX}{self._process}/{self._number:015}"
        if not await self._store.put_state(key, b"[" + b",".join(batch) + b"]", 0):
            raise Busy("The journal has a batch of this name already.")
        JOURNALLED.inc(len(batch))


def batch_of(value: bytes) -> list[Access]:
    """The accesses of a batch again."""
    return msgspec.json.decode(value, type=list[Access])


def place_of(key: str) -> tuple[str, int]:
    """The process and number in the key of a batch."""
    process, _, number = key.removeprefix(PREFIX).rpartition("/")
    return process, int(number)
