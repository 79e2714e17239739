"""Performing a job, in whichever process holds its lease. https://hl7.org/fhir/R4/async.html

A transaction whose process died is performed by another: had it been committed, its outcome would be there. A batch
that had begun is not, because some of its entries were performed: it is reported as failed.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fhir_server.access import OPERATOR, Caller
from fhir_server.access.asking import caller_for
from fhir_server.access.grant import Grant
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, operation_outcome, refuse
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.custom import rewired
from fhir_server.interactions.job_state import (
    Job,
    Outcome,
    change_open,
    close_job,
    open_jobs,
    read_job,
    read_outcome,
    read_pieces,
    write_outcome,
    write_pieces,
)  # fmt: skip
from fhir_server.interactions.lease import Lease, Superseded
from fhir_server.interactions.refusal import EXPECTED, refusal
from fhir_server.interactions.table import Shapes
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Conflict, StoreError, Tx

GRACE = 5.0  # seconds that jobs get to end when the server is stopped
ATTEMPTS = 5  # at a transaction while the store is busy

NOBODY = Grant(client="", scopes=())  # a job that says nothing of its caller's rights has none

log = logging.getLogger("fhir_server")


def start(server: Server, caller: Caller | None, id: str, shapes: Shapes) -> None:
    """Begin a job in this process, unless it works on it already; `caller` is None if only its id is known."""
    if all(task.get_name() != id for task in server.jobs):
        task = asyncio.create_task(_run(server, caller, id, shapes), name=id)
        server.jobs.add(task)
        task.add_done_callback(server.jobs.discard)


@asynccontextmanager
async def working(server: Server, shapes: Shapes) -> AsyncIterator[None]:
    """While the server serves: take over the jobs of processes that died; at the end, let its own end or stop."""
    watch = asyncio.create_task(_watch(server, shapes))
    try:
        yield
    finally:
        watch.cancel()
        if server.jobs:
            await asyncio.wait(server.jobs, timeout=GRACE)
        await stop(watch, *server.jobs)


async def stop(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks until they have ended: once is not enough where `wait_for` is awaited, which in Python 3.11 loses a
    cancellation that meets a result (a query of MongoDB in one of twenty tries)."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(server: Server, shapes: Shapes) -> None:
    while True:
        with contextlib.suppress(Busy, StoreError):
            for id in await open_jobs(server):
                kept = await read_job(server, id)
                if kept is None:
                    await change_open(server, lambda ids, gone=id: [one for one in ids if one != gone])  # type: ignore[misc]
                elif kept[0].lease < server.clock():
                    start(server, None, id, shapes)
        await asyncio.sleep(server.settings.job_lease)


async def _run(server: Server, caller: Caller | None, id: str, shapes: Shapes) -> None:
    kept = await read_job(server, id)
    if kept is None or kept[0].lease >= server.clock():
        return
    job, holder = kept[0], asyncio.current_task()
    lease = Lease(server, f"job/{id}", *kept)
    assert holder is not None
    beat: asyncio.Task[None] | None = None
    try:
        await lease.renew()
        beat = asyncio.create_task(lease.keep(holder))
        await _end(server, id, job, await _performed(await rewired(server), caller, id, job, lease, shapes))
    except Superseded:
        pass
    except asyncio.CancelledError:  # the server is stopping, or the job was cancelled
        with contextlib.suppress(Busy, StoreError):
            await (_end(server, id, job, _cut_short(job)) if job.began else lease.release())
        raise
    except Exception as error:  # whatever it is, the client is told that it ended
        log.error("job %s failed: %s", id, type(error).__name__)
        with contextlib.suppress(Exception):
            await _end(server, id, job, refuse(500, "exception", f"The server failed; its log has more of job {id}."))
    finally:
        if beat is not None:
            beat.cancel()


async def _performed(
    server: Server, caller: Caller | None, id: str, job: Job, lease: Lease, shapes: Shapes
) -> bytes | FhirError | None:
    """The response of a batch, a refusal, or None when the transaction or another attempt has said how it ended."""
    if await read_outcome(server, id) is not None:
        return None
    if job.began:
        return _cut_short(job)
    if caller is None:
        caller = OPERATOR if job.caller == OPERATOR.id else await caller_for(server, job.grant or NOBODY)
    async with server.admission.room(job.size, patience=None):
        body = await read_pieces(server, f"job/{id}/request", job.pieces)
        if body is None:
            raise Superseded
        ask = Ask(resource=codec.decode(body), full=job.full)
        if job.type == "batch":
            job.began = True
            await lease.renew()

            def count(done: int) -> None:
                job.done = done

            return (await batch_or_transaction(server, caller, ask, shapes, count=count)).body
        return await _transacted(server, caller, id, job, ask, shapes)


async def _transacted(server: Server, caller: Caller, id: str, job: Job, ask: Ask, shapes: Shapes) -> FhirError | None:
    async def also(tx: Tx, body: bytes) -> None:
        if not body:
            text = "A transaction that is answered later cannot read versions and histories or call operations."
            raise refuse(400, "not-supported", text)
        attempt = server.new_id()
        pieces = await write_pieces(tx, f"job/{id}/{attempt}", body, job.expires)
        if not await write_outcome(tx, id, Outcome(job.caller, 200, attempt, pieces, job.expires)):
            raise Superseded

    for number in range(ATTEMPTS):
        try:
            await batch_or_transaction(server, caller, ask, shapes, also)
            return None
        except (Busy, Conflict) as error:
            refused = refusal(error)
            await asyncio.sleep(0.1 * 2**number)
        except EXPECTED as error:
            return refusal(error)
    return refused


def _cut_short(job: Job) -> FhirError:
    text = f"The batch ended with its process after {job.done} or more of {job.entries} entries: look at what is there."
    return refuse(500, "incomplete", text)


async def _end(server: Server, id: str, job: Job, told: bytes | FhirError | None) -> None:
    """Write how a job ended, unless that is written, and clear away what it needed."""
    if told is not None:
        body = codec.encode(operation_outcome(told.issues)) if isinstance(told, FhirError) else told
        status, attempt = told.status if isinstance(told, FhirError) else 200, server.new_id()
        pieces = await write_pieces(server.store, f"job/{id}/{attempt}", body, job.expires)
        await write_outcome(server.store, id, Outcome(job.caller, status, attempt, pieces, job.expires))
    await close_job(server, id, job)
