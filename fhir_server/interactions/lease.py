"""A hold on a job: which process works on it, until when, and how far it is. https://hl7.org/fhir/R4/async.html"""

import asyncio
import logging
from typing import Protocol

import msgspec

from fhir_server.server import Server
from fhir_server.store.seam import Busy, StoreError

BEAT = 2.0  # seconds at most between two renewals of a lease

log = logging.getLogger("fhir_server")


class Superseded(Exception):
    """Another attempt ended the job, or it was cancelled: this one must leave nothing."""


class Leased(Protocol):
    """What is held: a msgspec.Struct with these fields, kept in State under the key of its Lease."""

    lease: int  # the time until which a process has it
    expires: int


class Lease:
    """Our hold on a job; `renew` also tells the others how far it is."""

    def __init__(self, server: Server, key: str, job: Leased, version: int) -> None:
        self.server, self.key, self.job, self._version = server, key, job, version
        self._lock = asyncio.Lock()

    async def renew(self) -> None:
        """Raises Superseded if another process has the job now, or it has ended."""
        async with self._lock:
            self.job.lease = self.server.clock() + self.server.settings.job_lease * 1_000_000
            if not await self._write():
                raise Superseded
            self._version += 1

    async def release(self) -> None:
        """Let whoever looks next go on at once."""
        async with self._lock:
            self.job.lease = 0
            await self._write()

    async def keep(self, holder: "asyncio.Task[None]") -> None:
        """Renew for ever; the holder is cancelled when the lease is lost."""
        while True:
            await asyncio.sleep(min(BEAT, self.server.settings.job_lease / 4))
            try:
                await self.renew()
            except Superseded:
                holder.cancel()
                return
            except (Busy, StoreError):
                log.warning("%s: its lease could not be renewed", self.key)

    async def _write(self) -> bool:
        value = msgspec.json.encode(self.job, enc_hook=int)  # a driver may count in an int type of its own
        return await self.server.store.put_state(self.key, value, self._version, self.job.expires)
